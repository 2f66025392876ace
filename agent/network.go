package agent

import (
	"net/netip"
	"slices"
	"sync/atomic"
)

// An origin is the networks that a connection was made from. It is noted by the subscriber's goroutine and read by the
// agent's.
type origin struct {
	ask      func() ([]netip.Prefix, error)
	networks atomic.Pointer[[]netip.Prefix] // nil = not known
}

func (o *origin) note() {
	networks, err := o.ask()
	if err != nil {
		o.networks.Store(nil)
		return
	}
	o.networks.Store(&networks)
}

// lookAtNetwork notices that this computer is in another network. What was connected from one that is gone is dead,
// though nobody may say so for half a minute; and with one that is new there is no reason to wait for the next try.
func (a *Agent) lookAtNetwork() {
	now, err := a.cfg.Networks()
	if err != nil {
		return // that we cannot know is no change
	}
	came := missing(now, a.networks)
	changed := came || missing(a.networks, now)
	a.networks = now
	if changed {
		a.proxies.Forget()
	}
	if a.line == nil {
		return
	}
	another := came
	if from := a.line.origin.networks.Load(); a.line.client.State().Subscribed() {
		if another = from != nil && missing(*from, now); from == nil || len(*from) == 0 {
			a.line.origin.networks.Store(&now) // a cable that was just put in carries before the system says so
		}
	}
	if another {
		a.cfg.Log.Info("this is another network")
		a.reconnect("another network")
	}
}

// missing tells whether there is one of those that is not among these.
func missing(those, these []netip.Prefix) bool {
	return slices.ContainsFunc(those, func(p netip.Prefix) bool { return !slices.Contains(these, p) })
}

// reconnect makes the subscription anew, for a reason of this computer's. The way to the hub may be another one, and what
// is idle may be dead: a request that takes it up would wait for its deadline.
func (a *Agent) reconnect(why string) {
	a.proxies.Forget()
	for _, t := range a.transports {
		t.CloseIdleConnections()
	}
	if a.line != nil {
		a.line.client.Reconnect(why)
	}
}
