package bridge

import (
	"container/heap"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// Limits of DESIGN 1 and 2.
const (
	silentAfter     = 8 * time.Second        // an event without an answer
	clearWithin     = 2 * time.Second        // a clear without an answer
	initialWindow   = 2 * time.Second        // opens that tell a new subscriber what is current
	lossAfter       = 10 * time.Second       // losing the hub for so long runs on_loss
	toldWithin      = 15 * time.Second       // an app that asked, whatever the line does
	echoWithin      = 5 * time.Second        // an accepted request without its broadcast
	complainEvery   = 10 * time.Second       // SyncErrors about one app
	sentFor         = 60 * time.Second       // a request's id returns its first result
	keptFor         = 30 * time.Second       // a request, to be posted once more
	seenEvents      = 1024                   // (id, name) pairs remembered for repeats
	readTries       = 3                      // readings in a row that an event may beat
	inFlight        = 8                      // requests of one app
	maxAnswerWithin = 900 * time.Millisecond // hubs unsubscribe who is slow
)

// A Session is what the sign-in gave: where the relay may ask and what for.
type Session struct {
	User   string          // fhirUser or sub; "" cannot be compared, and counts as another user (S8)
	Topic  fhircast.Secret // of all events that are for us
	Name   string          // our subscriber.name
	Events []fhircast.Name // asked for; others never reach an app (S5)
	Send   []fhircast.Name // that apps may request
	Scopes fhircast.Scopes // granted; nil = not known, the hub decides
	Hub    Hub
	Test   bool // a sandbox or test hub (S14)

	// Preview is called once, before the first context of the session is told, with the ids of the apps that it
	// changes. It must not block; nil = nobody asks.
	Preview func(apps []string)
}

// An input is something that happened. It changes the state of the core and leaves effects.
type input interface{ apply(c *core) }

// An effect is something to be done about it by the relay's loop.
type effect interface{ do(r *Relay) }

// core is the state, owned by one goroutine. Nothing in it does I/O, reads a clock or blocks.
type core struct {
	cfg Config
	now time.Time
	out []effect

	// calm: the input was about a message that is not about the context. It made a difference to its round at most,
	// and nothing of what is shared, judged or shown has changed.
	calm bool

	session   *Session
	lastUser  string
	gen       int // numbers what was asked of a hub, so that late answers are dropped
	sub       int // the confirmed subscription's number, 0 = none
	confirmed time.Time
	missing   []fhircast.Name // asked for and not granted by the hub
	grantedAt time.Time
	desk      desk
	left      opened // what was current when the last subscription ended, until what is shared is known again
	reading   reading
	restoring restoring
	heard     map[string]string // updates since the question that is out: the newest version of each context
	offered   offer
	clearings []*clearing

	apps       []*app
	began      time.Time            // the first input
	gone       map[string]time.Time // by rule: when its last app went
	seq        int                  // numbers messages
	rounds     []*round
	requests   map[string]*request
	complaints map[string]complaint // open SyncErrors of other subscribers, by event id
	timers     timers
	set        int // timers so far
	lastLine   line

	unknownSince  time.Time
	clearedByUser time.Time
	lostSince     time.Time // when the hub was lost, zero = it is not, or on purpose
	counters      protocol.Counters
	last          *protocol.LastEvent
	verdict       protocol.Phase
}

func newCore(cfg Config) *core {
	if cfg.AnswerWithin <= 0 || cfg.AnswerWithin > maxAnswerWithin {
		cfg.AnswerWithin = 800 * time.Millisecond
	}
	c := &core{cfg: cfg, requests: make(map[string]*request), complaints: make(map[string]complaint), heard: make(map[string]string),
		gone: make(map[string]time.Time)}
	c.desk.forget()
	return c
}

// step applies one input at one time and returns what is to be done.
func (c *core) step(now time.Time, in input) []effect {
	c.now, c.out, c.calm = now, nil, false
	if c.began.IsZero() {
		c.began = now
	}
	in.apply(c)
	if c.calm { // as nearly all are under a storm of updates
		return c.out
	}
	c.share()
	c.verdict = c.judge()
	return c.out
}

func (c *core) emit(e effect) { c.out = append(c.out, e) }

// A timer is a thing to do later. What it does checks for itself whether it still makes sense.
type timer struct {
	at   time.Time
	n    int // equal ones run in the order in which they were set
	do   func()
	slot int // in timers, -1 = it is not there any more
}

// timers is a heap, the next one first.
type timers []*timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at.Before(t[j].at) || t[i].at.Equal(t[j].at) && t[i].n < t[j].n
}
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i, j
}
func (t *timers) Push(x any) {
	x.(*timer).slot = len(*t)
	*t = append(*t, x.(*timer))
}
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = nil // let go of what it holds
	*t = old[:len(old)-1]
	last.slot = -1
	return last
}

func (c *core) after(d time.Duration, do func()) *timer {
	c.set++
	t := &timer{at: c.now.Add(d), n: c.set, do: do}
	heap.Push(&c.timers, t)
	return t
}

// stop takes a timer out that has nothing to do any more, if it is still there; nil is none. Under a storm of updates
// those that were left would be a hundred thousand.
func (c *core) stop(t *timer) {
	if t != nil && t.slot >= 0 {
		heap.Remove(&c.timers, t.slot)
	}
}

// due is when the next timer wants to run.
func (c *core) due() (at time.Time, any bool) {
	if len(c.timers) == 0 {
		return time.Time{}, false
	}
	return c.timers[0].at, true
}

// tick is the input of time alone.
type tick struct{}

func (tick) apply(c *core) {
	for len(c.timers) > 0 && !c.timers[0].at.After(c.now) {
		heap.Pop(&c.timers).(*timer).do()
	}
}

func (c *core) app(id string) *app {
	for _, a := range c.apps {
		if a.id == id {
			return a
		}
	}
	return nil
}

// present are the apps that are told things.
func (c *core) present() []*app {
	var list []*app
	for _, a := range c.apps {
		if !a.lost && !a.paused {
			list = append(list, a)
		}
	}
	return list
}
