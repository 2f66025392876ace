package bridge

import (
	"cmp"
	"slices"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// Codes of problems that are not the outcome of a row itself.
const (
	problemAppLost     = "app_lost"
	problemAppMissing  = "app_missing"
	problemClearFailed = "clear_failed"
	problemCleared     = "cleared_by_user"
	problemUnknown     = "context_unknown"
	problemSyncError   = "sync_error"
	problemContent     = "content_unknown" // what is shared in the current context, not the context itself
	// The hub grants fewer events than we asked for; and, about an app, one that this app asked for by name.
	problemNotGranted    = "events_not_granted"
	problemAppNotGranted = "app_event_not_granted"
)

// A Problem is something a person can act on, as a code. App is the id and Name the name of the app that it is about.
type Problem struct {
	Code, App, Name string
	Since           time.Time
}

// A View is what the relay shows of itself: facts and codes, no patient data. It is immutable.
type View struct {
	// Phase is what the relay says of a desk with a subscription: connecting, out_of_sync, attention, unconfirmed,
	// in_sync or no_context (DESIGN 3.4). It is "" without a subscription: then others know why.
	Phase     protocol.Phase
	Followers int // apps that follow
	Pending   int // apps whose answer is awaited, and 1 for a reading
	Rows      []protocol.AppRow
	Problems  []Problem
	LastEvent *protocol.LastEvent
	Counters  protocol.Counters
	Test      bool // a test hub (S14)
}

func (c *core) view() *View {
	v := &View{Phase: c.verdict, LastEvent: c.last, Counters: c.counters, Test: c.session != nil && c.session.Test, Pending: c.pending()}
	for _, a := range c.apps {
		if a.Hidden {
			continue
		}
		v.Rows = append(v.Rows, a.row())
		if a.follows() {
			v.Followers++
		}
		if p, bad := a.problem(); bad {
			v.Problems = append(v.Problems, p)
		}
	}
	if !c.began.IsZero() {
		for _, rule := range c.missesApps() {
			row, p := c.absentRow(rule)
			v.Rows, v.Problems = append(v.Rows, row), append(v.Problems, p)
		}
	}
	if c.sub == 0 {
		return v
	}
	if c.isUnknown() {
		v.Problems = append(v.Problems, Problem{Code: problemUnknown, Since: cmp.Or(c.unknownSince, c.confirmed)})
	}
	v.Problems = append(v.Problems, c.notGranted()...)
	if since, ok := c.contentProblem(); ok {
		v.Problems = append(v.Problems, Problem{Code: problemContent, Since: since})
	}
	if since, ok := c.clearedProblem(); ok {
		v.Problems = append(v.Problems, Problem{Code: problemCleared, Since: since})
	}
	for _, other := range c.complaints {
		v.Problems = append(v.Problems, Problem{Code: problemSyncError, Since: other.since})
	}
	slices.SortStableFunc(v.Problems, func(a, b Problem) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Code, b.Code)) })
	return v
}

func (a *app) problem() (Problem, bool) {
	outcome, since := a.known()
	if a.paused || !outcome.Worse(protocol.OutcomePending) {
		return Problem{}, false
	}
	code := cmp.Or(a.why, string(outcome))
	if outcome == protocol.OutcomeMismatch {
		code = string(outcome)
	}
	return Problem{Code: code, App: a.id, Name: a.Name, Since: since}, true
}

// isUnknown: nobody can say what is current, and it is not only that the first reading is still under way.
func (c *core) isUnknown() bool {
	return !c.desk.known && !(c.reading.first && c.reading.active) && !c.held()
}

func (c *core) pending() int {
	n := 0
	for _, a := range c.present() {
		if a.counts() && a.outcome == protocol.OutcomePending {
			n++
		}
	}
	if c.reading.active && !c.reading.waiting {
		n++
	}
	return n
}

// judge is the phase of a desk with a subscription, worst first (DESIGN 3.4, S1). What is pending looks like before for
// cfg.AnswerWithin, and then like something a person should look at.
func (c *core) judge() protocol.Phase {
	if c.sub == 0 {
		return ""
	}
	if c.held() || c.joining() || !c.desk.known && c.reading.first && c.reading.active {
		return protocol.PhaseConnecting
	}
	worst := c.worst()
	if worst == protocol.PhaseOutOfSync || worst == protocol.PhaseAttention {
		return worst
	}
	if c.pending() > 0 && c.verdict != "" && c.verdict != protocol.PhaseConnecting {
		return c.verdict
	}
	if c.pending() > 0 {
		return protocol.PhaseConnecting
	}
	return worst
}

// worst leaves out what is pending in time.
func (c *core) worst() protocol.Phase {
	attention, unconfirmed := c.isUnknown() || len(c.missesApps()) > 0, c.unheard()
	if _, ok := c.clearedProblem(); ok {
		attention = true
	}
	if _, ok := c.contentProblem(); ok {
		attention = true
	}
	if c.reading.active && !c.reading.first && c.now.Sub(c.reading.since) >= c.cfg.AnswerWithin {
		attention = true
	}
	if len(c.complaints) > 0 {
		return protocol.PhaseOutOfSync
	}
	followers := 0
	for _, a := range c.apps {
		if a.follows() {
			followers++
		}
		if !a.counts() {
			continue
		}
		switch outcome, _ := a.known(); {
		case outcome == protocol.OutcomeMismatch, a.why == problemClearFailed:
			return protocol.PhaseOutOfSync
		case outcome.Worse(protocol.OutcomePending):
			attention = true
		case outcome == protocol.OutcomePending:
			attention = attention || c.now.Sub(a.at) >= c.cfg.AnswerWithin
		case c.misses(a):
			attention = true // it is where we were told to bring it, and the hub may be elsewhere
		case outcome == protocol.OutcomeSent:
			unconfirmed = true
		case !a.agrees(c.desk.what):
			attention = true // whatever the reason, it is not where the context is
		}
	}
	switch {
	case attention:
		return protocol.PhaseAttention
	case unconfirmed, c.desk.event != nil && followers == 0:
		return protocol.PhaseUnconfirmed
	case c.desk.event != nil:
		return protocol.PhaseInSync
	}
	return protocol.PhaseNoContext
}
