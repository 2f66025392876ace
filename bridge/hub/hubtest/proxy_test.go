package hubtest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// A mirror is a server that says back what it hears, a proxy before it, and a plain client.
type mirror struct {
	*testing.T
	proxy *hubtest.Proxy
	trust *tls.Config
	ended chan error // how the server saw its sockets end
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	e := &mirror{T: t, ended: make(chan error, 10)}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.Copy(w, r.Body)
			return
		}
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, text, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, text) != nil {
				e.ended <- err
				return
			}
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	e.trust = &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	e.proxy = hubtest.NewProxy(l, server.TLS.Certificates[0], server.Listener.Addr().String(), e.trust)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.proxy.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return e
}

func (e *mirror) dial() *websocket.Conn {
	e.Helper()
	d := websocket.Dialer{TLSClientConfig: e.trust.Clone(), HandshakeTimeout: 10 * time.Second}
	conn, resp, err := d.Dial("wss://"+e.proxy.Addr()+"/", nil)
	if err != nil {
		e.Fatal(err)
	}
	resp.Body.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	e.Cleanup(func() { conn.Close() })
	return conn
}

func (e *mirror) say(c *websocket.Conn, texts ...string) {
	e.Helper()
	for _, text := range texts {
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			e.Fatal(err)
		}
	}
}

func (e *mirror) hears(c *websocket.Conn, texts ...string) {
	e.Helper()
	for _, want := range texts {
		_, got, err := c.ReadMessage()
		if err != nil || string(got) != want {
			e.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestProxyPassesOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("", func(t *testing.T) { // whose clean-up comes first
		e := newMirror(t)
		c := e.dial()
		long := strings.Repeat("long ", 100_000)
		e.say(c, "one", long, "")
		e.hears(c, "one", long, "")

		client := &http.Client{Transport: &http.Transport{TLSClientConfig: e.trust.Clone()}}
		defer client.CloseIdleConnections()
		for range 2 { // on one connection
			resp, err := client.Post("https://"+e.proxy.Addr()+"/", "text/plain", strings.NewReader(long))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(b) != long {
				t.Errorf("%d bytes of %d, %v", len(b), len(long), err)
			}
		}
	})
}

func TestProxyHarmsFrames(t *testing.T) {
	for harm, want := range map[hubtest.FrameHarm][]string{
		hubtest.FrameTwice:   {"one", "one", "two", "three"},
		hubtest.FrameLost:    {"two", "three"},
		hubtest.FrameSwapped: {"two", "one", "three"},
	} {
		for way, name := range map[hubtest.Way]string{hubtest.Up: "up", hubtest.Down: "down"} {
			t.Run(string(harm)+" "+name, func(t *testing.T) {
				e := newMirror(t)
				c := e.dial()
				e.proxy.Harm(way, hubtest.Harm{Frame: harm, Times: 1})
				e.say(c, "one", "two", "three")
				e.hears(c, want...)
			})
		}
	}
}

func TestProxyCorruptsAFrame(t *testing.T) {
	e := newMirror(t)
	c := e.dial()
	e.proxy.Harm(hubtest.Down, hubtest.Harm{Frame: hubtest.FrameCorrupt, Times: 1})
	e.say(c, "one", "two")
	if _, got, err := c.ReadMessage(); err != nil || string(got) == "one" || len(got) != 3 {
		t.Errorf("got %q, %v", got, err)
	}
	e.hears(c, "two")
}

func TestProxyInjectsControlFrames(t *testing.T) {
	e := newMirror(t)
	c := e.dial()
	pinged := ""
	c.SetPingHandler(func(data string) error { pinged = data; return nil })
	e.say(c, "one")
	e.hears(c, "one")
	if n := e.proxy.Inject(hubtest.Down, websocket.PingMessage, []byte("hello")); n != 1 {
		t.Fatalf("into %d", n)
	}
	e.say(c, "two")
	e.hears(c, "two")
	if pinged != "hello" {
		t.Errorf("pinged with %q", pinged)
	}
	e.proxy.Inject(hubtest.Up, websocket.TextMessage, []byte("of nobody"))
	e.hears(c, "of nobody")
	e.proxy.Inject(hubtest.Down, websocket.CloseMessage, websocket.FormatCloseMessage(1012, "again"))
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1012) {
		t.Errorf("got %v", err)
	}
}

func TestProxySlicesAndSlowsDown(t *testing.T) {
	e := newMirror(t)
	c := e.dial()
	e.proxy.Harm(hubtest.Down, hubtest.Harm{Slice: true})
	e.proxy.Harm(hubtest.Up, hubtest.Harm{Slice: true})
	text := strings.Repeat("x", 300)
	e.say(c, text)
	e.hears(c, text)

	for name, harm := range map[string]hubtest.Harm{"delay": {Delay: 100 * time.Millisecond}, "rate": {Rate: 3000}} {
		e.proxy.Harm(hubtest.Up, hubtest.Harm{})
		e.proxy.Harm(hubtest.Down, harm)
		start := time.Now()
		e.say(c, text)
		e.hears(c, text)
		if took := time.Since(start); took < 100*time.Millisecond {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// A black hole says nothing and closes nothing, one way or both.
func TestProxyIsABlackHole(t *testing.T) {
	e := newMirror(t)
	for _, ways := range [][]hubtest.Way{{hubtest.Up}, {hubtest.Down}, {hubtest.Up, hubtest.Down}} {
		c := e.dial()
		for _, way := range ways {
			e.proxy.Harm(way, hubtest.Harm{Hole: true})
		}
		e.say(c, "lost")
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, got, err := c.ReadMessage()
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("%v: got %q, %v", ways, got, err)
		}
		c.Close()
		select {
		case <-e.ended:
			if ways[0] == hubtest.Up {
				t.Errorf("%v: the end got through", ways)
			}
		case <-time.After(200 * time.Millisecond):
			if ways[0] != hubtest.Up {
				t.Errorf("%v: the end did not get through", ways)
			}
			e.proxy.Reset()
			<-e.ended
		}
		e.proxy.Harm(hubtest.Up, hubtest.Harm{})
		e.proxy.Harm(hubtest.Down, hubtest.Harm{})
	}
}

func TestProxyEndsConnections(t *testing.T) {
	e := newMirror(t)
	for name, row := range map[string]struct {
		end   func() int
		reset bool
	}{
		"cut":   {e.proxy.Cut, false},
		"reset": {e.proxy.Reset, true},
	} {
		c := e.dial()
		e.say(c, name)
		e.hears(c, name)
		if n := row.end(); n != 1 {
			t.Errorf("%s: %d", name, n)
		}
		_, _, err := c.ReadMessage()
		if err == nil || errors.Is(err, syscall.ECONNRESET) != row.reset {
			t.Errorf("%s: the client got %v", name, err)
		}
		if err := <-e.ended; err == nil || errors.Is(err, syscall.ECONNRESET) != row.reset {
			t.Errorf("%s: the server got %v", name, err)
		}
	}
}

func TestProxyStopsInTheMiddle(t *testing.T) {
	e := newMirror(t)
	e.proxy.Harm(hubtest.Down, hubtest.Harm{StopAfter: 1000})
	c := e.dial()
	e.say(c, strings.Repeat("x", 700)) // with the head of the answer less than 1000
	e.hears(c, strings.Repeat("x", 700))
	e.say(c, strings.Repeat("y", 700))
	if _, got, err := c.ReadMessage(); err == nil || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	<-e.ended
}

func TestProxyWithoutAHub(t *testing.T) {
	e := newMirror(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer server.Close()
	p := hubtest.NewProxy(l, server.TLS.Certificates[0], nobody, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	d := websocket.Dialer{TLSClientConfig: e.trust.Clone(), HandshakeTimeout: 10 * time.Second}
	if conn, _, err := d.Dial("wss://"+p.Addr()+"/", nil); err == nil {
		conn.Close()
		t.Error("somebody answers")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
