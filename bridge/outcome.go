package bridge

import (
	"slices"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// answered is what an app said to a message.
type answered struct {
	app    string
	seq    int
	status int // as in HTTP; 0 = an error, or no sense
}

func (in answered) apply(c *core) {
	a := c.app(in.app)
	if a == nil {
		return
	}
	m := a.unread[in.seq]
	if m == nil && a.writing != nil && a.writing.seq == in.seq {
		m = a.writing
	}
	if m == nil || m.answered {
		c.counters.LateAnswers++
		return
	}
	m.answered = true
	c.stop(m.due)
	delete(a.unread, in.seq)
	a.reached(m) // also where the answer is here before the writer
	o, why := m.meaning(in.status)
	switch {
	case a.isVoid(m):
	case (o == protocol.OutcomeCleared || o == protocol.OutcomeAcknowledged && m.empties) && a.lastOpen < m.seq:
		a.believes, a.clearTold = noPatient, false
	case m.open && o == protocol.OutcomeAcknowledged && a.lastOpen == m.seq:
		a.believes.sure = a.believes.known
	}
	if m.old {
		c.counters.LateAnswers++
		m.done = true
		c.result(a, m, o)
		c.checkClearing()
		return
	}
	if m.done {
		c.counters.LateAnswers++
	} else {
		c.calm = !m.change
	}
	c.outcome(a, m, o, why)
	c.checkClearing()
}

// meaning is what an answer says: DESIGN 2, "What an app may answer".
func (m *message) meaning(status int) (o protocol.Outcome, problem string) {
	switch {
	case m.clear && status >= 200 && status < 300 && status != 202:
		return protocol.OutcomeCleared, ""
	case status == 202:
		return protocol.OutcomeSent, ""
	case m.clear:
		return protocol.OutcomeFailed, problemClearFailed
	case status >= 200 && status < 300:
		return protocol.OutcomeAcknowledged, ""
	case status >= 400 && status < 500:
		return protocol.OutcomeRefused, ""
	}
	return protocol.OutcomeFailed, ""
}

// overdue is the end of waiting for an answer: 8 s for an event, 2 s for a clear. A late answer still mends it.
func (c *core) overdue(a *app, m *message) {
	if !m.change {
		delete(a.unread, m.seq)
	}
	if m.question {
		if a.proof.asked == m && c.app(a.id) == a {
			a.proof.asked = nil
			c.cannotSay(a)
		}
		return
	}
	if m.done || m.answered || m.old || c.app(a.id) != a || a.lost {
		return
	}
	why := ""
	if m.clear {
		why = problemClearFailed
	}
	c.outcome(a, m, m.bad, why)
	c.checkClearing()
}

// outcome ends a message: the app's row and the round take what came of it.
func (c *core) outcome(a *app, m *message, o protocol.Outcome, why string) {
	m.done, m.outcome, m.why = true, o, why
	if (m.clear || m.close) && m.Answer && !m.old && o != protocol.OutcomeCleared && o != protocol.OutcomeAcknowledged {
		a.believes = belief{} // whatever it showed, it did not say that it is gone
	}
	if m.change && !m.old {
		a.show(c.now)
	}
	c.result(a, m, o)
}

// show makes the row what became of the messages that it is about, worst first.
func (a *app) show(now time.Time) {
	worst, why := protocol.OutcomeCleared, ""
	for _, m := range a.about {
		o, w := m.outcome, m.why
		if !m.done {
			o, w = protocol.OutcomePending, ""
		}
		if o.Worse(worst) {
			worst, why = o, w
		}
	}
	a.set(worst, why, now)
}

// busy tells whether something about the current context is still on its way to the app or back.
func (a *app) busy() bool {
	return slices.ContainsFunc(a.about, func(m *message) bool { return !m.done })
}

// set keeps the time since when an app is pending, however much it is sent meanwhile: what is pending for too long looks
// bad (S1).
func (a *app) set(o protocol.Outcome, why string, now time.Time) {
	if o == protocol.OutcomePending && a.outcome == o {
		now = a.at
	}
	a.outcome, a.why, a.at = o, why, now
}
