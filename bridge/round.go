package bridge

import (
	"slices"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A round is one event on its way through the apps and back as one answer to the hub.
type round struct {
	event    *fhircast.Event    // nil: a replay or a snapshot, which has rows but no answer and no SyncError
	delivery *fhircast.Delivery // nil once the hub has its answer
	change   bool               // of the context: rows show it, SyncErrors may be sent about it
	due      *timer             // when the hub gets its answer at the latest
	waiting  map[*message]*app
	refused  bool
	failed   bool
	sent     bool          // somebody was told who cannot confirm
	agreed   bool          // somebody confirmed, or asked for it
	bad      map[*app]bool // who did not follow and of whom the hub knows, by the answer or by a SyncError
}

// newRound opens a round. With a delivery, the hub's answer is due within cfg.AnswerWithin (S10).
func (c *core) newRound(d *fhircast.Delivery, change bool) *round {
	r := &round{delivery: d, change: change, waiting: make(map[*message]*app), bad: make(map[*app]bool)}
	if d != nil {
		r.failed = change && len(c.missesApps()) > 0
		r.event = d.Event
		r.due = c.after(c.cfg.AnswerWithin, func() { c.conclude(r, true) })
	}
	c.rounds = append(c.rounds, r)
	return r
}

// status is the rule of DESIGN 2, first match: a refusal; a failure; one still waiting; all agreed and none merely told.
// It is not known as long as somebody is waited for and the answer is not due.
func (r *round) status(due bool) (status int, known bool) {
	switch {
	case r.refused:
		return 409, true
	case len(r.waiting) > 0 && !due:
		return 0, false
	case r.failed:
		return 500, true
	case len(r.waiting) == 0 && r.agreed && !r.sent:
		return 200, true
	}
	return 202, true
}

// conclude answers the hub once the answer is known, or due, and forgets a round that waits for nothing more.
func (c *core) conclude(r *round, due bool) {
	if r.delivery != nil {
		if status, known := r.status(due); known {
			c.emit(answer{r.delivery, status})
			r.delivery = nil
		}
	}
	if r.delivery == nil && len(r.waiting) == 0 {
		c.drop(r)
	}
}

// drop lets go of the event too: messages hold their round, and may be held for a while.
func (c *core) drop(r *round) {
	c.stop(r.due)
	r.event = nil
	c.rounds = slices.DeleteFunc(c.rounds, func(other *round) bool { return other == r })
}

// settle ends all rounds about the context: 202 to the hub, nothing later.
func (c *core) settle() {
	for _, r := range slices.Clone(c.rounds) {
		if !r.change {
			continue
		}
		if r.delivery != nil {
			c.emit(answer{r.delivery, 202})
			r.delivery = nil
		}
		for m := range r.waiting {
			m.round = nil
		}
		clear(r.waiting)
		c.drop(r)
	}
}

// result takes what came of a message into its round.
func (c *core) result(a *app, m *message, o protocol.Outcome) {
	r := m.round
	if r == nil || !a.counts() {
		return
	}
	delete(r.waiting, m)
	switch o {
	case protocol.OutcomeRefused:
		r.refused = true
	case protocol.OutcomeFailed:
		r.failed = true
	case protocol.OutcomeSent:
		r.sent = true
	case protocol.OutcomeAcknowledged, protocol.OutcomeCleared:
		r.agreed = true
	}
	if o.Worse(protocol.OutcomePending) && !r.bad[a] {
		r.bad[a] = true
		if r.delivery == nil { // too late for the answer
			c.complain(a, r, o)
		}
	}
	c.conclude(r, false)
}
