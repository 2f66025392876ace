package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/castray/castray/ipc/protocol"
)

// ErrTestHub refuses an adapter that may not be driven from a test hub (S14).
var ErrTestHub = errors.New("the agent is at a test hub and this adapter does not say test = true")

// attach is an app that has said hello.
type attach struct {
	app   App
	sink  Sink
	reply func(id string, context *protocol.ContextResult, err error)
}

func (in attach) apply(c *core) {
	if !c.mayDrive(in.app) {
		c.emit(reply{func() { in.reply("", nil, ErrTestHub) }})
		return
	}
	in.app.Name = presentable(in.app.Name)
	back := c.returned(in.app)
	if back != nil {
		c.remove(back, "")
	}
	a := &app{App: in.app, id: c.freeID(in.app), sink: in.sink, unread: make(map[int]*message), since: c.now, at: c.now}
	a.returns = back != nil
	a.outcome = protocol.OutcomeAcknowledged // until it is told something; what it believes decides
	c.willAsk(a, showAfter)
	c.apps = append(c.apps, a)
	c.emit(start{a.id, a.sink})
	context := c.contextFor(a)
	c.emit(reply{func() { in.reply(a.id, context, nil) }})
	r := c.newRound(nil, true)
	if context == nil && a.asksAny() { // unknown, if only for as long as it takes to read it
		c.tellClear(a, protocol.ReasonUnknown, r)
	} else {
		c.bring(a, r, manner{replay: true})
	}
	c.conclude(r, true)
}

// returned is the lost app that has come back: of the same executable, where that is known, and rather the same process.
// One hello brings back one: another may still show a patient.
func (c *core) returned(as App) *app {
	var back *app
	for _, a := range c.apps {
		if !a.lost || a.Exe != as.Exe || a.Exe == "" && a.Name != as.Name {
			continue
		}
		if back == nil || a.PID == as.PID && back.PID != as.PID {
			back = a
		}
	}
	return back
}

// presentable makes a name fit for a menu: printable, one line, at most 40 characters.
func presentable(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, name))
	if r := []rune(name); len(r) > 40 {
		name = string(r[:40])
	}
	if name == "" {
		name = "app"
	}
	return name
}

// freeID is the app's name, with a number where that is taken: by another app, or by the row of one that is missed.
func (c *core) freeID(as App) string {
	id := as.Name
	for n := 2; c.app(id) != nil || as.Rule != id && slices.Contains(c.cfg.Always, id); n++ {
		id = fmt.Sprintf("%s#%d", as.Name, n)
	}
	return id
}

// detach is a connection that ended. While its process lives the app may still show a patient: its row stays, as failed,
// until the same program says hello again.
type detach struct {
	id    string
	sink  Sink
	alive bool
	reply func(kept bool)
}

// overtakes is how much earlier the hello of an app that is back may be heard than the end of the connection before: two
// readers, each at its own pace.
const overtakes = 2 * time.Second

func (in detach) apply(c *core) {
	a := c.app(in.id)
	kept := false
	switch {
	case a == nil || a.sink != in.sink: // it is back under the same id, or was never here
	case in.alive && a.asksAny() && !c.overtaken(a):
		c.lose(a, "")
		kept = true
	default:
		c.remove(a, "")
	}
	c.checkClearing()
	c.emit(reply{func() { in.reply(kept) }})
}

// overtaken tells whether the process of an app that loses its connection has said hello anew just now. One hello brings
// back one.
func (c *core) overtaken(a *app) bool {
	for _, b := range c.apps {
		if b != a && !a.lost && !b.lost && !b.returns && a.PID != 0 && b.PID == a.PID && b.Name == a.Name &&
			!b.since.Before(a.since) && c.now.Sub(b.since) <= overtakes {
			b.returns = true
			return true
		}
	}
	return false
}

// lose cuts an app off, or notes that it is.
func (c *core) lose(a *app, reason string) {
	if a.lost {
		return
	}
	a.lost = true
	c.drain(a, protocol.OutcomeFailed)
	a.set(protocol.OutcomeFailed, problemAppLost, c.now)
	c.emit(shut{a.id, a.sink, reason})
	c.checkClearing()
}

func (c *core) remove(a *app, reason string) {
	c.apps = slices.DeleteFunc(c.apps, func(other *app) bool { return other == a })
	if a.Rule != "" {
		c.gone[a.Rule] = c.now
	}
	if !a.lost {
		c.drain(a, "") // it shows nothing any more, so nobody complains
		c.emit(shut{a.id, a.sink, reason})
	}
}

// drain takes back what was on its way to an app. Rounds stop waiting for it, with that outcome.
func (c *core) drain(a *app, o protocol.Outcome) {
	for _, r := range slices.Clone(c.rounds) {
		for m, waits := range r.waiting {
			if waits == a {
				m.done = true
				if o != "" {
					c.result(a, m, o)
					continue
				}
				delete(r.waiting, m)
				c.conclude(r, false)
			}
		}
	}
	a.queue, a.bytes, a.writing, a.about = nil, 0, nil, nil
	c.stop(a.proof.next)
	a.proof = proof{}
	clear(a.unread)
}

// pauseApp takes one app out of those that count, or back in; back, it is brought to the context.
type pauseApp struct {
	id     string
	paused bool
	reply  func(changes []string, err error)
}

func (in pauseApp) apply(c *core) {
	a := c.app(in.id)
	if a == nil {
		err := &protocol.Error{Code: protocol.CodeInvalidParams, Message: "There is no app of that id; `castray apps` lists them."}
		c.emit(reply{func() { in.reply(nil, err) }})
		return
	}
	changes := []string{}
	if a.paused && !in.paused {
		a.paused = false
		a.distrust()
		if c.needs(a, manner{}) {
			changes = append(changes, a.id)
		}
	}
	c.emit(reply{func() { in.reply(changes, nil) }})
	if in.paused && !a.paused {
		a.paused = true
		a.distrust() // nobody will know what is done with it meanwhile
		for _, r := range slices.Clone(c.rounds) {
			for m, waits := range r.waiting {
				if waits == a {
					delete(r.waiting, m)
					m.round = nil
				}
			}
			c.conclude(r, false)
		}
	} else if len(changes) > 0 {
		r := c.newRound(nil, true)
		c.bring(a, r, manner{replay: true})
		c.conclude(r, true)
	}
}
