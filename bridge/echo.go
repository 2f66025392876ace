package bridge

import (
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// withhold is S9: the echo of an app's own request is kept from it if nothing else was delivered to it since it asked, and
// if it has answered all that was delivered before: an app that has not read what it was sent before it asked would
// otherwise end on that, while we believe it at its own request.
func (c *core) withhold(a *app, e *fhircast.Event) bool {
	q := c.requests[e.ID]
	return q != nil && q.app == a.id && q.gen == c.gen && q.event.Name.Is(e.Name) && q.told == a.told &&
		len(a.queue) == 0 && a.writing == nil && len(a.unread) == 0
}

// follows is an app whose echo is withheld: it is where the event is, and counts as agreed.
func (c *core) follows(a *app, e *fhircast.Event, what named) {
	c.seq++
	m := newMessage(e, what)
	a.believes, a.clearTold, a.lastWritten = m.after(a.believes), false, c.seq
	a.set(protocol.OutcomeAcknowledged, "", c.now)
}

// missed is a request whose broadcast did not come, or that was rejected after all: what the hub says now goes to the
// app that asked (S9).
func (c *core) missed(q *request) {
	if q.echoed || q.gen != c.gen || c.sub == 0 || !q.event.Name.Changes() {
		return
	}
	q.echoed = true
	c.forceReading(q.app)
}

// echo marks the request that an event confirms.
func (c *core) echo(e *fhircast.Event) {
	if q := c.requests[e.ID]; q != nil && q.event.Name.Is(e.Name) {
		q.echoed = true
	}
}

// forgetEchoes is the end of a session or subscription: whatever was asked is decided by the next reading.
func (c *core) forgetEchoes() {
	for _, q := range c.requests {
		q.echoed = true
	}
}
