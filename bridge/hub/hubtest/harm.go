package hubtest

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// A Harm is what a [Proxy] does in one direction. What is zero is not done; several are done together.
type Harm struct {
	Delay     time.Duration // each read waits so long before it is written
	Rate      int           // bytes a second
	Slice     bool          // each byte is written by itself
	Hole      bool          // what comes is taken and goes nowhere, an end of the connection too
	StopAfter int           // after so many bytes of a connection it is reset, in the middle of whatever that is

	// Frame is done to the next Times data frames of WebSockets, of all connections together.
	Frame FrameHarm
	Times int
}

// A FrameHarm is what can be done to a whole WebSocket frame.
type FrameHarm string

// Frames are harmed where they hold data; control frames pass.
const (
	FrameTwice   FrameHarm = "twice"
	FrameLost    FrameHarm = "lost"
	FrameCorrupt FrameHarm = "corrupt" // one bit of the payload is turned, which leaves no UTF-8
	FrameSwapped FrameHarm = "swapped" // it comes after the next one
)

// A lane is one direction of a link.
type lane struct {
	way      Way
	from, to net.Conn
	link     *link

	raw    []byte // of the lane's goroutine: an incomplete head or frame
	held   []byte // a frame that waits for the next
	passed int    // bytes, for StopAfter

	mu sync.Mutex // held while writing, so that an injected frame does not get into another
}

// run copies until either side ends, and then ends both.
func (l *lane) run() {
	defer l.link.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := l.from.Read(buf)
		if n > 0 && l.take(buf[:n]) != nil || err != nil {
			if l.harm().Hole {
				<-l.link.done // the end does not arrive either
			}
			return
		}
	}
}

// harm is what is due, now.
func (l *lane) harm() Harm {
	p := l.link.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.harm[l.way]
}

// take passes on what was read: whole frames, once the connection is a WebSocket.
func (l *lane) take(b []byte) error {
	if !l.link.upgraded() {
		if l.way == Up {
			return l.write(b)
		}
		l.raw = append(l.raw, b...)
		return l.answer()
	}
	l.raw = append(l.raw, b...)
	for {
		f, rest, ok, err := cutFrame(l.raw)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		l.raw = rest
		if err := l.frame(f); err != nil {
			return err
		}
	}
}

// answer passes on what the hub says before there are frames, and notices when that begins.
func (l *lane) answer() error {
	if switching := []byte("HTTP/1.1 101"); !bytes.HasPrefix(l.raw, switching[:min(len(l.raw), len(switching))]) {
		b := l.raw
		l.raw = nil
		return l.write(b)
	}
	head, rest, whole := bytes.Cut(l.raw, []byte("\r\n\r\n"))
	if !whole {
		return nil // the rest of it comes
	}
	l.link.upgrade() // before the client can know, and send its first frame
	l.raw = nil
	if err := l.write(append(bytes.Clone(head), "\r\n\r\n"...)); err != nil {
		return err
	}
	return l.take(bytes.Clone(rest))
}

// frame passes one frame on, or what is made of it.
func (l *lane) frame(f frame) error {
	out := f.raw
	if f.opcode == opText || f.opcode == opBinary || f.opcode == opContinue {
		switch l.next() {
		case FrameTwice:
			out = append(bytes.Clone(out), out...)
		case FrameLost:
			return nil
		case FrameCorrupt:
			out = bytes.Clone(out)
			out[len(out)-1-len(f.payload)/2] ^= 0x80
		case FrameSwapped:
			l.held = append(l.held, out...)
			return nil
		}
		out = append(bytes.Clone(out), l.held...)
		l.held = nil
	}
	return l.write(out)
}

// next is what is to be done to a data frame, which is counted.
func (l *lane) next() FrameHarm {
	p := l.link.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.harm[l.way]
	if h.Times == 0 {
		return ""
	}
	h.Times--
	return h.Frame
}

// write writes as the harm has it. It may be called by who injects, too.
func (l *lane) write(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.harm()
	if h.Hole {
		return nil
	}
	l.wait(h.Delay)
	stops := h.StopAfter > 0 && l.passed+len(b) >= h.StopAfter
	if stops {
		b = b[:max(0, h.StopAfter-l.passed)]
	}
	l.passed += len(b)
	piece := len(b)
	switch {
	case h.Slice:
		piece = 1
	case h.Rate > 0:
		piece = max(1, h.Rate/20)
	}
	for len(b) > 0 {
		n := min(piece, len(b))
		if h.Rate > 0 {
			l.wait(time.Duration(n) * time.Second / time.Duration(h.Rate))
		}
		if _, err := l.to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	if stops {
		l.link.reset()
	}
	return nil
}

func (l *lane) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.link.done:
	}
}
