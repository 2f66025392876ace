package subscriber

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// What may never be seen outside the wire: tests search all texts for this word.
const canary = "CANARY"

const (
	topic = fhircast.Secret("topic/" + canary + "=+%")
	token = "token-" + canary
	base  = hubtest.PipeURL + "/fc?tenant=7"
)

// A world is a Client and a hub that follows a script, over TLS in memory, in a bubble of synctest where time is exact.
// The hub's part is by frames, because what is tested is what a hub may do wrong. (The honest hub has its own test.)
type world struct {
	*testing.T
	net    *hubtest.Network
	client *Client
	config Config
	start  time.Time
	logs   bytes.Buffer // read when the client has ended

	// The script: how the nth (from 1) subscribe is answered, and what the nth socket does. The defaults accept and
	// confirm. Other requests have handlers of their own.
	onSubscribe   func(n int, form url.Values, w http.ResponseWriter)
	onSocket      func(n int, s *socket)
	onUpgrade     func(n int, w http.ResponseWriter) (answered bool) // the nth handshake
	onHandshake   func(r *http.Request)
	onForm        func(r *http.Request, w http.ResponseWriter) (goOn bool)
	onUnsubscribe func(w http.ResponseWriter)
	onEvent       http.HandlerFunc
	onContext     http.HandlerFunc
	onWellKnown   http.HandlerFunc
	onConnect     http.HandlerFunc // of a proxy
	onDelivery    func(d *fhircast.Delivery)

	takesJSON bool // subscribe and unsubscribe are JSON
	signs     bool // the handshake of a socket has the token

	mu       sync.Mutex
	posts    []url.Values
	upgrades int
	sockets  []*socket
	hubSaw   []string // with the time since the start
	appHeard []string
	states   []State
}

// play runs a test in a world: prepare sets the script, then the client runs while act does its part, and is stopped
// afterwards. Goroutines that are left behind fail the test, by the bubble's own rule.
func play(t *testing.T, prepare, act func(w *world)) *world {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = &world{T: t, start: time.Now()}
		w.net = hubtest.Pipe(http.HandlerFunc(w.serve))
		defer w.net.Close()
		signed := w.net.Client()
		defer signed.CloseIdleConnections()
		w.config = Config{
			HubURL: base, Topic: topic, Events: []fhircast.Name{"Patient-open", "Patient-close"}, Name: "Ward 7",
			HTTP: &http.Client{Transport: signer{signed.Transport}}, TLS: w.net.TLS(), Dial: w.net.Dial,
			Handler: w, Log: slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Rand: func() float64 { return 0.5 },
		}
		w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) { w.accept(n, rw) }
		w.onSocket = func(n int, s *socket) { s.confirm(3600) }
		w.onUnsubscribe = func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusAccepted) }
		w.onWellKnown = http.NotFound
		w.onContext = http.NotFound
		w.onEvent = func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusAccepted) }
		w.onDelivery = func(d *fhircast.Delivery) { d.Answer(200) }
		if prepare != nil {
			prepare(w)
		}
		w.client = New(w.config)
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		ran := make(chan struct{})
		go func() {
			defer close(ran)
			err = w.client.Run(ctx)
			w.heard("run returned: %v", err)
		}()
		synctest.Wait()
		act(w)
		cancel()
		<-ran
		for _, text := range append(w.appHeard, w.logs.String(), w.client.Trouble(), fmt.Sprintf("%v %+v", err, err)) {
			if strings.Contains(text, canary) || strings.Contains(text, "example.test") {
				t.Errorf("a secret or an address in %q", text)
			}
		}
	})
	w.T = t // the bubble's has ended
	return w
}

// signer signs, as oauth's client does.
type signer struct{ http.RoundTripper }

func (s signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return s.RoundTripper.RoundTrip(r)
}

func (s signer) CloseIdleConnections() { s.RoundTripper.(*http.Transport).CloseIdleConnections() }

// saw and heard keep a journal of the hub's side and of ours.
func (w *world) saw(format string, args ...any)   { w.note(&w.hubSaw, format, args...) }
func (w *world) heard(format string, args ...any) { w.note(&w.appHeard, format, args...) }

func (w *world) note(journal *[]string, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Since(w.start)
	if part := at % (10 * time.Millisecond); part < 5*time.Millisecond {
		at -= part // what net/http waits when it shuts down with a connection in use, by a timer with jitter
	}
	*journal = append(*journal, fmt.Sprintf("%v ", at)+fmt.Sprintf(format, args...))
}

func (w *world) wantHeard(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.appHeard); diff != "" {
		w.Errorf("heard by the app (-want +got):\n%s", diff)
	}
}

func (w *world) wantSaw(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.hubSaw); diff != "" {
		w.Errorf("seen by the hub (-want +got):\n%s", diff)
	}
}

// The world is the client's Handler.

func (w *world) Subscribed(n int, granted []fhircast.Name) {
	words := []string{}
	for _, name := range granted {
		words = append(words, string(name))
	}
	w.heard("subscribed %d: %s", n, strings.Join(words, ","))
}

func (w *world) Deliver(d *fhircast.Delivery) {
	w.heard("event %d: %s %s", d.Subscription, d.Event.ID, d.Event.Name)
	w.onDelivery(d)
}

func (w *world) Refused(n int, e *fhircast.FrameError) {
	w.heard("refused %d: %q %q %s", n, e.ID, e.Name, e.Reason)
}

func (w *world) Lost(n int, why string) { w.heard("lost %d: %s", n, why) }

func (w *world) State(s State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states = append(w.states, s)
}

// The hub.

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		w.onConnect(rw, r)
	case websocket.IsWebSocketUpgrade(r):
		w.socket(rw, r)
	case strings.HasPrefix(r.URL.Path, "/fc/.well-known/"):
		w.onWellKnown(rw, r)
	case r.Method == http.MethodGet:
		w.onContext(rw, r)
	case r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" || w.takesJSON && r.URL.Path == "/fc":
		w.form(rw, r)
	default:
		w.onEvent(rw, r)
	}
}

func (w *world) form(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if w.onForm != nil && !w.onForm(r, rw) {
		return
	}
	form, err := url.ParseQuery(string(body))
	if w.takesJSON {
		var members map[string]any
		form, err = url.Values{}, json.Unmarshal(body, &members)
		for name, value := range members {
			form.Set(name, fmt.Sprint(value))
		}
	}
	if err != nil {
		w.Errorf("form: %v", err)
	}
	w.saw("%s", form.Get("hub.mode"))
	if form.Get("hub.mode") == "unsubscribe" {
		form.Set("request", r.RequestURI)
	}
	w.mu.Lock()
	w.posts = append(w.posts, form)
	n := 0
	for _, p := range w.posts {
		if p.Get("hub.mode") == "subscribe" {
			n++
		}
	}
	w.mu.Unlock()
	if form.Get("hub.mode") == "subscribe" {
		w.onSubscribe(n, form, rw)
		return
	}
	w.onUnsubscribe(rw)
}

func endpoint(n int) string { return fmt.Sprintf("wss://hub.example.test/ws/%d-%s", n, canary) }

func (w *world) accept(n int, rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "text/plain; charset=iso-8859-1") // hubs mislabel it
	rw.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(rw, `{"hub.channel.endpoint":%q}`, endpoint(n))
}

// A socket is the hub's end. What the client answers is kept in answers.
type socket struct {
	*world
	n     int
	ws    *websocket.Conn
	write sync.Mutex
	deaf  atomic.Bool // answers no ping

	nap atomic.Int64 // how long it reads nothing after each frame

	ended chan struct{}
}

func (w *world) socket(rw http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); r.Header.Get("Origin") != "" || (got != "") != w.signs || w.signs && got != "Bearer "+token {
		w.Errorf("the handshake has an Origin, or a token (%v)", got != "")
	}
	w.mu.Lock()
	w.upgrades++
	n := w.upgrades
	w.mu.Unlock()
	if w.onHandshake != nil {
		w.onHandshake(r)
	}
	if w.onUpgrade != nil && w.onUpgrade(n, rw) {
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	s := &socket{world: w, ws: ws, ended: make(chan struct{})}
	w.mu.Lock()
	w.sockets = append(w.sockets, s)
	s.n = len(w.sockets)
	w.mu.Unlock()
	w.saw("socket %d", s.n)
	ws.SetPingHandler(func(data string) error {
		if s.deaf.Load() {
			return nil
		}
		s.write.Lock()
		defer s.write.Unlock()
		return ws.WriteControl(websocket.PongMessage, []byte(data), time.Time{})
	})
	var script sync.WaitGroup
	script.Go(func() { w.onSocket(s.n, s) })
	for {
		time.Sleep(time.Duration(s.nap.Load()))
		kind, text, err := ws.ReadMessage()
		if err != nil {
			code := websocket.CloseAbnormalClosure
			if closed, ok := err.(*websocket.CloseError); ok {
				code = closed.Code
			}
			w.saw("socket %d ended: %d", s.n, code)
			break
		}
		if kind != websocket.TextMessage {
			w.Errorf("an answer that is no text: %q", text)
		}
		w.saw("answer %d: %s", s.n, text)
	}
	close(s.ended)
	ws.Close()
	script.Wait()
}

func (s *socket) send(text string) {
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

func (s *socket) confirm(lease int, events ...string) {
	if events == nil {
		events = []string{"Patient-open", "Patient-close", "SyncError"}
	}
	s.send(fmt.Sprintf(`{"hub.mode":"subscribe","hub.topic":%q,"hub.events":%q,"hub.lease_seconds":%d}`, topic.Reveal(), strings.Join(events, ","), lease))
}

func (s *socket) deny(events string) {
	s.send(fmt.Sprintf(`{"hub.mode":"denied","hub.topic":%q,"hub.events":%q,"hub.reason":"because of %s"}`, topic.Reveal(), events, canary))
}

func (s *socket) event(id, name string) {
	s.send(fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00.000Z","id":%q,"event":{"hub.topic":%q,"hub.event":%q,"context":[]}}`, id, topic.Reveal(), name))
}

func (s *socket) heartbeat(period string) {
	s.send(fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","id":"h1","event":{"hub.topic":%q,"hub.event":"heartbeat","context":[{"key":"period","decimal":%s}]}}`, topic.Reveal(), period))
}

func (s *socket) ping() {
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.ws.WriteControl(websocket.PingMessage, []byte("p"), time.Time{})
}

func (s *socket) close(code int) {
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, canary), time.Time{})
}

// after waits until that long after the start, and until all is quiet.
func (w *world) after(d time.Duration) {
	time.Sleep(time.Until(w.start.Add(d)))
	synctest.Wait()
}

func (w *world) last() *socket {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sockets[len(w.sockets)-1]
}

func (w *world) subscribes() (forms []url.Values) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.posts)
}

// patientOpen is an event that is fit to be sent.
func patientOpen(t *testing.T, id string) *fhircast.Event {
	t.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: topic, Name: "Patient-open",
		Context: json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"` + canary + `","identifier":[{"value":"1"}]}}]`)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func homeOpen(t *testing.T) *fhircast.Event {
	t.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: "h1", At: time.Now(), Topic: topic, Name: fhircast.HomeOpen})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
