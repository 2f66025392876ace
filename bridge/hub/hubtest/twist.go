package hubtest

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// twist is what goes to the line instead of a text frame of the hub's. It is called with the socket's lock.
func (s *Server) twist(to *socket, f frame) []byte {
	n, ok := readNotice(f.payload)
	if !ok {
		return f.raw
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.event != nil {
		if end, ok := s.endInstead(to); ok {
			return end
		}
	}
	out, text := f.raw, f.payload
	if s.spoken(to, n) {
		text = n.write()
		out = serverFrame(true, opText, text)
	}
	switch {
	case n.confirms():
		return s.confirmation(to, out)
	case n.event != nil:
		to.sent(n)
		out = append(s.before(to), s.repeated(out, text)...)
		if to.held != nil && !to.late {
			out = append(out, to.release()...)
		}
	}
	return out
}

// sent remembers the names of the latest events, for what is said about them.
func (to *socket) sent(n *notice) {
	if len(to.events) > 100 {
		clear(to.events)
	}
	to.events[n.top.text("id")] = n.name()
}

// spoken lets the deviations at a message; it tells whether one did something.
func (s *Server) spoken(to *socket, n *notice) (changed bool) {
	for _, d := range s.rows {
		if d.said != nil && s.armed.due(d.name) && d.said(to, n) {
			s.armed.spend(d.name)
			changed = true
		}
	}
	return changed
}

func (s *Server) confirmation(to *socket, out []byte) []byte {
	late := s.armed.take(ConfirmLate)
	switch {
	case s.armed.take(NeverConfirm):
		return nil
	case late || s.armed.take(EventBeforeConfirmation):
		to.hold(out, late)
		out = nil
	}
	to.beat(s.heartbeat(to))
	return out
}

// heartbeat is what a socket is to hear every 10 s, nil for nothing.
func (s *Server) heartbeat(to *socket) *notice {
	n := &notice{top: object{}, event: object{}}
	n.event.set("hub.topic", to.topic)
	n.event.set("hub.event", "heartbeat")
	period := object{"key": raw("period"), "decimal": raw(int(beatEvery / time.Second))}
	switch {
	case s.armed.due(HeartbeatAsked) && strings.Contains(strings.ToLower(to.asked.Get("hub.events")), "heartbeat") && s.armed.take(HeartbeatAsked):
		n.context = []object{period}
	case s.armed.take(HeartbeatStringPeriod):
		period.set("decimal", "10")
		n.context = []object{period}
	case s.armed.take(HeartbeatWithoutPeriod):
	default:
		return nil
	}
	return n
}

// repeated is an event as it goes out, once, twice or in pieces.
func (s *Server) repeated(out, text []byte) []byte {
	switch {
	case s.armed.take(EventTwice):
		return append(bytes.Clone(out), out...)
	case s.armed.take(EventFragmented):
		return fragments(text)
	}
	return out
}

// endInstead ends the socket; out goes before the end.
func (s *Server) endInstead(to *socket) (out []byte, ends bool) {
	switch {
	case s.armed.take(Drop):
		delete(s.sockets, to)
		to.end()
		to.sever()
		return nil, true
	case s.armed.take(Silent):
		to.silent = true
		return nil, true
	case s.armed.take(Deny):
		return append(textFrame(denied(to.topic, "denied by a fault")), closeFrame(1000)...), true
	case s.armed.take(CloseRestart):
		return closeFrame(1012), true
	case s.armed.take(CloseInternal):
		return closeFrame(1011), true
	}
	return nil, false
}

// before is the frames that come before an event.
func (s *Server) before(to *socket) []byte {
	const stamp = `"timestamp":"2000-01-01T00:00:00.000Z"`
	foreign := `"context":[{"key":"patient","resource":{"resourceType":"Patient","id":"foreign"}}]`
	var b []byte
	add := func(f Fault, frame func() []byte) {
		if s.armed.take(f) {
			b = append(b, frame()...)
		}
	}
	text := func(t string) func() []byte { return func() []byte { return textFrame(t) } }
	topic := `"hub.topic":` + quote(to.topic)
	add(FrameForeignTopic, text(`{`+stamp+`,"id":"foreign","event":{"hub.topic":"T-foreign","hub.event":"Patient-open",`+foreign+`}}`))
	add(FrameUnasked, text(`{`+stamp+`,"id":"unasked","event":{`+topic+`,"hub.event":"Slot-open","context":[{"key":"slot","resource":{"resourceType":"Slot","id":"x"}}]}}`))
	add(FrameNotJSON, text(`<html>Bad Gateway</html>`))
	add(FrameEmpty, text(``))
	add(FrameBinary, func() []byte { return serverFrame(true, opBinary, []byte{0, 1, 2, 0xff}) })
	add(FrameHuge, func() []byte {
		return textFrame(`{"id":"huge",` + stamp + `,"event":{` + topic + `,"hub.event":"Patient-open","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"huge","note":"` +
			strings.Repeat("x", 5<<20) + `"}}]}}`)
	})
	add(FrameTwoNames, text(`{"id":"twice",`+stamp+`,"event":{`+topic+`,"hub.event":"Patient-open","hub.event":"Patient-close",`+foreign+`}}`))
	add(FrameWrongType, text(`{"id":"wrong",`+stamp+`,"event":{`+topic+`,"hub.event":"Patient-open","context":"none"}}`))
	return b
}

func denied(topic, reason string) string {
	return `{"hub.mode":"denied","hub.topic":` + quote(topic) + `,"hub.events":"","hub.reason":` + quote(reason) + `}`
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
