package subscriber

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	dialLimit    = 10 * time.Second // to connect, by a proxy too; the name is looked up anew each time
	tlsLimit     = 10 * time.Second
	upgradeLimit = 10 * time.Second
)

// openSocket connects to a hub's socket. The three parts of that have a deadline each, and each its own words. raw is
// the connection under TLS: closing it never waits. No Origin and no token are sent: the address itself is the ticket
// (FHIRcast 3.0.0, 4.3).
func openSocket(ctx context.Context, cfg Config, socket fhircast.Secret) (ws *websocket.Conn, raw net.Conn, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	overdue := "no connection within " + dialLimit.String()
	clock := time.AfterFunc(dialLimit, func() { cancel(context.DeadlineExceeded) })
	defer clock.Stop()
	enter := func(limit time.Duration, what string) {
		overdue = what + " within " + limit.String()
		clock.Reset(limit)
	}
	// The trace and the dial function are called by DialContext itself, one after the other.
	trace := &httptrace.ClientTrace{
		TLSHandshakeStart: func() { enter(tlsLimit, "no TLS handshake") },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				enter(upgradeLimit, "no answer to the WebSocket handshake")
			}
		},
	}
	release := func() bool { return true }
	dialer := websocket.Dialer{TLSClientConfig: cfg.TLS.Clone()}
	if dialer.TLSClientConfig != nil {
		dialer.TLSClientConfig.NextProtos = nil // net/http writes h2 into a configuration that it shares
	}
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
		dialer.Proxy = http.ProxyFromEnvironment
	}
	dialer.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err == nil {
			raw = conn
			// gorilla heeds ctx while it connects and shakes hands, but not while it reads the answer.
			release = context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	}
	ws, resp, err := dialer.DialContext(httptrace.WithClientTrace(ctx, trace), socket.Reveal(), nil)
	switch {
	case err == nil && release():
		return ws, raw, nil
	case err == nil || context.Cause(ctx) != nil:
		err = context.Cause(ctx)
	case errors.Is(err, websocket.ErrBadHandshake) && resp.StatusCode != http.StatusSwitchingProtocols:
		err = refusal(resp)
	}
	return nil, nil, fmt.Errorf("connect: %w", clean(err, overdue))
}
