package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
		update := ev("DiagnosticReport-update", "2", 2, "r1")
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
				time.Sleep(3 * time.Second)
				d.hub.set("Patient-open", contextOf("p1"))
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

func TestS3_AnOpenWhileTheContextCannotBeReadDecides(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.err, d.hub.delay = errors.New("x"), time.Second
		d.subscribe()
		viewer.news()
		d.deliver(ev("Patient-open", "1", 1, "p1")) // while the question is out that will fail
		time.Sleep(time.Minute)
		d.wantNews("and it stays", viewer, "Patient-open:p1")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS3_WhatHasNothingToTellItByCannotBeFollowed(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.hub.set("Patient-open", contextOf("p3"))
		nobody := `[{"key":"patient","resource":{"resourceType":"Patient","name":[{"family":"X"}]}}]`
		d.wantAnswer("no id, no identifier", d.deliver(evAt("Patient-open", "2", time.Date(2026, 1, 2, 3, 0, 2, 0, time.UTC), nobody)), 400)
		d.wantNews("the hub is asked", viewer, "Patient-open:p3/snapshot")
	})
}

func TestS4_AnOpenOlderThanTheCloseIsADoubtWhereTheHubCanBeAsked(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.deliver(ev("Patient-close", "2", 5, "p1"))
		viewer.news()
		d.wantAnswer("a straggler", d.deliver(ev("ImagingStudy-open", "3", 3, "s1/p1")), 202)
		d.wantNews("the hub says that nothing is current", viewer, "")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

func TestS4_AnOldCloseOrHomeOpenIsFollowedAndTheHubAsked(t *testing.T) {
	for _, e := range []*fhircast.Event{
		ev("Patient-close", "2", 2, "p1"),
		evAt("Home-open", "2", time.Date(2026, 1, 2, 3, 0, 2, 0, time.UTC), "[]"),
	} {
		t.Run(string(e.Name), func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "Patient-open", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 5, "p1"))
				viewer.news()
				d.hub.set("Patient-open", contextOf("p1"))
				d.deliver(e)
				d.wantNews("the hub has p1 again", viewer, "clear:closed Patient-open:p1/snapshot")
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

func TestS4_DoubtsBeatAReadingThreeTimesAtMost(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.delay = 100 * time.Millisecond
		d.subscribe()
		time.Sleep(time.Second)
		d.hub.set("Patient-open", contextOf("p1"))
		d.deliver(ev("Patient-open", "1", 50, "p1"))
		asked := d.hub.questions()
		for i := range 6 { // what comes after the third is an open of its own, for unknown forgets the marks
			d.deliver(ev("Patient-open", fmt.Sprint("old", i), i, "p2"))
			time.Sleep(50 * time.Millisecond)
		}
		if n := d.hub.questions() - asked; n > 3 {
			t.Errorf("asked %d times in 300 ms", n)
		}
		d.wantPhase(protocol.PhaseAttention)
		time.Sleep(time.Minute)
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS7_TheSameStudyOfAnotherPatientIsNotWhatTheAppWasTold(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		d.relay.Lost(d.n, "reset")
		viewer.news()
		d.hub.set("ImagingStudy-open", contextOf("s1/p2"))
		d.confirm()
		d.wantNews("told again", viewer, "ImagingStudy-open:s1/snapshot")
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

func TestS12_AnOldRequestIsNotPostedAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(d *deskTest, asks *fakeApp)
		code    int
	}{
		{"after 30 s", func(d *deskTest, _ *fakeApp) { time.Sleep(30 * time.Second) }, protocol.CodeTooLate},
		{"for another session", func(d *deskTest, _ *fakeApp) { d.joinAs("Practitioner/2") }, 0},
		{"by a paused app", func(d *deskTest, asks *fakeApp) { d.relay.Pause(asks.id, true) }, protocol.CodeNotConnected},
	} {
		t.Run(c.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				asks := d.attach("asks", "", &fakeApp{status: 200})
				d.subscribe()
				d.hub.publish = func(*fhircast.Event) (int, error) { return 0, errors.New("reset") }
				d.ask(asks, "q1", "p1")
				d.hub.publish = nil
				first := d.hub.sent()[0]
				c.happens(d, asks)
				_, err := d.relay.Send(asks.id, protocol.SendParams{ID: "q1", Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
				var pe *protocol.Error
				if c.code != 0 && (!errors.As(err, &pe) || pe.Code != c.code) {
					t.Errorf("%v, want %d", err, c.code)
				}
				for _, e := range d.hub.sent()[1:] {
					if e == first {
						t.Error("posted again")
					}
				}
			})
		})
	}
}

func TestS13_WhatAnAppGetsOfTheContextFitsALine(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "-", &fakeApp{status: 200})
		d.subscribe()
		big := func(i int) string {
			return strings.Replace(contextOf(fmt.Sprintf("p%d", i)), `"id"`, `"text":"`+strings.Repeat("x", 200<<10)+`","id"`, 1)
		}
		for i := range 40 {
			d.deliver(evAt("Patient-open", fmt.Sprint(i), time.Date(2026, 1, 2, 3, 0, i, 0, time.UTC), big(i)))
		}
		got, err := d.relay.Context(viewer.id)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(got)
		if len(text) > contextBytes+100 || len(got.Current) < 200<<10 || len(got.Open) == 0 {
			t.Errorf("%d bytes, %d of them current, %d open", len(text), len(got.Current), len(got.Open))
		}
		if n := len(d.relay.core.desk.open); n > 32 {
			t.Errorf("%d contexts kept", n)
		}
	})
}

func TestS13_AReplayOfASnapshotSaysBoth(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.hub.set("Patient-open", contextOf("p1"))
		d.subscribe()
		d.wantNews("hello", d.attach("viewer", "", &fakeApp{status: 200}), "Patient-open:p1/replay/snapshot")
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

func TestS6_AnAppThatDidNotFollowIsClearedAfterTheClose(t *testing.T) {
	for name, status := range map[string]int{"refused": 409, "failed": 500, "will not confirm": 202} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				viewer.mu.Lock()
				viewer.status = status
				viewer.mu.Unlock()
				d.deliver(ev("Patient-open", "2", 2, "p2")) // it goes on showing p1
				viewer.mu.Lock()
				viewer.status = 200
				viewer.mu.Unlock()
				viewer.news()
				d.deliver(ev("Patient-close", "3", 3, "p2")) // to which it has nothing to do
				d.wantNews("closed", viewer, "Patient-close:p2 clear:closed")
				d.wantPhase(protocol.PhaseNoContext)
			})
		})
	}
}

func TestS6_AnAppThatHadNotAnsweredIsClearedAfterTheClose(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		viewer.after = time.Second
		d.deliver(ev("Patient-open", "2", 2, "p2"))
		d.deliver(ev("Patient-close", "3", 3, "p2"))
		d.wantNews("nobody knows yet whether it will follow", viewer, "Patient-open:p2 Patient-close:p2 clear:closed")
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

func TestS6_AnAppThatRefusedACloseIsToldAgainAndALateAnswerMendsIt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		viewer.after = 9 * time.Second
		d.deliver(ev("Patient-close", "2", 2, "p1"))
		time.Sleep(8500 * time.Millisecond)
		d.wantPhase(protocol.PhaseAttention) // silent
		time.Sleep(time.Second)
		d.wantPhase(protocol.PhaseNoContext)
		viewer.after = 0
		d.deliver(ev("Patient-open", "3", 3, "p3"))
		viewer.mu.Lock()
		viewer.status = 409
		viewer.mu.Unlock()
		d.deliver(ev("Patient-close", "4", 4, "p3"))
		viewer.news()
		d.deliver(ev("Patient-close", "5", 5, "p9")) // the hub is asked
		d.wantNews("once more", viewer, "clear:closed")
	})
}

func TestS4_ADoubtBeforeItIsKnownThatTheHubCannotBeAskedCounts(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.offered, d.hub.delay = false, 100*time.Millisecond
		d.subscribe()
		viewer.news()
		d.deliver(ev("Patient-open", "1", 5, "p1"))
		d.wantAnswer("an old initial open is no doubt", d.deliver(ev("Patient-open", "2", 2, "p2")), 202)
		d.wantAnswer("nonsense is", d.deliver(ev("ImagingStudy-open", "3", 6, "p2")), 400)
		time.Sleep(2 * time.Second)
		d.wantNews("at the end of the window", viewer, "Patient-open:p1 clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
	})
}

func TestS13_AnAppWhoseOverdueOpenWasTakenOutIsToldAgain(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		stuck := d.attach("stuck", "ImagingStudy-open DiagnosticReport-update", &fakeApp{status: 200})
		d.subscribe()
		hold := make(chan struct{})
		stuck.mu.Lock()
		stuck.stuck = hold
		stuck.mu.Unlock()
		d.deliver(ev("DiagnosticReport-update", "1", 1, "r1"))
		d.deliver(ev("ImagingStudy-open", "2", 2, "s1/p1"))
		time.Sleep(9 * time.Second)
		d.deliver(ev("Patient-open", "3", 3, "p2")) // it is empty still, which is fine, but its row is silent
		stuck.mu.Lock()
		stuck.stuck = nil
		stuck.mu.Unlock()
		close(hold)
		synctest.Wait()
		d.wantPhase(protocol.PhaseInSync)
	})
}
