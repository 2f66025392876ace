package hubtest_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// The way the sandbox serves it: on a real listener with TLS, whose address is known before the hub is made.
func TestOverRealSockets(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := hubtest.New(hub.Config{BaseURL: "https://" + l.Addr().String() + "/fc"})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(s)
	web.Listener.Close()
	web.Listener = l
	web.StartTLS()
	defer web.Close()
	defer s.Close()

	topic, err := s.Hub().NewTopic(t.Context(), hubtest.User)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Server: s, client: web.Client(), topic: topic}
	join := func() *websocket.Conn {
		_, endpoint := w.subscribe()
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != "wss" || u.Host != l.Addr().String() {
			t.Fatalf("the endpoint is elsewhere: %v", err)
		}
		d := websocket.Dialer{TLSClientConfig: web.Client().Transport.(*http.Transport).TLSClientConfig, HandshakeTimeout: 10 * time.Second}
		conn, resp, err := d.Dial(endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if _, frame, err := conn.ReadMessage(); err != nil || !strings.Contains(string(frame), "subscribe") {
			t.Fatalf("%s, %v", frame, err)
		}
		return conn
	}
	a, b := join(), join()
	defer a.Close()
	defer b.Close()
	w.publish("1")
	for _, c := range []*websocket.Conn{a, b} {
		if _, frame, err := c.ReadMessage(); err != nil || !strings.Contains(string(frame), `"id":"1"`) {
			t.Errorf("%s, %v", frame, err)
		}
	}
	s.Drop("")
	for _, c := range []*websocket.Conn{a, b} {
		if _, _, err := c.ReadMessage(); err == nil || websocket.IsCloseError(err, 1000, 1001, 1005) {
			t.Errorf("a line that broke ends with %v", err)
		}
	}
}
