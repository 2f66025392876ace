package subscriber

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// proxyHead is the most that is read of a proxy's answer.
const proxyHead = 64 << 10

// A proxyError is a proxy that did not open the way. Its text holds nothing that the proxy wrote.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	if e.status == http.StatusProxyAuthRequired {
		return "the proxy wants a sign-in of its own (407): the administrator has to let this hub through, or name the proxy's user"
	}
	return fmt.Sprintf("the proxy answered %d", e.status)
}

var errProxyAddress = errors.New("the proxy's address cannot be used")

// proxyFor says by which proxy a request goes; nil is none. What the settings themselves say of a fault may hold a
// password.
func (c Config) proxyFor(r *http.Request) (*url.URL, error) {
	ask := c.Proxy
	if ask == nil {
		if c.Dial != nil {
			return nil, nil
		}
		ask = http.ProxyFromEnvironment
	}
	via, err := ask(r)
	if err != nil || via != nil && !slices.Contains([]string{"http", "https", "socks5"}, via.Scheme) {
		return nil, errProxyAddress
	}
	return via, nil
}

// socketProxy is the proxy for a socket. The settings are asked about its host alone: the rest of the address is a
// secret, and a proxy script is somebody else's program.
func (c Config) socketProxy(socket *url.URL) (*url.URL, error) {
	return c.proxyFor(&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: socket.Host, Path: "/"}, Host: socket.Host, Header: http.Header{}})
}

// proxyAnswer judges what a proxy said to CONNECT, for requests that net/http makes.
func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyError{answer.StatusCode}
	}
	return nil
}

// tunnel asks the proxy at the other end of conn for a way to addr (RFC 9110, 9.3.6), and returns the connection to use,
// conn or TLS over it. (What gorilla does here tells every refusal by the proxy's own words, and panics when it has
// none.) Nothing of the hub's is told to the proxy but its host and port.
func tunnel(ctx context.Context, conn net.Conn, via *url.URL, trust *tls.Config, addr string) (net.Conn, error) {
	if via.Scheme == "https" {
		c := tlsOver(trust)
		c.ServerName = via.Hostname()
		secure := tls.Client(conn, c)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, atProxy(err)
		}
		conn = secure
	}
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if via.User != nil {
		password, _ := via.User.Password()
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)))
	}
	if err := ask.Write(conn); err != nil {
		return nil, atProxy(err)
	}
	head := bufio.NewReader(io.LimitReader(conn, proxyHead))
	answer, err := http.ReadResponse(head, ask)
	switch {
	case err != nil:
		return nil, atProxy(err)
	case answer.StatusCode != http.StatusOK:
		return nil, &proxyError{answer.StatusCode}
	case head.Buffered() > 0: // behind it is TLS, where the client speaks first
		return nil, atProxy(io.ErrUnexpectedEOF)
	}
	return conn, nil
}

// atProxy says of an error where it happened, as net/http does.
func atProxy(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }

// dialPort is where a proxy is reached.
func dialPort(via *url.URL) string {
	port := via.Port()
	switch {
	case port != "":
	case via.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(via.Hostname(), port)
}
