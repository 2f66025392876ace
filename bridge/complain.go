package bridge

import (
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A complaint is a SyncError of somebody else that is open (S1).
type complaint struct {
	since time.Time
	known bool // whether it is about what was current: not where it names an event that was not followed, or none that came
	about named
}

// maxComplaints are told apart. More of them are one, which no repeat ends.
const maxComplaints = 32

// syncError reads what others say of an event. It opens a problem until the next change of context or a repeat of that
// event; about one already replaced it is only counted; what names us says nothing that our rows do not.
func (c *core) syncError(e *fhircast.Event) {
	for _, f := range e.Failures() {
		if c.rejectedLate(f.EventID) {
			continue
		}
		c.missed(c.requests[f.EventID]) // rejected after it was accepted (FC-REQ-04)
		if f.Subscriber != "" && f.Subscriber == c.session.Name || c.desk.isHistory(f.EventID) {
			continue
		}
		id := f.EventID
		if _, open := c.complaints[id]; !open && len(c.complaints) >= maxComplaints {
			id = ""
		}
		c.complaints[id] = complaint{c.now, c.desk.known && c.desk.isNews(f.EventID), c.desk.what}
	}
}

// moved drops the complaints about another context than the one that was read. One that may be about it stays open, and is
// from now on.
func (c *core) moved(to named) {
	for id, about := range c.complaints {
		switch {
		case !about.known:
			c.complaints[id] = complaint{about.since, true, to}
		case about.about.differs(to):
			delete(c.complaints, id)
		}
	}
}

// complain tells the hub of an app that did not follow: at most once per app and event, and once per app in 10 s.
func (c *core) complain(a *app, r *round, o protocol.Outcome) {
	if r.event == nil || !r.change || !c.mayComplain(a.lastSyncError) {
		return
	}
	reason := map[protocol.Outcome]string{
		protocol.OutcomeSilent:  " did not answer within 8 s",
		protocol.OutcomeRefused: " refused to follow",
		protocol.OutcomeFailed:  " failed to follow",
	}[o]
	c.tellHub(a, r.event, reason)
	a.lastSyncError = c.now
}

// mayComplain tells whether the hub takes a SyncError of ours now, the last one of that kind being so long ago.
func (c *core) mayComplain(last time.Time) bool {
	return c.sub != 0 && (last.IsZero() || c.now.Sub(last) >= complainEvery) &&
		(c.session.Scopes == nil || c.session.Scopes.Write(fhircast.SyncError))
}

// tellHub sends a SyncError about an app and an event.
func (c *core) tellHub(a *app, about *fhircast.Event, reason string) {
	e, err := fhircast.NewSyncError(c.cfg.NewID(), c.now, c.session.Topic, fhircast.Failure{
		EventID: about.ID, EventName: about.Name, Subscriber: c.session.Name, Diagnostics: a.Name + reason})
	if err == nil {
		c.emit(publish{gen: c.gen, hub: c.session.Hub, event: e})
	}
}
