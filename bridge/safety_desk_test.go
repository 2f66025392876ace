package bridge

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// complain delivers a SyncError of another subscriber.
func (d *deskTest) complain(id, about string, name fhircast.Name) {
	d.Helper()
	e, err := fhircast.NewSyncError(id, time.Unix(0, 0), topic, fhircast.Failure{EventID: about, EventName: name, Subscriber: "Report"})
	if err != nil {
		d.Fatal(err)
	}
	d.deliver(e)
}

func TestS1_SyncErrorAboutTheCloseThatHoldsIsOpen(t *testing.T) {
	for name, e := range map[string]*fhircast.Event{
		"close": ev("Patient-close", "2", 2, "p1"),
		"home":  evAt("Home-open", "2", time.Date(2026, 1, 2, 3, 0, 2, 0, time.UTC), "[]"),
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.deliver(e)
				d.wantPhase(protocol.PhaseNoContext)
				d.complain("se", "2", e.Name) // another app still shows p1
				d.wantPhase(protocol.PhaseOutOfSync)
				d.deliver(e) // the repeat
				d.wantPhase(protocol.PhaseNoContext)
			})
		})
	}
}

func TestS1_SyncErrorAboutAnUpdateIsOpenUntilTheNextChange(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("DiagnosticReport-open", "1", 1, "r1/p1"))
		update := up("2", "r1", "", "")
		d.deliver(update)
		d.complain("se", "2", update.Name)
		d.wantPhase(protocol.PhaseOutOfSync)
		d.deliver(update)
		d.wantPhase(protocol.PhaseInSync)
		d.complain("se2", "2", update.Name)
		d.deliver(ev("Patient-open", "3", 3, "p2"))
		d.wantPhase(protocol.PhaseInSync)
		d.complain("se3", "2", update.Name) // history
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS1_SyncErrorAboutAnEventThatNeverHeldHereIsOpen(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 9, "p1"))
		d.hub.set("Patient-open", contextOf("p2"))
		d.deliver(ev("Patient-open", "2", 2, "p2")) // in doubt, and the hub names it
		d.wantPhase(protocol.PhaseInSync)
		d.complain("se", "2", "Patient-open")
		d.wantPhase(protocol.PhaseOutOfSync)
	})
}

// What a hub tells who joins, it tells nobody else: who did not follow is still elsewhere, unless the context is another.
func TestS1_SyncErrorOutlivesAReconnectToTheSameContext(t *testing.T) {
	for name, offered := range map[string]bool{"the hub can be asked": true, "it cannot": false} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				d.attach("viewer", "", &fakeApp{status: 200})
				d.hub.offered = offered
				d.hub.delay = 100 * time.Millisecond
				d.subscribe()
				time.Sleep(time.Minute)
				again := func(want protocol.Phase, opens ...*fhircast.Event) {
					d.Helper()
					d.relay.Lost(d.n, "reset")
					d.confirm()
					for _, e := range opens {
						d.deliver(e)
					}
					time.Sleep(time.Minute)
					d.wantPhase(want)
				}
				study, patient := ev("ImagingStudy-open", "1", 1, "s1/p1"), ev("Patient-open", "2", 2, "p2")
				d.hub.set("Patient-open", contextOf("p2"))
				d.deliver(patient)
				d.complain("x", "2", "Patient-open")
				again(protocol.PhaseOutOfSync, study, patient)
				d.hub.set("Patient-open", contextOf("p3"))
				again(protocol.PhaseInSync, study, ev("Patient-open", "3", 3, "p3"))
			})
		})
	}
}

// The clock of who opens is behind, so the open is a doubt. What somebody says of it comes before the hub's own word.
func TestS1_SyncErrorAboutADoubtfulOpenOutlivesTheReadingThatFollowsIt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		time.Sleep(time.Minute)
		d.deliver(ev("Patient-open", "1", 5, "p1"))
		d.hub.delay = 100 * time.Millisecond
		d.hub.set("Patient-open", contextOf("p2"))
		d.deliver(ev("Patient-open", "2", 2, "p2"))
		d.complain("x", "2", "Patient-open")
		time.Sleep(time.Second)
		d.wantPhase(protocol.PhaseOutOfSync)
		d.hub.set("Patient-open", contextOf("p3"))
		d.deliver(ev("Patient-open", "3", 3, "p3")) // in doubt, too, and yet the next change
		time.Sleep(time.Second)
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS1_SyncErrorOutlivesWhatChangesNoContext(t *testing.T) {
	for name, happens := range map[string]func(d *deskTest){
		"a reconnect": func(d *deskTest) { d.relay.Lost(d.n, "reset"); d.confirm() },
		"a context that could not be read for a while": func(d *deskTest) {
			d.hub.err = errors.New("x")
			d.relay.Refused(d.n, &fhircast.FrameError{Reason: "x"})
			synctest.Wait()
			d.hub.mu.Lock()
			d.hub.err = nil
			d.hub.mu.Unlock()
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.complain("se", "1", "Patient-open")
				d.hub.set("Patient-open", contextOf("p1"))
				happens(d)
				d.wantPhase(protocol.PhaseOutOfSync)
				d.hub.set("Patient-open", contextOf("p2"))
				d.relay.Resync()
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

func TestS1_ManySyncErrorsAreOpenWithoutEnd(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.subscribe()
		for i := range 100 {
			d.complain(fmt.Sprint("se", i), fmt.Sprint("unseen", i), "Patient-open")
		}
		if n := len(d.relay.View().Problems); n > 40 {
			t.Errorf("%d problems", n)
		}
		d.wantPhase(protocol.PhaseOutOfSync)
	})
}

func TestS1_PendingUnderSteadyEventsLooksBadInTime(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("dead", "", &fakeApp{status: 200, clears: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "0", 0, "p0"))
		d.wantPhase(protocol.PhaseInSync)
		dead := d.attach("viewer", "", &fakeApp{status: 200})
		dead.mu.Lock()
		dead.status = 0
		dead.mu.Unlock()
		for i := 1; i <= 4; i++ { // the next event comes before the last one is overdue
			d.deliver(ev("Patient-open", fmt.Sprint(i), i, fmt.Sprintf("p%d", i)))
			time.Sleep(300 * time.Millisecond)
		}
		d.wantPhase(protocol.PhaseAttention)
	})
}

func TestS1_AClearThatFailedIsNotHiddenByAnotherAnswer(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.mu.Lock()
		viewer.clears = 500
		viewer.mu.Unlock()
		home := evAt("Home-open", "2", time.Date(2026, 1, 2, 3, 0, 2, 0, time.UTC), "[]")
		viewer.after = 100 * time.Millisecond
		viewer.clearsAfter = time.Millisecond // it answers the clear before the event
		d.deliver(home)
		time.Sleep(time.Second)
		if got := d.outcome(viewer.id); got != protocol.OutcomeFailed {
			t.Errorf("outcome %s", got)
		}
		d.wantPhase(protocol.PhaseOutOfSync)
	})
}

func TestS1_ClearAllHoldsUntilTheNextChangeOrAReSync(t *testing.T) {
	for _, offered := range []bool{true, false} {
		t.Run(fmt.Sprint("asked ", offered), func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.hub.offered = offered
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.hub.set("Patient-open", contextOf("p1"))
				time.Sleep(3 * time.Second)
				viewer.news()
				if still, _ := d.relay.Clear(protocol.ReasonUser); len(still) != 0 {
					t.Errorf("still %v", still)
				}
				d.wantNews("cleared", viewer, "clear:user")
				if offered { // a doubt that turns out to be none changes nothing
					d.deliver(ev("Patient-open", "2", 0, "p9"))
				}
				d.deliver(ev("Patient-close", "3", 3, "p8"))
				d.wantNews("stays cleared", viewer, "")
				d.wantPhase(protocol.PhaseAttention)
				if p := d.relay.View().Problems; len(p) != 1 || p[0].Code != "cleared_by_user" {
					t.Errorf("problems %v", p)
				}
				d.relay.Resync()
				d.wantNews("brought back", viewer, map[bool]string{true: "Patient-open:p1/snapshot", false: "Patient-open:p1/replay"}[offered])
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

func TestS2_ReSyncTellsEveryAppAlsoWhereNothingIsCurrent(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		d.relay.Resync()
		d.wantNews("nothing is current", viewer, "clear:resync")
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.hub.set("Patient-open", contextOf("p1"))
		d.relay.Resync()
		d.wantNews("p1 is", viewer, "Patient-open:p1/snapshot")
	})
}

func TestS2_LosingTheHubIsNotForgottenByASignIn(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attachAs(App{Name: "viewer", Answers: true, OnLoss: OnLossClear}, "", &fakeApp{status: 200})
		nothing := d.attachAs(App{Name: "nothing", Answers: true, OnLoss: OnLossClear}, "-", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.relay.Lost(d.n, "the sign-in has ended")
		time.Sleep(5 * time.Second)
		d.relay.Join(d.session()) // and the hub cannot be reached
		time.Sleep(4999 * time.Millisecond)
		d.wantNews("not yet", viewer, "")
		time.Sleep(time.Millisecond)
		d.wantNews("after 10 s", viewer, "clear:loss")
		d.wantNews("asked for nothing", nothing, "")
	})
}

func TestS1_AProblemKeepsItsTime(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		time.Sleep(2 * time.Second)
		d.wantPhase(protocol.PhaseAttention)
		was := d.relay.View().Problems[0].Since
		time.Sleep(time.Minute)
		d.deliver(evAt("SyncError", "x", time.Now(), "[]"))
		if now := d.relay.View().Problems[0].Since; now != was {
			t.Errorf("since %v, was %v", now, was)
		}
	})
}

func TestS1_AnAppThatDidNotClearIsToldAgain(t *testing.T) {
	for _, status := range []int{500, 202} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "ImagingStudy-open", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
				d.deliver(ev("Patient-open", "2", 2, "p2")) // it clears
				viewer.mu.Lock()
				viewer.clears = status
				viewer.mu.Unlock()
				d.relay.Lost(d.n, "reset")
				d.hub.set("", "")
				d.confirm()
				d.relay.Resync() // and now it does not: who knows what it has opened
				synctest.Wait()
				viewer.mu.Lock()
				viewer.clears = 200
				viewer.mu.Unlock()
				viewer.news()
				d.deliver(ev("Patient-open", "3", 3, "p3"))
				d.wantNews("again", viewer, "clear:other_patient")
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

func TestS1_AnAppThatIsNotAtTheContextLooksBadWhateverItsRowSays(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		d.hub.set("ImagingStudy-open", contextOf("s1/p1"))
		d.hub.delay = 500 * time.Millisecond
		d.deliver(ev("Patient-close", "2", 2, "p1")) // it closes the study with its patient, which the hub does not
		if got := d.outcome(viewer.id); got != protocol.OutcomeAcknowledged {
			t.Errorf("outcome %s", got)
		}
		d.wantPhase(protocol.PhaseAttention)
		time.Sleep(500 * time.Millisecond)
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS1_AContextThatNoAppFollowsIsUnconfirmed(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("bystander", "-", &fakeApp{status: 200})
		d.subscribe()
		d.wantPhase(protocol.PhaseNoContext)
		d.wantAnswer("nobody", d.deliver(ev("Patient-open", "1", 1, "p1")), 202)
		d.wantPhase(protocol.PhaseUnconfirmed)
	})
}
