package bridge

import (
	"slices"

	"github.com/castray/castray/bridge/fhircast"
)

// A hub may grant less than was asked (FHIRcast 3.0.0, 2.4.3.2), and then it changes the context without a word to us.
//
// Where an open, a close or an update is not granted, nobody can be sure to be where the hub is, and the desk is at best
// unconfirmed (S1): steady, for nothing that happens mends it. What a hub does not know cannot happen there; whoever reports
// what is granted counts it in. An app that named an event counts on it: also where it is brought along by derived opens,
// that wants attention.

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

// unheard tells whether the context, or what is shared in it, may change without a word to us.
func (c *core) unheard() bool { return slices.ContainsFunc(c.missing, tells) }

func tells(n fhircast.Name) bool { return n.Changes() || n.Verb() == fhircast.Update }

// regained is what the hub grants again: until now it may have happened unheard.
func (c *core) regained(was []fhircast.Name) {
	changes := false
	for _, n := range was {
		if n.In(c.missing) {
			continue
		}
		changes = changes || n.Changes()
		if n.Verb() == fhircast.Update {
			c.unreadUpdate(n.Resource())
		}
	}
	if changes {
		c.doubt()
	}
}

// misses tells whether an app asked, by name, for an event that the hub does not grant.
func (c *core) misses(a *app) bool {
	return !a.Hidden && !a.lost && a.counts() && slices.ContainsFunc(c.missing, func(n fhircast.Name) bool { return n.In(a.Events) && a.wants(n) })
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
