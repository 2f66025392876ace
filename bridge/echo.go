package bridge

import (
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// withhold is S9: the echo of an app's own request is kept from it, if the app surely is where the echo would bring it.
// It is not where anything was delivered to it since it asked, or lay unanswered when it asked: it may read that after
// its own wish, and end on it. Nor where it cannot answer, has asked for something else since, or was told that its
// request failed.
func (c *core) withhold(a *app, e *fhircast.Event) bool {
	q := c.requests[e.ID]
	return q != nil && q.by == a && a.asksAny() && q.certain && q.told == a.told && q.gen == c.gen && q.event.Name.Is(e.Name)
}

// follows is an app whose echo is withheld: it is where the event is, and counts as agreed. The close of something that
// it was not at says nothing of what it shows.
func (c *core) follows(a *app, e *fhircast.Event, what named, r *round) {
	c.seq++
	m := newMessage(e, what)
	m.seq, a.newest = c.seq, c.seq
	a.share = share{}
	if m.open || a.believes.names(what) {
		a.about = nil
		a.set(protocol.OutcomeAcknowledged, "", c.now)
	}
	a.reached(m)
	a.believes.sure = a.believes.known
	c.requests[e.ID].withheld = true
	r.agreed = r.agreed || a.counts()
}

// echo marks the request that an event confirms. Where the event is not withheld from the app that asked, it may show
// what it asked for or what it had, until it is told.
func (c *core) echo(e *fhircast.Event) {
	q := c.requests[e.ID]
	if q == nil || !q.event.Name.Is(e.Name) {
		return
	}
	q.over, q.confirmed = true, true
	if c.waits() || !c.withhold(q.by, e) {
		q.by.distrust()
	}
}

// echoed marks a request to share something. Its echo is for the app that asked, too: it brings the new version.
func (c *core) echoed(e *fhircast.Event) {
	if q := c.requests[e.ID]; q != nil && q.event.Name.Is(e.Name) {
		q.over, q.confirmed = true, true
	}
}

// missed is a request whose broadcast did not come, came too late to count, or was rejected after all. The app may show
// what it asked for or what it had: what the hub says now goes to it, whatever it was told before (S9).
func (c *core) missed(q *request) {
	if q == nil || q.over || q.gen != c.gen || c.sub == 0 || !q.event.Name.Changes() {
		return
	}
	q.over, q.certain = true, false
	q.by.distrust()
	c.doubt()
}

// forgetEchoes is the end of a session or subscription: the next reading decides what was asked, and is told to those
// who asked.
func (c *core) forgetEchoes() {
	for _, q := range c.requests {
		switch open := !q.over && (q.out || q.err == nil || q.unknown()); {
		case open && q.event.Name.Changes():
			q.by.distrust()
		case open && q.event.Name.Verb() == fhircast.Update:
			q.by.share.astray = true
		}
		q.over = true
	}
}
