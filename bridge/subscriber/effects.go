package subscriber

import (
	"context"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// do does one effect. ctx is Run's, which may have ended: a line outlives it for as long as leaving takes.
func (o *owner) do(ctx context.Context, e effect) {
	switch e {
	case post:
		o.subscribe(ctx, place{})
	case renew:
		o.subscribe(ctx, o.live.at)
	case dial:
		o.dial(o.coming)
	case listen:
		o.listen(o.coming)
	case announce:
		o.announce()
	case update:
		o.armLease()
	case extend:
		o.unrenewed = 0
		o.armLease()
	case renewLater:
		o.renewLater()
	case dropComing:
		o.dropComing()
	case drop:
		o.drop()
	case schedule:
		o.schedule()
	case leave:
		o.leave(ctx)
	case finish:
		o.finish()
	}
}

// tell sends a fact about a line, unless the line is given up.
func (o *owner) tell(l *line, f fact) {
	f.number = l.number
	select {
	case o.facts <- f:
	case <-l.ctx.Done():
		o.unwanted(f)
	}
}

func (o *owner) subscribe(ctx context.Context, at place) {
	o.numbers++
	l := newLine(context.WithoutCancel(ctx), o.numbers)
	o.coming = l
	o.work.Go(func() {
		var err error
		if at == (place{}) {
			at, err = o.arrive(l)
		}
		if err == nil {
			o.hub.discover(l.ctx)
			at, err = o.hub.subscribe(l.ctx, at)
		}
		o.tell(l, fact{kind: posted, at: at, err: err})
	})
}

func (o *owner) dial(l *line) {
	o.work.Go(func() {
		channel, err := o.hub.open(l.ctx, l.at)
		o.tell(l, fact{kind: dialled, channel: channel, err: err})
	})
}

func (o *owner) listen(l *line) {
	o.confirm.Reset(confirmLimit)
	o.work.Go(l.channel.write)
	o.work.Go(func() {
		err := l.channel.read(func(f frame) { o.tell(l, fact{kind: framed, frame: f}) })
		o.tell(l, fact{kind: broke, err: err})
	})
}

// announce makes the coming line the live one. Where the hub moved us to another socket, the old one is closed after
// the Handler has the new one, so that nothing falls in between.
func (o *owner) announce() {
	old, l := o.live, o.coming
	o.live, o.coming = l, nil
	o.confirm.Stop()
	o.subscriptions++
	l.subscription, l.since = o.subscriptions, time.Now()
	o.unrenewed = 0
	o.armLease()
	o.armSilence()
	o.trouble.Store(nil)
	o.cfg.Handler.Subscribed(l.subscription, slices.Clone(l.granted))
	for _, f := range l.held {
		o.deliver(l, f)
	}
	l.held = nil
	if old != nil {
		o.work.Go(func() { old.hangUp(websocket.CloseNormalClosure, true) })
	}
}

func (o *owner) armLease() {
	o.renewal.Reset(renewalAt(o.live.lease, o.cfg.Rand()))
	o.leaseEnds = time.Now().Add(leaseOver(o.live.lease))
	o.lease.Reset(leaseOver(o.live.lease))
}

// renewLater tries again by the schedule, and sooner where the lease would be over by then. What the hub asks for comes
// first: to lose the subscription is better than to knock it over.
func (o *owner) renewLater() {
	wait := delay(o.unrenewed, o.why.reason, o.why.retryAfter, o.cfg.Rand())
	if o.why.reason == remote && o.why.retryAfter == 0 {
		wait = min(wait, max(time.Until(o.leaseEnds)/2, time.Second))
	}
	o.renewal.Reset(wait)
	o.unrenewed++
}

func (o *owner) armSilence() { o.silence.Reset(o.live.quiet - o.live.channel.silence()) }

func (o *owner) dropComing() {
	l := o.coming
	if l == nil {
		return
	}
	o.coming = nil
	o.confirm.Stop()
	o.work.Go(func() { o.abandon(l); l.hangUp(websocket.CloseGoingAway, false) })
}

func (o *owner) drop() {
	o.dropComing()
	l := o.live
	if l == nil {
		return
	}
	o.live = nil
	o.stopAlarms()
	o.hub.signed.CloseIdleConnections() // they may be as dead as the socket, and each would cost a request its 10 s
	if time.Since(l.since) >= healthy {
		o.attempt = 0
	}
	o.work.Go(func() { o.abandon(l); l.hangUp(websocket.CloseGoingAway, false) })
	o.cfg.Handler.Lost(l.subscription, o.why.words)
}

func (o *owner) stopAlarms() {
	for _, a := range []alarm{o.next, o.confirm, o.silence, o.renewal, o.lease} {
		a.Stop()
	}
}

func (o *owner) schedule() {
	words := o.why.words
	o.trouble.Store(&words)
	wait := delay(o.attempt, o.why.reason, o.why.retryAfter, o.cfg.Rand())
	if o.why.reason == forbidden || o.why.retryAfter > 0 {
		o.notBefore = time.Now().Add(wait)
	}
	if o.attempt++; o.why.reason == local {
		o.attempt = 0
	}
	o.next.Reset(max(wait, time.Until(o.notBefore)))
}

// leave unsubscribes and closes what there is. 1001 instead of 1000 says that the hub did not hear the unsubscribe.
func (o *owner) leave(ctx context.Context) {
	o.stopAlarms()
	lines := []*line{o.live, o.coming}
	o.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		for _, l := range lines {
			if l == nil {
				continue
			}
			code := websocket.CloseNormalClosure
			if l.at != (place{}) && !heard(o.hub.unsubscribe(ctx, l.at)) {
				code = websocket.CloseGoingAway
			}
			l.hangUp(code, true)
		}
		o.facts <- fact{kind: done}
	})
}

func (o *owner) finish() {
	o.stopAlarms()
	if o.result != nil {
		words := o.result.Error()
		o.trouble.Store(&words)
	}
}
