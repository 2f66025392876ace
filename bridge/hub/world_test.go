package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// A world is a hub behind an HTTP server in memory (net.Pipe), with tokens: "all" may do anything, "reader" reads
// patients and SyncErrors only. Both are ann's, as is "one", for the topic T1 only; "bob" is bob's. It lives in a bubble of synctest.
type world struct {
	*testing.T
	hub    *hub.Hub
	topic  fhircast.Secret
	http   *http.Client
	server *http.Server
	dial   chan net.Conn
	logs   *bytes.Buffer
	start  time.Time
	kind   atomic.Value // Content-Type of the last answer, a string
}

type pipes struct {
	dialled <-chan net.Conn
	over    chan struct{} // closed by Close
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.over); return nil }
func (p pipes) Addr() net.Addr { return &net.IPAddr{} }

func newWorld(t *testing.T, c hub.Config) *world {
	start := time.Now()
	w := &world{T: t, dial: make(chan net.Conn), logs: &bytes.Buffer{}, start: start}
	c.BaseURL = "https://hub.example.test/fc"
	c.Log = slog.New(slog.NewTextHandler(w.logs, nil))
	c.Authorize = func(token string) (hub.Grant, bool) {
		switch token {
		case "all":
			return hub.Grant{User: "ann", Scopes: fhircast.ParseScopes([]string{"fhircast/*.*"})}, true
		case "reader":
			return hub.Grant{User: "ann", Scopes: fhircast.ParseScopes([]string{"fhircast/Patient-open.read", "fhircast/Patient-close.read", "fhircast/SyncError.read"})}, true
		case "short":
			return hub.Grant{User: "ann", Scopes: fhircast.ParseScopes([]string{"fhircast/*.*"}), Expires: start.Add(90 * time.Second)}, true
		case "one":
			return hub.Grant{User: "ann", Scopes: fhircast.ParseScopes([]string{"fhircast/*.*"}), Topics: func(s fhircast.Secret) bool { return s == "T1" }}, true
		case "bob":
			return hub.Grant{User: "bob", Scopes: fhircast.ParseScopes([]string{"fhircast/*.*"})}, true
		}
		return hub.Grant{}, false
	}
	var err error
	if w.hub, err = hub.New(c); err != nil {
		t.Fatal(err)
	}
	if w.topic, err = w.hub.NewTopic(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	w.http = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case w.dial <- far:
			return near, nil
		case <-over: // a connection that the client wanted in advance
			return nil, net.ErrClosed
		}
	}}}
	w.server = &http.Server{Handler: w.hub}
	served := make(chan struct{})
	go func() { defer close(served); _ = w.server.Serve(pipes{w.dial, over}) }()
	t.Cleanup(func() {
		w.hub.Close()
		w.http.CloseIdleConnections()
		w.server.Close()
		<-served
	})
	return w
}

// do makes a request and gives status and body; the Content-Type is kept.
func (w *world) do(method, path, token, kind, body string) (int, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, "http://hub.example.test"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	w.kind.Store(resp.Header.Get("Content-Type"))
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// unlike wants two secrets to be long, and to have nothing in common but what chance has them have.
func (w *world) unlike(a, b string) {
	w.Helper()
	same := 0
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			same++
		}
	}
	if len(a) < 26 || len(b) < 26 || same > 13 {
		w.Errorf("secrets %q and %q have %d characters in common", a, b, same)
	}
}

const formType = "application/x-www-form-urlencoded"

// form is a subscribe request, with some parameters set otherwise ("" leaves one out).
func (w *world) form(change ...string) string {
	v := url.Values{
		"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {w.topic.Reveal()},
		"hub.events": {"Patient-open,Patient-close,Home-open,SyncError"}, "subscriber.name": {"Viewer"},
	}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
		if change[i+1] == "" {
			v.Del(change[i])
		}
	}
	return v.Encode()
}

// endpoint subscribes and gives the socket's address.
func (w *world) endpoint(token string, change ...string) string {
	w.Helper()
	status, body := w.do("POST", "/fc", token, formType, w.form(change...))
	if status != 202 {
		w.Fatalf("subscribe: %d %s", status, body)
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		w.Fatal(err)
	}
	return m["hub.channel.endpoint"]
}

// A peer is one end of a subscription's socket, which reads all the time, as a client does.
type peer struct {
	*world
	conn     *websocket.Conn
	endpoint string
	frames   chan string
	code     int         // of the close, once frames is closed
	mute     atomic.Bool // answers neither pings nor a close
}

func (w *world) connect(endpoint string, header http.Header) (*peer, error) {
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		near, far := net.Pipe()
		w.dial <- far
		return near, nil
	}}
	conn, resp, err := d.DialContext(w.Context(), "ws"+strings.TrimPrefix(endpoint, "wss"), header)
	if err != nil {
		if resp != nil {
			resp.Body.Close()
			return nil, fmt.Errorf("%d: %w", resp.StatusCode, err)
		}
		return nil, err
	}
	p := &peer{world: w, conn: conn, endpoint: endpoint, frames: make(chan string, 1000)}
	pong, bye := conn.PingHandler(), conn.CloseHandler()
	conn.SetPingHandler(func(data string) error {
		if p.mute.Load() {
			return nil
		}
		return pong(data)
	})
	conn.SetCloseHandler(func(code int, reason string) error {
		if p.mute.Load() {
			time.Sleep(time.Hour)
		}
		return bye(code, reason)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.frames)
		for {
			kind, frame, err := conn.ReadMessage()
			if err == nil && kind != websocket.TextMessage {
				p.Errorf("a frame that is no text: %q", frame)
			}
			if err != nil {
				p.code = websocket.CloseAbnormalClosure
				if e, ok := errors.AsType[*websocket.CloseError](err); ok {
					p.code = e.Code
				}
				conn.Close()
				return
			}
			p.frames <- string(frame)
		}
	}()
	w.Cleanup(func() { conn.Close(); <-done })
	return p, nil
}

// join subscribes, connects and reads the confirmation.
func (w *world) join(token string, change ...string) *peer {
	w.Helper()
	p, err := w.connect(w.endpoint(token, change...), nil)
	if err != nil {
		w.Fatal(err)
	}
	if frame := p.frame(); !strings.Contains(frame, `"hub.mode":"subscribe"`) {
		w.Fatalf("no confirmation but %s", frame)
	}
	return p
}

// frame is the next frame, or "" when the socket has ended.
func (p *peer) frame() string {
	p.Helper()
	select {
	case f := <-p.frames:
		return f
	case <-time.After(time.Minute):
		p.Fatal("no frame for a minute")
		return ""
	}
}

// event is the next frame, which must be one.
func (p *peer) event() *fhircast.Event {
	p.Helper()
	frame := p.frame()
	m, err := fhircast.Decode([]byte(frame))
	if err != nil {
		p.Fatalf("%v: %q", err, frame)
	}
	e, ok := m.(*fhircast.Event)
	if !ok {
		p.Fatalf("no event but %s", frame)
	}
	return e
}

// nothing checks that no frame comes for so long.
func (p *peer) nothing(d time.Duration) {
	p.Helper()
	select {
	case f := <-p.frames:
		p.Errorf("unexpected frame %q (closed: %d)", f, p.code)
	case <-time.After(d):
	}
}

func (p *peer) say(text string) {
	p.Helper()
	if err := p.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		p.Fatal(err)
	}
}

// ended checks that the socket ends, with that code.
func (p *peer) ended(code int) {
	p.Helper()
	select {
	case f, more := <-p.frames:
		if more {
			p.Errorf("a frame instead of the end: %s", f)
		}
		if p.code != code {
			p.Errorf("closed with %d, want %d", p.code, code)
		}
	case <-time.After(time.Minute):
		p.Error("the socket stays open")
	}
}

// notShared is what a hub offers that shares no content.
func notShared() []fhircast.Name {
	return slices.DeleteFunc(hub.Catalogue(), func(n fhircast.Name) bool { return n.Resource() == "DiagnosticReport" && !n.Changes() })
}

func patient(id string) string {
	return `[{"key":"patient","resource":{"resourceType":"Patient","id":"` + id + `","name":[{"family":"Zyxcanary"}]}}]`
}

func (w *world) draft(id, name, entries string) *fhircast.Event {
	w.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: w.topic, Name: fhircast.Name(name), Context: json.RawMessage(entries)})
	if err != nil {
		w.Fatal(err)
	}
	return e
}

// post publishes over HTTP and wants it accepted.
func (w *world) post(id, name, entries string) {
	w.Helper()
	if status, body := w.do("POST", "/fc", "all", "application/json", string(w.draft(id, name, entries).Wire())); status != 202 {
		w.Fatalf("publish %s: %d %s", name, status, body)
	}
}
