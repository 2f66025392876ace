package hubtest

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A hijacker hands the hub a connection that we listen in on.
type hijacker struct {
	http.ResponseWriter
	server   *Server
	path     string // of the endpoint
	answered func(status int)
}

func (h hijacker) WriteHeader(status int) {
	h.answered(status)
	h.ResponseWriter.WriteHeader(status)
}

// Hijack is of http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.answered(http.StatusSwitchingProtocols)
	return h.server.add(c, h.path), rw, nil
}

// A socket is the hub's end of a subscriber's connection. What passes is cut into frames, looked at, and passed on,
// changed or not. Reading and writing are each done by one goroutine at a time, as the hub does.
type socket struct {
	net.Conn
	server                   *Server
	path, topic, name, token string
	asked                    url.Values // the subscribe request

	read struct { // of the reader
		raw   []byte // an incomplete frame
		ready []byte // for the hub
	}

	// mu is held while writing, so that frames do not mix. The server's lock may be taken while it is held, never the
	// other way round.
	mu       sync.Mutex
	upgraded bool   // the handshake's answer is through
	raw      []byte // an incomplete frame of the hub's
	silent   bool
	muted    bool   // the hub is not heard any more
	held     []byte // a confirmation that waits
	late     bool   // and for nothing but its time
	beating  bool
	timers   []*time.Timer
	ended    bool

	// Of deviations, guarded by the server's lock.
	open    map[string]bool   // what the subscriber knows to be open, or shared
	renamed string            // what stands before the ids of its events
	events  map[string]string // the latest ids and names that it was sent
}

func (s *socket) Read(p []byte) (int, error) {
	buf := make([]byte, 4096)
	for len(s.read.ready) == 0 {
		n, err := s.Conn.Read(buf)
		if err != nil {
			return 0, err
		}
		s.read.raw = append(s.read.raw, buf[:n]...)
		for {
			f, rest, ok, err := cutFrame(s.read.raw)
			if err != nil {
				return 0, err
			}
			if !ok {
				break
			}
			s.read.raw = rest
			if !s.isSilent() {
				s.read.ready = append(s.read.ready, s.server.heard(s, f)...)
			}
		}
	}
	n := copy(p, s.read.ready)
	s.read.ready = s.read.ready[n:]
	return n, nil
}

func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = append(s.raw, p...)
	if !s.upgraded {
		head, rest, ok := bytes.Cut(s.raw, []byte("\r\n\r\n"))
		if !ok {
			return len(p), nil
		}
		if _, err := s.Conn.Write(append(head[:len(head):len(head)], "\r\n\r\n"...)); err != nil {
			return 0, err
		}
		s.raw, s.upgraded = rest, true
	}
	for {
		f, rest, ok, err := cutFrame(s.raw)
		if err != nil {
			return 0, err
		}
		if !ok {
			return len(p), nil
		}
		s.raw = rest
		if err := s.pass(f); err != nil {
			return 0, err
		}
	}
}

// pass sends one frame of the hub's, or what a fault makes of it.
func (s *socket) pass(f frame) error {
	if s.silent || s.muted {
		return nil
	}
	out := f.raw
	if f.opcode == opText {
		out = s.server.twist(s, f)
	}
	if len(out) == 0 {
		return nil
	}
	_, err := s.Conn.Write(out)
	return err
}

// Close does nothing once the socket is silent: a dead line does not say that it is dead.
func (s *socket) Close() error {
	s.mu.Lock()
	silent := s.silent
	if !silent {
		s.end()
	}
	s.mu.Unlock()
	if silent {
		return nil
	}
	s.server.remove(s)
	return s.Conn.Close()
}

func (s *socket) isSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent
}

// send writes bytes of our own between the hub's frames.
func (s *socket) send(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(b)
}

// write is for who holds the socket's lock. It tells whether the socket still lives.
func (s *socket) write(b []byte) bool {
	if !s.silent && !s.ended && s.upgraded && len(b) > 0 {
		_ = s.Conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = s.Conn.Write(b)
	}
	return !s.ended
}

func (s *socket) silence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
}

// breakOff ends the line without a word.
func (s *socket) breakOff() {
	s.server.remove(s)
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.sever()
}

func (s *socket) sever() {
	c := s.Conn
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn() // TLS would say goodbye
	}
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	if m, ok := c.(*conn); ok {
		m.cut()
	}
	_ = c.Close()
}
