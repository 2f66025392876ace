package bridge

import (
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// change is an open, a close or Home-open.
func (c *core) change(d *fhircast.Delivery) {
	e := d.Event
	what, ok := name(e)
	if !ok {
		c.counters.Malformed++
		c.emit(answer{d, 400})
		c.doubt()
		return
	}
	if repeat, another := c.desk.note(e, what); repeat {
		c.repeated(d, what, another)
		return
	}
	switch {
	case e.Name.Verb() == fhircast.Close:
		c.closed(d, what)
	case e.Name.Is(fhircast.HomeOpen):
		c.beat(true)
		c.echo(e)
		c.accepted(e)
		c.emptied(d, what)
		c.desk.dates(e)
	default:
		c.open(d, what)
	}
}

// repeated: a repeat of the current event goes again to those that did not follow it; it also ends a SyncError about it
// (FC-HGS-09). An old open that comes again is as doubtful as any old open, and so is another event under an id that was
// used before: it may be a repeat that got a new time, or news.
func (c *core) repeated(d *fhircast.Delivery, what named, another bool) {
	e := d.Event
	c.emit(answer{d, 202})
	if another {
		c.doubt()
		return
	}
	delete(c.complaints, e.ID)
	if !c.desk.isCurrent(e) {
		if e.Name.Verb() == fhircast.Open && !e.Name.Is(fhircast.HomeOpen) && c.desk.older(e, what) {
			c.doubt()
		}
		return
	}
	if c.waits() {
		return
	}
	r := c.newRound(nil, true)
	for _, a := range c.present() {
		switch a.outcome {
		case protocol.OutcomePending, protocol.OutcomeSilent, protocol.OutcomeFailed, protocol.OutcomeRefused:
			if a.wants(e.Name) {
				c.tellEvent(a, e, what, protocol.Mark{}, r)
			} else {
				c.bring(a, r, manner{force: true, replay: true})
			}
		}
	}
	c.conclude(r, true)
}

// open makes a resource current, unless the open is doubtful.
func (c *core) open(d *fhircast.Delivery, what named) {
	e := d.Event
	initial := c.inInitialWindow() && c.requests[e.ID] == nil // our own echo is always news
	if initial && c.offered == offersNot && c.desk.event != nil && e.Timestamp.Before(c.desk.event.Timestamp) {
		// One of the opens that tell what is open: the newest decides what is current, the older ones are no news.
		c.emit(answer{d, 202})
		c.opensBefore(e, what)
		return
	}
	if initial && c.desk.known && c.desk.snapshot && c.desk.what.is(what) {
		c.confirms(d, what)
		return
	}
	crossed := c.inInitialWindow() && c.desk.known && c.desk.snapshot
	// Where the hub cannot be asked, its order decides.
	straggles := c.offered != offersNot && c.desk.straggles(e, what)
	if crossed || straggles || c.desk.older(e, what) {
		c.emit(answer{d, 202})
		c.missed(c.requests[e.ID]) // an echo that is not delivered confirms nothing
		if initial && c.offered == offerUnknown {
			c.startReading(false) // no doubt, if it turns out that the hub cannot be asked
		} else {
			c.doubt()
		}
		return
	}
	left := initial && c.offered == offers && c.desk.known && c.desk.by == nil
	c.beat(true)
	c.desk.dates(e)
	c.echo(e)
	c.accepted(e)
	c.contextChanged()
	if !initial || !c.joining() { // what tells us is told to nobody else, and mends nothing there
		clear(c.complaints)
	}
	c.desk.opens(e, what, false)
	if initial && c.offered == offersNot {
		c.lateComer()
	}
	c.spread(d, what)
	if left {
		c.prove()
	}
}

// prove looks again after an open that came right after the hub had said that nothing is current: it may be news, or what was
// opened once and left, of which the hub tells who joins (S6).
func (c *core) prove() {
	gen := c.gen
	c.after(c.confirmed.Add(initialWindow).Sub(c.now), func() {
		if c.gen == gen && c.desk.by != nil { // nil: it has been read since
			c.startReading(false)
		}
	})
}

// opensBefore is an open of something that was open before we subscribed and is not current, unless it is of what is.
func (c *core) opensBefore(e *fhircast.Event, what named) {
	o := opened{event: e, what: what, version: e.Version}
	if c.desk.find(o.name()) == nil {
		c.desk.isOpen(o, 0)
		c.lateComer()
	}
}

// confirms is an open that tells a new subscriber what the hub has just said is current: it goes to those who are not there.
func (c *core) confirms(d *fhircast.Delivery, what named) {
	c.beat(true)
	c.desk.dates(d.Event)
	c.accepted(d.Event)
	c.restoring = restoring{} // of the same context as it was read
	c.desk.opens(d.Event, what, false)
	r := c.newRound(d, true)
	for _, a := range c.present() {
		c.bring(a, r, manner{})
	}
	c.conclude(r, true)
}

// closed ends what is current, or something else that was open, or nobody can say which.
func (c *core) closed(d *fhircast.Delivery, what named) {
	c.beat(false)
	defer c.desk.dates(d.Event)
	c.echo(d.Event)
	c.accepted(d.Event)
	c.desk.closes(what)
	is := different
	if c.desk.event != nil && c.desk.what.anchor == what.anchor {
		is = c.desk.what.compareKey(what.anchor, what)
	}
	if is == same {
		c.emptied(d, what)
		return
	}
	c.desk.took(d.Event)
	c.closedOther(d, what, is)
}

// emptied is an event after which nothing is current. One that is older than what it ends may be old news: it is
// followed, and the hub is asked.
func (c *core) emptied(d *fhircast.Delivery, what named) {
	old := d.Event.Timestamp.Before(c.desk.newest)
	c.contextChanged()
	clear(c.complaints)
	c.desk.nothing(d.Event)
	c.spread(d, what)
	if old && c.offered != offersNot {
		c.doubt()
	}
}

// closedOther is the close of what is not current: it goes to the apps whose belief names it and changes nothing else,
// but some hubs clear their current context on any close (FC-REQ-16), so the hub is asked.
func (c *core) closedOther(d *fhircast.Delivery, what named, is verdict) {
	r := c.newRound(d, true)
	for _, a := range c.present() {
		if c.waits() {
			break
		}
		if !a.expects().names(what) {
			continue
		}
		if c.withhold(a, d.Event) {
			c.follows(a, d.Event, what, r)
		} else if a.wants(d.Event.Name) {
			c.tellEvent(a, d.Event, what, protocol.Mark{}, r)
		} else {
			c.tellClear(a, protocol.ReasonClosed, r)
		}
	}
	c.conclude(r, false)
	switch {
	case c.offered != offersNot:
		c.startReading(false)
	case is == unclear:
		c.unknown()
	default:
		c.bringAll(manner{replay: true})
	}
}

// contextChanged is called before any change of what is current: older rounds are settled, opens that nobody has seen
// yet are taken out.
func (c *core) contextChanged() {
	c.settle()
	c.supersede()
	c.unproven()
	c.restoring = restoring{}
	clear(c.heard)
	c.clearedByUser = time.Time{}
}
