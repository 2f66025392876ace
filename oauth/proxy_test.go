package oauth_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
)

// refusal is how a transport tells what a proxy answered, for whoever cares to ask.
type refusal struct{ status int }

func (r refusal) Error() string    { return "hush" }
func (r refusal) ProxyStatus() int { return r.status }

// FM-31: a sign-in that a proxy does not let through says that it was the proxy, and what to do; nothing that a proxy
// wrote is repeated.
func TestAProxyThatDoesNotOpenTheWay(t *testing.T) {
	for _, row := range []struct {
		name            string
		answer          string // "" is a proxy that is not there
		words, sentence string
	}{
		{"sign-in wanted", "407 hush", "the proxy answered 407", "wants a sign-in of its own"},
		{"not allowed", "403 hush", "the proxy answered 403", "does not allow the sign-in server"},
		{"server not reached", "503 hush", "the proxy answered 503", "cannot reach the sign-in server"},
		{"no proxy there", "", "the proxy cannot be reached", "The proxy of this network cannot be reached"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			if row.answer == "" {
				close(served)
				listener.Close()
			} else {
				go func() {
					defer close(served)
					answerConnects(listener, row.answer)
				}()
			}
			base := w.ts.Client().Transport.(*http.Transport).Clone()
			base.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: listener.Addr().String()})
			base.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
				if r.StatusCode != http.StatusOK {
					return refusal{r.StatusCode}
				}
				return nil
			}
			w.l.HTTP = &http.Client{Transport: base}
			_, err = w.l.SignIn(t.Context())
			listener.Close()
			<-served
			base.CloseIdleConnections()
			if err == nil {
				t.Fatal("it signed in")
			}
			sentence := oauth.Sentence(err)
			if !strings.Contains(err.Error(), row.words) || !strings.Contains(sentence, row.sentence) || !strings.Contains(sentence, "administrator") {
				t.Errorf("%v\n%s", err, sentence)
			}
			if said := err.Error() + sentence + w.logs.String(); strings.Contains(said, "hush") || strings.Contains(said, listener.Addr().String()) {
				t.Errorf("repeated: %s", said)
			}
			if len(w.as.Requests()) != 0 {
				t.Error("the server was asked without the proxy")
			}
		})
	}
}

// answerConnects answers all requests with one status line until the listener is closed.
func answerConnects(listener net.Listener, status string) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 4\r\n\r\nhush", status)
			}
			conn.Close()
		}
	}
}
