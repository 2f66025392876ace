package subscriber

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	confirmLimit = 10 * time.Second
	heldLimit    = 8 * time.Second // for the confirmation, once an event waits for it
	deniedAgain  = time.Minute     // a second denial within this time is believed
	leaveLimit   = 3 * time.Second

	mostHeld      = 64 // frames before the confirmation, and of how many bytes
	mostHeldBytes = 2 * relayLimit
)

// owner is the goroutine of one Run, and its state. Everything here is touched by that goroutine alone; the goroutines
// that it starts (requests, dialling, each line's reader and writer) send it facts.
type owner struct {
	*Client
	at      State
	live    *line // subscribed
	coming  *line // being set up
	numbers int   // of lines made
	facts   chan fact
	work    sync.WaitGroup

	next, confirm, silence, renewal, lease alarm

	attempt   int       // tries since the last healthy subscription
	unrenewed int       // tries to renew in a row
	leaseEnds time.Time // when the live line is given up if it is not renewed before
	refusals  int       // of 401 and 403 in a row
	notBefore time.Time // as the hub asked
	deniedAt  time.Time
	why       cause // of the last failure
	result    error // of Run
}

// An alarm is a timer that is made stopped.
type alarm struct{ *time.Timer }

func newAlarm() alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return alarm{t}
}

// A fact is what a goroutine of the owner found out about the line of that number.
type fact struct {
	number  int
	kind    factKind
	frame   frame
	at      place
	channel channel
	err     error
}

type factKind uint8

const (
	posted  factKind = iota // a subscribe was answered with at, or failed with err
	dialled                 // channel is open, or err
	framed                  // a frame came
	broke                   // the channel ended with err
	done                    // unsubscribed and closed
)

func newOwner(c *Client) *owner {
	// The buffer lets a reader go on while an event is handed over. Full, it makes the hub wait, never lose.
	return &owner{Client: c, facts: make(chan fact, 16),
		next: newAlarm(), confirm: newAlarm(), silence: newAlarm(), renewal: newAlarm(), lease: newAlarm()}
}

func (o *owner) run(ctx context.Context) error {
	o.hub.forget()
	select {
	case <-o.reconnects: // asked for when there was nothing to reconnect
	default:
	}
	o.apply(ctx, begin)
	stopped := ctx.Done()
	for o.at != ended {
		select {
		case <-stopped:
			stopped = nil
			o.apply(ctx, stop)
		case why := <-o.reconnects:
			o.why = cause{reason: local, words: why}
			o.apply(ctx, reconnect)
		case f := <-o.facts:
			o.take(ctx, f)
		case <-o.next.C:
			o.apply(ctx, due)
		case <-o.confirm.C:
			o.unconfirmed(ctx)
		case <-o.silence.C:
			o.quiet(ctx)
		case <-o.renewal.C:
			o.apply(ctx, renewDue)
		case <-o.renewals:
			o.apply(ctx, renewDue)
		case <-o.lease.C:
			o.why = cause{reason: local, words: "the lease could not be renewed"}
			o.apply(ctx, lost)
		}
	}
	o.work.Wait()
	for len(o.facts) > 0 {
		o.unwanted(<-o.facts)
	}
	o.hub.plain.CloseIdleConnections()
	return o.result
}

// apply makes one step: the new state first, so that whoever hears of it can act on it, then its effects.
func (o *owner) apply(ctx context.Context, in input) {
	from := o.at
	to, effects := step(from, in)
	o.at = to
	o.state.Store(uint32(to))
	for _, e := range effects {
		o.do(ctx, e)
	}
	if to == from {
		return
	}
	level, why := slog.LevelDebug, in.String()
	switch {
	case to == ended && o.result != nil:
		level, why = slog.LevelError, o.result.Error()
	case to == waiting:
		level, why = slog.LevelWarn, o.why.words
	case to == returning:
		level, why = slog.LevelInfo, o.why.words
	case to == ended, to == leaving, from != renewing && to == subscribed:
		level = slog.LevelInfo
	}
	o.cfg.Log.Log(ctx, level, "subscription", "from", from.String(), "to", to.String(), "why", why, "line", o.numbers)
	o.cfg.Handler.State(to)
}

// take turns a fact into an input. What an older line says is dropped.
func (o *owner) take(ctx context.Context, f fact) {
	if f.kind == done {
		o.apply(ctx, left)
		return
	}
	l := o.line(f.number)
	if l == nil || o.at == leaving {
		o.work.Go(func() { o.unwanted(f) })
		return
	}
	switch f.kind {
	case posted:
		o.apply(ctx, o.answered(l, f))
	case dialled:
		if f.err != nil {
			o.why = causeOf(f.err)
			o.apply(ctx, failed)
			return
		}
		l.channel, l.born = f.channel, time.Now()
		o.apply(ctx, opened)
	case framed:
		o.frame(ctx, l, f.frame)
	case broke:
		o.why = causeOf(f.err)
		o.apply(ctx, o.over(l))
	}
}

// unwanted is a fact of a line that was given up while it was being found out. A socket that opened only then is closed
// with a word: to a hub that knows of it anything else is a workstation that was lost, which it tells everybody (FC-UNS-10).
func (o *owner) unwanted(f fact) {
	if f.channel != nil {
		f.channel.bye(websocket.CloseGoingAway, false)
	}
}

func (o *owner) line(number int) *line {
	switch {
	case o.coming != nil && o.coming.number == number:
		return o.coming
	case o.live != nil && o.live.number == number:
		return o.live
	}
	return nil
}

// over is the input for the end of that line.
func (o *owner) over(l *line) input {
	if l == o.live {
		return lost
	}
	return failed
}

// answered judges the answer to a subscribe.
func (o *owner) answered(l *line, f fact) input {
	var status *StatusError
	if f.err == nil || errors.As(f.err, &status) {
		o.hub.learn(o.hub.nothing()) // it answers this; what it has not said about itself by now, it will not say
	}
	if f.err == nil {
		if o.live != nil && (f.at == (place{}) || f.at == o.live.at) {
			return extended
		}
		o.refusals = 0
		l.at = f.at
		return accepted
	}
	o.why = causeOf(f.err)
	switch {
	case o.live != nil:
		return refused // a renewal is tried until shortly before the lease ends, whatever the hub says
	case errors.Is(f.err, errEndpoint), errors.Is(f.err, errElsewhere), status != nil && o.final(status.Status):
		o.result = f.err
		return rejected
	}
	return refused
}

// final tells whether a refusal is believed.
func (o *owner) final(status int) bool {
	switch status {
	case 401, 403:
		o.refusals++
		return o.refusals > 1
	case 408, 425, 429:
		return false
	}
	return status >= 400 && status < 500
}

// unconfirmed is the end of the hub's time to confirm. A hub that has sent us an event of our topic has subscribed us,
// whatever it did not say.
func (o *owner) unconfirmed(ctx context.Context) {
	l := o.coming
	if l == nil {
		return
	}
	for _, f := range l.held {
		if e, ok := f.message.(*fhircast.Event); ok && e.Topic == o.cfg.Topic {
			o.cfg.Log.Warn("the hub sends events and no confirmation")
			o.grant(l, &fhircast.Confirmation{})
			o.apply(ctx, confirmed)
			return
		}
	}
	o.why = cause{words: fmt.Sprintf("no confirmation within %v", confirmLimit)}
	o.apply(ctx, failed)
}

// quiet looks whether the live line has been silent for too long. The alarm is not moved with every frame, but when it
// rings.
func (o *owner) quiet(ctx context.Context) {
	l := o.live
	if l == nil {
		return
	}
	if rest := l.quiet - l.channel.silence(); rest > 0 {
		o.silence.Reset(rest)
		return
	}
	o.why = cause{words: fmt.Sprintf("silence for %v", l.quiet)}
	o.apply(ctx, lost)
}
