package hub

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/castray/castray/bridge/fhircast"
)

// postForm subscribes, renews or ends a subscription (FHIRcast 3.0.0, 2.4).
func (h *Hub) postForm(w http.ResponseWriter, r *http.Request, grant Grant, body string) error {
	form, err := parameters(body)
	if err != nil {
		return err
	}
	if h.isWebhook(form) {
		return h.postWebhook(w, r, grant, form)
	}
	if form["hub.channel.type"] != "websocket" {
		return refuse(400, "hub.channel.type is not websocket")
	}
	topic := fhircast.Secret(form["hub.topic"])
	if topic == "" {
		return refuse(400, "no hub.topic")
	}
	var s *subscription
	switch form["hub.mode"] {
	case "subscribe":
		var ask wish
		if ask, err = h.wish(form); err == nil {
			s, err = h.subscribe(r.Context(), topic, grant, ask)
		}
		if err == nil {
			h.introduce(s) // again, where this renews
		}
	case "unsubscribe":
		s, err = h.unsubscribe(r.Context(), topic, grant, form["hub.channel.endpoint"])
	default:
		err = refuse(400, "hub.mode is neither subscribe nor unsubscribe")
	}
	if err != nil {
		return err
	}
	return reply(w, http.StatusAccepted, map[string]string{"hub.channel.endpoint": s.endpoint.Reveal()})
}

// A wish is what a subscribe request asks for.
type wish struct {
	endpoint string // of the subscription to renew, "" for a new one
	events   []fhircast.Name
	lease    time.Duration
	name     string
}

func (h *Hub) wish(form map[string]string) (wish, error) {
	ask := wish{endpoint: form["hub.channel.endpoint"], lease: h.config.Lease}
	ask.events = fhircast.Names(strings.Split(form["hub.events"], ","))
	if len(ask.events) == 0 {
		return wish{}, refuse(400, "no hub.events")
	}
	if text, ok := form["hub.lease_seconds"]; ok {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil || seconds == 0 {
			return wish{}, refuse(400, "hub.lease_seconds is no positive whole number")
		}
		ask.lease = min(h.config.Lease, time.Duration(seconds)*time.Second)
	}
	ask.name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, form["subscriber.name"])
	switch {
	case len([]rune(ask.name)) > 200:
		return wish{}, refuse(400, "subscriber.name is longer than 200 characters")
	case h.config.Rules.Named && strings.TrimSpace(ask.name) == "":
		return wish{}, refuse(400, "no subscriber.name")
	}
	return ask, nil
}

func (h *Hub) subscribe(ctx context.Context, topic fhircast.Secret, grant Grant, ask wish) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, r, err := h.sessionFor(ctx, topic, grant)
	if err != nil {
		return nil, err
	}
	granted, err := h.granted(ask.events, grant)
	if err != nil {
		return nil, err
	}
	s := h.endpoints[fhircast.Secret(ask.endpoint)]
	switch {
	case ask.endpoint == "":
		if s, err = h.newSubscription(r); err != nil {
			return nil, err
		}
	case s == nil || s.room != r:
		return nil, refuse(h.config.Rules.Unknown, "no subscription has this endpoint; subscribe without one")
	}
	s.events, s.expires, s.asked = granted, grant.Expires, ask.lease
	if ask.name != "" {
		s.name = ask.name
	}
	if s.confirmed { // the new list replaces the old one, on the same socket
		h.confirm(s)
		r.note(Entry{What: "renewed", Subscriber: s.name})
	}
	return s, nil
}

// granted is the part of the wish that the hub offers and the token allows; a Subscriber may be granted fewer events
// than it asked for (FHIRcast 3.0.0, 2.4).
func (h *Hub) granted(asked []fhircast.Name, grant Grant) ([]fhircast.Name, error) {
	var known, granted []fhircast.Name
	for _, n := range asked {
		if h.offers(n) {
			known = append(known, n)
			if grant.Scopes.Read(n) {
				granted = append(granted, n)
			}
		}
	}
	switch {
	case len(known) == 0:
		return nil, refuse(400, "the hub offers none of these events; see eventsSupported")
	case len(granted) == 0:
		return nil, refuse(403, "the token has no read scope for any of these events")
	}
	return granted, nil
}

// newSubscription has an endpoint, which is wss and nothing else, whatever the listener is (FHIRcast 3.0.0, 2.4).
func (h *Hub) newSubscription(r *room) (*subscription, error) {
	s, err := h.admit(r)
	if err != nil {
		return nil, err
	}
	s.endpoint = h.endpoint(rand.Text())
	s.connectBy = time.Now().Add(h.config.ConnectWithin)
	h.endpoints[s.endpoint] = s
	return s, nil
}

// admit makes a subscription, of whatever sort, if there is room for it.
func (h *Hub) admit(r *room) (*subscription, error) {
	h.forgetLate(r)
	if len(r.subs) >= h.config.PerTopic {
		return nil, refuse(429, "the topic has %d subscriptions, the most there may be", len(r.subs))
	}
	h.made++
	s := &subscription{room: r, name: fmt.Sprintf("subscriber %d", h.made), wake: make(chan struct{}, 1), over: make(chan struct{})}
	r.subs = append(r.subs, s)
	return s, nil
}

// forgetLate drops the subscriptions of a room whose socket never came.
func (h *Hub) forgetLate(r *room) {
	for _, s := range r.subscribers() {
		if !s.connected && !time.Now().Before(s.connectBy) {
			h.drop(s, ending{})
		}
	}
}

// unsubscribe ends one subscription; the socket is told and closed, and its endpoint never works again (FHIRcast 3.0.0,
// 2.4).
func (h *Hub) unsubscribe(ctx context.Context, topic fhircast.Secret, grant Grant, endpoint string) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	session, r, err := h.session(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := grant.mayUse(topic, session); err != nil {
		return nil, err
	}
	if endpoint == "" {
		return nil, refuse(400, "no hub.channel.endpoint")
	}
	s := h.endpoints[fhircast.Secret(endpoint)]
	if s == nil || s.room != r {
		return nil, refuse(h.config.Rules.Unknown, "no subscription has this endpoint")
	}
	h.drop(s, ending{asked: true, deny: true, reason: "unsubscribed", code: closeNormal})
	return s, nil
}
