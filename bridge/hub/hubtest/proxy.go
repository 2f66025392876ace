package hubtest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A Way is a direction through a [Proxy].
type Way int

// From the client to the hub, and back.
const (
	Up Way = iota
	Down
)

// A Proxy stands between any client and any hub, on real TCP, and harms what passes: bytes, and whole WebSocket frames.
// It ends the client's TLS with a certificate of its own and begins another to the hub, so neither notices. Who uses it
// lets the hub name the proxy's address as its own. All methods may be called from any goroutine.
type Proxy struct {
	listener net.Listener
	target   string
	trust    *tls.Config

	mu    sync.Mutex
	harm  [2]Harm
	links map[*link]bool
	gone  bool
}

// NewProxy takes over an open listener. Clients are shown the certificate; target is the hub's host and port, which is
// reached with TLS as trust says, or in the clear when that is nil. It starts nothing.
func NewProxy(l net.Listener, certificate tls.Certificate, target string, trust *tls.Config) *Proxy {
	front := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	return &Proxy{listener: front, target: target, trust: trust, links: map[*link]bool{}}
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Run passes connections on until ctx ends, then resets those there are and returns nil when all has ended. It is called
// once, and closes the listener.
func (p *Proxy) Run(ctx context.Context) error {
	var links sync.WaitGroup
	defer links.Wait()
	stop := context.AfterFunc(ctx, func() {
		p.listener.Close()
		p.end(func(l *link) { l.reset() })
	})
	defer stop()
	for {
		c, err := p.listener.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if c != nil {
				c.Close()
			}
			p.end(func(l *link) { l.reset() })
			return nil
		}
		if err != nil {
			p.listener.Close()
			p.end(func(l *link) { l.reset() })
			return err
		}
		links.Go(func() { p.pass(ctx, c.(*tls.Conn)) })
	}
}

// Harm sets what happens to what passes in one direction from now on; the zero value ends it.
func (p *Proxy) Harm(way Way, h Harm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.harm[way] = h
}

// Cut ends all connections in good order, as a server that goes away does. It tells how many.
func (p *Proxy) Cut() int { return p.each(func(l *link) { l.close() }) }

// Reset ends all connections with a TCP reset on both sides. It tells how many.
func (p *Proxy) Reset() int { return p.each(func(l *link) { l.reset() }) }

// Inject writes a WebSocket frame of that opcode (RFC 6455, 5.2) into every upgraded connection, between two frames. It
// tells into how many.
func (p *Proxy) Inject(way Way, opcode byte, payload []byte) int {
	frame := serverFrame(true, opcode, payload)
	if way == Up {
		frame = clientFrame(opcode, payload)
	}
	n := 0
	p.each(func(l *link) {
		if l.upgraded() && l.lanes[way].write(frame) == nil {
			n++
		}
	})
	return n
}

func (p *Proxy) each(f func(*link)) int {
	p.mu.Lock()
	var list []*link
	for l := range p.links {
		list = append(list, l)
	}
	p.mu.Unlock()
	for _, l := range list {
		f(l)
	}
	return len(list)
}

// end lets no connection begin any more.
func (p *Proxy) end(f func(*link)) {
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	p.each(f)
}

// dialWithin is how long the way to the hub may take, and a client's handshake.
const dialWithin = 10 * time.Second

// pass is one connection, from its first byte to its last.
func (p *Proxy) pass(ctx context.Context, client *tls.Conn) {
	defer client.Close()
	begin, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	if client.HandshakeContext(begin) != nil {
		return
	}
	var d interface {
		DialContext(context.Context, string, string) (net.Conn, error)
	} = &net.Dialer{}
	if p.trust != nil {
		d = &tls.Dialer{Config: p.trust}
	}
	hub, err := d.DialContext(begin, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{proxy: p, done: make(chan struct{})}
	l.lanes = [2]*lane{{way: Up, from: client, to: hub, link: l}, {way: Down, from: hub, to: client, link: l}}
	p.mu.Lock()
	p.links[l] = true
	gone := p.gone
	p.mu.Unlock()
	if gone {
		l.reset()
	}
	var lanes sync.WaitGroup
	for _, lane := range l.lanes {
		lanes.Go(lane.run)
	}
	lanes.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// A link is a client's connection and the one to the hub that belongs to it.
type link struct {
	proxy *Proxy
	lanes [2]*lane

	mu     sync.Mutex
	frames bool          // a WebSocket from here on
	done   chan struct{} // closed when it ends
	ended  bool
}

func (l *link) upgraded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frames
}

func (l *link) upgrade() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = true
}

func (l *link) close() { l.end(func(c net.Conn) { c.Close() }) }
func (l *link) reset() { l.end(reset) }

func (l *link) end(f func(net.Conn)) {
	l.mu.Lock()
	first := !l.ended
	l.ended = true
	l.mu.Unlock()
	if first {
		close(l.done)
		f(l.lanes[Up].from)
		f(l.lanes[Up].to)
	}
}

// reset ends a connection without a word, of TLS or of TCP.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}
