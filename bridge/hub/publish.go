package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/castray/castray/bridge/fhircast"
)

func newID() string { return rand.Text() }

// postEvent takes a request for a context change, or a SyncError (FHIRcast 3.0.0, 2.6). What it holds is passed on as it
// came; that it is the resource that the event is about, and has an id, is all that is asked of its content.
func (h *Hub) postEvent(w http.ResponseWriter, r *http.Request, grant Grant, body []byte) error {
	e, err := decodeEvent(body)
	if err != nil {
		return err
	}
	if err := h.publish(r.Context(), e, &grant); err != nil {
		return err
	}
	return reply(w, http.StatusAccepted, struct{}{})
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
// used before.
func (h *Hub) Publish(ctx context.Context, topic fhircast.Secret, e *fhircast.Event) error {
	if e.Topic != topic {
		return refuse(400, "the event is for another topic")
	}
	return h.publish(ctx, e, nil)
}

// publish is for a request when there is a grant, else for the program itself.
func (h *Hub) publish(ctx context.Context, e *fhircast.Event, grant *Grant) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	session, r, err := h.session(ctx, e.Topic)
	if err != nil {
		return err
	}
	if grant != nil {
		if err := grant.mayUse(e.Topic, session); err != nil {
			return err
		}
		if !grant.Scopes.Write(e.Name) {
			return refuse(403, "the token has no write scope for this event")
		}
	}
	if err := h.check(e); err != nil {
		return err
	}
	if err := r.admit(e); err != nil {
		return err
	}
	if e.Name.Changes() || e.Name.Is(fhircast.UserLogout) {
		if err := h.config.Store.Save(ctx, e.Topic, session.after(e)); err != nil {
			h.config.Log.Warn("session not saved", "error", err)
			return refuse(503, "the session cannot be saved")
		}
	}
	if !e.Name.Is(fhircast.Heartbeat) {
		r.note(Entry{What: "published", EventID: e.ID, EventName: e.Name})
		h.config.Log.Info("event", "event", e.ID, "name", e.Name)
	}
	for _, s := range r.subscribers() { // the requester too, with the id it gave
		if s.wants(e.Name) {
			h.queueFrame(s, outgoing{e.Wire(), e})
		}
	}
	return nil
}

// check is for what the hub itself relies on. (Whether a patient belongs to a study is the requester's to guarantee;
// FHIRcast 3.0.0, 2.6.)
func (h *Hub) check(e *fhircast.Event) error {
	switch {
	case len(e.ID) > 200:
		return refuse(400, "the id is longer than 200 characters")
	case !e.Name.In(h.config.Events):
		return refuse(400, "the hub does not offer this event; see eventsSupported")
	case e.Name.Changes() && !e.Name.Is(fhircast.HomeOpen) && anchorID(e) == "":
		return refuse(400, "the context does not hold the %s that the event is about exactly once, as a resource with an id", e.Name.Resource())
	}
	return nil
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
	current, err := contextOf(session.Current)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, current)
}
