package bridge

import (
	"strings"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// Content sharing (FHIRcast 3.0.0, 2.10): what is shared in an open context changes by updates, each of which names the
// version that it builds on. The relay follows the versions of every open context, whether an app wants its updates or
// not, and keeps what was shared until the context is closed. An update never changes what is current.

// standing is how sure we are of what is shared in an open context.
type standing int

const (
	unread  standing = iota // opened, and the hub may have kept something from before
	settled                 // what we have is what the hub has
	behind                  // an update is missing
)

// standings are for people who read a failing test.
func (s standing) String() string { return [...]string{"unread", "settled", "behind"}[s] }

// A share is what an app was last told of what is shared in its context.
type share struct {
	known   bool
	version string
	astray  bool // it may show what the hub never took, or lack something: it is told whatever it knows
}

// takesPart tells whether an app shares what is in the contexts of that resource: it asked for their opens and their
// updates (FC-CS-10).
func (a *app) takesPart(resource string) bool {
	return resource != "" && a.asks(resource) && a.wants(fhircast.Name(resource+"-"+string(fhircast.Update)))
}

// update is a change of what is shared. One that fits is relayed; one that does not, or that follows on one that did
// not, is kept back, and the hub is asked for the whole (FC-CS-15). Where it cannot be asked, or nobody would be brought
// to its answer, all are relayed as they come: their versions tell who looks that something is missing.
func (c *core) update(d *fhircast.Delivery) {
	e := d.Event
	c.echoed(e)
	change, err := e.Update()
	if err != nil {
		c.counters.Malformed++
		c.emit(answer{d, c.unreadUpdate(e.Name.Resource())})
		return
	}
	c.accepted(e)
	c.desk.took(e)
	anchor := change.Type + "/" + change.ID
	o := c.desk.find(anchor)
	switch {
	case o == nil: // not open, as far as we know
	case o.has(e): // the same update again, whatever its id (FC-CS-35)
		c.emit(answer{d, 202})
		return
	case o.standing == behind || !o.precedes(e):
		c.fallBehind(o)
		o.version = e.Version
		c.hears(anchor, e.Version)
		if o == c.desk.current() && c.offered != offersNot && c.lacks(o) {
			c.emit(answer{d, 202})
			return
		}
	default:
		if o.version, o.moved = e.Version, true; o.version == "" {
			o.makeDo()
		}
		if over := o.content.over; o.content.take(change.Entries) != over {
			o.since = c.now
		}
	}
	c.hears(anchor, e.Version)
	c.relay(d, o)
}

// hears remembers an update that comes while a question is out: its answer may be older. One that cannot be read may be about
// anything of its resource.
func (c *core) hears(anchor, version string) {
	if c.reading.active || c.restoring.out {
		c.heard[anchor] = version
	}
}

// relay takes an update or a select to the apps that want it.
func (c *core) relay(d *fhircast.Delivery, o *opened) {
	r := c.newRound(d, false)
	changes := o != nil && o == c.desk.current() && d.Event.Name.Verb() == fhircast.Update
	for _, a := range c.present() {
		if !a.wants(d.Event.Name) || c.waits() {
			a.share.astray = a.share.astray || changes
			continue
		}
		c.tellEvent(a, d.Event, named{}, protocol.Mark{}, r)
		if changes && a.share.known {
			a.share.version = o.version
		}
	}
	c.conclude(r, false)
}

// unreadUpdate is the answer to an update of which nobody can say what it changes, or even where. What is open of that
// resource lacks something now. No error where that is mended by asking: a hub would tell everybody of it.
func (c *core) unreadUpdate(resource string) (status int) {
	open := false
	for i := range c.desk.open {
		if o := &c.desk.open[i]; strings.EqualFold(o.resource(), resource) {
			c.fallBehind(o)
			open = true
		}
	}
	c.hears(strings.ToLower(resource), "") // also where what it is about is only being read
	if open && c.offered != offersNot {
		return 202
	}
	return 400
}

// has tells whether an update made the version that we have. One that says that it builds on its own version is of a hub
// whose versions stand still, and so may one be that does not say on which.
func (o *opened) has(e *fhircast.Event) bool {
	return e.Version != "" && e.Version == o.version && e.PriorVersion != "" && e.PriorVersion != e.Version
}

// precedes tells whether an update builds on what we have, as far as the versions tell.
func (o *opened) precedes(e *fhircast.Event) bool {
	switch {
	case o.version == "":
		return true
	case e.Version == "":
		return false
	}
	return e.PriorVersion == "" || e.PriorVersion == o.version
}

// fallBehind is a context that lacks something. Its version may be the same when that is mended, and apps are told all the
// same.
func (c *core) fallBehind(o *opened) {
	if o == c.desk.current() {
		for _, a := range c.apps {
			a.share.astray = true
		}
	}
	if o.standing != behind {
		o.standing, o.since, o.content = behind, c.now, content{}
		c.after(c.cfg.AnswerWithin, func() {}) // it looks worse from then on
	}
}

// selects is what somebody points at, in the current context and no other (FC-CS-30): about another one it is not
// relayed, for an app would look for it in what it shows.
func (c *core) selects(d *fhircast.Delivery) {
	c.echoed(d.Event)
	anchor, ok := about(d.Event)
	if !ok {
		c.counters.Malformed++
		c.emit(answer{d, 400})
		return
	}
	c.accepted(d.Event)
	c.desk.took(d.Event)
	if o := c.desk.current(); o == nil || o.name() != anchor {
		c.emit(answer{d, 202})
		return
	}
	c.relay(d, c.desk.current())
}
