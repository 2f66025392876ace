package agent_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/subscriber"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

// keys are those of an agent that has a local FHIRcast endpoint.
func (w *world) keys() protocol.Keys {
	w.Helper()
	keys, err := ipc.ReadKeys(w.address)
	if err != nil {
		w.Fatal(err)
	}
	if !strings.HasPrefix(keys.Endpoint, "http://127.0.0.1:") {
		w.Fatalf("castray.json tells no endpoint: %q", keys.Endpoint)
	}
	return keys
}

// asks makes a request of the endpoint, as a program does that has read castray.json, but for what change says.
func (w *world) asks(method, path, kind, body string, change func(*http.Request)) (status int, text string) {
	w.Helper()
	keys := w.keys()
	req, err := http.NewRequestWithContext(w.ctx, method, keys.Endpoint+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+keys.AppKey)
	req.Header.Set("Content-Type", kind)
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(said)
}

const aForm = "application/x-www-form-urlencoded"

func wishFor(topic string) string {
	return url.Values{"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {topic}, "hub.events": {"Patient-open"}}.Encode()
}

// curtain puts TLS before the endpoint, without which our own client talks to no hub.
func (w *world) curtain(keys protocol.Keys) *httptest.Server {
	w.Helper()
	at, err := url.Parse(keys.Endpoint)
	if err != nil {
		w.Fatal(err)
	}
	var server *httptest.Server
	swap := func(body io.ReadCloser, from, to string) (io.ReadCloser, int64) {
		text, _ := io.ReadAll(body)
		text = bytes.ReplaceAll(text, []byte(from), []byte(to))
		return io.NopCloser(bytes.NewReader(text)), int64(len(text))
	}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorLog:  log.New(io.Discard, "", 0), // the agent ends before it
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: at.Host})
			outside := strings.TrimPrefix(server.URL, "https://")
			r.Out.Body, r.Out.ContentLength = swap(r.In.Body, url.QueryEscape("wss://"+outside), url.QueryEscape("ws://"+at.Host))
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusAccepted {
				r.Body, r.ContentLength = swap(r.Body, "ws://"+at.Host, "wss"+strings.TrimPrefix(server.URL, "https"))
				r.Header.Set("Content-Length", fmt.Sprint(r.ContentLength))
			}
			return nil
		},
	}
	server = httptest.NewTLSServer(proxy)
	w.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server
}

type bearer struct {
	key string
	via http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.key)
	return b.via.RoundTrip(r)
}

// A listener is an app that speaks FHIRcast: our own client of hubs, which knows nothing of the agent.
type listener struct {
	*subscriber.Client
	w     *world
	leave func() // unsubscribes and waits

	mu      sync.Mutex
	granted []fhircast.Name
	told    []string // names of events, and what happened to the subscription
	events  []*fhircast.Event
	answer  int
}

func (w *world) listens(name string, events ...fhircast.Name) *listener {
	w.Helper()
	keys := w.keys()
	server := w.curtain(keys)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trust := &tls.Config{RootCAs: roots}
	l := &listener{w: w, answer: 200}
	l.Client = subscriber.New(subscriber.Config{
		HubURL: server.URL + "/fhircast", Topic: "castray", Events: events, Name: name, TLS: trust, Handler: l, Rand: func() float64 { return 0 },
		HTTP: &http.Client{Transport: bearer{keys.AppKey, &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}},
	})
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.Client.Run(ctx) }()
	l.leave = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("the app's subscription: %v", err)
		}
	})
	w.Cleanup(l.leave)
	l.sees("subscribed 1")
	return l
}

func (l *listener) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, what)
}

func (l *listener) Subscribed(n int, granted []fhircast.Name) {
	l.mu.Lock()
	l.granted = granted
	l.mu.Unlock()
	l.note(fmt.Sprint("subscribed ", n))
}

func (l *listener) Deliver(d *fhircast.Delivery) {
	l.mu.Lock()
	l.told, l.events = append(l.told, string(d.Event.Name)), append(l.events, d.Event)
	answer := l.answer
	l.mu.Unlock()
	d.Answer(answer)
}
func (l *listener) Refused(int, *fhircast.FrameError) { l.note("refused") }
func (l *listener) Lost(n int, _ string)              { l.note(fmt.Sprint("lost ", n)) }
func (l *listener) State(subscriber.State)            {}

func (l *listener) says(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = status
}

// sees waits until the app was told these, in this order and whatever else between them.
func (l *listener) sees(want ...string) {
	l.w.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; wait(l.w.ctx) {
		l.mu.Lock()
		left := want
		for _, what := range l.told {
			if len(left) > 0 && what == left[0] {
				left = left[1:]
			}
		}
		told := slices.Clone(l.told)
		l.mu.Unlock()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.w.Fatalf("told %v, not %v", told, left)
		}
	}
}

func (l *listener) lastPatient() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == 0 {
		return ""
	}
	item, _ := l.events[len(l.events)-1].Item("patient")
	r, _ := item.Resource()
	return r.ID
}

// endpoint runs an agent with a local FHIRcast endpoint and these rules.
func (h *hospital) endpoint(text string) {
	h.Helper()
	h.rules("[local]\nendpoint = true\n" + text)
}

// app waits for the row of the one app that is there.
func (w *world) app(what string, ok func(protocol.AppRow) bool) protocol.Status {
	w.Helper()
	return w.until(what, func(s protocol.Status) bool { return len(s.Apps) == 1 && ok(s.Apps[0]) })
}

func outcome(want protocol.Outcome) func(protocol.AppRow) bool {
	return func(r protocol.AppRow) bool { return r.Outcome == want }
}
