package hubtest

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// twist is what goes to the line instead of a text frame of the hub's. It is called with the socket's lock.
func (s *Server) twist(to *socket, f frame) []byte {
	m, err := fhircast.Decode(bytes.Clone(f.payload))
	if err != nil {
		return f.raw
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.(type) {
	case *fhircast.Confirmation:
		return s.confirmation(f)
	case *fhircast.Event:
		if end, ok := s.endInstead(to); ok {
			return end
		}
		return append(s.before(to), s.event(f)...)
	}
	return f.raw
}

func (s *Server) confirmation(f frame) []byte {
	switch {
	case s.armed.take(NeverConfirm):
		return nil
	case s.armed.take(ConfirmOtherTopic):
		return changed(f, "hub.topic", "T-other")
	case s.armed.take(ConfirmNoEvents):
		return changed(f, "hub.events", "")
	}
	return f.raw
}

func (s *Server) event(f frame) []byte {
	switch {
	case s.armed.take(EventTwice):
		return append(bytes.Clone(f.raw), f.raw...)
	case s.armed.take(EventOld):
		return changed(f, "timestamp", fhircast.At(time.Now().Add(-24*time.Hour)).Raw)
	case s.armed.take(EventFragmented):
		return fragments(f.payload)
	}
	return f.raw
}

// endInstead ends the socket; out goes before the end.
func (s *Server) endInstead(to *socket) (out []byte, ends bool) {
	switch {
	case s.armed.take(Drop):
		delete(s.sockets, to)
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

// changed is a message with one member at its top replaced.
func changed(f frame, member, value string) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(f.payload, &m) != nil {
		return f.raw
	}
	m[member] = json.RawMessage(quote(value))
	b, _ := json.Marshal(m)
	return serverFrame(true, opText, b)
}

func denied(topic, reason string) string {
	return `{"hub.mode":"denied","hub.topic":` + quote(topic) + `,"hub.events":"","hub.reason":` + quote(reason) + `}`
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
