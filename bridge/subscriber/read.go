package subscriber

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	relayLimit = 4 << 20  // of a frame that is passed on
	frameLimit = 32 << 20 // of a frame that is read at all, for its id
	smallFrame = 16 << 10
	keepFrame  = 256 << 10 // a read buffer larger than this is given back after a frame that did not need it

	frameLife = 1 << 10         // so many bytes of a frame are a sign of life; a drip of single ones is none
	frameTime = 2 * time.Minute // for a whole frame: what comes after it waits, and we would not know
)

// A frame is what came: a message, or why it is none.
type frame struct {
	message fhircast.Message
	refused *fhircast.FrameError
	status  int                   // with which a refused frame is answered
	reply   func(fhircast.Answer) // never waits
}

// read is the one reader. It hands each frame to take, in their order, and returns why the socket ended.
func (s *socketChannel) read(take func(frame)) error {
	defer close(s.unread)
	s.ws.SetReadLimit(frameLimit)
	audible := &heardReader{s: s}
	s.control(audible)
	buf := make([]byte, 0, smallFrame)
	for {
		audible.r = nil
		kind, r, err := s.ws.NextReader()
		if err != nil {
			return s.readEnd(err)
		}
		s.hear()
		audible.r, audible.began, audible.since = r, time.Now(), 0
		if buf, err = fill(buf[:0], audible); err != nil {
			return s.readEnd(err)
		}
		switch {
		case len(buf) > relayLimit:
			id, name := fhircast.Skim(fullReader{io.MultiReader(bytes.NewReader(buf), audible)})
			if _, err := io.Copy(io.Discard, audible); err != nil {
				return s.readEnd(err)
			}
			take(frame{refused: &fhircast.FrameError{ID: id, Name: name, Reason: errTooLarge.Error()}, status: 413, reply: s.reply})
		case kind == websocket.BinaryMessage:
			id, name := fhircast.Skim(bytes.NewReader(buf))
			take(frame{refused: &fhircast.FrameError{ID: id, Name: name, Reason: "it is binary"}, status: 400, reply: s.reply})
		default:
			f := decode(bytes.Clone(buf))
			f.reply = s.reply
			take(f)
		}
		if cap(buf) > keepFrame && len(buf) <= keepFrame {
			buf = make([]byte, 0, smallFrame)
		}
	}
}

// decode keeps text.
func decode(text []byte) frame {
	m, err := fhircast.Decode(text)
	if err == nil {
		return frame{message: m}
	}
	var refused *fhircast.FrameError
	if !errors.As(err, &refused) {
		refused = &fhircast.FrameError{Reason: "it is no message that FHIRcast knows"}
	}
	return frame{refused: refused, status: 400}
}

// fill reads one frame into buf, or as much of it as shows that it is larger than relayLimit.
func fill(buf []byte, r io.Reader) ([]byte, error) {
	for len(buf) <= relayLimit {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), relayLimit+1)), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// readEnd is why reading ended. gorilla says 1009 to a frame that is too large, but not when the sizes of its parts add up
// to nonsense.
func (s *socketChannel) readEnd(err error) error {
	if errors.Is(err, websocket.ErrReadLimit) {
		_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseMessageTooBig, ""), time.Now().Add(closeLimit))
	}
	return s.end(err)
}

// control says what to do with pings and pongs. Outside of frames they are life.
func (s *socketChannel) control(within *heardReader) {
	heard := func() {
		if within.r == nil {
			s.hear()
		}
	}
	s.ws.SetPongHandler(func(string) error { heard(); return nil })
	s.ws.SetPingHandler(func(payload string) error {
		heard()
		select {
		case s.pongs <- payload:
		default: // the writer still has one to answer
		}
		return nil
	})
}

// heardReader notes the parts of a frame as life: a large one may take longer than a dead line is given, but not for
// ever. Until the frame is whole nothing else is life: pings are also answered in the middle of a frame that has stalled,
// and what comes after it waits.
type heardReader struct {
	s     *socketChannel
	r     io.Reader // of the frame that is under way, nil between frames
	began time.Time
	since int // bytes since the last sign of life
}

func (h *heardReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.since += n; h.since >= frameLife {
		h.since = 0
		h.s.hear()
	}
	if err == nil && time.Since(h.began) > frameTime {
		err = errFrameTime
	}
	return n, err
}

// fullReader fills what it is given to fill. The decoder that skims a frame goes over all it holds after each read; by
// the few kilobytes of a socket's read, a text of 32 MiB would take a long time.
type fullReader struct{ r io.Reader }

func (f fullReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.r, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
