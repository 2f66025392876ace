package hub

import (
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/castray/castray/bridge/fhircast"
)

// A Behind is a program that decides, subscriber by subscriber, what they are told: the hub keeps the subscriptions and
// their sockets, and no context. It is called from the goroutines of sockets and requests, not under the lock that guards
// the hub's state.
type Behind interface {
	// Subscribed says that the confirmation is on its way, to whom and for which events; again when a renewal is.
	Subscribed(name string, events []fhircast.Name)
	// Answered hands on the first answer to an event, 0 for one without a status.
	Answered(id string, status int)
	// Gone says that a socket has ended: as the subscriber asked, who unsubscribed, or in any other way.
	Gone(asked bool)
}

// introduce tells who is behind the hub about a subscriber that is confirmed.
func (h *Hub) introduce(s *subscription) {
	h.introducing.Lock() // or of two renewals the older might be told last, and an end before the beginning
	defer h.introducing.Unlock()
	h.mu.Lock()
	confirmed, name, events := s.confirmed && s.end == nil, s.name, slices.Clone(s.events)
	h.mu.Unlock()
	if confirmed && h.config.Behind != nil {
		h.config.Behind.Subscribed(name, events)
	}
}

func (h *Hub) seeOff(s *subscription) {
	h.mu.Lock()
	asked := s.end != nil && s.end.asked
	h.mu.Unlock()
	if h.config.Behind != nil {
		h.config.Behind.Gone(asked)
	}
}

// Tell writes an event to who is subscribed to its topic, as it is: unchecked, and no context of the hub's comes of it. It
// returns when it is written, or net.ErrClosed when there is a subscriber that will not get it any more, or none.
func (h *Hub) Tell(e *fhircast.Event) error {
	type waiting struct{ written, over chan struct{} }
	var waits []waiting
	h.mu.Lock()
	if r := h.rooms[e.Topic]; r != nil {
		for _, s := range r.subscribers() {
			if s.confirmed {
				o := outgoing{frame: e.Wire(), id: e.ID, about: e, written: make(chan struct{})}
				h.queueFrame(s, o)
				waits = append(waits, waiting{o.written, s.over})
			}
		}
	}
	h.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w.written:
		case <-w.over:
			return net.ErrClosed
		}
	}
	if len(waits) == 0 {
		return net.ErrClosed
	}
	return nil
}

// isPlain is for an http address that no other machine can be at, and no name.
func isPlain(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && err == nil && addr.IsLoopback()
}
