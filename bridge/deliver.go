package bridge

import (
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
	default:
		c.pass(d)
	}
}

// pass is an event that apps get as it is and that changes no context.
func (c *core) pass(d *fhircast.Delivery) {
	e := d.Event
	repeat, another := c.desk.note(e, named{})
	switch {
	case repeat && !another:
		c.emit(answer{d, 202})
		delete(c.complaints, e.ID)
	case e.Name.Verb() == fhircast.Update:
		c.update(d)
	case e.Name.Verb() == fhircast.Select:
		c.selects(d)
	default:
		c.accepted(e)
		c.desk.took(e)
		c.relay(d, nil)
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

// notify tells the apps that want it about an event that changes no context and needs no answer.
func (c *core) notify(e *fhircast.Event) {
	for _, a := range c.present() {
		if a.wants(e.Name) {
			c.tellEvent(a, e, named{}, protocol.Mark{}, nil)
		}
	}
}
