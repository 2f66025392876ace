package agent

import (
	"net/netip"
	"slices"
)

// lookAtNetwork notices that this computer is in another network. What was connected from one that is gone is dead,
// though nobody may say so for half a minute; and with one that is new there is no reason to wait for the next try.
func (a *Agent) lookAtNetwork() {
	now, err := a.cfg.Networks()
	if err != nil {
		return // that we cannot know is no change
	}
	gone, came := moved(a.networks, now)
	if a.networks = now; !gone && !came {
		return
	}
	a.proxies.Forget()
	if a.line != nil && (gone || !a.line.client.State().Subscribed()) {
		a.cfg.Log.Info("this is another network")
		a.reconnect("another network")
	}
}

// moved tells whether a network has gone, and whether one has come.
func moved(was, now []netip.Prefix) (gone, came bool) {
	missing := func(from []netip.Prefix) func(netip.Prefix) bool {
		return func(p netip.Prefix) bool { return !slices.Contains(from, p) }
	}
	return slices.ContainsFunc(was, missing(now)), slices.ContainsFunc(now, missing(was))
}

// reconnect makes the subscription anew, for a reason of this computer's. The way to the hub may be another one.
func (a *Agent) reconnect(why string) {
	a.proxies.Forget()
	if a.line != nil {
		a.line.client.Reconnect(why)
	}
}
