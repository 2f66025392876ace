package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A Hub is where the relay asks. Both calls may take seconds and are made from goroutines of the relay's own; both end
// when ctx does.
type Hub interface {
	// Publish asks for an event to be broadcast. Status is the hub's answer as in HTTP; without one it is 0 and err
	// says why. An err with a method NotSent() bool that says true was surely not taken by the hub.
	Publish(ctx context.Context, e *fhircast.Event) (status int, err error)
	// Context reads the current context as an open with that id, nil when there is none. Offered is false when the hub
	// does not do this.
	Context(ctx context.Context, id string) (e *fhircast.Event, offered bool, err error)
}

// offer is what we know of the hub's Get Current Context.
type offer int

const (
	offerUnknown offer = iota
	offers
	offersNot
)

// join starts a session: what comes from a hub from now on belongs to it.
type join struct{ session Session }

func (in join) apply(c *core) {
	s := in.session
	if c.sub != 0 {
		c.lostHub()
	}
	c.leave()
	clear(c.complaints)
	c.session, c.left = &s, opened{}
	for _, a := range slices.Clone(c.apps) {
		if !c.mayDrive(a.App) {
			c.remove(a, "not driven from a test hub")
		}
	}
}

// mayDrive is S14: a test hub moves no adapter that does not say that it may.
func (c *core) mayDrive(a App) bool {
	return c.session == nil || !c.session.Test || !a.Adapter || a.Test
}

// leave ends the session on purpose: signed out, or paused. Apps keep their beliefs; the caller clears them if they are
// to be cleared.
type leave struct{}

func (leave) apply(c *core) {
	c.leave()
	clear(c.complaints)
	c.session, c.left, c.lostSince = nil, opened{}, time.Time{}
}

func (c *core) leave() {
	c.gen++
	c.sub = 0
	c.settle()
	if o := c.desk.current(); o != nil {
		c.left = *o
	}
	c.desk.forget()
	c.unproven()
	c.reading, c.restoring = reading{}, restoring{}
	for _, w := range slices.Clone(c.clearings) {
		c.finish(w)
	}
	c.unknownSince = time.Time{}
	c.forgetEchoes()
	c.emit(hangUp{})
}

// subscribed is a confirmed subscription: S2 starts here.
type subscribed struct {
	n       int
	granted []fhircast.Name
}

func (in subscribed) apply(c *core) {
	if c.session == nil {
		return
	}
	was := c.missing
	c.granted(in.granted)
	if in.n == c.sub { // it says only that the hub grants something else now
		c.regained(was)
		return
	}
	reconnect := c.lastUser != "" && c.lastUser == c.session.User
	c.leave()
	c.sub, c.confirmed, c.offered = in.n, c.now, offerUnknown
	c.clearedByUser, c.lostSince = time.Time{}, time.Time{}
	if reconnect {
		c.startReading(true)
		return
	}
	// S8: another user's context is not shown to an app that may still show the last one's. The new one is the last one
	// when this is over: a reconnect meanwhile begins again.
	gen := c.gen
	c.clearAll(protocol.ReasonUser, true, func([]string) {
		if c.gen != gen {
			return
		}
		c.lastUser = c.session.User
		c.startReading(true)
		if c.desk.known { // an open came while the apps were cleared
			c.bringAll(manner{})
		}
	})
}

// lost is the end of a subscription that we did not want.
type lost struct{ n int }

func (in lost) apply(c *core) {
	if in.n != c.sub || c.sub == 0 {
		return
	}
	c.leave()
	c.counters.Reconnects++
	c.lostHub()
}

// lostHub starts the time after which on_loss runs, whoever signs in meanwhile.
func (c *core) lostHub() {
	since := c.now
	c.lostSince = since
	c.after(lossAfter, func() {
		if !c.lostSince.Equal(since) {
			return
		}
		for _, a := range c.present() {
			if a.OnLoss == OnLossClear && a.asksAny() && !a.expects().empty() {
				c.tellClear(a, protocol.ReasonLoss, nil)
			}
		}
	})
}

// refused is a frame that the subscriber could not make an event of, and answered itself.
type refused struct {
	n    int
	name fhircast.Name
}

func (in refused) apply(c *core) {
	if in.n != c.sub || c.sub == 0 {
		return
	}
	c.counters.Malformed++
	// A frame that could not be read at all may have been anything. An update that could not be read changes no context.
	switch {
	case in.name == "" || in.name.Changes():
		c.doubt()
	case in.name.Verb() == fhircast.Update:
		c.unreadUpdate(in.name.Resource())
	}
}
