package bridge

import (
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// deliver is an event from the hub. Every path through it answers exactly once, at once or by a round.
type deliver struct{ d *fhircast.Delivery }

func (in deliver) apply(c *core) {
	d, e := in.d, in.d.Event
	switch {
	case d.Subscription != c.sub || c.sub == 0 || c.session == nil:
		c.emit(answer{d, 202}) // of a subscription that is over: nobody may act on it
		return
	case e.Topic != c.session.Topic:
		c.counters.ForeignTopic++
		c.emit(answer{d, 400})
		return
	case !c.asked(e.Name):
		c.counters.Unasked++
		c.emit(answer{d, 200})
		return
	}
	switch {
	case e.Name.Is(fhircast.Heartbeat):
		c.emit(answer{d, 200})
		c.notify(e)
	case e.Name.Is(fhircast.SyncError):
		c.emit(answer{d, 200})
		c.accepted(e)
		c.syncError(e)
		c.notify(e)
	case e.Name.Is(fhircast.UserLogout):
		c.emit(answer{d, 202})
		c.accepted(e)
		c.notify(e)
		c.clearAll(protocol.ReasonUserLogout, true, func([]string) { c.emit(signal{fhircast.UserLogout}) })
	case e.Name.Is(fhircast.UserHibernate):
		c.emit(answer{d, 202})
		c.accepted(e)
		c.notify(e)
		c.emit(signal{fhircast.UserHibernate})
	case e.Name.Changes():
		c.change(d)
	case c.desk.note(e):
		c.emit(answer{d, 202}) // a repeat
	default:
		c.accepted(e)
		r := c.newRound(d, false)
		for _, a := range c.present() {
			if a.wants(e.Name) {
				c.tellEvent(a, e, named{}, protocol.Mark{}, r)
			}
		}
		c.conclude(r, false)
	}
}

// asked tells whether we subscribed to that name. Heartbeats come unasked from hubs that send them.
func (c *core) asked(n fhircast.Name) bool {
	return n.Is(fhircast.SyncError) || n.Is(fhircast.Heartbeat) || n.In(c.session.Events)
}

func (c *core) accepted(e *fhircast.Event) {
	c.counters.Events++
	c.last = &protocol.LastEvent{ID: e.ID, Name: string(e.Name.Canonical()), At: c.now}
}

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
	if repeat := c.desk.note(e); repeat {
		c.repeated(d, what)
		return
	}
	c.echo(e)
	switch {
	case e.Name.Verb() == fhircast.Close:
		c.closed(d, what)
	case e.Name.Is(fhircast.HomeOpen):
		c.beat()
		c.accepted(e)
		c.contextChanged()
		c.desk.nothing()
		c.spread(d, what)
	default:
		c.open(d, what)
	}
}

// repeated: a repeat of the current event goes again to those that did not follow it; it also ends a SyncError about it
// (FC-HGS-09). An old open that comes again is as doubtful as any old open.
func (c *core) repeated(d *fhircast.Delivery, what named) {
	e := d.Event
	c.emit(answer{d, 202})
	if !c.desk.isCurrent(e) {
		if e.Name.Verb() == fhircast.Open && !e.Name.Is(fhircast.HomeOpen) && c.desk.older(e, what) {
			c.doubt()
		}
		return
	}
	delete(c.complaints, e.ID)
	r := c.newRound(nil, true)
	for _, a := range c.present() {
		switch a.outcome {
		case protocol.OutcomePending, protocol.OutcomeSilent, protocol.OutcomeFailed, protocol.OutcomeRefused:
			if a.wants(e.Name) {
				c.tellEvent(a, e, what, protocol.Mark{}, r)
			} else {
				c.bring(a, r, true, true)
			}
		}
	}
}

// open makes a resource current, unless the open is doubtful.
func (c *core) open(d *fhircast.Delivery, what named) {
	e := d.Event
	if c.inInitialWindow() && c.offered == offersNot && c.desk.event != nil && e.Timestamp.Before(c.desk.event.Timestamp) {
		// One of the opens that tell what is open: the newest decides what is current, the older ones are no news.
		c.emit(answer{d, 202})
		c.desk.open = append([]opened{{e, what}}, c.desk.open...)
		return
	}
	crossed := c.inInitialWindow() && c.desk.known && c.desk.snapshot && !c.desk.what.samePatient(what)
	if crossed || c.desk.older(e, what) {
		c.emit(answer{d, 202})
		c.doubt()
		return
	}
	c.beat()
	c.accepted(e)
	c.contextChanged()
	c.desk.opens(e, what, false)
	c.spread(d, what)
}

// closed ends what is current, or something else that was open, or nobody can say which.
func (c *core) closed(d *fhircast.Delivery, what named) {
	c.beat()
	c.accepted(d.Event)
	c.desk.closes(what)
	is := different
	if c.desk.event != nil && c.desk.what.anchor == what.anchor {
		is = c.desk.what.compareKey(what.anchor, what)
	}
	if is == same {
		c.contextChanged()
		c.desk.nothing()
		c.spread(d, what)
		return
	}
	c.closedOther(d, what, is)
}

// closedOther is the close of what is not current: it goes to the apps whose belief names it and changes nothing else,
// but some hubs clear their current context on any close (FC-REQ-16), so the hub is asked.
func (c *core) closedOther(d *fhircast.Delivery, what named, is verdict) {
	r := c.newRound(d, true)
	for _, a := range c.present() {
		if c.withhold(a, d.Event) {
			c.follows(a, d.Event, what)
			r.agreed = true
			continue
		}
		if !a.expects().names(what) {
			continue
		}
		if a.wants(d.Event.Name) {
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
		c.bringAll(nil, true)
	}
}

// spread takes an event that changed the context to every app, by the event where it asked for it and by what S13 says
// otherwise, and gathers their answers for the hub.
func (c *core) spread(d *fhircast.Delivery, what named) {
	r := c.newRound(d, true)
	// A new user's context waits until the apps are cleared (S8), and the first one after a pause until the reading has
	// said what it is and the user has been told what it changes (S2).
	if c.held() || c.previews() {
		c.conclude(r, true)
		return
	}
	for _, a := range c.present() {
		if c.withhold(a, d.Event) {
			c.follows(a, d.Event, what)
			r.agreed = true
			continue
		}
		if a.wants(d.Event.Name) {
			c.tellEvent(a, d.Event, what, protocol.Mark{}, r)
		}
		c.bring(a, r, false, false)
	}
	c.conclude(r, false)
}

// bringAll brings every app to the context that has no event of its own: read from the hub, cleared, or held back.
// Force names apps to be told whatever they believe ("" = all); replay marks what was current before.
func (c *core) bringAll(force map[string]bool, replay bool) {
	if c.held() {
		return
	}
	c.preview(force)
	r := c.newRound(nil, true)
	for _, a := range c.present() {
		c.bring(a, r, force[""] || force[a.id], replay)
	}
	c.conclude(r, true)
}

// preview says, once, which apps the first context of a session changes, before it does.
func (c *core) preview(force map[string]bool) {
	if !c.previews() {
		return
	}
	ids := []string{}
	for _, a := range c.present() {
		if c.needs(a, force[""] || force[a.id]) {
			ids = append(ids, a.id)
		}
	}
	show := c.session.Preview
	c.session.Preview = nil
	c.emit(reply{func() { show(ids) }})
}

func (c *core) previews() bool { return c.session != nil && c.session.Preview != nil }

// needs tells whether an app is to be told something to be where the context is.
func (c *core) needs(a *app, force bool) bool {
	return a.asksAny() && (!a.expects().agrees(c.desk.what, a.asks, true) || force && c.desk.event != nil)
}

// bring is S13 for one app: the event itself if it asks for its anchor, one derived from it, or a clear.
func (c *core) bring(a *app, r *round, force, replay bool) {
	if !c.needs(a, force) {
		return
	}
	if c.desk.event != nil {
		mark := protocol.Mark{Replay: replay && !c.desk.snapshot, Snapshot: c.desk.snapshot}
		if key, ok := c.desk.what.specific(a.asks); ok {
			e, what := c.desk.event, c.desk.what
			if key != what.anchor {
				e, mark.Derived = e.Derive(key), true
				if e != nil {
					what, ok = name(e)
				}
			}
			if e != nil && ok {
				c.tellEvent(a, e, what, mark, r)
				return
			}
		}
		c.tellClear(a, protocol.ReasonOtherPatient, r)
		return
	}
	if c.desk.known {
		c.tellClear(a, protocol.ReasonClosed, r)
		return
	}
	c.tellClear(a, protocol.ReasonUnknown, r)
}

// notify tells the apps that want it about an event that changes no context and needs no answer.
func (c *core) notify(e *fhircast.Event) {
	for _, a := range c.present() {
		if a.wants(e.Name) {
			c.tellEvent(a, e, named{}, protocol.Mark{}, nil)
		}
	}
}

// contextChanged is called before any change of what is current: older rounds are settled, opens that nobody has seen
// yet are taken out, and SyncErrors about what was current are history (S1).
func (c *core) contextChanged() {
	c.settle()
	c.supersede()
	clear(c.complaints)
	c.clearedByUser = time.Time{}
}
