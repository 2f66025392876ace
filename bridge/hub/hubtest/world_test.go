package hubtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// A world is a server with faults on a network in memory, and one topic.
type world struct {
	*testing.T
	*hubtest.Server
	net    *hubtest.Network
	client *http.Client
	topic  fhircast.Secret
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := hubtest.New(hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOf(t, s)
}

func newWorldOf(t *testing.T, s *hubtest.Server) *world {
	t.Helper()
	w := &world{T: t, Server: s, net: hubtest.Pipe(s)}
	w.client = w.net.Client()
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		s.Close()
		w.net.Close()
	})
	topic, err := s.Hub().NewTopic(t.Context(), hubtest.User)
	if err != nil {
		t.Fatal(err)
	}
	w.topic = topic
	return w
}

// do is a request's status and body; the error is that of a client whose line broke.
func (w *world) do(method, url, kind, body string) (int, string, http.Header, error) {
	r, err := http.NewRequestWithContext(w.Context(), method, url, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+hubtest.Token)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header, err
}

func (w *world) subscribe(change ...string) (int, string) {
	w.Helper()
	v := url.Values{"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {w.topic.Reveal()},
		"hub.events": {"Patient-open,SyncError,heartbeat"}, "subscriber.name": {"Viewer"}}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	status, body, _, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", v.Encode())
	if err != nil {
		w.Fatal(err)
	}
	var m map[string]string
	_ = json.Unmarshal([]byte(body), &m)
	return status, m["hub.channel.endpoint"]
}

// A peer reads its socket all the time. Frames that are not text have their kind in front.
type peer struct {
	*world
	conn     *websocket.Conn
	endpoint string
	frames   chan string
	pings    atomic.Int32
	err      error // how the socket ended, once frames is closed
}

func (w *world) connect(endpoint string) (*peer, error) {
	d := websocket.Dialer{NetDialContext: w.net.Dial, TLSClientConfig: w.net.TLS()}
	conn, resp, err := d.DialContext(w.Context(), endpoint, nil)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	p := &peer{world: w, conn: conn, endpoint: endpoint, frames: make(chan string, 100)}
	pong := conn.PingHandler()
	conn.SetPingHandler(func(data string) error { p.pings.Add(1); return pong(data) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.frames)
		for {
			kind, frame, err := conn.ReadMessage()
			if err != nil {
				p.err = err
				conn.Close()
				return
			}
			if kind == websocket.BinaryMessage {
				frame = append([]byte("binary:"), frame...)
			}
			p.frames <- string(frame)
		}
	}()
	w.Cleanup(func() { conn.Close(); <-done })
	return p, nil
}

func (w *world) join(change ...string) *peer {
	w.Helper()
	status, endpoint := w.subscribe(change...)
	if status != 202 {
		w.Fatalf("subscribe: %d", status)
	}
	p, err := w.connect(endpoint)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// frame is the next one; "end" and the close code, or "end 1006", after the last.
func (p *peer) frame() string {
	p.Helper()
	select {
	case f, more := <-p.frames:
		if more {
			return f
		}
		if e, ok := errors.AsType[*websocket.CloseError](p.err); ok {
			return "end " + closeCode(e.Code)
		}
		return "end 1006"
	case <-time.After(time.Second):
		return "nothing"
	}
}

// until passes over frames to the one that has that part: an answer that comes before its event is none.
func (p *peer) until(part string) {
	p.Helper()
	for f := p.frame(); !strings.Contains(f, part); f = p.frame() {
		if f == "nothing" || strings.HasPrefix(f, "end ") {
			p.Fatalf("no %s: %s", part, f)
		}
	}
}

func closeCode(code int) string { b, _ := json.Marshal(code); return string(b) }

func (w *world) event(id string) *fhircast.Event {
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Topic: w.topic, Name: "Patient-open",
		Context: json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"p"}}]`)})
	if err != nil {
		w.Fatal(err)
	}
	return e
}

// made is an event of any name, with entries of a context as JSON.
func (w *world) made(id, name string, entries ...string) *fhircast.Event {
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Topic: w.topic, Name: fhircast.Name(name),
		Context: json.RawMessage("[" + strings.Join(entries, ",") + "]")})
	if err != nil {
		w.Fatal(err)
	}
	return e
}

const (
	patient = `{"key":"patient","resource":{"resourceType":"Patient","id":"p"}}`
	study   = `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s"}}`
	report  = `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r"}}`
)

// unversioned is a frame without the version that the hub put into it.
func unversioned(frame string) string {
	return regexp.MustCompile(`"context.versionId":"[A-Z0-9]+",?`).ReplaceAllString(frame, "")
}

// post is a publish request as a client sends it.
func (w *world) post(e *fhircast.Event) (status int, body string) {
	w.Helper()
	status, body, _, err := w.do("POST", w.URL(), "application/json", string(e.Wire()))
	if err != nil {
		w.Fatal(err)
	}
	return status, body
}

// get is the current context.
func (w *world) get() (status int, body string) {
	w.Helper()
	status, body, _, err := w.do("GET", w.URL()+"/"+w.topic.Reveal(), "", "")
	if err != nil {
		w.Fatal(err)
	}
	return status, body
}

func (w *world) publish(id string) {
	w.Helper()
	if err := w.Hub().Publish(context.WithoutCancel(w.Context()), w.topic, w.event(id)); err != nil {
		w.Fatal(err)
	}
}
