package bridge

import (
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// clearing is the wait for apps that were told to show no patient.
type clearing struct {
	apps  []*app
	holds bool // no context reaches an app before it is over (S8)
	done  func(still []string)
}

func (c *core) held() bool { return c.clearing != nil && c.clearing.holds }

// clearAll tells every app that may show a patient to show none, and calls done when all have answered or 2 s are over,
// with the names of those that may still show one.
func (c *core) clearAll(why protocol.Reason, holds bool, done func(still []string)) {
	c.finishClearing()
	w := &clearing{holds: holds, done: done}
	for _, a := range c.present() {
		if a.asksAny() && (!a.expects().empty() || a.clearTold && !holds) {
			c.tellClear(a, why, nil)
		} else if !a.busy() {
			continue
		}
		w.apps = append(w.apps, a)
	}
	c.clearing = w
	c.after(clearWithin, func() {
		if c.clearing == w {
			c.finishClearing()
		}
	})
	c.checkClearing()
}

// checkClearing ends the wait when nobody is left to wait for.
func (c *core) checkClearing() {
	if c.clearing == nil {
		return
	}
	for _, a := range c.clearing.apps {
		if c.app(a.id) == a && !a.lost && a.busy() {
			return
		}
	}
	c.finishClearing()
}

func (c *core) finishClearing() {
	w := c.clearing
	if w == nil {
		return
	}
	c.clearing = nil
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
	c.supersede()
	if in.why == protocol.ReasonUser {
		c.clearedByUser = c.now
	}
	c.clearAll(in.why, false, func(still []string) { c.emit(reply{func() { in.reply(still) }}) })
}

// attention by the user's own hand ends with the next change or a re-sync.
func (c *core) clearedProblem() (time.Time, bool) {
	return c.clearedByUser, !c.clearedByUser.IsZero() && c.desk.event != nil
}
