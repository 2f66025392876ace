package hub

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

func (h *Hub) prepareUpdate(q *request) (err error) {
	if q.anchor, err = sharedAnchor(q.came); err != nil {
		return err
	}
	if q.changes, err = changesOf(q.came); err != nil {
		return err
	}
	if q.came.Version == "" {
		return refuse(400, "the update has no context.versionId")
	}
	q.version = newID()
	q.sent, err = stamped(q.came, q.version, q.came.Version)
	return err
}

func (h *Hub) prepareSelection(q *request) (err error) {
	if q.anchor, err = sharedAnchor(q.came); err != nil {
		return err
	}
	q.selected, err = selectionOf(q.came)
	return err
}

// update is the session once all of an update has happened, or why none of it may (FHIRcast 3.0.0, 2.10).
func (h *Hub) update(s Session, q *request) (Session, error) {
	open, content, err := h.about(s, q)
	if err != nil {
		return s, err
	}
	if q.came.Version != content.Version {
		return s, refuse(h.config.Rules.Conflict, "the update is of another version than the latest; read the context")
	}
	for _, c := range q.changes {
		if err := h.mayChange(open, c); err != nil {
			return s, err
		}
	}
	content = content.with(q.changes, q.version)
	if content.size() > h.config.MaxContent {
		return s, refuse(http.StatusRequestEntityTooLarge, "the content would have more than %d bytes", h.config.MaxContent)
	}
	return s.withContent(content), nil
}

// selection passes a selection on. What it selects may be unknown (FHIRcast 3.0.0, 2.10), unless the rules say otherwise:
// then that is left out, and who sent it is told.
func (h *Hub) selection(s Session, q *request) error {
	open, content, err := h.about(s, q)
	if err != nil {
		return err
	}
	if !s.isCurrent(open) {
		return refuse(409, "this %s is not the current context", q.came.Name.Resource())
	}
	known := slices.DeleteFunc(slices.Clone(q.selected), func(ref string) bool { return !content.has(ref) && !contextHas(open, ref) })
	if !h.config.Rules.KnownSelections || len(known) == len(q.selected) {
		return nil
	}
	q.status = http.StatusPartialContent
	q.sent, err = selecting(q.came, known)
	return err
}

// about is the open and the content that an update or a selection is about.
func (h *Hub) about(s Session, q *request) (*fhircast.Event, Content, error) {
	open := s.open(q.anchor)
	content, shared := s.content(q.anchor)
	switch {
	case open == nil || !shared:
		return nil, Content{}, refuse(409, "this %s is not open", q.came.Name.Resource())
	case !s.isCurrent(open) && !h.config.Rules.NonCurrentUpdates:
		return nil, Content{}, refuse(409, "this %s is not the current context", q.came.Name.Resource())
	}
	return open, content, nil
}

// mayChange keeps what the open brought: it is never deleted (FHIRcast 3.0.0, 2.10), and, where the rules say so, patient
// and study keep what they are known by.
func (h *Hub) mayChange(open *fhircast.Event, c change) error {
	item, ok := contextItem(open, c.Ref)
	switch {
	case c.Body == nil && ok:
		return refuse(400, "an update may not delete what came with the open")
	case c.Body == nil || !h.config.Rules.SameIdentity:
		return nil
	case strings.HasPrefix(c.Ref, "patient/") && !ok && holds(open, "patient"):
		return refuse(400, "an update may not bring another patient")
	case strings.HasPrefix(c.Ref, "patient/") || strings.HasPrefix(c.Ref, "imagingstudy/"):
		if ok && !keepsIdentity(item, c.Body) {
			return refuse(400, "an update may not change what patient and study are known by")
		}
	}
	return nil
}

// keepsIdentity tells whether a resource still has every identifier that it was opened with.
func keepsIdentity(was fhircast.Item, body json.RawMessage) bool {
	type identity struct {
		Identifier []struct{ System, Value string }
	}
	var before, now identity
	if json.Unmarshal(was.Value, &before) != nil || json.Unmarshal(body, &now) != nil {
		return false
	}
	for _, id := range before.Identifier {
		if !slices.Contains(now.Identifier, id) {
			return false
		}
	}
	return true
}

func contextHas(e *fhircast.Event, ref string) bool { _, ok := contextItem(e, ref); return ok }

func contextItem(e *fhircast.Event, ref string) (fhircast.Item, bool) {
	for _, item := range e.Context {
		if r, ok := item.Resource(); ok && r.ID != "" && reference(r.Type, r.ID) == ref {
			return item, true
		}
	}
	return fhircast.Item{}, false
}
