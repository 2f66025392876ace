package hubtest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
)

// PipeURL is where the handler of a [Pipe] is found: its certificate is for this host and hosts beside it.
const PipeURL = "https://hub.example.test"

// A Network is a server and the way to it, in memory. It may be used from any goroutine.
type Network struct {
	server   *http.Server
	trust    *tls.Config
	pending  chan net.Conn
	done     chan struct{}
	serving  sync.WaitGroup // the accept loop
	handling sync.WaitGroup // requests, sockets included

	mu      sync.Mutex
	conns   []*conn // the server's ends
	refused bool
	frozen  bool
	thawed  chan struct{} // closed when a freeze ends
	ended   bool
}

// Pipe serves h over HTTP/1.1 and TLS until Close. Whatever address is dialled, it is reached; the certificate is valid
// for example.test and its subdomains from 1999 to 2100, so that a bubble, where it is the year 2000, takes it.
func Pipe(h http.Handler) *Network {
	certificate, pool := testCertificate()
	n := &Network{
		trust:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		pending: make(chan net.Conn),
		done:    make(chan struct{}),
		thawed:  make(chan struct{}),
	}
	n.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.handling.Add(1)
			defer n.handling.Done()
			h.ServeHTTP(w, r)
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		Protocols: new(http.Protocols),
		ErrorLog:  log.New(io.Discard, "", 0), // broken handshakes are what the tests do on purpose
	}
	n.server.Protocols.SetHTTP1(true) // a WebSocket begins as HTTP/1.1
	n.serving.Go(func() { _ = n.server.ServeTLS(listener{n}, "", "") })
	return n
}

// Dial connects to the server, whatever the address. It takes the place of net.Dialer.DialContext; TLS is the caller's.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr(address), Err: err}
	}
	n.mu.Lock()
	refused, frozen, thawed := n.refused, n.frozen, n.thawed
	n.mu.Unlock()
	if refused {
		return fail(syscall.ECONNREFUSED)
	}
	if frozen {
		select {
		case <-thawed:
		case <-n.done:
			return fail(syscall.ECONNREFUSED)
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
	client, server := newConns("192.0.2.1:49152", addr(address))
	select {
	case n.pending <- server:
		return client, nil
	case <-n.done:
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// TLS is a client's configuration that trusts the server; it is the caller's own copy.
func (n *Network) TLS() *tls.Config { return n.trust.Clone() }

// Client is an HTTP client for this network. Each is new, with connections of its own: close its idle ones at the end.
func (n *Network) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.Dial, TLSClientConfig: n.TLS()}}
}

// Cut breaks all connections there are, as a reset does: both ends get an error at once. It tells how many.
func (n *Network) Cut() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.cut()
	}
	return len(n.conns)
}

// Freeze makes the network a black hole: what is sent is taken and does not arrive, new connections wait. Thaw ends it,
// and what was under way arrives.
func (n *Network) Freeze() { n.freeze(true) }

// Thaw ends Freeze.
func (n *Network) Thaw() { n.freeze(false) }

func (n *Network) freeze(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == on {
		return
	}
	n.frozen = on
	if on {
		n.thawed = make(chan struct{})
	} else {
		close(n.thawed)
	}
	for _, c := range n.conns {
		c.freeze(on)
	}
}

// Refuse makes new connections fail as where nobody listens, or ends that. Connections there are stay.
func (n *Network) Refuse(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = on
}

// Close ends the server and all connections, and returns when its requests have ended. (A handler that waits for
// something else than its connection has to be told first.)
func (n *Network) Close() {
	n.mu.Lock()
	n.ended = true
	n.mu.Unlock()
	_ = n.server.Close()
	n.serving.Wait()
	n.Cut()
	n.handling.Wait()
}

func (n *Network) admit(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(slices.DeleteFunc(n.conns, (*conn).closed), c)
	if n.frozen {
		c.freeze(true)
	}
	if n.ended {
		c.cut()
	}
}

// A listener is the server's door of a network.
type listener struct{ *Network }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.pending:
		l.admit(c.(*conn))
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l listener) Addr() net.Addr { return addr("hub.example.test:443") }
