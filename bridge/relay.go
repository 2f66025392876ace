package bridge

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A Config is what does not change while the relay runs. The zero value is fit for use.
type Config struct {
	AnswerWithin time.Duration       // for apps, before the hub gets its answer; 800 ms, at most 900 ms
	Changed      func(*View)         // called from the relay's goroutine after every change; must not block
	Signal       func(fhircast.Name) // UserLogout (apps are cleared by then) or UserHibernate; must not block
	Always       []string            // the rules whose apps are missed when they are absent
	Log          *slog.Logger
	Rand         func() float64 // in [0, 1); nil = real
	NewID        func() string  // of events that we make; nil = UUIDs
}

// A Relay keeps apps at the hub's context. Make it with [New]; its methods may be called from any goroutine while
// [Relay.Run] runs, and those that return something wait for its goroutine.
type Relay struct {
	cfg  Config
	in   chan input
	done chan struct{}
	view atomic.Pointer[View]

	// Owned by Run.
	core    *core
	writers map[string]*writer
	running context.Context // of Run
	asking  context.Context // ends with the session or subscription on which something is asked
	hangUp  context.CancelFunc
	wait    sync.WaitGroup
}

// New makes a relay that does nothing until Run.
func New(cfg Config) *Relay {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.Rand == nil {
		cfg.Rand = mathrand.Float64
	}
	if cfg.NewID == nil {
		cfg.NewID = uuid
	}
	r := &Relay{cfg: cfg, in: make(chan input, 64), done: make(chan struct{}), core: newCore(cfg), writers: make(map[string]*writer)}
	r.view.Store(r.core.view())
	return r
}

// uuid is a random one (RFC 9562, version 4).
func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Run is the owner of all state. It returns nil when ctx has ended and everything it started has too; apps still
// attached are closed.
func (r *Relay) Run(ctx context.Context) error {
	r.running = ctx
	r.asking, r.hangUp = context.WithCancel(ctx)
	defer r.wait.Wait()
	defer close(r.done) // before the wait: what still runs must not wait for us
	defer func() { r.hangUp() }()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wake := time.Hour
		if at, any := r.core.due(); any {
			wake = max(0, time.Until(at))
		}
		timer.Reset(wake)
		var in input
		select {
		case <-ctx.Done():
			for _, w := range r.writers {
				w.stop("the agent is stopping")
			}
			return nil
		case in = <-r.in:
		case <-timer.C:
			in = tick{}
		}
		r.apply(in)
	}
}

func (r *Relay) apply(in input) {
	before := r.core.verdict
	effects := r.core.step(time.Now(), in)
	for _, e := range effects {
		if _, waits := e.(reply); !waits {
			e.do(r)
		}
	}
	if r.core.calm {
		return
	}
	if after := r.core.verdict; after != before {
		r.cfg.Log.Info("desk", "was", string(before), "is", string(after), "because", fmt.Sprintf("%T", in))
	}
	v := r.core.view()
	r.view.Store(v)
	for _, e := range effects { // who gets a reply sees the View that follows from what was asked
		if answer, waits := e.(reply); waits {
			answer.do(r)
		}
	}
	if r.cfg.Changed != nil {
		r.cfg.Changed(v)
	}
}

// post hands an input to the owner. After Run has ended it does nothing.
func (r *Relay) post(in input) bool {
	select {
	case r.in <- in:
		return true
	case <-r.done:
		return false
	}
}

// View is the newest view.
func (r *Relay) View() *View { return r.view.Load() }

// Join starts a session: what is delivered from now on belongs to it.
func (r *Relay) Join(s Session) { r.post(join{s}) }

// Leave ends the session on purpose; apps keep what they show until they are told to clear.
func (r *Relay) Leave() { r.post(leave{}) }

// Subscribed, Deliver, Refused and Lost are what a subscriber reports, in the order of its socket. To what is granted belongs
// what cannot happen at that hub; an empty list is all that was asked for.
func (r *Relay) Subscribed(n int, granted []fhircast.Name) { r.post(subscribed{n, granted}) }

// Deliver takes an event that waits for its answer.
func (r *Relay) Deliver(d *fhircast.Delivery) {
	if !r.post(deliver{d}) {
		d.Answer(202)
	}
}

// Refused takes a frame that was no event, or too large to be relayed, and has been answered where it could be.
func (r *Relay) Refused(n int, e *fhircast.FrameError) { r.post(refused{n, e.Name}) }

// Lost says that subscription n has ended against our will.
func (r *Relay) Lost(n int, cause string) { r.post(lost{n}) }

// Attach takes an app in. It returns its id and the context as the app may see it, nil = unknown; what the app is told
// next may already be on its way to sink. ErrTestHub refuses an adapter at a test hub.
func (r *Relay) Attach(a App, sink Sink) (id string, current *protocol.ContextResult, err error) {
	type result struct {
		id      string
		current *protocol.ContextResult
		err     error
	}
	got, err := call(r, func(reply func(result)) input {
		return attach{a, sink, func(id string, current *protocol.ContextResult, err error) { reply(result{id, current, err}) }}
	})
	if err != nil {
		return "", nil, err
	}
	return got.id, got.current, got.err
}

// Detach says that the connection of the app attached with that sink has ended; alive, that its process has not: then its
// row stays, until Detach is called again without or the same program is attached anew. Kept tells whether it does.
func (r *Relay) Detach(id string, sink Sink, alive bool) (kept bool) {
	kept, _ = call(r, func(reply func(bool)) input { return detach{id, sink, alive, reply} })
	return kept
}

// Subscribe changes what an app asks for; nil = all that it may see.
func (r *Relay) Subscribe(id string, events []fhircast.Name) error {
	_, err := call(r, func(reply func(struct{})) input {
		return wish{id, events, func() { reply(struct{}{}) }}
	})
	return err
}

// Context is the current context as that app may see it, nil = unknown.
func (r *Relay) Context(id string) (*protocol.ContextResult, error) {
	return call(r, func(reply func(*protocol.ContextResult)) input { return question{id, reply} })
}

// Send asks the hub for a context change on behalf of an app, and waits. The error is a *protocol.Error.
func (r *Relay) Send(id string, p protocol.SendParams) (protocol.SendResult, error) {
	return r.Ask(id, p)()
}

// Ask is Send for who must not wait: what was asked is in the relay's hands when Ask returns, before anything that is
// told to the relay afterwards, and wait waits for what comes of it.
func (r *Relay) Ask(id string, p protocol.SendParams) (wait func() (protocol.SendResult, error)) {
	type result struct {
		protocol.SendResult
		err error
	}
	answered := begin(r, func(reply func(result)) input {
		return send{id, p, func(s protocol.SendResult, err error) { reply(result{s, err}) }}
	})
	return func() (protocol.SendResult, error) {
		got, err := answered()
		if err != nil {
			return protocol.SendResult{}, err
		}
		return got.SendResult, got.err
	}
}

// Clear tells every app to show no patient, waits for their answers at most 2 s, and returns the names of those that may
// still show one.
func (r *Relay) Clear(why protocol.Reason) (still []string, err error) {
	return call(r, func(reply func([]string)) input { return empty{why, reply} })
}

// Resync reads the context again and tells it to every app. The error is a *protocol.Error when there is no subscription.
func (r *Relay) Resync() error {
	got, err := call(r, func(reply func(error)) input { return resync{reply} })
	if err != nil {
		return err
	}
	return got
}

// Pause takes one app out of those that count, or back in. It returns the ids of the apps that coming back changes, before
// they are told.
func (r *Relay) Pause(id string, paused bool) (changes []string, err error) {
	type result struct {
		changes []string
		err     error
	}
	got, err := call(r, func(reply func(result)) input {
		return pauseApp{id, paused, func(changes []string, err error) { reply(result{changes, err}) }}
	})
	if err != nil {
		return nil, err
	}
	return got.changes, got.err
}

// call posts an input that replies, and waits.
func call[T any](r *Relay, with func(reply func(T)) input) (T, error) { return begin(r, with)() }

// begin posts an input that replies; wait waits for the reply.
func begin[T any](r *Relay, with func(reply func(T)) input) (wait func() (T, error)) {
	got := make(chan T, 1)
	posted := r.post(with(func(t T) { got <- t }))
	return func() (none T, err error) {
		if !posted {
			return none, errStopped
		}
		select {
		case t := <-got:
			return t, nil
		case <-r.done:
			return none, errStopped
		}
	}
}

var errStopped = &protocol.Error{Code: protocol.CodeNotConnected, Message: "The agent is stopping."}
