package bridge

import (
	"slices"

	"github.com/castray/castray/bridge/fhircast"
)

// A hub may grant less than was asked (FHIRcast 3.0.0, 2.4.3.2), and then it changes the context without a word to us.
//
// What the configuration asks for is mostly a list of all that might come, and many hubs know only some of it: that is
// told as a problem and changes no phase. But an app that named an event counts on it. Also where it is brought along by
// derived opens, it may be somewhere else than the hub: it cannot look in sync (S1).

// granted says what the hub grants, of what we asked for; an empty list stands for all of it (FC-CNF-07). What it grants
// beyond that is not relayed: see asked.
func (c *core) granted(list []fhircast.Name) {
	c.missing, c.grantedAt = nil, c.now
	if len(list) == 0 {
		return
	}
	for _, n := range c.session.Events {
		if !n.In(list) {
			c.missing = append(c.missing, n)
		}
	}
}

// misses tells whether an app asked, by name, for an event that the hub does not grant.
func (c *core) misses(a *app) bool {
	return !a.Hidden && !a.lost && a.counts() && slices.ContainsFunc(c.missing, func(n fhircast.Name) bool { return n.In(a.Events) })
}

// notGranted are the problems that come of it.
func (c *core) notGranted() (list []Problem) {
	if len(c.missing) == 0 {
		return nil
	}
	list = append(list, Problem{Code: problemNotGranted, Since: c.grantedAt})
	for _, a := range c.apps {
		if c.misses(a) {
			list = append(list, Problem{Code: problemAppNotGranted, App: a.id, Name: a.Name, Since: c.grantedAt})
		}
	}
	return list
}
