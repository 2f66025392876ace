package bridge

import (
	"cmp"
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// What an administrator's rule makes of an app (DESIGN 2, 3.3): what it may see at all, what it may ask for, and whether a
// desk without it can be in sync.

// asksFor is what the app is told about: what it asks for of what it may see. Nil is everything.
func (a *app) asksFor() []fhircast.Name {
	switch {
	case a.Sees == nil:
		return a.Events
	case a.Events == nil:
		return a.Sees
	}
	list := []fhircast.Name{}
	for _, n := range a.Events {
		if n.In(a.Sees) {
			list = append(list, n)
		}
	}
	return list
}

// sees is what of an open event an app may be told: all of it, what can be derived for it, or nil.
func (a *app) sees(e *fhircast.Event, what named) (part *fhircast.Event, derived bool) {
	if a.Sees == nil || e.Name.In(a.Sees) {
		return e, false
	}
	key, ok := what.specific(func(resource string) bool {
		return fhircast.Name(resource + "-" + string(fhircast.Open)).In(a.Sees)
	})
	if !ok || key == what.anchor {
		return nil, false
	}
	return e.Derive(key), true
}

// missesApps are the rules that want their app always, and have none.
func (c *core) missesApps() []string {
	var rules []string
	for _, rule := range c.cfg.Always {
		if !slices.ContainsFunc(c.apps, func(a *app) bool { return a.Rule == rule }) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// absentSince is since when a rule's app is missed: since it went, or from the beginning.
func (c *core) absentSince(rule string) time.Time { return cmp.Or(c.gone[rule], c.began) }

// absentRow stands for an app that is not there.
func (c *core) absentRow(rule string) (protocol.AppRow, Problem) {
	since := c.absentSince(rule)
	return protocol.AppRow{ID: rule, Name: rule, Required: protocol.RequiredAlways, Can: []string{}, Outcome: protocol.OutcomeFailed, At: since, Since: since},
		Problem{Code: problemAppMissing, App: rule, Name: rule, Since: since}
}
