package subscriber

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	unsaidLease     = time.Hour // where the hub names none: a token rarely lives longer
	shortestLease   = 10 * time.Second
	shortestPeriod  = time.Second
	longestPeriod   = time.Minute // of heartbeats: a hub may not talk the watchdog to sleep
	heartbeatMargin = 5 * time.Second
)

// frame judges a frame by its shape, not by when it came (FHIRcast 3.0.0, 2.4 and 2.5).
func (o *owner) frame(ctx context.Context, l *line, f frame) {
	switch m := f.message.(type) {
	case *fhircast.Confirmation:
		o.confirmation(ctx, l, m)
	case *fhircast.Denial:
		o.denial(ctx, l, m)
	case *fhircast.Answer:
		o.cfg.Log.Debug("the hub sent an answer, which only we do")
	default:
		if l.subscription > 0 {
			o.deliver(l, f)
			return
		}
		if e, ok := f.message.(*fhircast.Event); ok {
			l.heldBytes += len(e.Wire())
			o.hold(l, e)
		}
		l.held = append(l.held, f)
		if len(l.held) > mostHeld || l.heldBytes > mostHeldBytes {
			o.why = cause{words: "too much before the confirmation"}
			o.apply(ctx, failed)
		}
	}
}

// hold gives the hub less time to confirm once an event waits: who has not answered one after 10 s is unsubscribed by the
// hub (FHIRcast 3.0.0, 2.5), and a hub that never confirms would do that every time.
func (o *owner) hold(l *line, e *fhircast.Event) {
	if e.Topic == o.cfg.Topic && !l.holds {
		l.holds = true
		o.confirm.Reset(min(heldLimit, confirmLimit-time.Since(l.born)))
	}
}

// deliver hands a frame to the Handler: an event, or why it is none.
func (o *owner) deliver(l *line, f frame) {
	if e, ok := f.message.(*fhircast.Event); ok {
		if e.Name.Is(fhircast.Heartbeat) {
			o.heartbeat(l, e.Period())
		}
		o.cfg.Handler.Deliver(fhircast.NewDelivery(e, l.subscription, f.reply))
		return
	}
	if l.rubbish++; l.rubbish == 1 {
		o.cfg.Log.Warn("the hub sent a frame that is refused; more on this line are only counted", "why", f.refused.Reason, "line", l.number)
	}
	status := f.status
	if f.refused.Name.Is(fhircast.SyncError) || f.refused.Name.Is(fhircast.Heartbeat) {
		status = 200 // an error about an error would go round for ever
	}
	f.reply(fhircast.Answer{ID: f.refused.ID, Status: status})
	o.cfg.Handler.Refused(l.subscription, f.refused)
}

// heartbeat moves the limit of silence to what this hub promises.
func (o *owner) heartbeat(l *line, period time.Duration) {
	if period <= 0 || l.at.callback != nil { // a callback counts them itself
		return
	}
	quiet := 2*min(max(period, shortestPeriod), longestPeriod) + heartbeatMargin
	if quiet != l.quiet && l == o.live {
		l.quiet = quiet
		o.armSilence()
	}
}

func (o *owner) confirmation(ctx context.Context, l *line, m *fhircast.Confirmation) {
	if m.Topic != "" && m.Topic != o.cfg.Topic {
		o.why = cause{words: "the hub confirmed another session"}
		o.apply(ctx, o.over(l))
		return
	}
	before := l.granted
	o.grant(l, m)
	if l == o.coming {
		o.apply(ctx, confirmed)
		return
	}
	o.apply(ctx, reconfirmed)
	if !slices.Equal(before, l.granted) {
		o.cfg.Handler.Subscribed(l.subscription, slices.Clone(l.granted))
	}
}

// grant notes what a confirmation gives. A hub sent an empty list for years and meant what was asked.
func (o *owner) grant(l *line, m *fhircast.Confirmation) {
	l.granted, l.lease = m.Events, m.Lease
	if len(l.granted) == 0 {
		l.granted = o.hub.wanted()
	}
	if l.lease == 0 {
		l.lease = o.cfg.Lease
	}
	if l.lease == 0 {
		l.lease = unsaidLease
	}
	l.lease = max(l.at.believable(l.lease), shortestLease)
}

// denial ends the line, or takes some events away from it: then the rest holds for as long as the socket does. A list
// without SyncError and heartbeat is no such part: hubs leave those two out when they mean all.
func (o *owner) denial(ctx context.Context, l *line, m *fhircast.Denial) {
	if m.Topic != "" && m.Topic != o.cfg.Topic {
		o.cfg.Log.Warn("the hub denies another session than ours", "line", l.number)
		return
	}
	had := l.granted
	if l == o.coming {
		had = o.hub.wanted()
	}
	var rest []fhircast.Name
	worth := false
	for _, n := range had {
		if len(m.Events) > 0 && !n.In(m.Events) {
			rest = append(rest, n)
			worth = worth || !n.Is(fhircast.SyncError) && !n.Is(fhircast.Heartbeat)
		}
	}
	switch {
	case worth && l == o.live:
		l.granted = rest
		o.cfg.Log.Warn("the hub denies some of the events", "denied", len(had)-len(rest), "left", len(rest))
		o.cfg.Handler.Subscribed(l.subscription, slices.Clone(rest))
		return
	case worth:
		return // its confirmation will say what is granted
	}
	o.why = cause{reason: denial, words: "denied by the hub"}
	if l == o.coming && o.live != nil {
		o.apply(ctx, failed) // a renewal gone wrong
		return
	}
	again := !o.deniedAt.IsZero() && time.Since(o.deniedAt) < deniedAgain
	o.deniedAt = time.Now()
	if again {
		o.result = ErrDenied
		o.apply(ctx, denied)
		return
	}
	o.apply(ctx, o.over(l))
}

// heard tells whether a request came to an answer, of whatever kind.
func heard(err error) bool {
	var status *StatusError
	return err == nil || errors.As(err, &status)
}
