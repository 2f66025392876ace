package agent

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/ipc"
)

const (
	maxForm     = 64 << 10
	socketComes = 70 * time.Second // after a minute the hub does not wait for it any more
)

// A follower is one subscription at the endpoint and, once its socket is there, one app at the relay: its sink, and what is
// behind its hub.
type follower struct {
	endpoint *endpoint
	hub      *hub.Hub
	path     string // of its hub
	peer     ipc.Peer
	page     bool // of the web: its process is the browser's, which lives on
	rule     *config.App
	made     time.Time

	mu      sync.Mutex
	begun   bool // the socket is there
	id      string
	events  []fhircast.Name             // granted
	opens   []*fhircast.Event           // that it was told and nothing has closed since, the newest last
	blank   bool                        // it has said of all that it was told to open that it is closed
	told    int                         // messages so far
	waiting map[string]func(status int) // for answers, by event
}

// subscription is a form: to subscribe, to renew, to leave. It tells whether the peer is kept.
func (e *endpoint) subscription(w http.ResponseWriter, r *http.Request, peer ipc.Peer, rule *config.App) (kept bool, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		return false, deny(http.StatusRequestEntityTooLarge, "The form is too long.")
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return false, deny(http.StatusBadRequest, "The body is no form.")
	case form.Get("hub.topic") != endpointTopic:
		return false, deny(http.StatusNotFound, "The one hub.topic here is "+endpointTopic+".")
	case form.Get("hub.channel.endpoint") != "":
		f := e.followerAt(form.Get("hub.channel.endpoint"))
		if f == nil {
			return false, deny(http.StatusNotFound, "No subscription has this endpoint; subscribe without one.")
		}
		f.forward(w, r, body)
		return false, nil
	case form.Get("hub.mode") != "subscribe":
		return false, deny(http.StatusBadRequest, "Without hub.channel.endpoint there is only hub.mode=subscribe.")
	}
	f, err := e.follower(r, peer, rule)
	if err != nil {
		return false, err
	}
	answer := &statusWriter{ResponseWriter: w}
	f.forward(answer, r, body)
	if answer.status != http.StatusAccepted {
		e.forget(f)
		return false, nil
	}
	return true, nil
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// follower makes room for a subscription.
func (e *endpoint) follower(r *http.Request, peer ipc.Peer, rule *config.App) (*follower, error) {
	e.sweep(socketComes)
	f := &follower{endpoint: e, peer: peer, rule: rule, page: r.Header.Get("Origin") != "", made: time.Now(), waiting: make(map[string]func(int))}
	e.mu.Lock()
	e.made++
	f.path = endpointPath + "/" + strconv.Itoa(e.made)
	store, may := &hub.Memory{}, grant(rule)
	err := store.Save(r.Context(), endpointTopic, hub.Session{})
	if err == nil {
		f.hub, err = hub.New(hub.Config{
			BaseURL: strings.TrimSuffix(e.url, endpointPath) + f.path, Store: store, PerTopic: 1, Behind: f,
			Authorize: func(string) (hub.Grant, bool) { return may, true }, // the front has looked at the key
		})
	}
	full := len(e.followers) >= mostFollowers
	if err == nil && !full {
		e.followers[f.path] = f // before the look at the agent's own hub, whose loss sends away who is here
	}
	e.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case full:
		return nil, deny(http.StatusTooManyRequests, "64 apps are subscribed; end one that is not used.")
	case !e.joined():
		e.forget(f)
		return nil, errNotJoined
	}
	return f, nil
}

var errNotJoined = deny(http.StatusServiceUnavailable, "The agent is not connected to its hub: what is current is not known. Try again later.")

// followerAt finds who was given the address of a socket.
func (e *endpoint) followerAt(address string) *follower {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	path, _, _ := strings.Cut(u.Path, "/ws/")
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.followers[path]
}

// connect is the socket of a subscription.
func (e *endpoint) connect(w http.ResponseWriter, r *http.Request) error {
	f := e.followerAt(r.URL.Path)
	if f == nil {
		return deny(http.StatusNotFound, "No subscription has this endpoint; subscribe again.")
	}
	f.hub.ServeHTTP(w, r)
	return nil
}

// forward gives a form to the follower's hub, which is at another path than the app knows.
func (f *follower) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = f.path, ""
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.hub.ServeHTTP(w, r)
}

func (f *follower) arrived() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun
}

// Subscribed is for hub.Behind: the app is attached, or asks for something else from now on.
func (f *follower) Subscribed(name string, events []fhircast.Name) {
	f.mu.Lock()
	f.events = events
	first, id := !f.begun, f.id
	f.begun = true
	f.mu.Unlock()
	relay := f.endpoint.agent.relay
	switch {
	case first:
		f.attach(name, events)
	case id != "":
		_ = relay.Subscribe(id, events) // it fails when the agent ends
	}
}

func (f *follower) attach(name string, events []fhircast.Name) {
	app := bridge.App{
		Name: strings.ReplaceAll(name, "#", " "), Via: viaFHIRcast, PID: f.peer.PID, Exe: f.peer.Exe, Events: events,
		Answers: true, Bare: true,
	}
	if f.rule != nil {
		follow(f.rule, &app)
	}
	id, _, err := f.endpoint.agent.relay.Attach(app, f)
	if err != nil {
		f.hub.GoAway()
		return
	}
	f.mu.Lock()
	f.id = id
	now := f.events
	f.mu.Unlock()
	if !slices.Equal(now, events) { // renewed meanwhile
		_ = f.endpoint.agent.relay.Subscribe(id, now)
	}
}

// Answered is for hub.Behind.
func (f *follower) Answered(id string, status int) {
	f.mu.Lock()
	answer := f.waiting[id]
	delete(f.waiting, id)
	f.mu.Unlock()
	if status == 0 {
		status = http.StatusAccepted // an answer without a status, as a known library gives it: it has heard, and no more
	}
	if answer != nil {
		answer(status)
	}
}

// Gone is for hub.Behind. Who unsubscribed has left; whose socket or lease ended may still show a patient for as long as its
// process lives.
func (f *follower) Gone(asked bool) {
	f.endpoint.forget(f)
	f.endpoint.agent.wait.Go(func() { f.leave(asked) })
}

func (f *follower) leave(asked bool) {
	defer f.peer.Release()
	look := time.NewTicker(lookForEnd)
	defer look.Stop()
	for {
		alive, known := f.peer.Alive()
		if f.id == "" || !f.endpoint.agent.relay.Detach(f.id, f, alive && known && !asked && !f.page) {
			return
		}
		select {
		case <-look.C:
		case <-f.endpoint.done:
			return
		}
	}
}

// sendAway closes the socket with 1001: the app knows that it is out of sync, and finds the context when it returns. One
// that is to be cleared when the hub is lost is cleared before, and not after 10 s: by then nobody could.
func (f *follower) sendAway(lost bool) {
	if lost && f.rule != nil && f.rule.OnLoss == bridge.OnLossClear && f.arrived() {
		if events, ok := f.clearing(); ok {
			_ = f.tell(events, nil)
		}
	}
	f.hub.GoAway()
}
