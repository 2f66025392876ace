package subscriber

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// raw writes bytes to a socket as they are, frames and all.
func (s *socket) raw(b []byte) {
	s.write.Lock()
	defer s.write.Unlock()
	_, _ = s.ws.NetConn().Write(b)
}

// frameOf is a frame as a hub writes it; opcodes of RFC 6455, 5.2.
func frameOf(final bool, opcode byte, payload string) []byte {
	if final {
		opcode |= 0x80
	}
	b := []byte{opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

const (
	goesOn = 0
	text   = 1
	ping   = 9
	pong   = 10
)

// FM-22: an event in fragments of one byte, with pings, pongs and empty fragments between them, in writes of one byte, is
// the event, byte for byte.
func TestAnEventInFragmentsOfOneByte(t *testing.T) {
	event := fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","id":"e1","event":{"hub.topic":%q,"hub.event":"Patient-open","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"Zoë"}}]}}`, topic.Reveal())
	for _, tt := range []struct {
		name    string
		between []byte
		slices  bool
	}{
		{"and nothing else", nil, false},
		{"with pings", frameOf(true, ping, "p"), false},
		{"with pongs and empty fragments", append(frameOf(true, pong, ""), frameOf(false, goesOn, "")...), false},
		{"in writes of one byte", frameOf(true, ping, "p"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []byte
			w := play(t, func(w *world) {
				w.onDelivery = func(d *fhircast.Delivery) {
					got = slices.Clone(d.Event.Wire())
					d.Answer(200)
				}
			}, func(w *world) {
				var frames []byte
				for i := range len(event) {
					opcode := byte(goesOn)
					if i == 0 {
						opcode = text
					}
					frames = append(frames, frameOf(i == len(event)-1, opcode, event[i:i+1])...)
					if i < len(event)-1 {
						frames = append(frames, tt.between...)
					}
				}
				if tt.slices {
					for i := range frames {
						w.last().raw(frames[i : i+1])
					}
				} else {
					w.last().raw(frames)
				}
				w.after(time.Second)
			})
			if string(got) != event {
				t.Errorf("got %s", got)
			}
			w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "0s event 1: e1 Patient-open", "1s run returned: <nil>")
		})
	}
}

// FM-23: a hundred thousand pings, pongs and empty frames within a second: at most ten answers to pings, the line holds, an
// event still comes through, and nothing grows.
func TestFloods(t *testing.T) {
	const flood = 100_000
	for _, tt := range []struct {
		name  string
		frame []byte
		most  int // of what is sent back, in a second
	}{
		{"of pings", frameOf(true, ping, "p"), 10},
		{"of pongs", frameOf(true, pong, "p"), 0},
		{"of empty fragments", frameOf(false, goesOn, ""), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pongs := 0
			w := play(t, nil, func(w *world) {
				s := w.last()
				s.ws.SetPongHandler(func(string) error { pongs++; return nil })
				time.Sleep(500 * time.Millisecond)
				event := fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","id":"e1","event":{"hub.topic":%q,"hub.event":"Patient-open","context":[]}}`, topic.Reveal())
				s.raw(frameOf(false, text, event[:10]))
				before := heldBytes()
				for range 10 {
					s.raw(bytes.Repeat(tt.frame, flood/10))
					time.Sleep(100 * time.Millisecond)
				}
				if grown := heldBytes() - before; grown > 1<<20 {
					t.Errorf("%d bytes more are held", grown)
				}
				s.raw(frameOf(true, goesOn, event[10:]))
				w.after(3 * time.Second)
			})
			if pongs > tt.most+1 || tt.most > 0 && pongs == 0 {
				t.Errorf("%d pongs within a second", pongs)
			}
			w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "1.5s event 1: e1 Patient-open", "3s run returned: <nil>")
		})
	}
}

// heldBytes is what is held, in bytes.
func heldBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// FM-20: what a frame announces is not believed before it is there. Too much of it ends the line at once, with 1009, too
// little in too long a time ends it as silence does; each is told, and mended by the schedule.
func TestFramesThatAreTooLargeOrTooSlow(t *testing.T) {
	header := func(opcode byte, size uint64) []byte { return binary.BigEndian.AppendUint64([]byte{opcode, 127}, size) }
	drip := func(s *socket, bytes int, every time.Duration) {
		for range 100_000 {
			select {
			case <-s.ended:
				return
			case <-time.After(every):
				s.raw(frameOf(false, goesOn, strings.Repeat("x", bytes)))
			}
		}
	}
	for _, tt := range []struct {
		name   string
		script func(s *socket)
		lost   string
		code   string
	}{
		{"a header of a terabyte and nothing behind it", func(s *socket) { s.raw(header(0x80|text, 1<<40)) },
			"0s lost 1: the hub sent a frame larger than 32 MiB", "1009"},
		{"a header that says less than nothing", func(s *socket) { s.raw(header(0x80|text, 1<<63)) },
			"0s lost 1: the hub sent a frame larger than 32 MiB", "1009"},
		{"fragments whose sizes add up to nonsense", func(s *socket) {
			s.raw(append(frameOf(false, text, "x"), header(0x80, 1<<63-1)...))
		}, "0s lost 1: the hub sent a frame larger than 32 MiB", "1009"},
		{"fragments without an end", func(s *socket) {
			s.raw(frameOf(false, text, ""))
			piece := frameOf(false, goesOn, strings.Repeat("x", 1<<20))
			for range 40 {
				s.raw(piece)
			}
		}, "0s lost 1: the hub sent a frame larger than 32 MiB", "1009"},
		{"a header of a megabyte and nothing behind it", func(s *socket) { s.raw(header(0x80|text, 1<<20)) },
			"25s lost 1: silence for 25s", ""},
		{"a byte a second", func(s *socket) { s.raw(frameOf(false, text, "x")); drip(s, 1, time.Second) },
			"25s lost 1: silence for 25s", ""},
		{"a frame that stalls while pings are answered", func(s *socket) {
			s.raw(frameOf(false, text, "x"))
			drip(s, 0, 10*time.Second)
		}, "25s lost 1: silence for 25s", ""},
		{"a frame that goes on and on", func(s *socket) { s.raw(frameOf(false, text, "x")); drip(s, 2<<10, time.Second) },
			"2m1s lost 1: a frame of the hub's took longer than 2m0s", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, nil, func(w *world) {
				before := heldBytes()
				go tt.script(w.last()) // ends with the socket
				w.after(10 * time.Second)
				if most := heldBytes() - before; most > relayLimit+64<<10 {
					t.Errorf("%d bytes more are held for it", most)
				}
				w.after(5 * time.Minute)
			})
			if !slices.Contains(w.appHeard, tt.lost) {
				t.Errorf("heard %q, want %q", w.appHeard, tt.lost)
			}
			if tt.code != "" && !slices.Contains(w.hubSaw, "0s socket 1 ended: "+tt.code) {
				t.Errorf("saw %q", w.hubSaw)
			}
			if !slices.ContainsFunc(w.appHeard, func(s string) bool { return strings.Contains(s, "subscribed 2") }) {
				t.Errorf("not subscribed again: %q", w.appHeard)
			}
		})
	}
}
