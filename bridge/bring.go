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
