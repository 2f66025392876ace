package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/agent/desktop"
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/subscriber"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// A Config is what an Agent is made of.
type Config struct {
	Settings *config.Config
	Address  string // of the local pipe
	StateDir string // where the last used site is remembered; "" = nowhere
	Host     string // of this workstation, for subscriber.name
	Version  string

	Store   oauth.Store                                 // keeps the sign-in; nil = it ends with the process. In shared mode only to forget what it kept before
	OpenURL func(ctx context.Context, url string) error // shows a page in the system browser; may block
	// Screen tells of every lock and unlock of the screen until ctx ends, or returns why it cannot; nil = nothing tells.
	Screen func(ctx context.Context, tell func(locked bool)) error
	// Changed is told every new Status, and whether a sign-in waits in the browser. It must not block.
	Changed func(s protocol.Status, signingIn bool)
	// Wall is the time of day, by which a suspend is noticed; nil = time.Now. It is not used to measure anything else.
	Wall func() time.Time
	// Proxy and Networks are asked instead of the system (desktop.Proxies, desktop.Networks), in tests; nil is the system.
	Proxy    func(*http.Request) (*url.URL, error)
	Networks func() ([]netip.Prefix, error)
	// Caller is asked instead of ipc.AdmitLoopback, in tests, whether a program of our user is at the other end.
	Caller func(net.Conn) error
	Log    *slog.Logger // nil discards
}

// An Agent is the running sidecar of one user. Make it with [New]; while Run runs, its other methods may be called from
// any goroutine.
type Agent struct {
	cfg     Config
	relay   *bridge.Relay
	proxies desktop.Proxies
	board   board
	in      chan order    // unbuffered: what is taken is done
	nudge   chan struct{} // something that the Status is made of has changed
	done    chan struct{}
	keys    protocol.Keys
	quit    func() // ends Run
	run     string // a word that no other run has, for subscriber.name
	asked   chan struct{}
	wait    sync.WaitGroup
	tune    func(*subscriber.Config) // leads to a network in memory, in tests; nil is the system's

	// Owned by Run.
	running    context.Context
	transports []*http.Transport
	launchers  map[string]*oauth.Launcher
	siteName   string
	hubHost    string
	session    *oauth.Session
	tokenEnds  time.Time          // of the session, as last seen
	endSess    context.CancelFunc // of session.Run
	attempt    *attempt
	signOuts   int // so far: a sign-in that was begun before the last one comes to nothing
	launches   launches
	handed     *handover       // a hub's session that stands for that of the sign-in or the configuration, nil = none
	resuming   *resumption     // of a stored sign-in, nil = none
	stored     <-chan struct{} // closed when nothing works on the stored sign-in any more; nil = nothing has
	refused    *oauth.Session  // its hub does not take it, its server still may
	line       *line
	joined     hubKey // what the sign-in named when line was made
	paused     bool
	locked     bool                     // the user has left the desk, or the screen is locked
	pauses     map[string]int           // by app, "" = all: numbers them, so that only the last one's time ends it
	ended      bool                     // the sign-in ended
	expired    bool                     // its token has, and cannot be renewed; the subscription may live on
	leftovers  map[*oauth.Launcher]bool // what they have stored should be forgotten, and could not be yet
	shut       bool                     // there may be a stored sign-in that could not be read
	stuck      bool                     // the line ended, and no retry mends it
	stopping   bool
	notices    map[string]notice
	wall       time.Time // at the last look at the clocks
	mono       time.Time
	networks   []netip.Prefix // at that look
	seen       int            // events at the last look
	quiet      int            // looks since the last event
}

// New makes an agent that does nothing until Run.
func New(cfg Config) *Agent {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Caller == nil {
		cfg.Caller = ipc.AdmitLoopback
	}
	if cfg.Networks == nil {
		cfg.Networks = desktop.Networks
	}
	a := &Agent{cfg: cfg, in: make(chan order), nudge: make(chan struct{}, 1), done: make(chan struct{}),
		asked: make(chan struct{}), launchers: make(map[string]*oauth.Launcher), notices: make(map[string]notice), pauses: make(map[string]int),
		leftovers: make(map[*oauth.Launcher]bool)}
	a.launches.seen = make(map[[sha256.Size]byte]*seenLaunch)
	a.run = strings.ToLower(rand.Text()[:6])
	a.proxies.Log = cfg.Log
	a.quit = sync.OnceFunc(func() { close(a.asked) })
	a.relay = bridge.New(bridge.Config{
		AnswerWithin: cfg.Settings.Local.AnswerWithin,
		Always:       always(cfg.Settings.Apps),
		Changed:      func(*bridge.View) { a.changed() },
		Signal:       a.signal,
		Log:          cfg.Log,
	})
	return a
}

// static tells whether a hub is joined without sign-in.
func (a *Agent) static() bool { return len(a.cfg.Settings.Sites) == 0 }

// test tells whether a test hub is configured (S14): the views say so also while there is no session.
func (a *Agent) test() bool {
	if a.static() {
		return a.cfg.Settings.Hub.Test
	}
	for _, s := range a.cfg.Settings.Sites {
		if s.Hub.Test && (s.Name == a.siteName || len(a.cfg.Settings.Sites) == 1) {
			return true
		}
	}
	return false
}

// Status is the last one.
func (a *Agent) Status() protocol.Status { return a.board.get() }

// Run serves apps and keeps a subscription until ctx ends or an app with control says quit. It returns when everything
// has ended: unsubscribed, apps told to clear. It returns ipc.ErrInUse, at once, when another agent serves the address.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.done)
	listener, err := ipc.Listen(a.cfg.Address)
	if err != nil {
		return err
	}
	listener.Log = a.cfg.Log
	doors := []*door{{agent: a, listener: listener}}
	var local *endpoint
	if a.keys, err = newKeys(); err == nil {
		if web := a.openWebSocket(listener); web != nil {
			doors = append(doors, web)
		}
		local = a.openEndpoint()
		err = ipc.WriteKeys(a.cfg.Address, a.keys)
	}
	if err != nil {
		for _, d := range doors {
			err = errors.Join(err, d.listener.Close())
		}
		if local != nil {
			err = errors.Join(err, local.listener.Close())
		}
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// What apps and the hub are told at the end is told after ctx has ended, so both sides outlive it.
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	a.running = ctx
	a.wait.Go(func() { _ = a.relay.Run(late) })
	a.begin()
	a.wait.Go(a.watchScreen)
	a.openLaunchDoor(ctx)
	a.publish() // before an app can ask for it
	for _, d := range doors {
		a.wait.Go(func() { d.serve(late) })
	}
	if local != nil {
		a.wait.Go(func() { local.serve(late) })
	}
	a.own(ctx)
	cancel()
	a.stop()
	end()
	a.wait.Wait()
	for _, t := range a.transports {
		t.CloseIdleConnections()
	}
	return nil
}

// own is the owner's loop.
func (a *Agent) own(ctx context.Context) {
	awake := a.watchSleep()
	defer awake.Stop()
	breath := time.NewTimer(0)
	defer breath.Stop()
	<-breath.C
	nudge := a.nudge // nil while we take breath: an event is on its way now, and the newest Status is soon enough
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.asked:
			return
		case o := <-a.in:
			o.what()
			a.publish()
			if o.done != nil {
				close(o.done) // who waits for it sees the Status that it made
			}
			continue
		case <-nudge:
			nudge = nil
			breath.Reset(publishEvery)
			a.lookAtLine()
			continue
		case <-breath.C:
			nudge = a.nudge
		case <-awake.C:
			a.lookAtClock()
		}
		a.publish()
	}
}

// publishEvery is how long after a change the Status is made, and how often at most: well within the 100 ms in which apps are told of a loss.
const publishEvery = 20 * time.Millisecond

// An order is something for the owner to do.
type order struct {
	what func()
	done chan struct{} // closed afterwards; nil = nobody waits
}

// do has the owner do something and waits for it.
func (a *Agent) do(ctx context.Context, what func()) error {
	finished := make(chan struct{})
	select {
	case a.in <- order{what, finished}:
	case <-a.done:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-finished:
		return nil
	case <-a.done:
		return errStopping
	}
}

// post has the owner do something, from a goroutine that the agent waits for. At the end of the agent it is not taken.
func (a *Agent) post(what func()) (taken bool) {
	select {
	case a.in <- order{what: what}:
		return true
	case <-a.running.Done():
		return false
	}
}

var errStopping = &protocol.Error{Code: protocol.CodeNotConnected, Message: "The agent is stopping."}

// changed wakes the owner; newest wins.
func (a *Agent) changed() {
	select {
	case a.nudge <- struct{}{}:
	default:
	}
}

// signal is what the hub wants of the whole session. The apps are cleared by then (S8).
func (a *Agent) signal(n fhircast.Name) {
	switch {
	case n.Is(fhircast.UserLogout):
		a.wait.Go(func() { _ = a.signOut(a.running, protocol.ReasonUserLogout) })
	case n.Is(fhircast.UserHibernate):
		a.wait.Go(func() { _ = a.lock(a.running) })
	}
}

// begin is the start: join the configured hub, or go on with the last sign-in, of which a shared workstation has none.
func (a *Agent) begin() {
	switch {
	case a.static():
		a.joinStatic(nil)
	case a.shared():
		a.forgetEarlier()
	case a.firstSite() != nil:
		a.resumeSite(a.firstSite())
	}
}

// stop leaves the hub politely and clears what can be cleared.
func (a *Agent) stop() {
	a.stopping = true
	a.giveUp()
	a.relay.Leave()
	a.settle()
	cleared := make(chan []string, 1)
	a.wait.Go(func() {
		still, _ := a.relay.Clear(protocol.ReasonSignedOut) // the relay outlives this
		cleared <- still
	})
	a.hangUp()
	still := <-cleared
	for _, name := range still {
		a.cfg.Log.Warn("may still show a patient", "app", name)
	}
	a.mayStillShow(still)
	a.publish()
	if a.shared() {
		a.revokeAll()
	}
	if a.endSess != nil {
		a.endSess()
	}
	if err := ipc.RemoveKeys(a.cfg.Address, a.keys); err != nil {
		a.cfg.Log.Warn("the keys of this run are left behind", "because", err.Error())
	}
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
