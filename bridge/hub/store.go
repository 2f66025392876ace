package hub

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/castray/castray/bridge/fhircast"
)

// A Store keeps sessions by their topic. The hub changes one session at a time and holds its lock meanwhile, so a Store
// has to be quick. Subscriptions are not kept: they live as long as their sockets.
type Store interface {
	// Load returns an error that is fs.ErrNotExist when there is no such topic.
	Load(ctx context.Context, topic fhircast.Secret) (Session, error)
	Save(ctx context.Context, topic fhircast.Secret, s Session) error
	// Delete of a topic that is not there is no error.
	Delete(ctx context.Context, topic fhircast.Secret) error
}

// Memory is a Store that ends with the process. The zero value is ready.
type Memory struct {
	mu       sync.Mutex
	sessions map[fhircast.Secret]Session
}

// Load is of [Store].
func (m *Memory) Load(_ context.Context, topic fhircast.Secret) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[topic]
	if !ok {
		return Session{}, fs.ErrNotExist
	}
	return s, nil
}

// Save is of [Store].
func (m *Memory) Save(_ context.Context, topic fhircast.Secret, s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions = map[fhircast.Secret]Session{}
	}
	m.sessions[topic] = s
	return nil
}

// Delete is of [Store].
func (m *Memory) Delete(_ context.Context, topic fhircast.Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, topic)
	return nil
}

// A Session is the context of one topic. It is never changed, only replaced.
type Session struct {
	User string
	// Open are the opens that nothing has closed since, each resource once, the latest last.
	Open []*fhircast.Event
	// Current is the latest open, Home-open included; nil before the first and after its close.
	Current *fhircast.Event
	// Shared is the content of each of Open that has a version.
	Shared []Content
}

// after is the session once an event has happened. Only the close of the current resource ends the current context, and
// nothing takes its place by itself (FHIRcast 3.0.0, 2.9). Content goes with the close of what it is about. A logout leaves nothing behind for the next user.
func (s Session) after(e *fhircast.Event) Session {
	switch {
	case e.Name.Is(fhircast.UserLogout):
		s.Open, s.Current, s.Shared = nil, nil, nil
	case e.Name.Is(fhircast.HomeOpen):
		s.Current = e
	case e.Name.Verb() == fhircast.Open:
		s.Open = append(s.without(e), e)
		s.Current = e
		if e.Version != "" { // opened again it has another version and the content that it had
			c, _ := s.content(anchorRef(e))
			c.Anchor, c.Version = anchorRef(e), e.Version
			s = s.withContent(c)
		}
	case e.Name.Verb() == fhircast.Close:
		s.Open = s.without(e)
		if i := s.shared(anchorRef(e)); i >= 0 {
			s.Shared = slices.Delete(slices.Clone(s.Shared), i, i+1)
		}
		if s.Current != nil && aboutSame(s.Current, e) {
			s.Current = nil
		}
	}
	return s
}

func (s Session) without(e *fhircast.Event) []*fhircast.Event {
	return slices.DeleteFunc(slices.Clone(s.Open), func(o *fhircast.Event) bool { return aboutSame(o, e) })
}

// initial is what a new subscriber has to know: of each resource type the latest open that is not closed, in the order
// in which they were opened (FHIRcast 3.0.0, 2.4). A Home-open that is still current comes last, or the subscriber
// would take one of the others for the current context.
func (s Session) initial() []*fhircast.Event {
	var list []*fhircast.Event
	for i, e := range s.Open {
		later := slices.ContainsFunc(s.Open[i+1:], func(o *fhircast.Event) bool { return o.Name.Is(e.Name) })
		if !later {
			list = append(list, e)
		}
	}
	if s.Current != nil && s.Current.Name.Is(fhircast.HomeOpen) {
		list = append(list, s.Current)
	}
	return list
}

func aboutSame(a, b *fhircast.Event) bool {
	ref := anchorRef(a)
	return ref != "" && ref == anchorRef(b)
}

// anchorRef is the resource that an open or close is about, as [Content] calls it, "" where it cannot be told.
func anchorRef(e *fhircast.Event) string {
	id := anchorID(e)
	if id == "" {
		return ""
	}
	return reference(e.Name.Resource(), id)
}

// anchorID is the FHIR id of the resource that an open or close is about, "" where it has none that can be told.
func anchorID(e *fhircast.Event) string {
	item, ok := e.Anchor()
	if !ok {
		return ""
	}
	r, ok := item.Resource()
	if !ok || !strings.EqualFold(r.Type, e.Name.Resource()) {
		return ""
	}
	return r.ID
}

// reference is how the hub names a resource. Event names may be in any case, so the type is put in lower case.
func reference(resource, id string) string { return strings.ToLower(resource) + "/" + id }
