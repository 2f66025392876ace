package hubtest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much one direction holds before its writer waits, as a kernel's socket buffer does. Without it (net.Pipe
// has none) both ends of a TLS connection can wait for each other to read.
const window = 64 << 10

// A half is one direction of a connection. All waiting is on its condition variable, which testing/synctest counts as
// durably blocked.
type half struct {
	mu     sync.Mutex
	change sync.Cond
	buf    []byte
	ended  bool  // the writer closed: the reader gets what is there, then io.EOF
	gone   bool  // the reader closed: the writer gets EPIPE
	frozen bool  // nothing arrives, not even the end; writes fill the window and wait
	fault  error // the line was cut: both get this, and what was on its way is lost

	readBy, writeBy deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set is called with the lock of the half that change belongs to.
func (d *deadline) set(at time.Time, h *half) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() { h.alter(func() {}) })
	}
	h.change.Broadcast()
}

func newHalf() *half {
	h := &half{}
	h.change.L = &h.mu
	return h
}

func (h *half) alter(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.change.Broadcast()
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, net.ErrClosed
		case h.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case h.fault != nil:
			return 0, h.fault
		case len(p) == 0:
			return 0, nil
		case h.frozen:
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.change.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.change.Wait()
	}
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for {
		switch {
		case h.ended:
			return n, net.ErrClosed
		case h.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case h.fault != nil:
			return n, h.fault
		case h.gone && !h.frozen:
			return n, syscall.EPIPE
		case len(p) == 0:
			return n, nil
		case len(h.buf) < window:
			k := min(len(p), window-len(h.buf))
			h.buf = append(h.buf, p[:k]...)
			p, n = p[k:], n+k
			h.change.Broadcast()
			continue
		}
		h.change.Wait()
	}
}

// A conn is one end of a connection.
type conn struct {
	in, out       *half
	local, remote addr
}

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

func newConns(client, server addr) (*conn, *conn) {
	up, down := newHalf(), newHalf()
	return &conn{in: down, out: up, local: client, remote: server}, &conn{in: up, out: down, local: server, remote: client}
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *conn) LocalAddr() net.Addr         { return c.local }
func (c *conn) RemoteAddr() net.Addr        { return c.remote }

func (c *conn) Close() error {
	c.in.alter(func() { c.in.gone = true; c.in.readBy.set(time.Time{}, c.in) })
	c.out.alter(func() { c.out.ended = true; c.out.writeBy.set(time.Time{}, c.out) })
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.alter(func() { c.in.readBy.set(t, c.in) })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.alter(func() { c.out.writeBy.set(t, c.out) })
	return nil
}

func (c *conn) cut() {
	for _, h := range []*half{c.in, c.out} {
		h.alter(func() { h.fault, h.buf = syscall.ECONNRESET, nil })
	}
}

func (c *conn) freeze(on bool) {
	for _, h := range []*half{c.in, c.out} {
		h.alter(func() { h.frozen = on })
	}
}

func (c *conn) closed() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.gone || c.in.fault != nil
}
