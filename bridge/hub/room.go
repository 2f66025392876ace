package hub

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// A room is what a topic has at this hub beside its session. It is guarded by the hub's lock.
type room struct {
	topic    fhircast.Secret
	subs     []*subscription // in the order in which they were made, those not yet connected too
	posted   []posted        // the latest events
	latest   string          // id of the latest event that changed the context
	log      []Entry
	logged   int
	watchers map[chan struct{}]bool
}

// memory bounds what a room remembers: events for telling repeats, and lines of the log.
const memory = 256

type posted struct {
	id     string
	sum    [sha256.Size]byte
	status int // that it was answered
}

// before is what was answered when the same event came before. It refuses what is neither new nor a repeat: an id belongs
// to one event for good (FHIRcast 3.0.0, 2.5). Whoever does not know whether a request arrived sends it again with its
// id, but once something newer has happened a repeat would take everybody back to an older context, so it is refused.
func (r *room) before(e *fhircast.Event, sum [sha256.Size]byte) (status int, repeat bool, err error) {
	i := slices.IndexFunc(r.posted, func(p posted) bool { return p.id == e.ID })
	switch {
	case i < 0:
		return 0, false, nil
	case r.posted[i].sum != sum:
		return 0, true, refuse(409, "another event had this id")
	case e.Name.Changes() && r.latest != e.ID:
		return 0, true, refuse(409, "a repeat, but the context has changed since")
	}
	return r.posted[i].status, true, nil
}

// remember is for an event that was taken. One that was refused may come again under its id, mended.
func (r *room) remember(e *fhircast.Event, sum [sha256.Size]byte, status int) {
	if len(r.posted) == memory {
		r.posted = slices.Delete(r.posted, 0, 1)
	}
	r.posted = append(r.posted, posted{e.ID, sum, status})
	if e.Name.Changes() {
		r.latest = e.ID
	}
}

// subscribers is a copy, for loops that drop some.
func (r *room) subscribers() []*subscription { return slices.Clone(r.subs) }

// An Entry is one line of what happened on a topic. It holds names and ids, no PHI and no secret.
type Entry struct {
	Number int       // from 1, without gaps
	At     time.Time // the hub's clock
	// What is "subscribed", "renewed", "published", "answered", "syncerror" (the hub sent one about Subscriber),
	// "gone" or "unreadable" (a frame from Subscriber).
	What       string
	Subscriber string        // its name; "" for published
	EventID    string        // the event in question
	EventName  fhircast.Name // its name
	Status     int           // of an answer; 0 when it had none
	Detail     string        // why, for "gone" and "syncerror"
}

func (r *room) note(e Entry) {
	r.logged++
	e.Number, e.At = r.logged, time.Now()
	if len(r.log) == memory {
		r.log = slices.Delete(r.log, 0, 1)
	}
	r.log = append(r.log, e)
	r.changed()
}

func (r *room) changed() {
	for c := range r.watchers {
		select {
		case c <- struct{}{}:
		default: // told already, and has not looked yet
		}
	}
}

// Log is what happened on a topic after the entry of that number, oldest first: 0 for all that is remembered, the
// latest 256.
func (h *Hub) Log(topic fhircast.Secret, after int) []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[topic]
	if r == nil {
		return nil
	}
	from := slices.IndexFunc(r.log, func(e Entry) bool { return e.Number > after })
	if from < 0 {
		return nil
	}
	return slices.Clone(r.log[from:])
}

// Watch gives a channel that has a value whenever [Hub.Log] or [Hub.Subscribers] of that topic may have changed since
// the last receive, until stop is called. A slow watcher misses steps, never the last.
func (h *Hub) Watch(ctx context.Context, topic fhircast.Secret) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, r, err := h.session(ctx, topic)
	if err != nil {
		return c, func() {}
	}
	r.watchers[c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(r.watchers, c)
	}
}

// A Subscriber is one subscription as others may see it.
type Subscriber struct {
	Name   string
	Events []fhircast.Name
	Since  time.Time // of its socket
	Last   Answer    // zero before the first
}

// An Answer is what a Subscriber said to an event. Status is 0 when it gave none.
type Answer struct {
	EventID   string
	EventName fhircast.Name
	Status    int
	At        time.Time
}

// Subscribers lists who is subscribed to a topic and connected, in the order in which they came.
func (h *Hub) Subscribers(topic fhircast.Secret) []Subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Subscriber
	if r := h.rooms[topic]; r != nil {
		for _, s := range r.subs {
			if s.confirmed {
				list = append(list, Subscriber{Name: s.name, Events: slices.Clone(s.events), Since: s.since, Last: s.last})
			}
		}
	}
	return list
}
