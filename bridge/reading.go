package bridge

import (
	"fmt"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// reading is one effort to learn from the hub what is current.
type reading struct {
	active  bool
	first   bool // of a subscription
	number  int  // of the question that is out
	tries   int  // answers that an event has beaten
	beaten  bool // by an open, a close or Home-open since the question was asked
	again   bool // a doubt came while the question was out
	doubted bool // again, and not only because an initial open was old
	moved   bool // an open came, and no doubt since
	failed  int  // in a row
	waiting bool // for the next try after a failure
	since   time.Time
	force   bool // a re-sync: apps are told whatever they believe
}

// startReading asks the hub, where it can be asked, and says what happens where it cannot.
func (c *core) startReading(first bool) {
	switch {
	case c.sub == 0 || c.held():
	case c.reading.active && !c.reading.waiting:
		c.reading.again, c.reading.moved = true, false
	case c.offered == offersNot:
		c.unknown()
	default:
		force, failed := c.reading.force, c.reading.failed
		c.reading = reading{active: true, first: first, since: c.now, force: force, failed: failed}
		c.after(c.cfg.AnswerWithin, func() {}) // it looks worse from then on
		if first && c.inInitialWindow() {
			gen := c.gen
			c.after(c.confirmed.Add(initialWindow).Sub(c.now), func() {
				if c.gen == gen && c.reading.first && c.offered != offersNot && c.desk.known {
					c.bringAll(manner{}) // what it has told is all that there is so far
				}
			})
		}
		c.ask()
	}
}

// doubt is news that cannot be right or cannot be read: only the hub can say what is current now (S4).
func (c *core) doubt() {
	c.reading.doubted = c.reading.active
	c.startReading(false)
}

// secondThoughts is how far a hub's answers may be behind its events.
const secondThoughts = time.Second

// contradicted is a hub that opens one thing and, asked what is shared in it, names another. We may lack an event; or its
// answers are behind its events, and followed at once they would take the apps back to what was before. It is asked again
// after a moment, and believed then.
func (c *core) contradicted() {
	c.reading = reading{active: true, number: -1, waiting: true, since: c.now}
	c.after(c.cfg.AnswerWithin, func() {}) // it looks worse from then on
	gen, asked := c.gen, c.now
	c.after(secondThoughts, func() {
		if c.gen == gen && c.reading.waiting && c.reading.since.Equal(asked) {
			c.ask()
		}
	})
}

func (c *core) ask() {
	c.seq++
	c.reading.number, c.reading.beaten, c.reading.again, c.reading.waiting = c.seq, false, false, false
	c.restoring = restoring{} // this answer brings what is shared, too
	clear(c.heard)
	c.emit(ask{gen: c.gen, number: c.seq, id: fmt.Sprintf("snapshot-%d", c.seq)})
}

// beat is called for every change that arrives by itself: it is newer than the answer to a question asked before it.
func (c *core) beat(opens bool) {
	c.reading.beaten = true
	c.reading.moved = c.reading.moved || opens
	if c.reading.waiting { // a failed reading is mended by an open
		c.reading = reading{}
	}
}

// read is what the hub said.
type read struct {
	gen, number int
	event       *fhircast.Event
	offered     bool
	err         error
}

func (in read) apply(c *core) {
	if in.gen == c.gen && c.restoring.out && in.number == c.restoring.number {
		c.restored(in)
		return
	}
	if in.gen != c.gen || !c.reading.active || in.number != c.reading.number {
		return
	}
	switch {
	case in.err == nil && !in.offered:
		c.notOffered()
		return
	case c.reading.again || c.reading.beaten:
		if c.reading.tries++; c.reading.tries < readTries {
			c.ask()
			return
		}
		c.readingFailed()
		return
	case in.err != nil:
		c.unreadable()
		return
	}
	c.offered = offers
	c.adopt(in.event)
}

// adopt takes the hub's word for what is current (S4) and brings the apps to it.
func (c *core) adopt(e *fhircast.Event) {
	var what named
	if e != nil {
		var ok bool
		if what, ok = name(e); !ok {
			c.unreadable()
			return
		}
	}
	force, first := c.reading.force, c.reading.first
	c.reading = reading{}
	how := manner{force: force}
	for _, a := range c.apps {
		c.willAsk(a, showAfter)
	}
	stale := e != nil && c.outrun(e, what)
	c.moved(what)
	if c.desk.known && c.desk.what.is(what) {
		if !first {
			how.as = e // who is told again would take the id of an old event for a repeat
		}
	} else {
		c.contextChanged()
		if e == nil {
			c.desk.nothing(nil)
		} else {
			c.desk.opens(e, what, true)
		}
	}
	if o := c.desk.current(); o != nil && (stale || !o.took(e)) {
		c.fallBehind(o)
	}
	if force {
		c.clearedByUser = time.Time{}
	}
	c.bringAll(how)
}

// notOffered is the hub that cannot be asked: right after the confirmation the opens of two seconds decide; later on,
// what is in doubt stays unknown until the next open.
func (c *core) notOffered() {
	first, force, doubted := c.reading.first, c.reading.force, c.reading.doubted
	c.offered = offersNot
	c.reading = reading{}
	c.lateComer()
	if left := c.confirmed.Add(initialWindow).Sub(c.now); first && left > 0 {
		gen := c.gen
		c.reading = reading{active: true, first: true, number: -1, since: c.now, doubted: doubted}
		c.after(left, func() {
			if c.gen != gen {
				return
			}
			doubted := c.reading.doubted
			c.reading = reading{}
			if !c.desk.known || doubted {
				c.unknown()
				return
			}
			c.moved(c.desk.what)
			c.bringAll(manner{})
		})
		return
	}
	if first && c.desk.known && !doubted {
		c.bringAll(manner{})
		return
	}
	if force && c.desk.known { // a re-sync: what the hub last said can be said again
		c.clearedByUser = time.Time{}
		c.bringAll(manner{force: true, replay: true})
		return
	}
	c.unknown()
}

// unreadable is a question without an answer that makes sense. An open that came meanwhile decides.
func (c *core) unreadable() {
	if !c.reading.moved || !c.desk.known {
		c.readingFailed()
		return
	}
	c.reading = reading{}
	c.bringAll(manner{})
}

// readingFailed: unknown, and the question is asked again by the reconnect schedule until it is answered or an open
// comes.
func (c *core) readingFailed() {
	n := c.reading.failed
	limit := min(60*time.Second, 5*time.Second<<min(n, 10))
	c.reading = reading{active: true, number: -1, waiting: true, since: c.reading.since, failed: n + 1, force: c.reading.force}
	c.unknown()
	gen := c.gen
	c.after(time.Duration(c.cfg.Rand()*float64(limit)), func() {
		if c.gen == gen && c.reading.waiting {
			c.ask()
		}
	})
}

// unknown: nobody can say what is current, so no app may show a patient (S3).
func (c *core) unknown() {
	if c.desk.known || c.unknownSince.IsZero() {
		c.unknownSince = c.now
	}
	c.contextChanged()
	c.desk.unknown()
	c.bringAll(manner{})
}

// joining is the time in which the hub tells what is open, in no certain order and perhaps of several patients, and is
// asked which of that is current (S2). Apps are told when it has answered, or cannot; who makes us wait longer than that
// is not waited for.
func (c *core) joining() bool {
	return c.inInitialWindow() && c.reading.active && c.reading.first && !c.reading.waiting
}

// inInitialWindow tells whether an open may be one of those that tell a new subscriber what is current.
func (c *core) inInitialWindow() bool { return c.now.Sub(c.confirmed) < initialWindow }

// resync is the user's wish to have everything told again.
type resync struct{ reply func(error) }

func (in resync) apply(c *core) {
	if c.sub == 0 {
		c.emit(reply{func() { in.reply(notConnected()) }})
		return
	}
	c.emit(reply{func() { in.reply(nil) }})
	if c.offered == offersNot && c.desk.known { // the hub cannot be asked, but what it last said can be said again
		c.clearedByUser = time.Time{}
		c.bringAll(manner{force: true, replay: true})
		return
	}
	c.reading.force = true
	c.startReading(false)
}

func notConnected() *protocol.Error {
	return &protocol.Error{Code: protocol.CodeNotConnected, Message: "There is no subscription at a hub now; wait for a status that is in sync, then ask again."}
}
