package bridge

import (
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A complaint is a SyncError of somebody else that is open (S1).
type complaint struct {
	since time.Time
	who   string
}

// syncError reads what others say of an event. About the current one it opens a problem until the next change or a
// repeat; about one already replaced it is only counted; what names us says nothing that our rows do not.
func (c *core) syncError(e *fhircast.Event) {
	for _, f := range e.Failures() {
		c.missed(c.requests[f.EventID]) // rejected after it was accepted (FC-REQ-04)
		switch {
		case f.Subscriber != "" && f.Subscriber == c.session.Name:
		case f.EventID != "" && (c.desk.event == nil || c.desk.event.ID != f.EventID) && c.desk.seenID(f.EventID):
		default:
			c.complaints[f.EventID] = complaint{c.now, f.Subscriber}
		}
	}
}

// complain tells the hub of an app that did not follow: at most once per app and event, and once per app in 10 s.
func (c *core) complain(a *app, r *round, o protocol.Outcome) {
	if r.event == nil || !r.change || c.sub == 0 || c.now.Sub(a.lastSyncError) < complainEvery && !a.lastSyncError.IsZero() {
		return
	}
	if c.session.Scopes != nil && !c.session.Scopes.Write(fhircast.SyncError) {
		return
	}
	reason := map[protocol.Outcome]string{
		protocol.OutcomeSilent:  " did not answer within 8 s",
		protocol.OutcomeRefused: " refused to follow",
		protocol.OutcomeFailed:  " failed to follow",
	}[o]
	e, err := fhircast.NewSyncError(c.cfg.NewID(), c.now, c.session.Topic, fhircast.Failure{
		EventID: r.event.ID, EventName: r.event.Name, Subscriber: c.session.Name, Diagnostics: a.Name + reason})
	if err != nil {
		return
	}
	a.lastSyncError = c.now
	c.emit(publish{gen: c.gen, hub: c.session.Hub, event: e})
}
