package subscriber

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// The channels of [Config], by their words in hub.channel.type.
const (
	websocketChannel = "websocket"
	webhookChannel   = "webhook"
)

const (
	// believed is how long a hub's agreement to a webhook is believed. Longer leases are renewed as if they were no longer.
	believed = 2 * time.Minute
	// hookLease is what to wish for where nothing is configured: when we crash the hub calls where nobody is, and tells
	// everybody else that we do not follow, until the lease ends.
	hookLease   = 10 * time.Minute
	verifyLimit = 10 * time.Second // for the hub to verify what it has accepted
)

// errElsewhere: a hub on another computer cannot call us, and what it posts would be readable on its way.
var errElsewhere = errors.New("a webhook is for a hub on this computer, and the hub's address is not of this computer")

var errUnverified = fmt.Errorf("the hub has not verified the webhook within %v", verifyLimit)

// hooked tells whether the hub calls us back.
func (h *requests) hooked() bool { return h.cfg.Channel == webhookChannel }

// subscribeHook asks for a subscription by callback, or, which is the same request, for its renewal (FHIRcast STU2,
// 2.4). It returns when the hub has verified that: to accept a request is not yet to call us.
func (h *requests) subscribeHook(ctx context.Context, c *callback) error {
	form := h.hookForm("subscribe", c)
	verified := c.expect("subscribe", h.wanted())
	if _, err := h.ask(ctx, form, requestLimit); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := await(ctx, verified); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// unsubscribeHook ends a subscription by callback. A hub of STU1 verifies that too, and then needs the callback for it.
func (h *requests) unsubscribeHook(ctx context.Context, c *callback) error {
	form := h.hookForm("unsubscribe", c)
	verified := c.expect("unsubscribe", h.wanted())
	_, err := h.ask(ctx, form, leaveLimit)
	if err == nil && !form.Has("hub.channel.type") {
		err = await(ctx, verified)
	}
	if err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	return nil
}

// hookForm is a request about a callback. Hubs that want events in an unsubscribe want all that the subscribe had: it
// mirrors it (FHIRcast STU1, 2.4).
func (h *requests) hookForm(mode string, c *callback) url.Values {
	form := h.form(mode, place{callback: c})
	if mode == "subscribe" || h.dialect().UnsubscribeEvents {
		h.wish(form)
		form.Set("hub.secret", c.secret.Reveal())
	}
	return form
}

func await(ctx context.Context, verified <-chan struct{}) error {
	patience := time.NewTimer(verifyLimit)
	defer patience.Stop()
	select {
	case <-verified:
		return nil
	case <-patience.C:
		return errUnverified
	case <-ctx.Done():
		return clean(ctx.Err(), errUnverified.Error())
	}
}

// newCallback opens a port of this computer for the hub, which has to be on this computer too.
func (h *requests) newCallback(ctx context.Context) (*callback, error) {
	addresses, err := lookUp(ctx, h.url.Hostname())
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", clean(err, "the hub's name could not be looked up"))
	}
	if !areHere(addresses, ownAddresses()) {
		return nil, fmt.Errorf("subscribe: %w", errElsewhere)
	}
	listen := h.cfg.Listen
	if listen == nil {
		listen = net.Listen
	}
	listener, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		listener, err = listen("tcp", "[::1]:0")
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", &lineError{"no port of this computer is to be had for the hub to call", err})
	}
	return makeCallback(ctx, h, listener), nil
}

// lookUp is what a host stands for; an address stands for itself.
func lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// ownAddresses is what the system tells of; it may tell of none.
func ownAddresses() (own []netip.Addr) {
	networks, _ := net.InterfaceAddrs()
	for _, n := range networks {
		if prefix, err := netip.ParsePrefix(n.String()); err == nil {
			own = append(own, prefix.Addr().Unmap())
		}
	}
	return own
}

// areHere tells whether each address is loopback or of this computer. A name that is that only in part is not enough.
func areHere(addresses, own []netip.Addr) bool {
	for _, a := range addresses {
		if a = a.Unmap().WithZone(""); !a.IsLoopback() && !slices.Contains(own, a) {
			return false
		}
	}
	return len(addresses) > 0
}

// arrive is where the hub shall reach a line that is to be: for a webhook a callback has to be there before it is asked for.
// It lives as long as the line.
func (o *owner) arrive(l *line) (place, error) {
	if !o.hub.hooked() {
		return place{}, nil
	}
	c, err := o.hub.newCallback(l.ctx)
	if err != nil {
		return place{}, err
	}
	o.work.Go(c.serve)
	return place{callback: c}, nil
}

// abandon tells the hub that a line which is lost to us is not to be called any more. Of a socket it sees the end; a
// webhook that nobody serves it would call, and tell everybody else that we do not follow.
func (o *owner) abandon(l *line) {
	if l.at.callback == nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, leaveLimit)
	defer cancel()
	if err := o.hub.unsubscribe(ctx, l.at); err != nil {
		o.cfg.Log.Debug("the hub was not told of a webhook that is over", "why", err.Error(), "line", l.number)
	}
}

// believable is for how long a lease is believed on that line.
func (p place) believable(lease time.Duration) time.Duration {
	if p.callback != nil {
		return min(lease, believed)
	}
	return lease
}

// isTopic is for words of a stranger: how long it takes says nothing.
func (h *requests) isTopic(word string) bool { return sameSecret(word, h.cfg.Topic) }

// asked tells whether all events are among those.
func asked(events, of []fhircast.Name) bool {
	return !slices.ContainsFunc(events, func(n fhircast.Name) bool { return !n.In(of) })
}
