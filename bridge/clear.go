package bridge

import (
	"slices"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// clearing is the wait for apps that were told to show no patient. Several may be under way.
type clearing struct {
	apps  []*app
	holds bool // no context reaches an app before it is over (S8)
	done  func(still []string)
}

func (c *core) held() bool {
	return slices.ContainsFunc(c.clearings, func(w *clearing) bool { return w.holds })
}

// clearAll tells every app that may show a patient to show none, and calls done when all have answered or 2 s are over,
// with the names of those that may still show one. What still waits for an app is taken out: it would show a patient
// first. At the end of a user's time (S8) paused apps are cleared too, for the next user has not paused them.
func (c *core) clearAll(why protocol.Reason, holds bool, done func(still []string)) {
	c.supersede()
	ends := holds || why != protocol.ReasonUser
	w := &clearing{holds: holds, done: done}
	for _, a := range c.apps {
		if a.lost || a.paused && !ends {
			continue
		}
		if a.asksAny() && (!a.expects().empty() || a.clearTold && !holds || a.adrift()) {
			c.tellClear(a, why, nil)
		} else if !a.busy() {
			continue
		}
		w.apps = append(w.apps, a)
	}
	c.clearings = append(c.clearings, w)
	c.after(clearWithin, func() { c.finish(w) })
	c.checkClearing()
}

// checkClearing ends the waits for which nobody is left to wait.
func (c *core) checkClearing() {
	for _, w := range slices.Clone(c.clearings) {
		if !slices.ContainsFunc(w.apps, func(a *app) bool { return c.app(a.id) == a && !a.lost && a.busy() }) {
			c.finish(w)
		}
	}
}

// finish ends a wait, once.
func (c *core) finish(w *clearing) {
	i := slices.Index(c.clearings, w)
	if i < 0 {
		return
	}
	c.clearings = slices.Delete(c.clearings, i, i+1)
	var still []string
	for _, a := range c.apps {
		if a.asksAny() && (a.lost || !a.believes.empty()) {
			still = append(still, a.Name)
		}
	}
	w.done(still)
}

// empty is the wish to clear every app: the user's, or the end of a session.
type empty struct {
	why   protocol.Reason
	reply func(still []string)
}

func (in empty) apply(c *core) {
	c.settle()
	if in.why == protocol.ReasonUser {
		c.clearedByUser = c.now
	}
	c.clearAll(in.why, false, func(still []string) { c.emit(reply{func() { in.reply(still) }}) })
}

// attention by the user's own hand ends with the next change or a re-sync.
func (c *core) clearedProblem() (time.Time, bool) {
	return c.clearedByUser, !c.clearedByUser.IsZero() && c.desk.event != nil
}
