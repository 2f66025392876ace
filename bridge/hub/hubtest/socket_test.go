package hubtest

import (
	"bytes"
	"testing"
)

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		payload := bytes.Repeat([]byte("x"), n)
		wire := append(serverFrame(true, opText, payload), "rest"...)
		for _, short := range []int{0, 1, len(wire) - 5} { // of the whole, less than the frame
			if _, _, ok, err := cutFrame(wire[:short]); ok || err != nil {
				t.Errorf("%d bytes: %d of them are a frame: %t, %v", n, short, ok, err)
			}
		}
		f, rest, ok, err := cutFrame(wire)
		if !ok || err != nil || f.opcode != opText || !bytes.Equal(f.payload, payload) || string(rest) != "rest" {
			t.Errorf("%d bytes: %d, %t, %v", n, len(f.payload), ok, err)
		}
	}
	// The masked "Hello" of RFC 6455, 5.7.
	f, _, ok, err := cutFrame([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58})
	if !ok || err != nil || string(f.payload) != "Hello" {
		t.Errorf("got %q", f.payload)
	}
	if _, _, _, err := cutFrame([]byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}); err == nil {
		t.Error("a frame without end was taken")
	}
}

func FuzzCutFrame(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58})
	f.Add(fragments([]byte(`{"id":"1","status":200}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		total := len(b)
		used := 0
		for {
			frame, rest, ok, err := cutFrame(b)
			if err != nil || !ok {
				break
			}
			if len(frame.raw)+len(rest) != len(b) || len(frame.payload) > len(frame.raw) {
				t.Fatalf("%d + %d of %d", len(frame.raw), len(rest), len(b))
			}
			used += len(frame.raw)
			b = rest
		}
		if used > total {
			t.Fatalf("%d of %d", used, total)
		}
	})
}
