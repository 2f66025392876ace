package subscriber

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	dialLimit    = 10 * time.Second // to connect to the hub or the proxy; the name is looked up anew each time
	proxyLimit   = 10 * time.Second // for the proxy to open the way
	tlsLimit     = 10 * time.Second
	upgradeLimit = 10 * time.Second
)

// open connects to a hub's socket, in the way that this hub wants. A callback is open.
func (h *requests) open(ctx context.Context, at place) (channel, error) {
	if at.callback != nil {
		return at.callback, nil
	}
	dial := func() (*websocket.Conn, net.Conn, error) { return openSocket(ctx, h.cfg, at.socket) }
	if h.wantsToken(at.socket) {
		dial = func() (*websocket.Conn, net.Conn, error) { return openSigned(ctx, h.signed, at.socket) }
	}
	ws, raw, err := dial()
	if err != nil {
		return nil, err
	}
	return newSocketChannel(ctx, ws, raw, h.dialect()), nil
}

// openSocket connects to a hub's socket. The parts of that have a deadline each, and each its own words. raw is the
// connection under TLS: closing it never waits. No Origin and no token are sent: the address itself is the ticket
// (FHIRcast 3.0.0, 4.3).
func openSocket(ctx context.Context, cfg Config, socket fhircast.Secret) (ws *websocket.Conn, raw net.Conn, err error) {
	u, err := url.Parse(socket.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", errEndpoint)
	}
	via, err := cfg.socketProxy(u)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	way := newWay(ctx, cfg, via)
	defer way.end()
	ws, resp, err := way.dialer().DialContext(way.ctx, socket.Reveal(), nil)
	switch {
	case err == nil && way.release():
		return ws, way.raw, nil
	case err == nil || context.Cause(way.ctx) != nil:
		err = context.Cause(way.ctx)
	case errors.Is(err, websocket.ErrBadHandshake) && resp.StatusCode != http.StatusSwitchingProtocols:
		err = refusal(resp)
	}
	return nil, nil, fmt.Errorf("connect: %w", clean(err, way.overdue))
}

// A way is one try to get to a socket: where it is, and what is overdue if its clock rings. It is touched by the
// goroutine of the try alone, which calls the trace and the dial function itself, one after the other.
type way struct {
	cfg Config
	via *url.URL // the proxy, nil is none

	ctx     context.Context
	end     func()
	clock   *time.Timer
	overdue string
	raw     net.Conn
	release func() bool // from the ctx that would close raw
}

func newWay(ctx context.Context, cfg Config, via *url.URL) *way {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &way{cfg: cfg, via: via, release: func() bool { return true }, overdue: "no connection within " + dialLimit.String()}
	w.clock = time.AfterFunc(dialLimit, func() { cancel(context.DeadlineExceeded) })
	w.end = func() { w.clock.Stop(); cancel(nil) }
	w.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { w.enter(tlsLimit, "no TLS handshake") },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				w.enter(upgradeLimit, "no answer to the WebSocket handshake")
			}
		},
	})
	return w
}

func (w *way) enter(limit time.Duration, what string) {
	w.overdue = what + " within " + limit.String()
	w.clock.Reset(limit)
}

func (w *way) dialer() *websocket.Dialer {
	d := &websocket.Dialer{TLSClientConfig: tlsOver(w.cfg.TLS), NetDialContext: w.dial}
	if w.via != nil && w.via.Scheme == "socks5" {
		d.Proxy = http.ProxyURL(w.via) // gorilla then dials it by NetDialContext
	}
	return d
}

// dial connects to the hub at addr, by the proxy if there is one.
func (w *way) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := w.cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	to := addr
	tunnelled := w.via != nil && w.via.Scheme != "socks5"
	if tunnelled {
		to = dialPort(w.via)
	}
	conn, err := dial(ctx, network, to)
	if err != nil {
		if w.via != nil {
			err = atProxy(err)
		}
		return nil, err
	}
	w.raw = conn
	// gorilla heeds ctx while it connects and shakes hands, but not while it reads an answer.
	w.release = context.AfterFunc(ctx, func() { conn.Close() })
	if !tunnelled {
		return conn, nil
	}
	w.enter(proxyLimit, "no answer from the proxy")
	open, err := tunnel(ctx, conn, w.via, w.cfg.TLS, addr)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return open, nil
}

// tlsOver is what we agree to: never less than TLS 1.2, whatever the configuration we were given says.
func tlsOver(trust *tls.Config) *tls.Config {
	c := trust.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.NextProtos = nil // net/http writes h2 into a configuration that it shares
	return c
}
