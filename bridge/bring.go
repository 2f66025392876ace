package bridge

import (
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// spread takes an event that changed the context to every app, by the event where it asked for it and by what S13 says
// otherwise, and gathers their answers for the hub.
func (c *core) spread(d *fhircast.Delivery, what named) {
	r := c.newRound(d, true)
	// A new user's context waits until the apps are cleared (S8), and the first one after a pause until the reading has
	// said what it is and the user has been told what it changes (S2).
	if c.waits() {
		c.conclude(r, true)
		return
	}
	for _, a := range c.present() {
		if c.withhold(a, d.Event) {
			c.follows(a, d.Event, what, r)
		} else if a.wants(d.Event.Name) {
			c.tellEvent(a, d.Event, what, protocol.Mark{}, r)
		}
		c.bring(a, r, manner{})
	}
	c.conclude(r, false)
}

// manner is how apps are brought to the context.
type manner struct {
	force  bool            // whatever they believe: the user wants it
	replay bool            // it is nothing new, only new to them
	as     *fhircast.Event // the hub's word for what is current, with an id that nobody has seen; nil = as it came
}

// bringAll brings every app to the context that has no event of its own: read from the hub, cleared, or held back.
func (c *core) bringAll(how manner) {
	if c.held() {
		return
	}
	c.preview(how)
	r := c.newRound(nil, true)
	for _, a := range c.present() {
		c.bring(a, r, how)
	}
	c.conclude(r, true)
}

// preview says, once, which apps the first context of a session changes, before it does.
func (c *core) preview(how manner) {
	if !c.previews() {
		return
	}
	ids := []string{}
	for _, a := range c.present() {
		if c.needs(a, how) {
			ids = append(ids, a.id)
		}
	}
	show := c.session.Preview
	c.session.Preview = nil
	c.emit(preview{show, ids})
}

func (c *core) previews() bool { return c.session != nil && c.session.Preview != nil }

// waits tells whether no app may be told about the context yet.
func (c *core) waits() bool { return c.held() || c.previews() || c.joining() }

// needs tells whether an app is to be told something to be where the context is.
func (c *core) needs(a *app, how manner) bool {
	if a.lost || a.paused || !a.asksAny() {
		return a.leaves && !a.lost && !a.paused && !a.expects().empty() // also again, where it refused
	}
	if !how.force && !c.clearedByUser.IsZero() && a.expects().empty() {
		return false // until the next change or a re-sync
	}
	return how.force || a.adrift() || !a.expects().agrees(c.desk.what, a.asks, true)
}

// bring is S13 for one app: the event itself if it asks for its anchor, one derived from it, or a clear.
func (c *core) bring(a *app, r *round, how manner) {
	if c.waits() || !c.needs(a, how) {
		return
	}
	switch {
	case a.leaves:
		c.tellClear(a, protocol.ReasonUnknown, r)
	case !c.desk.known:
		c.tellClear(a, protocol.ReasonUnknown, r)
	case c.desk.event == nil && a.expects().empty():
		c.tellClear(a, protocol.ReasonResync, r) // only because somebody wants it
	case c.desk.event == nil:
		c.tellClear(a, protocol.ReasonClosed, r)
	default:
		c.tellCurrent(a, r, how)
	}
}

// tellCurrent tells an app what is current, by whatever it asked for.
func (c *core) tellCurrent(a *app, r *round, how manner) {
	e, what := c.desk.event, c.desk.what
	mark := protocol.Mark{Replay: how.replay, Snapshot: c.desk.snapshot}
	if how.as != nil {
		e, mark = how.as, protocol.Mark{Snapshot: true}
		what, _ = name(e)
	}
	key, ok := what.specific(a.asks)
	if how.as == nil && ok && key == what.anchor && a.takesPart(e.Name.Resource()) {
		if whole := c.desk.whole(c.snapshotID()); whole != e {
			e, mark.Snapshot = whole, true
		}
	}
	if ok && key != what.anchor {
		if e, mark.Derived = e.Derive(key), true; e != nil {
			what, ok = name(e)
		}
	}
	if !ok || e == nil {
		c.tellClear(a, protocol.ReasonOtherPatient, r)
		return
	}
	c.tellEvent(a, e, what, mark, r)
}
