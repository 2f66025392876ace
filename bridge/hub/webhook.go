package hub

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// Webhooks are how subscribers are reached who have no socket: by requests to an address of theirs. FHIRcast 1.0 knows
// nothing else, 2.0 has them beside sockets, 3.0.0 no longer has them.
type Webhooks struct {
	// Client makes the requests; nil offers no webhooks. Redirects are not followed and no cookies kept, whatever it says.
	Client *http.Client
	// Allow tells whether an address may be called: whoever may subscribe can make the hub send requests there. Nil allows
	// loopback addresses and the name localhost only.
	Allow func(*url.URL) bool
}

// A callback is the other end of a webhook. Its goroutine alone reads url; the rest is guarded by the hub's lock.
type callback struct {
	url     *url.URL
	secret  string // signs what is sent there
	pending *intent
	stop    context.CancelFunc // ends the request that is under way
}

// An intent is a request that the callback has to confirm before it counts. A newer one takes its place.
type intent struct {
	mode    string // subscribe or unsubscribe
	wish    wish
	expires time.Time
	secret  string
}

// postWebhook takes a request to be called back, or no longer (FHIRcast 2.0, 2.4). Without hub.channel.type it is one of
// 1.0, which has the callback confirm that it wants to leave, too.
func (h *Hub) postWebhook(w http.ResponseWriter, r *http.Request, grant Grant, form map[string]string) error {
	address, err := h.callbackURL(form["hub.callback"])
	if err != nil {
		return err
	}
	topic := fhircast.Secret(form["hub.topic"])
	if topic == "" {
		return refuse(400, "no hub.topic")
	}
	if len(form["hub.secret"]) >= 200 {
		return refuse(400, "hub.secret has 200 bytes or more")
	}
	switch mode := form["hub.mode"]; mode {
	case "subscribe":
		ask, err := h.wish(form)
		if err == nil {
			err = h.hook(r.Context(), topic, grant, address, intent{mode, ask, grant.Expires, form["hub.secret"]})
		}
		if err != nil {
			return err
		}
	case "unsubscribe":
		if err := h.unhook(r.Context(), topic, grant, address, form["hub.channel.type"] == ""); err != nil {
			return err
		}
	default:
		return refuse(400, "hub.mode is neither subscribe nor unsubscribe")
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// isWebhook tells whether a form is about one; a hub that offers none treats it as a socket of an unknown type.
func (h *Hub) isWebhook(form map[string]string) bool {
	kind, given := form["hub.channel.type"]
	return h.config.Webhooks.Client != nil && (kind == "webhook" || !given && form["hub.callback"] != "")
}

func (h *Hub) callbackURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(text) > 2000:
		return nil, refuse(400, "hub.callback is no http or https URL")
	case u.User != nil || u.Fragment != "":
		return nil, refuse(400, "hub.callback has a user or a fragment")
	}
	allowed := h.config.Webhooks.Allow
	if allowed == nil {
		allowed = isLoopback
	}
	if !allowed(u) {
		return nil, refuse(403, "the hub does not call addresses like this hub.callback")
	}
	return u, nil
}

// isLoopback goes by what is written: a name that is looked up could be another address by the time it is called.
func isLoopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
}

// hook begins a subscription for that address, or asks an existing one to confirm other terms.
func (h *Hub) hook(ctx context.Context, topic fhircast.Secret, grant Grant, address *url.URL, in intent) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, r, err := h.sessionFor(ctx, topic, grant)
	if err != nil {
		return err
	}
	if in.wish.events, err = h.granted(in.wish.events, grant); err != nil {
		return err
	}
	s := r.hooked(address)
	if s == nil {
		if s, err = h.admit(r); err != nil {
			return err
		}
		// The request's context must not end this: it is answered before the callback is asked.
		ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
		s.callback, s.connected = &callback{url: address, stop: stop}, true
		h.sockets.Add(1)
		go func() {
			defer h.sockets.Done()
			defer stop()
			h.callBack(ctx, s)
		}()
	}
	s.callback.pending = &in
	s.poke()
	return nil
}

func (h *Hub) unhook(ctx context.Context, topic fhircast.Secret, grant Grant, address *url.URL, confirm bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	session, r, err := h.session(ctx, topic)
	if err != nil {
		return err
	}
	if err := grant.mayUse(topic, session); err != nil {
		return err
	}
	s := r.hooked(address)
	switch {
	case s == nil:
		return refuse(h.config.Rules.Unknown, "no subscription has this callback")
	case confirm:
		s.callback.pending = &intent{mode: "unsubscribe", wish: wish{events: s.events}}
		s.poke()
	default:
		h.drop(s, ending{reason: "unsubscribed"})
	}
	return nil
}

// hooked is the subscription of that address: a topic has one for each callback.
func (r *room) hooked(address *url.URL) *subscription {
	for _, s := range r.subs {
		if s.callback != nil && s.callback.url.String() == address.String() {
			return s
		}
	}
	return nil
}

// settle makes what the callback has confirmed true. What it has not confirmed leaves all as it was, and a subscription
// that never was ends.
func (h *Hub) settle(ctx context.Context, s *subscription, in *intent, confirmed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.end != nil:
	case !confirmed:
		h.config.Log.Warn("webhook not confirmed", "subscriber", s.name, "mode", in.mode)
		if !s.confirmed && s.callback.pending == nil {
			h.drop(s, ending{})
		}
	case in.mode == "unsubscribe":
		h.drop(s, ending{reason: "unsubscribed"})
	default:
		s.events, s.expires, s.asked, s.callback.secret = in.wish.events, in.expires, in.wish.lease, in.secret
		if in.wish.name != "" {
			s.name = in.wish.name
		}
		if s.confirmed {
			h.confirm(s)
			s.room.note(Entry{What: "renewed", Subscriber: s.name})
			return
		}
		h.welcome(ctx, s)
	}
}

// takeIntent is what the callback has to confirm next, with the time that it would have; nil for nothing.
func (h *Hub) takeIntent(s *subscription) (in *intent, lease time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.end != nil || s.callback.pending == nil {
		return nil, 0
	}
	in, s.callback.pending = s.callback.pending, nil
	return in, lifetime(in.wish.lease, in.expires)
}
