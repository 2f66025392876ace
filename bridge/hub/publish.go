package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"

	"github.com/castray/castray/bridge/fhircast"
)

func newID() string { return rand.Text() }

// postEvent takes a request for a context change, an update or a selection, or a SyncError (FHIRcast 3.0.0, 2.6). What it
// holds is passed on as it came, but for the versions; of its content no more is asked than the hub relies on.
func (h *Hub) postEvent(w http.ResponseWriter, r *http.Request, grant Grant, body []byte) error {
	e, err := decodeEvent(body)
	if err != nil {
		return err
	}
	status, err := h.publish(r.Context(), e, &grant)
	if err != nil {
		return err
	}
	return reply(w, status, struct{}{})
}

func decodeEvent(body []byte) (*fhircast.Event, error) {
	m, err := fhircast.Decode(body)
	if fault, ok := errors.AsType[*fhircast.FrameError](err); ok {
		return nil, refuse(400, "no event: %s", fault.Reason)
	}
	e, ok := m.(*fhircast.Event)
	if !ok {
		return nil, refuse(400, "no event: it has no member \"event\"")
	}
	return e, nil
}

// Publish does what a request with all scopes does: it changes the session and tells all who are subscribed. The error
// is a *[StatusError] where the hub refuses: 400 for the event itself, 404 for an unknown topic, 409 for an id that was
// used before, and for content that is not shared upon the latest version of something open.
func (h *Hub) Publish(ctx context.Context, topic fhircast.Secret, e *fhircast.Event) error {
	if e.Topic != topic {
		return refuse(400, "the event is for another topic")
	}
	_, err := h.publish(ctx, e, nil)
	return err
}

// publish is for a request when there is a grant, else for the program itself. It returns the status to answer.
func (h *Hub) publish(ctx context.Context, e *fhircast.Event, grant *Grant) (int, error) {
	q, err := h.prepare(e)
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	session, r, err := h.session(ctx, e.Topic)
	if err != nil {
		return 0, err
	}
	if grant != nil {
		if err := grant.mayUse(e.Topic, session); err != nil {
			return 0, err
		}
		if !grant.Scopes.Write(e.Name) {
			return 0, refuse(403, "the token has no write scope for this event")
		}
	}
	status, repeat, err := r.before(e, q.sum)
	if err != nil {
		return 0, err
	}
	if repeat {
		h.again(r, session, q)
		return status, nil
	}
	next, err := h.apply(session, q)
	if err != nil {
		return 0, err
	}
	if e.Name.Changes() || e.Name.Verb() == fhircast.Update || e.Name.Is(fhircast.UserLogout) {
		if err := h.config.Store.Save(ctx, e.Topic, next); err != nil {
			h.config.Log.Warn("session not saved", "error", err)
			return 0, refuse(503, "the session cannot be saved")
		}
	}
	r.remember(e, q.sum, q.status)
	h.tell(r, q.sent, q.derived)
	return q.status, nil
}

// A request is an event and all that can be made of it before the session is known, so that nobody waits meanwhile.
type request struct {
	came    *fhircast.Event
	sum     [sha256.Size]byte
	sent    *fhircast.Event   // as the subscribers get it
	derived []*fhircast.Event // for those who do not want it
	status  int

	anchor   string   // of an update or a selection, as Content calls it
	version  string   // that an update makes
	changes  []change // of an update
	selected []string // as Resource.Ref
}

func (h *Hub) prepare(e *fhircast.Event) (*request, error) {
	if err := h.check(e); err != nil {
		return nil, err
	}
	q := &request{came: e, sent: e, sum: sha256.Sum256(e.Wire()), status: http.StatusAccepted}
	var err error
	switch {
	case e.Name.Verb() == fhircast.Open && !e.Name.Is(fhircast.HomeOpen):
		if h.config.Rules.Derive {
			q.derived = derive(e)
		}
		if h.shares() {
			q.sent, err = stamped(e, newID(), "")
		}
	case e.Name.Verb() == fhircast.Update:
		err = h.prepareUpdate(q)
	case e.Name.Verb() == fhircast.Select:
		err = h.prepareSelection(q)
	}
	return q, err
}

// apply is the session once the event has happened, or why it may not happen.
func (h *Hub) apply(s Session, q *request) (Session, error) {
	switch q.came.Name.Verb() {
	case fhircast.Update:
		return h.update(s, q)
	case fhircast.Select:
		return s, h.selection(s, q)
	case fhircast.Close:
		if h.config.Rules.MustBeOpen && s.open(anchorRef(q.came)) == nil {
			return s, refuse(409, "this %s is not open", q.came.Name.Resource())
		}
	}
	return s.after(q.sent), nil
}

// tell notes an event and sends it to all who want it, the requester too, with the id that it gave.
func (h *Hub) tell(r *room, e *fhircast.Event, derived []*fhircast.Event) {
	if !e.Name.Is(fhircast.Heartbeat) {
		r.note(Entry{What: "published", EventID: e.ID, EventName: e.Name})
		h.config.Log.Info("event", "event", e.ID, "name", e.Name)
	}
	for _, s := range r.subscribers() {
		s.forget(e)
		if s.wants(e.Name) {
			h.sendEvent(s, e, e)
		} else {
			h.sendDerived(s, e, derived)
		}
	}
}

// again is for a repeat, which finds the session as it left it. An update or a selection is not sent twice: something
// newer may have followed.
func (h *Hub) again(r *room, s Session, q *request) {
	switch q.came.Name.Verb() {
	case fhircast.Update, fhircast.Select:
		return
	case fhircast.Open:
		if s.Current != nil && s.Current.ID == q.came.ID {
			q.sent = s.Current // with the version that it got the first time
		}
	}
	h.tell(r, q.sent, q.derived)
}

// getContext answers Get Current Context (FHIRcast 3.0.0, 2.9), to a token that may read the open that made it.
func (h *Hub) getContext(w http.ResponseWriter, r *http.Request, topic fhircast.Secret) error {
	grant, err := h.authorize(r)
	if err != nil {
		return err
	}
	h.mu.Lock()
	session, _, err := h.session(r.Context(), topic)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	if err := grant.mayUse(topic, session); err != nil {
		return err
	}
	if e := session.Current; e != nil && !grant.Scopes.Read(e.Name) {
		return refuse(403, "the token has no read scope for the event that made the current context")
	}
	current, err := session.context()
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, current)
}
