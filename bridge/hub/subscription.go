package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// answerWithin is how long a Subscriber may take to answer an event (FHIRcast 3.0.0, 2.5).
const answerWithin = 10 * time.Second

// A subscription is one endpoint and, from when it is connected, one socket; or it is a webhook. It is guarded by the
// hub's lock.
type subscription struct {
	room     *room
	endpoint fhircast.Secret
	name     string
	events   []fhircast.Name // granted
	expires  time.Time       // the token, zero for never
	asked    time.Duration   // lease

	connectBy time.Time // the endpoint is void afterwards
	connected bool      // somebody came; nobody else is let in
	confirmed bool      // from here on events are sent
	since     time.Time
	until     time.Time // end of the lease

	queue   []outgoing // of the writer
	waiting []delivery // for answers, in the order in which they were sent
	last    Answer
	latest  *fhircast.Event   // sent last, of those that a SyncError can be about
	told    map[string]string // id of the resource of that type that it was last sent an open of; only where opens are derived
	end     *ending           // set once; nothing is queued afterwards
	over    chan struct{}     // closed when end is set
	wake    chan struct{}     // tells the writer that something here has changed

	callback *callback // of a webhook, else nil
}

// An outgoing frame is an event, or a message when about is nil.
type outgoing struct {
	frame []byte
	id    string          // of the event, by which it is answered
	about *fhircast.Event // the event, or what it is derived from

	written chan struct{} // closed when it is; nil: nobody waits for that
}

type delivery struct {
	id    string
	about *fhircast.Event
	by    time.Time
}

// An ending is how a subscription ends on its socket. Without code nothing is said: there is no socket, or it is broken.
type ending struct {
	asked  bool // by the subscriber: it unsubscribed
	deny   bool // a denial goes first, with the reason
	reason string
	code   int
	now    bool // what is queued is thrown away
}

// wants tells whether an event may go there: its events are those that were asked for, are offered and in scope.
func (s *subscription) wants(n fhircast.Name) bool { return s.confirmed && n.In(s.events) }

func (s *subscription) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// confirm queues the confirmation and starts the lease, which is never longer than the token lives (FHIRcast 3.0.0,
// 2.4).
func (h *Hub) confirm(s *subscription) {
	lease := lifetime(s.asked, s.expires)
	if lease <= 0 {
		h.drop(s, ending{deny: true, reason: "the access token has expired", code: closeNormal})
		return
	}
	s.until = time.Now().Add(lease)
	if s.callback == nil { // a webhook was told the lease when it confirmed
		h.queueFrame(s, outgoing{frame: confirmation(s.room.topic, s.events, lease)})
	}
}

// sendEvent queues an event; about is that event, or what it is derived from.
func (h *Hub) sendEvent(s *subscription, e, about *fhircast.Event) {
	if h.config.Rules.Derive && e.Name.Verb() == fhircast.Open && !e.Name.Is(fhircast.HomeOpen) {
		if s.told == nil {
			s.told = map[string]string{}
		}
		s.told[e.Name.Resource()] = anchorID(e)
	}
	h.queueFrame(s, outgoing{frame: e.Wire(), id: e.ID, about: about})
}

// lifetime is a lease that ends no later than the token, in whole seconds, as it is said.
func lifetime(asked time.Duration, expires time.Time) time.Duration {
	if !expires.IsZero() {
		asked = min(asked, time.Until(expires))
	}
	return asked.Truncate(time.Second)
}

// queueFrame hands a frame to the writer. A socket that does not keep up is cut off rather than let it hold memory or
// lag behind: 1013, try again later. It has not followed, so the others are told.
func (h *Hub) queueFrame(s *subscription, o outgoing) {
	if s.end != nil {
		return
	}
	if len(s.queue) >= h.config.Queue {
		h.lost(s, o.about, "does not keep up", ending{code: closeTryAgainLater, now: true})
		return
	}
	s.queue = append(s.queue, o)
	s.poke()
}

// drop ends a subscription: no event reaches it any more and its endpoint is void. What is queued is still written
// unless the ending says now.
func (h *Hub) drop(s *subscription, end ending) {
	if s.end != nil {
		return
	}
	s.end = &end
	close(s.over)
	if end.now {
		s.queue = nil
	}
	s.waiting = nil
	if s.callback != nil {
		s.callback.stop()
	}
	delete(h.endpoints, s.endpoint)
	s.room.subs = slices.DeleteFunc(s.room.subs, func(o *subscription) bool { return o == s })
	if s.confirmed {
		s.room.note(Entry{What: "gone", Subscriber: s.name, Detail: end.reason})
		h.config.Log.Info("subscriber gone", "subscriber", s.name, "why", end.reason)
	}
	s.poke()
}

// lost drops a subscriber that is no longer known to follow, and tells the others (FHIRcast 3.0.0, 2.5). about is the
// event that it did not follow; nil means the last one it was sent. With none there is nothing to tell, unless
// the rules say otherwise.
func (h *Hub) lost(s *subscription, about *fhircast.Event, why string, end ending) {
	if s.end != nil {
		return
	}
	end.reason = why
	h.drop(s, end)
	if about == nil || !h.reportable(about.Name) {
		about = s.latest
	}
	switch {
	case about != nil:
		h.syncError(s, about.ID, about.Name, why)
	case h.config.Rules.MoreErrors:
		h.syncError(s, newID(), fhircast.SyncError, why)
	}
}

// syncError tells all other subscribers that want to know that one did not follow an event (FHIRcast 3.0.0, 2.5 and
// 3.2.1).
func (h *Hub) syncError(s *subscription, id string, name fhircast.Name, why string) {
	e, err := fhircast.NewSyncError(newID(), time.Now(), s.room.topic, fhircast.Failure{
		EventID: id, EventName: name, Subscriber: s.name, Diagnostics: fmt.Sprintf("%s: %s", s.name, why),
	})
	if err == nil && h.config.Rules.Severity != "" {
		e, err = withSeverity(e, h.config.Rules.Severity)
	}
	if err != nil {
		h.config.Log.Error("SyncError not made", "error", err)
		return
	}
	s.room.note(Entry{What: "syncerror", Subscriber: s.name, EventID: id, EventName: name, Detail: why})
	h.config.Log.Warn("subscriber did not follow", "subscriber", s.name, "why", why, "event", id, "name", name)
	for _, other := range s.room.subscribers() {
		if other != s && other.wants(fhircast.SyncError) {
			h.sendEvent(other, e, e)
		}
	}
}

// withSeverity replaces the severity of a SyncError that was made here: inside a text its quotes would be escaped.
func withSeverity(e *fhircast.Event, severity string) (*fhircast.Event, error) {
	quoted, err := json.Marshal(severity)
	if err != nil {
		return nil, err
	}
	return decodeEvent(bytes.Replace(e.Wire(), []byte(`"severity":"warning"`), append([]byte(`"severity":`), quoted...), 1))
}

// reportable tells whether there are SyncErrors about such an event: not about a SyncError or a heartbeat, and, unless the
// rules say so, not about what shares content.
func (h *Hub) reportable(n fhircast.Name) bool {
	switch n.Verb() {
	case fhircast.Update, fhircast.Select:
		return h.config.Rules.MoreErrors
	}
	return !n.Is(fhircast.SyncError) && !n.Is(fhircast.Heartbeat)
}

// answered takes a Subscriber's answer. One without a status, as a known client library sends it, is no failure; any
// 2xx is success, any other status a failure (FHIRcast 3.0.0, 2.5).
func (h *Hub) answered(s *subscription, a *fhircast.Answer) {
	if h.takeAnswer(s, a) && h.config.Behind != nil {
		h.config.Behind.Answered(a.ID, a.Status)
	}
}

// takeAnswer tells whether the answer is the first to something that was sent.
func (h *Hub) takeAnswer(s *subscription, a *fhircast.Answer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(s.waiting, func(d delivery) bool { return d.id == a.ID })
	if i < 0 {
		return false // to nothing that was sent, late, or a second one
	}
	e := s.waiting[i].about
	s.waiting = slices.Delete(s.waiting, i, i+1)
	s.last = Answer{EventID: e.ID, EventName: e.Name, Status: a.Status, At: time.Now()}
	s.room.note(Entry{What: "answered", Subscriber: s.name, EventID: e.ID, EventName: e.Name, Status: a.Status})
	switch {
	case a.Status == 0 || a.Status/100 == 2:
	case a.Status/100 == 4:
		h.syncError(s, e.ID, e.Name, fmt.Sprintf("refused to follow (%d)", a.Status))
	default:
		h.syncError(s, e.ID, e.Name, fmt.Sprintf("could not process the event (%d)", a.Status))
	}
	return true
}
