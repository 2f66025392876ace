package bridge

import (
	"testing"
	"testing/synctest"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

func TestS1_AnAppThatAsksForNothingAnyMoreIsClearedAndItsRowTells(t *testing.T) {
	for name, c := range map[string]struct {
		clears int
		phase  protocol.Phase
		again  string
	}{
		"it clears":    {200, protocol.PhaseUnconfirmed, ""}, // nobody follows what is current
		"it will not":  {500, protocol.PhaseOutOfSync, "clear:unknown"},
		"it is silent": {0, protocol.PhaseOutOfSync, "clear:unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				app := d.attach("viewer", "", &fakeApp{status: 200, clears: c.clears})
				d.hub.set("Patient-open", contextOf("p1"))
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				app.news()
				if c.clears == 0 {
					app.mu.Lock()
					app.status = 0
					app.mu.Unlock()
				}
				d.relay.Subscribe(app.id, []fhircast.Name{})
				d.wantNews("told once", app, "clear:unknown")
				d.afterAll()
				d.wantPhase(c.phase)
				d.deliver(ev("Patient-open", "2", 2, "p2"))
				d.wantNews("told again until it has", app, c.again)
			})
		})
	}
}

func TestS1_APausedAppThatAsksForNothingIsClearedOnceItIsBack(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		app := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		app.news()
		d.relay.Pause(app.id, true)
		d.relay.Subscribe(app.id, []fhircast.Name{})
		d.wantNews("paused", app, "")
		d.relay.Pause(app.id, false)
		d.wantNews("back", app, "clear:unknown")

		d.relay.Subscribe(app.id, nil)
		d.wantNews("it follows again", app, "Patient-open:p1/replay")
	})
}

func TestS1_WhoGetsAReplySeesTheViewThatFollowsFromIt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		seen := make(chan int, 1)
		app := &fakeApp{status: 200}
		d.relay.post(attach{App{Name: "viewer", Answers: true}, app, func(string, *protocol.ContextResult, error) {
			seen <- len(d.relay.View().Rows) // still in the relay's goroutine: nothing newer can be there
		}})
		synctest.Wait()
		if rows := <-seen; rows != 1 {
			t.Errorf("%d rows when the app had its reply", rows)
		}
	})
}

func TestS10_WhatWasAnsweredIsNotHeldUntilTheAnswerWouldHaveBeenDue(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		r := make(chan *round, 1)
		timers := 0
		d.relay.post(probe{func(c *core) { // as an event does, with nobody to wait for
			defer func(before int) { timers = len(c.timers) - before }(len(c.timers))
			held := c.newRound(fhircast.NewDelivery(ev("Patient-open", "1", 1, "p1"), d.n, func(fhircast.Answer) {}), true)
			c.conclude(held, false)
			r <- held
		}})
		synctest.Wait()
		if held := <-r; held.event != nil || held.delivery != nil || timers != 0 {
			t.Errorf("the round holds the event, or one of %d timers the round", timers)
		}
	})
}

// probe looks at the state from within its goroutine.
type probe struct{ look func(c *core) }

func (p probe) apply(c *core) { p.look(c) }
