package subscriber

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

// Some hubs want the access token in the handshake of the socket too (FHIRcast 3.0.0, 4.3). Tokens are not ours: the
// handshake is then made by the client that signs, which goes its own way to the hub, and gorilla is handed the
// connection that this leads to.

var errUpgrade = errors.New("the client that signs cannot open a socket")

// wantsToken tells whether a socket is opened with the token: only where the hub itself is, at the very same port.
func (h *requests) wantsToken(socket fhircast.Secret) bool {
	u, err := url.Parse(socket.Reveal())
	return err == nil && h.cfg.HTTP != nil && h.dialect().BearerOnSocket && strings.EqualFold(u.Host, h.url.Host)
}

// openSigned is openSocket by a client that signs.
func openSigned(ctx context.Context, client *http.Client, socket fhircast.Secret) (ws *websocket.Conn, raw net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeLimit)
	defer cancel()
	c := *client
	c.Timeout = 0 // is for a whole exchange, and a socket has no end
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	way := &signedConn{ctx: ctx, client: &c}
	dialer := websocket.Dialer{NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) { return way, nil }}
	ws, resp, err := dialer.DialContext(ctx, socket.Reveal(), nil)
	switch {
	case err == nil:
		return ws, way.raw(), nil
	case errors.Is(err, websocket.ErrBadHandshake) && resp.StatusCode != http.StatusSwitchingProtocols:
		err = refusal(resp)
	}
	return nil, nil, fmt.Errorf("connect: %w", clean(err, fmt.Sprintf("no answer to the WebSocket handshake within %v", upgradeLimit)))
}

// A signedConn takes a WebSocket handshake as bytes, has it made by a client, and gives the answer back as bytes. From
// then on it is the connection that the client made. One goroutine uses it until the handshake is done.
type signedConn struct {
	net.Conn // what the client connected, TLS included; nil until then
	ctx      context.Context
	client   *http.Client

	asked  []byte
	answer io.Reader          // what is read first
	body   io.ReadWriteCloser // nil until the protocol is switched
}

func (c *signedConn) Write(p []byte) (int, error) {
	if c.body != nil {
		return c.body.Write(p)
	}
	if c.asked = append(c.asked, p...); bytes.HasSuffix(c.asked, []byte("\r\n\r\n")) {
		if err := c.shake(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// shake makes the request that was written.
func (c *signedConn) shake() error {
	asked, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(c.asked)))
	if err != nil {
		return err
	}
	r := asked.WithContext(httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { c.Conn = info.Conn },
	}))
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "https", asked.Host
	resp, err := c.client.Do(r)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		body, ok := resp.Body.(io.ReadWriteCloser)
		if !ok || c.Conn == nil {
			resp.Body.Close()
			return errUpgrade
		}
		c.body = body
	} else {
		resp.Body.Close()
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %d -\r\n", resp.StatusCode)
	_ = resp.Header.Write(&head)
	head.WriteString("\r\n")
	c.answer = &head
	return nil
}

func (c *signedConn) Read(p []byte) (int, error) {
	if c.answer != nil {
		if n, _ := c.answer.Read(p); n > 0 {
			return n, nil
		}
		c.answer = nil
	}
	if c.body == nil {
		return 0, io.EOF
	}
	return c.body.Read(p)
}

func (c *signedConn) Close() error {
	if c.body == nil {
		return nil
	}
	return c.body.Close()
}

// raw is what is under TLS, so that closing it never waits.
func (c *signedConn) raw() net.Conn {
	if t, ok := c.Conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.Conn
}

// SetDeadline is gorilla's while it connects: until there is a connection, ctx is the deadline.
func (c *signedConn) SetDeadline(t time.Time) error {
	if c.Conn == nil {
		return nil
	}
	return c.Conn.SetDeadline(t)
}
