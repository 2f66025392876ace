package hubtest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"maps"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// hold keeps a confirmation back. It is called with the socket's lock.
func (s *socket) hold(out []byte, late bool) {
	s.held, s.late = append(s.held, out...), late
	s.timers = append(s.timers, time.AfterFunc(lateBy, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write(s.release())
	}))
}

func (s *socket) release() []byte {
	out := s.held
	s.held = nil
	return out
}

// beat says a heartbeat now and every 10 s, until the socket ends; nil is none. It is called with the socket's lock.
func (s *socket) beat(n *notice) {
	if n == nil || s.beating {
		return
	}
	s.beating = true
	var timer *time.Timer
	timer = time.AfterFunc(0, func() {
		again := &notice{top: object{}, event: maps.Clone(n.event), context: n.context}
		again.top.set("timestamp", stamp(time.Now()))
		again.top.set("id", rand.Text())
		if s.say(again) {
			timer.Reset(beatEvery)
		}
	})
	s.timers = append(s.timers, timer)
}

// end stops what was to be said later. It is called with the socket's lock.
func (s *socket) end() {
	for _, t := range s.timers {
		t.Stop()
	}
	s.timers, s.ended = nil, true
}

// say sends a message of the server's own, as the deviations would have it. It tells whether the socket still lives.
func (s *socket) say(n *notice) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server.mu.Lock()
	s.server.spoken(s, n)
	s.server.mu.Unlock()
	return s.write(serverFrame(true, opText, n.write()))
}

func (s *socket) deny(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(append(textFrame(denied(s.topic, reason)), closeFrame(1000)...))
}

// heard keeps what a subscriber said, and gives what the hub is to hear.
func (s *Server) heard(from *socket, f frame) []byte {
	a := Answer{Subscriber: from.name, At: time.Now()}
	switch f.opcode {
	case opText:
		a.Raw = string(f.payload)
		if m, err := fhircast.Decode(bytes.Clone(f.payload)); err == nil {
			if answer, ok := m.(*fhircast.Answer); ok {
				a.ID, a.Status = answer.ID, answer.Status
			}
		}
	case opClose:
		a.Closed = 1005
		if len(f.payload) >= 2 {
			a.Closed = int(binary.BigEndian.Uint16(f.payload))
		}
	default:
		return f.raw
	}
	s.mu.Lock()
	s.answers = append(s.answers, a)
	if len(s.answers) > kept {
		s.answers = s.answers[1:]
	}
	about := from.events[a.ID]
	toldToo := a.Status >= 400 && about != "" && s.armed.take(SyncErrorToAll)
	renamed := from.renamed
	s.mu.Unlock()
	if toldToo {
		from.say(newSyncError(from.topic, a.ID, about, from.name, "did not follow"))
	}
	if id, ok := strings.CutPrefix(a.ID, renamed); ok && renamed != "" {
		return clientFrame(opText, fhircast.Answer{ID: id, Status: a.Status}.Encode())
	}
	return f.raw
}
