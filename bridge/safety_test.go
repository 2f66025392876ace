package bridge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

func TestS1_InSyncNeedsEveryAppAtTheContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		if got := d.phase(); got != "" {
			t.Errorf("without a subscription: %q", got)
		}
		good := d.attach("good", "", &fakeApp{status: 200})
		d.subscribe()
		d.wantPhase(protocol.PhaseNoContext)
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.wantPhase(protocol.PhaseInSync)

		other := d.attach("other", "", &fakeApp{status: 409})
		d.wantPhase(protocol.PhaseAttention)
		if d.outcome(other.id) != protocol.OutcomeRefused {
			t.Errorf("outcome %s", d.outcome(other.id))
		}
		d.relay.Detach(other.id, other, false)
		d.wantPhase(protocol.PhaseInSync)

		d.attachAs(App{Name: "old"}, "", &fakeApp{}) // told, cannot confirm
		d.wantPhase(protocol.PhaseUnconfirmed)
		d.relay.Lost(d.n, "reset")
		if got := d.phase(); got != "" {
			t.Errorf("after the loss: %q", got)
		}
		_ = good
	})
}

func TestS1_PendingLooksLikeBeforeOnlyForAnswerWithin(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("slow", "", &fakeApp{status: 200, clears: 200, after: 1500 * time.Millisecond})
		time.Sleep(2 * time.Second)
		d.subscribe()
		answer := d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.wantPhase(protocol.PhaseNoContext)
		if n := d.relay.View().Pending; n != 1 {
			t.Errorf("pending %d", n)
		}
		time.Sleep(800 * time.Millisecond)
		d.wantAnswer("at answer_within", answer, 202)
		d.wantPhase(protocol.PhaseAttention)
		time.Sleep(700 * time.Millisecond)
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS1_SyncErrorOfAnotherIsOpenUntilTheNextChangeOrARepeat(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		current := ev("Patient-open", "1", 1, "p1")
		d.deliver(current)
		complain := func(id, about, who string) {
			t.Helper()
			e, err := fhircast.NewSyncError(id, time.Unix(0, 0), topic, fhircast.Failure{EventID: about, EventName: "Patient-open", Subscriber: who})
			if err != nil {
				t.Fatal(err)
			}
			d.wantAnswer("SyncError", d.deliver(e), 200) // FC-ACK-12, FC-ERR-13
		}
		complain("se1", "1", "Castray on test") // FC-ERR-16: our own name
		d.wantPhase(protocol.PhaseInSync)
		complain("se2", "1", "Report")
		d.wantPhase(protocol.PhaseOutOfSync)
		d.deliver(current) // FC-HGS-09
		d.wantPhase(protocol.PhaseInSync)
		complain("se3", "never seen", "Report") // unknown is not in sync
		d.wantPhase(protocol.PhaseOutOfSync)
		d.deliver(ev("Patient-open", "2", 2, "p2")) // FC-ERR-14
		d.wantPhase(protocol.PhaseInSync)
		complain("se4", "1", "Report") // about an event already replaced
		d.wantPhase(protocol.PhaseInSync)
		d.deliver(evAt("SyncError", "se5", time.Unix(0, 0), "[]")) // about nobody knows what
		d.wantPhase(protocol.PhaseOutOfSync)
		d.deliver(ev("Patient-open", "3", 3, "p3"))
		several, err := fhircast.NewSyncError("se6", time.Unix(0, 0), topic, // FC-ERR-15: the last of several issues
			fhircast.Failure{EventID: "1", EventName: "Patient-open", Subscriber: "Report"}, fhircast.Failure{EventID: "3", EventName: "Patient-open", Subscriber: "Images"})
		if err != nil {
			t.Fatal(err)
		}
		d.deliver(several)
		d.wantPhase(protocol.PhaseOutOfSync)
	})
}

// FM-01: told at once, read again, and nothing twice.
func TestS2_AfterEveryReconnectTheContextIsReadAndAppsAreBroughtToIt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		same := d.attach("patients", "Patient-open Patient-close", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		same.news()
		d.relay.Lost(d.n, "reset")
		synctest.Wait()
		if got, _ := d.relay.Context(viewer.id); got != nil {
			t.Error("context known while there is no subscription")
		}
		d.hub.delay = time.Second
		d.hub.set("ImagingStudy-open", contextOf("s1/p1"))
		d.confirm()
		d.wantPhase(protocol.PhaseConnecting) // FC-HGS-06
		if got, _ := d.relay.Context(viewer.id); got != nil {
			t.Error("context known while it is read")
		}
		time.Sleep(time.Second)
		d.wantPhase(protocol.PhaseInSync)
		d.wantNews("the changed one", viewer, "ImagingStudy-open:s1/snapshot")
		d.wantNews("the one already there", same, "")

		d.relay.Lost(d.n, "reset")
		d.hub.delay = 0
		d.confirm()
		d.wantPhase(protocol.PhaseInSync)
		d.wantNews("nothing has changed", viewer, "")
	})
}

func TestS2_LeavingPauseShowsWhatWillChangeBeforeItIsTold(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.attach("bystander", "-", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.relay.Leave()
		viewer.news()
		d.hub.set("Patient-open", contextOf("p2"))
		d.hub.delay = time.Second
		s := d.session()
		var shown []string
		s.Preview = func(ids []string) {
			shown = ids
			viewer.mu.Lock()
			defer viewer.mu.Unlock()
			if len(viewer.told) != 0 {
				t.Error("told before it was shown")
			}
		}
		d.relay.Join(s)
		d.confirm()
		d.wantAnswer("an initial open of what it has", d.deliver(ev("Patient-open", "2", 2, "p1")), 202)
		d.wantAnswer("and of what is current", d.deliver(ev("Patient-open", "3", 3, "p2")), 202)
		d.wantNews("not before it is shown", viewer, "")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if fmt.Sprint(shown) != "[viewer]" {
			t.Errorf("shown %v", shown)
		}
		d.wantNews("then", viewer, "Patient-open:p2")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS3_WhatCannotBeReadIsClearedAndUnknownIsNotNoPatient(t *testing.T) {
	for name, broken := range map[string]func(h *fakeHub){
		"an error":          func(h *fakeHub) { h.err = errors.New("x") },
		"no anchor":         func(h *fakeHub) { h.set("ImagingStudy-open", contextOf("p1")) },
		"two patients":      func(h *fakeHub) { h.set("Patient-open", contextOf("p1/p2")) },
		"not its resource":  func(h *fakeHub) { h.set("Patient-open", strings.ReplaceAll(contextOf("p1"), "Patient", "Person")) },
		"a reference alone": func(h *fakeHub) { h.set("Patient-open", `[{"key":"patient","reference":{"reference":"Patient/p1"}}]`) },
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.relay.Lost(d.n, "reset")
				viewer.news()
				broken(d.hub)
				d.confirm()
				d.wantPhase(protocol.PhaseAttention)
				d.wantNews("cleared", viewer, "clear:unknown")
				if got, _ := d.relay.Context(viewer.id); got != nil {
					t.Error("unknown is told as something")
				}
				if p := d.relay.View().Problems; len(p) != 1 || p[0].Code != "context_unknown" {
					t.Errorf("problems %v", p)
				}
				// It is read again by the schedule until it can be.
				asked := d.hub.questions()
				d.hub.mu.Lock()
				d.hub.err = nil
				d.hub.mu.Unlock()
				d.hub.set("Patient-open", contextOf("p3"))
				time.Sleep(2500 * time.Millisecond)
				if d.hub.questions() != asked+1 {
					t.Errorf("asked %d times more", d.hub.questions()-asked)
				}
				d.wantPhase(protocol.PhaseInSync)
				d.wantNews("then", viewer, "Patient-open:p3/snapshot")
			})
		})
	}
}

func TestS3_AnOpenMendsAnUnreadableContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.err = errors.New("x")
		d.subscribe()
		d.wantPhase(protocol.PhaseAttention)
		viewer.news()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.wantPhase(protocol.PhaseInSync)
		asked := d.hub.questions()
		time.Sleep(time.Minute)
		if d.hub.questions() != asked {
			t.Error("asked again after an open")
		}
		d.wantNews("then", viewer, "Patient-open:p1")
	})
}

func TestS4_OldOpensAreNotDeliveredAndTheHubIsAsked(t *testing.T) {
	for _, c := range []struct {
		name  string
		event *fhircast.Event
	}{
		{"older than the last of its type", ev("Patient-open", "x", 3, "p1")},                               // FC-NOT-04
		{"another type, another patient, older than the current", ev("ImagingStudy-open", "x", 3, "s9/p9")}, //
		{"another type, no patient, older than the current", ev("ImagingStudy-open", "x", 3, "s9")},         //
	} {
		t.Run(c.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 5, "p1"))
				viewer.news()
				asked := d.hub.questions()
				d.hub.set("Patient-open", contextOf("p7"))
				d.wantAnswer("old", d.deliver(c.event), 202) // FC-ACK-10
				if d.hub.questions() != asked+1 {
					t.Error("the hub was not asked")
				}
				d.wantNews("what the hub names is adopted", viewer, "Patient-open:p7/snapshot")
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

func TestS4_NoDoubtAboutWhatIsNew(t *testing.T) {
	for _, c := range []struct {
		name  string
		event *fhircast.Event
	}{
		{"equal time", ev("Patient-open", "x", 5, "p2")},
		{"another type, same patient, older", ev("ImagingStudy-open", "x", 3, "s1/p1")},                                            // FC-DRV-06
		{"a time that cannot be read", unreadableTime(ev("Patient-open", "x", 5, "p2"))},                                           // FC-EVT-03
		{"an hour behind our clock", evAt("Encounter-open", "x", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), contextOf("e1/p1"))}, // FC-NOT-07
	} {
		t.Run(c.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 5, "p1"))
				viewer.news()
				asked := d.hub.questions()
				d.wantAnswer("new", d.deliver(c.event), 200)
				if d.hub.questions() != asked {
					t.Error("the hub was asked")
				}
				if viewer.news() == "" {
					t.Error("not delivered")
				}
			})
		})
	}
}

func unreadableTime(e *fhircast.Event) *fhircast.Event {
	m, err := fhircast.Decode([]byte(strings.Replace(string(e.Wire()), "T03:", "T003:", 1)))
	if err != nil {
		panic(err)
	}
	return m.(*fhircast.Event)
}

func TestS4_MarksAndSeenPairsEndWithTheSubscription(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 50, "p1"))
		d.relay.Lost(d.n, "reset")
		d.hub.set("Patient-open", contextOf("p1"))
		d.confirm()
		time.Sleep(3 * time.Second)
		viewer.news()
		d.wantAnswer("an open with the clock of another sender", d.deliver(ev("Patient-open", "1", 2, "p2")), 200) // FC-INI-03
		d.wantNews("delivered", viewer, "Patient-open:p2")
	})
}

func TestS4_RepeatGoesOnlyToThoseThatDidNotFollow(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		good := d.attach("good", "", &fakeApp{status: 200})
		bad := d.attach("bad", "", &fakeApp{status: 500, clears: 200})
		d.subscribe()
		e := ev("Patient-open", "1", 1, "p1")
		d.wantAnswer("first", d.deliver(e), 500)
		good.news()
		bad.news()
		bad.status = 200
		d.wantAnswer("repeat", d.deliver(ev("Patient-open", "1", 1, "p1")), 202) // FC-NOT-02, FC-NOT-05
		d.wantNews("good", good, "")
		d.wantNews("bad", bad, "Patient-open:p1")
		d.wantPhase(protocol.PhaseInSync)
		// FC-DRV-05: the same id with another name is another event.
		d.wantAnswer("derived by the hub", d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1")), 200)
	})
}

func TestS4_WhatCannotBeReadIsTheSameDoubt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.hub.set("Patient-open", contextOf("p2"))
		d.wantAnswer("no anchor", d.deliver(ev("ImagingStudy-open", "2", 2, "p2")), 400) // FC-ACK-05, FC-EVT-25
		d.wantNews("adopted", viewer, "Patient-open:p2/snapshot")
		d.hub.set("Patient-open", contextOf("p3"))
		d.relay.Refused(d.n, &fhircast.FrameError{Reason: "x"})
		d.wantNews("adopted", viewer, "Patient-open:p3/snapshot")
		d.hub.set("Patient-open", contextOf("p4"))
		d.relay.Refused(d.n, &fhircast.FrameError{Name: "DiagnosticReport-update"})
		d.wantNews("an update changes no context", viewer, "")
		if n := d.relay.View().Counters.Malformed; n != 3 {
			t.Errorf("counted %d", n)
		}
	})
}

func TestS4_AnEventBeatsTheReadingThatWasUnderWay(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.delay = 100 * time.Millisecond
		d.hub.set("Patient-open", contextOf("p1"))
		d.subscribe()
		viewer.news()
		d.wantAnswer("the event", d.deliver(ev("Patient-open", "2", 2, "p2")), 202) // FC-INI-04, FC-SYN-04
		d.wantNews("not before the hub was asked", viewer, "")
		d.hub.set("Patient-open", contextOf("p2"))
		time.Sleep(200 * time.Millisecond)
		d.wantNews("the old answer is dropped, the next agrees", viewer, "Patient-open:p2")
		if n := d.hub.questions(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS4_ThreeBeatenReadingsEndInUnknown(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.delay = 100 * time.Millisecond
		d.subscribe()
		for i := range 3 {
			d.deliver(ev("Patient-open", fmt.Sprint(i), i, fmt.Sprintf("p%d", i)))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if n := d.hub.questions(); n != 3 {
			t.Errorf("asked %d times", n)
		}
		d.wantPhase(protocol.PhaseAttention)
		if got := viewer.news(); !strings.HasSuffix(got, "clear:unknown") {
			t.Errorf("told %s", got)
		}
	})
}

func TestS4_AnInitialOpenOfAnotherPatientThanTheReadingIsADoubt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.set("Patient-open", contextOf("p1"))
		d.subscribe()
		viewer.news()
		d.wantAnswer("another patient", d.deliver(ev("Patient-open", "1", 1, "p2")), 202)
		d.wantNews("the hub still says p1", viewer, "")
		if n := d.hub.questions(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		d.wantAnswer("the same patient", d.deliver(ev("ImagingStudy-open", "2", 1, "s1/p1")), 202)
		d.wantNews("the hub still says p1", viewer, "")
		d.wantAnswer("what the hub says", d.deliver(ev("Patient-open", "3", 1, "p1")), 202)
		d.wantNews("it is there", viewer, "")
		if n := d.hub.questions(); n != 3 {
			t.Errorf("asked %d times", n)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-GCC-05: the last context was closed and another is still open: the hub says that nothing is current, and tells who
// joins of the open one all the same.
func TestS6_WhatWasOpenedAndLeftIsNotCurrentForLong(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		d.deliver(ev("ImagingStudy-open", "0", 0, "s1/p1"))
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.wantNews("it may be news", viewer, "ImagingStudy-open:s1 Patient-open:p1")
		time.Sleep(2 * time.Second)
		d.wantNews("it was not", viewer, "clear:closed")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

// FC-INI-01, FC-INI-05: a hub tells who joins what is open, in no certain order: also what was left behind of another
// patient. Nobody is shown that on the way.
func TestS2_NoAppIsTakenThroughWhatIsOpenAndNotCurrent(t *testing.T) {
	study, patient := ev("ImagingStudy-open", "1", 1, "s1/p1"), ev("Patient-open", "2", 2, "p2")
	for name, order := range map[string][]*fhircast.Event{"oldest first": {study, patient}, "newest first": {patient, study}} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				late := d.attach("late", "ImagingStudy-open", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(study)
				d.deliver(patient)
				d.hub.set("Patient-open", contextOf("p2"))
				time.Sleep(time.Minute)
				d.relay.Lost(d.n, "reset")
				viewer.news()
				late.news()
				d.hub.delay = 100 * time.Millisecond
				d.confirm()
				for _, e := range order {
					d.wantAnswer("initial open", d.deliver(e), 202)
				}
				d.wantPhase(protocol.PhaseConnecting)
				time.Sleep(300 * time.Millisecond)
				d.wantNews("it is there", viewer, "")
				d.wantNews("it is there, too", late, "")
				d.wantPhase(protocol.PhaseInSync)

				// A hub that does not answer is waited for as long as it tells what is open, and no longer.
				d.relay.Lost(d.n, "reset")
				d.hub.delay = 5 * time.Second
				d.confirm()
				d.deliver(ev("Patient-open", "3", 3, "p3"))
				d.wantNews("not yet", viewer, "")
				time.Sleep(2 * time.Second)
				d.wantNews("then", viewer, "Patient-open:p3")
				d.wantNews("then", late, "")
			})
		})
	}
}

func TestS4_WhereTheHubCannotBeAskedTheNewestInitialOpenDecides(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		viewer.news()
		d.wantPhase(protocol.PhaseConnecting)
		d.deliver(ev("ImagingStudy-open", "2", 7, "s1/p1")) // FC-INI-01, FC-INI-05: no defined order
		d.wantAnswer("the older one", d.deliver(ev("Patient-open", "1", 3, "p2")), 202)
		d.wantNews("not before all have had their time", viewer, "")
		time.Sleep(2 * time.Second)
		d.wantNews("the newest", viewer, "ImagingStudy-open:s1")
		d.wantPhase(protocol.PhaseInSync)
		// A later doubt cannot be settled, so it ends in unknown, which forgets the marks.
		d.deliver(ev("Patient-open", "3", 1, "p3"))
		d.wantNews("doubt", viewer, "clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
		d.deliver(ev("Patient-open", "4", 1, "p4"))
		d.wantNews("the next open", viewer, "Patient-open:p4")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS4_WhereTheHubCannotBeAskedAndNoOpenComesTheContextIsUnknown(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		time.Sleep(3 * time.Second)
		d.relay.Lost(d.n, "reset")
		viewer.news()
		d.confirm()
		d.wantNews("not yet", viewer, "")
		time.Sleep(2 * time.Second)
		d.wantNews("after two seconds", viewer, "clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
	})
}

func TestS5_ForeignTopicsAndUnaskedEventsNeverReachAnApp(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		foreign, err := fhircast.Decode([]byte(strings.Replace(string(ev("Patient-open", "1", 1, "p1").Wire()), topic, "T-other", 1)))
		if err != nil {
			t.Fatal(err)
		}
		d.wantAnswer("foreign", d.deliver(foreign.(*fhircast.Event)), 400)                   // FC-EVT-04
		d.wantAnswer("unasked", d.deliver(ev("Encounter-close", "2", 1, "e1/p1")), 200)      // FC-INI-02, FC-ACK-10
		d.wantAnswer("unasked, own", d.deliver(evAt("org.x.y", "3", time.Now(), "[]")), 200) //
		d.wantNews("nothing", viewer, "")
		if c := d.relay.View().Counters; c.ForeignTopic != 1 || c.Unasked != 2 || c.Events != 0 {
			t.Errorf("counters %+v", c)
		}
		d.wantPhase(protocol.PhaseNoContext)
	})
}

func TestS6_AfterTheCloseOfTheCurrentNothingIsCurrent(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		opens := d.attach("opens", "Patient-open ImagingStudy-open", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.deliver(ev("ImagingStudy-open", "2", 2, "s1/p1"))
		viewer.news()
		opens.news()
		d.wantAnswer("close", d.deliver(ev("ImagingStudy-close", "3", 3, "s1/p1")), 200)
		d.wantNews("asked for closes", viewer, "ImagingStudy-close:s1") // FC-TAB-05: not Patient-open:p1
		d.wantNews("did not", opens, "clear:closed")
		d.wantPhase(protocol.PhaseNoContext)
		got, _ := d.relay.Context(viewer.id)
		if got == nil || got.Current != nil || len(got.Open) != 1 { // FC-TAB-02: p1 stays open
			t.Errorf("context %+v", got)
		}

		d.deliver(ev("Patient-open", "4", 4, "p1"))
		viewer.news()
		d.deliver(evAt("Home-open", "5", time.Date(2026, 1, 2, 3, 0, 5, 0, time.UTC), "[]")) // FC-CAT-11
		d.wantNews("home", viewer, "Home-open clear:closed")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

func TestS6_TheCloseOfAnotherAnchorChangesNothingElse(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		reports := d.attach("reports", "Patient-open Patient-close", &fakeApp{status: 200})
		d.subscribe()
		reports.news()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.deliver(ev("ImagingStudy-open", "2", 2, "s2/p2"))
		viewer.news()
		d.wantNews("derived", reports, "Patient-open:p1 Patient-open:p2/derived")
		asked := d.hub.questions()
		d.hub.set("ImagingStudy-open", contextOf("s2/p2"))
		d.wantAnswer("close of p1", d.deliver(ev("Patient-close", "3", 3, "p1")), 202) // FC-TAB-08
		d.wantNews("its belief does not name it", viewer, "")
		d.wantNews("nor its", reports, "")
		if d.hub.questions() != asked+1 { // FC-REQ-16
			t.Error("the hub was not asked")
		}
		d.wantPhase(protocol.PhaseInSync)
		// A hub that clears its context on any close is believed.
		d.hub.set("", "")
		d.deliver(ev("Patient-close", "4", 4, "p7"))
		d.wantNews("the hub says that nothing is current", viewer, "clear:closed")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

func TestS6_ACloseThatCannotBeComparedIsADoubt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		time.Sleep(3 * time.Second)
		viewer.news()
		other := strings.ReplaceAll(strings.ReplaceAll(contextOf("p1"), "urn:mrn", "urn:else"), `"id":"p1"`, `"id":"x"`)
		d.deliver(evAt("Patient-close", "2", time.Date(2026, 1, 2, 3, 0, 9, 0, time.UTC), other)) // FC-TAB-09
		d.wantNews("nobody can say", viewer, "clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
	})
}
