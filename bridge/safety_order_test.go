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
		d.wantNews("nobody was told of it, and nothing is shown", viewer, "")
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
		d.deliver(up("1", "r1", "", ""))
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

func TestS3_ADoubtThatTheHubDoesNotSettleEndsInUnknown(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 5, "p1"))
		viewer.news()
		d.hub.err = errors.New("x")
		d.deliver(ev("Patient-open", "2", 2, "p2"))
		d.wantNews("neither p1 nor p2", viewer, "clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
	})
}

func TestS4_UnknownForgetsTheMarks(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 50, "p1"))
		time.Sleep(3 * time.Second)
		viewer.news()
		d.deliver(ev("Patient-open", "2", 1, "p2"))
		d.wantNews("doubt", viewer, "clear:unknown")
		d.wantAnswer("by the same clock", d.deliver(ev("Patient-open", "3", 2, "p3")), 200)
		d.wantNews("the next open", viewer, "Patient-open:p3")
	})
}

func TestS7_OneOfTwoStudiesIsNoReasonToBelieveThatAnAppIsThere(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		images := d.attach("images", "ImagingStudy-open", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1"))
		images.news()
		d.deliver(ev("DiagnosticReport-open", "2", 2, "r1/s1/s2"))
		d.wantNews("which of them?", images, "clear:other_patient")
	})
}

func TestS10_NoConfigurationMakesTheHubWaitLonger(t *testing.T) {
	for _, within := range []time.Duration{0, 5 * time.Second, -time.Second, 900 * time.Millisecond} {
		t.Run(fmt.Sprint(within), func(t *testing.T) {
			onDeskWith(t, Config{AnswerWithin: within}, func(d *deskTest) {
				slow := d.attach("slow", "", &fakeApp{status: 200})
				d.subscribe()
				slow.after = 3 * time.Second
				answer := d.deliver(ev("Patient-open", "1", 1, "p1"))
				time.Sleep(799 * time.Millisecond)
				d.wantAnswer("it may still answer", answer, 0)
				time.Sleep(101 * time.Millisecond)
				d.wantAnswer("after 900 ms", answer, 202)
			})
		})
	}
}

// FC-NOT-02: ids tell repeats only as far as senders make them unique. One that counts from one again when it starts anew
// must not make us stay where the hub is not.
func TestS4_AnotherEventUnderAnIdThatWasUsedIsADoubt(t *testing.T) {
	for name, of := range map[string]struct {
		e              *fhircast.Event
		current, tells string
	}{
		"an open of somebody else":                  {ev("Patient-open", "1", 9, "p9"), "p9", "Patient-open:p9/snapshot"},
		"under the id of the current":               {ev("Patient-open", "3", 9, "p9"), "p9", "Patient-open:p9/snapshot"},
		"at the same time":                          {ev("Patient-open", "3", 3, "p9"), "p9", "Patient-open:p9/snapshot"},
		"a patient who was there before, later":     {ev("Patient-open", "1", 9, "p1"), "p1", "Patient-open:p1/snapshot"},
		"a repeat of what is over, with a new time": {ev("Patient-open", "1", 9, "p1"), "p3", ""},
		"a close": {ev("Patient-close", "2", 9, "p3"), "", "clear:closed"},
		"a repeat of the current, with a new time: none": {ev("Patient-open", "3", 9, "p3"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.deliver(ev("Patient-close", "2", 2, "p1"))
				d.deliver(ev("Patient-open", "3", 3, "p3"))
				viewer.news()
				if d.hub.set("", ""); of.current != "" {
					d.hub.set("Patient-open", contextOf(of.current))
				}
				d.wantAnswer("the hub", d.deliver(of.e), 202)
				d.wantNews("what the hub says", viewer, of.tells)
			})
		})
	}
}

// The report that is current may have been opened anew, with another study, by an open that never came.
func TestS4_AnotherStudyOfTheSameReportIsAnotherContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "ImagingStudy-open", &fakeApp{status: 200})
		both := d.attach("both", "ImagingStudy-open DiagnosticReport-open", &fakeApp{status: 200})
		reports := d.attach("reports", "DiagnosticReport-open", &fakeApp{status: 200})
		d.subscribe()
		for _, a := range []*fakeApp{viewer, both, reports} {
			a.news()
		}
		d.deliver(ev("DiagnosticReport-open", "1", 1, "r1/s1/p1"))
		told := func(what, study, report string) {
			d.Helper()
			d.wantNews(what, viewer, study)
			d.wantNews(what, both, report)
			d.wantPhase(protocol.PhaseInSync)
		}
		told("opened", "ImagingStudy-open:s1/derived", "DiagnosticReport-open:r1")
		d.hub.set("DiagnosticReport-open", contextOf("r1/s2/p1"))
		d.relay.Refused(d.n, &fhircast.FrameError{Name: "DiagnosticReport-open"})
		told("a doubt", "ImagingStudy-open:s2/derived/snapshot", "DiagnosticReport-open:r1/snapshot")
		d.hub.set("DiagnosticReport-open", contextOf("r1/s3/p1"))
		d.relay.Lost(d.n, "reset")
		d.confirm()
		told("a reconnect", "ImagingStudy-open:s3/derived/snapshot", "DiagnosticReport-open:r1/snapshot")
		d.wantNews("who asks for no study", reports, "DiagnosticReport-open:r1")
	})
}
