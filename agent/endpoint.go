package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

const (
	endpointPath  = "/fhircast"
	endpointTopic = "castray" // which the relay writes into what it tells apps, too
	viaFHIRcast   = "fhircast"

	mostFollowers    = 64 // as at the pipe
	mostAsking       = 8  // as of one app at the pipe
	endpointCallers  = 2 * mostFollowers
	endpointPatience = 5 * time.Second
	endpointAnswer   = 30 * time.Second // a request waits for the hub
)

// An endpoint is the local FHIRcast hub, for apps that speak FHIRcast themselves. To the relay each subscription is an app
// like all others, so each has a bridge/hub of its own, which keeps the subscription and no context: a hub for all of them
// would tell all the same. It is a hub only while the agent has one: without, it sends its subscribers away and takes none.
type endpoint struct {
	agent    *Agent
	listener net.Listener
	front    *ipc.Front
	url      string
	model    *hub.Hub      // answers discovery for all
	asking   chan struct{} // requests that wait for the hospital's hub
	done     chan struct{}

	mu        sync.Mutex
	closed    bool
	made      int
	followers map[string]*follower // by the path of their hub
	handlers  sync.WaitGroup       // requests and sockets being served
}

// openEndpoint makes the endpoint if there is to be one. As with the WebSocket the agent runs without it when its port cannot
// be had.
func (a *Agent) openEndpoint() *endpoint {
	local := a.cfg.Settings.Local
	if !local.Endpoint {
		return nil
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(local.EndpointPort)))
	if err != nil {
		a.cfg.Log.Error("no local FHIRcast endpoint: its port cannot be had; choose another local.endpoint_port, or 0", "because", err.Error())
		return nil
	}
	port := listener.Addr().(*net.TCPAddr).Port
	e := &endpoint{agent: a, url: fmt.Sprintf("http://127.0.0.1:%d%s", port, endpointPath), done: make(chan struct{}), asking: make(chan struct{}, mostAsking),
		followers: make(map[string]*follower)}
	e.listener = &capped{Listener: listener, places: make(chan struct{}, endpointCallers)}
	e.front, err = ipc.NewFront(port, local.Origins, a.keys.AppKey)
	if err == nil {
		e.model, err = hub.New(hub.Config{BaseURL: e.url, Authorize: func(string) (hub.Grant, bool) { return hub.Grant{}, false }})
	}
	if err != nil {
		listener.Close()
		a.cfg.Log.Error("no local FHIRcast endpoint", "because", err.Error())
		return nil
	}
	a.keys.Endpoint = e.url
	return e
}

// serve ends with ctx, when all that it started has ended.
func (e *endpoint) serve(ctx context.Context) {
	server := &http.Server{
		Handler: e, ReadTimeout: endpointPatience, WriteTimeout: endpointAnswer, MaxHeaderBytes: 16 << 10,
		ErrorLog:    log.New(io.Discard, "", 0), // it would print what others send
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, callerKey{}, c) },
	}
	server.SetKeepAlivesEnabled(false)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(e.listener) })
	e.watch(ctx)
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.done)
	e.sendAway(false)
	_ = server.Close()
	serving.Wait()
	e.handlers.Wait()
	e.sweep(0)
}

// watch sends the followers away when the hub is lost: that is the one word of FHIRcast that all of them know for being out
// of sync. Where the session ends on purpose they are told to clear first, and have the time for that.
func (e *endpoint) watch(ctx context.Context) {
	changed, stop := e.agent.board.watch()
	defer stop()
	joined := false
	var patience <-chan time.Time
	for {
		now, last := e.joined(), joined
		switch phase := e.agent.board.get().Phase; {
		case now:
			joined, patience = true, nil
		case !last: // nobody is here
		case slices.Contains(lostPhases, phase):
			joined = false
			e.sendAway(phase != protocol.PhasePaused)
		case slices.Contains(leftPhases, phase):
			joined, patience = false, time.After(clearPatience)
		}
		select {
		case <-changed:
		case <-patience:
			patience = nil
			e.sendAway(false)
		case <-ctx.Done():
			return
		}
	}
}

// clearPatience is longer than the relay waits for apps that are to clear.
const clearPatience = 2500 * time.Millisecond

// The phases without a subscription, in which apps are told nothing any more, or are told to clear. Others are those of a
// Status that has yet to say that there is none.
var (
	lostPhases = []protocol.Phase{protocol.PhaseOffline, protocol.PhaseConnecting, protocol.PhasePaused, protocol.PhaseLoginNeeded}
	leftPhases = []protocol.Phase{protocol.PhaseStopping, protocol.PhaseSignedOut, protocol.PhaseSigningIn, protocol.PhaseLocked, protocol.PhaseBlocked}
)

// joined tells whether the agent has a subscription at its hub.
func (e *endpoint) joined() bool { return e.agent.relay.View().Phase != "" }

func (e *endpoint) sendAway(lost bool) {
	for _, f := range e.all() {
		e.agent.wait.Go(func() { f.sendAway(lost) })
	}
}

func (e *endpoint) all() []*follower {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*follower
	for _, f := range e.followers {
		list = append(list, f)
	}
	return list
}

// sweep forgets those whose socket did not come in time.
func (e *endpoint) sweep(after time.Duration) {
	for _, f := range e.all() {
		if !f.arrived() && time.Since(f.made) >= after {
			e.forget(f)
			f.peer.Release()
		}
	}
}

func (e *endpoint) forget(f *follower) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.followers, f.path)
}

// enter counts what is served, so that the end can wait for it.
func (e *endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.handlers.Add(1)
	}
	return !e.closed
}

// ServeHTTP finds out who asks before it looks at what is asked.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.enter() {
		http.Error(w, "The agent is stopping.", http.StatusServiceUnavailable)
		return
	}
	defer e.handlers.Done()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := e.route(w, r); err != nil {
		refused, ok := errors.AsType[*hub.StatusError](err)
		if !ok {
			refused = &hub.StatusError{Status: http.StatusInternalServerError, Reason: "The agent has made a mistake."}
		}
		if refused.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, refused.Reason, refused.Status)
	}
}

func deny(status int, sentence string) error {
	return &hub.StatusError{Status: status, Reason: sentence}
}

func (e *endpoint) route(w http.ResponseWriter, r *http.Request) error {
	if status, why := e.front.Refuse(r); status != 0 {
		return deny(status, why)
	}
	peer, err := e.front.Peer(r.Context().Value(callerKey{}).(net.Conn))
	if err != nil {
		return deny(http.StatusForbidden, "Only programs of the user whom the agent serves may use it.")
	}
	peer.Via = viaFHIRcast
	kept := false
	defer func() {
		if !kept {
			peer.Release()
		}
	}()
	path := strings.TrimPrefix(r.URL.Path, endpointPath)
	switch {
	case allowPage(w, r):
		return nil
	case path == "/.well-known/fhircast-configuration":
		e.model.ServeHTTP(w, r)
		return nil
	case strings.Contains(path, "/ws/"): // what admits to a socket is its address
		return e.connect(w, r)
	case !e.front.Opens(r):
		return deny(http.StatusUnauthorized, "Show the app_key of castray.json as a bearer token: it is new each time that the agent starts.")
	}
	rule := ruleFor(e.agent.cfg.Settings.Apps, peer)
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	switch {
	case rule == nil && e.agent.cfg.Settings.Local.UnknownApps == "deny":
		return deny(http.StatusForbidden, "The configuration lets no unknown app follow; ask the administrator for a rule.")
	case path == "" && r.Method == http.MethodPost && form:
		kept, err = e.subscription(w, r, peer, rule)
		return err
	case path == "" && r.Method == http.MethodPost:
		return e.send(w, r, peer, rule)
	case path == "/"+endpointTopic && r.Method == http.MethodGet:
		return e.context(w, rule)
	}
	return deny(http.StatusNotFound, "The local hub is at "+endpointPath+", and its one topic is "+endpointTopic+".")
}

// allowPage lets the pages of local.origins, and the front no other, read answers (CORS). It tells whether that was asked.
func allowPage(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Vary", "Origin")
	if r.Method != http.MethodOptions {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	w.Header().Set("Access-Control-Allow-Private-Network", "true")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// grant is what an app may subscribe to: what its rule lets it see.
func grant(rule *config.App) hub.Grant {
	scopes := []string{"fhircast/*.read"}
	if rule != nil && rule.Events != nil {
		scopes = nil
		for _, n := range rule.Events {
			scopes = append(scopes, "fhircast/"+string(n)+".read")
		}
	}
	return hub.Grant{Scopes: fhircast.ParseScopes(scopes)}
}
