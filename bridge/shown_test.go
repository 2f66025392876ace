package bridge

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// prover lets in an app that can say what it shows.
func (d *deskTest) prover(a *fakeApp) *fakeApp {
	d.Helper()
	return d.attachAs(App{Name: "viewer", Via: "pipe", Answers: a.status != 0, Shows: true, MaySend: true}, "", a)
}

// settled is a subscription whose beginning is over: opens are news and nothing else.
func (d *deskTest) settled() {
	d.subscribe()
	time.Sleep(initialWindow)
}

func (d *deskTest) wantOutcome(when string, a *fakeApp, want protocol.Outcome) {
	d.Helper()
	if got := d.outcome(a.id); got != want {
		d.Errorf("%s: %s, want %s", when, got, want)
	}
}

// accusations are the SyncErrors that we sent, as "event: words".
func (d *deskTest) accusations() string {
	var said []string
	for _, e := range d.hub.sent() {
		for _, f := range e.Failures() {
			said = append(said, f.EventID+": "+f.Diagnostics)
		}
	}
	return strings.Join(said, ", ")
}

func TestS1_WhatAnAppShowsIsWeighedAgainstWhatIsCurrent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		current string // "" = nothing
		screen  string
		want    protocol.Outcome
	}{
		{"the patient", "p1", "p1", protocol.OutcomeVerified},
		{"the patient in every window", "p1", "p1 s9/p1", protocol.OutcomeVerified},
		{"nothing", "p1", "", protocol.OutcomeAcknowledged},
		{"another patient", "p1", "p2", protocol.OutcomeMismatch},
		{"another patient beside the current one", "p1", "p1 p2", protocol.OutcomeMismatch},
		{"a number without its system", "p1", "m1", protocol.OutcomeAcknowledged},
		{"such a number beside the current patient", "p1", "p1 m2", protocol.OutcomeAcknowledged},
		{"the study", "s1/p1", "s1/p1", protocol.OutcomeVerified},
		{"the study without its patient", "s1/p1", "s1", protocol.OutcomeVerified},
		{"the study and a prior", "s1/p1", "s7/p1 s1/p1", protocol.OutcomeVerified},
		{"a prior alone", "s1/p1", "s7/p1", protocol.OutcomeAcknowledged},
		{"the patient and no study", "s1/p1", "p1", protocol.OutcomeAcknowledged},
		{"a study of nobody knows whom", "s1/p1", "s7", protocol.OutcomeAcknowledged},
		{"the study under another patient", "s1/p1", "s1/p2", protocol.OutcomeMismatch},
		{"a report's study", "r1/s1/p1", "s1/p1", protocol.OutcomeVerified},
		{"a patient while nobody is current", "", "p1", protocol.OutcomeMismatch},
		{"a number without its system while nobody is current", "", "m1", protocol.OutcomeMismatch},
		{"a study while nobody is current", "", "s1", protocol.OutcomeMismatch},
		{"nothing while nobody is current", "", "", protocol.OutcomeCleared},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.prover(&fakeApp{status: 200})
				d.settled()
				name := map[byte]fhircast.Name{'p': "Patient-open", 's': "ImagingStudy-open", 'r': "DiagnosticReport-open"}
				first := tt.current
				if first == "" {
					first = "p1"
				}
				d.deliver(ev(name[first[0]], "1", 1, first))
				if tt.current == "" {
					d.deliver(ev("Patient-close", "2", 2, "p1"))
				}
				viewer.shows(tt.screen)
				time.Sleep(showAfter + showAgain + time.Millisecond)
				want := tt.want
				if tt.current == "" && want == protocol.OutcomeCleared {
					want = protocol.OutcomeAcknowledged // of the close, that it asked for
				}
				d.wantOutcome("asked", viewer, want)
				switch want {
				case protocol.OutcomeMismatch:
					d.wantPhase(protocol.PhaseOutOfSync)
					if p := d.relay.View().Problems; len(p) != 1 || p[0].Code != "mismatch" || p[0].App != viewer.id {
						t.Errorf("problems %v", p)
					}
				default:
					if got := d.phase(); got == protocol.PhaseOutOfSync || got == protocol.PhaseAttention {
						t.Errorf("phase %s", got)
					}
				}
			})
		})
	}
}

// A mismatch takes two answers two seconds apart, is told to the hub once, by the event that is current, and is gone with the
// first answer that mends it.
func TestS1_AMismatchIsToldAndGoneWhenItIsMended(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.prover(&fakeApp{status: 200})
		d.settled()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.shows("p1")
		time.Sleep(showAfter)
		d.wantOutcome("after the open", viewer, protocol.OutcomeVerified)
		viewer.shows("p2") // somebody turned a page
		time.Sleep(showEvery)
		d.wantOutcome("seen once", viewer, protocol.OutcomeVerified)
		d.wantPhase(protocol.PhaseInSync)
		time.Sleep(showAgain)
		d.wantOutcome("seen twice", viewer, protocol.OutcomeMismatch)
		d.wantPhase(protocol.PhaseOutOfSync)
		time.Sleep(time.Minute)
		d.wantPhase(protocol.PhaseOutOfSync)
		if got, want := d.accusations(), "1: viewer shows another patient"; got != want {
			t.Errorf("the hub heard %q, want %q", got, want)
		}
		viewer.shows("p1")
		time.Sleep(showBad)
		d.wantOutcome("mended", viewer, protocol.OutcomeVerified)
		d.wantPhase(protocol.PhaseInSync)
	})
}

// An answer that cannot be compared names no other patient, and does not take back that one was named.
func TestS1_AMismatchIsNotMendedByWhatCannotBeCompared(t *testing.T) {
	for screen, want := range map[string]protocol.Outcome{
		"m2":    protocol.OutcomeMismatch, // a number without its system
		"s7":    protocol.OutcomeMismatch, // a study of nobody knows whom
		"s7/p1": protocol.OutcomeAcknowledged,
		"p1 m2": protocol.OutcomeAcknowledged,
		"s1 m2": protocol.OutcomeAcknowledged,
		"":      protocol.OutcomeAcknowledged,
		"s1/p1": protocol.OutcomeVerified,
	} {
		t.Run(screen, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.prover(&fakeApp{status: 200})
				d.settled()
				d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
				viewer.shows("p2")
				time.Sleep(showAfter + showAgain + time.Millisecond)
				d.wantOutcome("another patient", viewer, protocol.OutcomeMismatch)
				viewer.shows(screen)
				time.Sleep(showBad)
				d.wantOutcome("then", viewer, want)
			})
		})
	}
}

// One wrong answer is a page being turned.
func TestS1_AWindowThatIsOnItsWayIsNoMismatch(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.prover(&fakeApp{status: 200})
		d.settled()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.shows("p9")
		time.Sleep(showAfter)
		viewer.shows("p1")
		time.Sleep(showAgain)
		d.wantOutcome("asked again", viewer, protocol.OutcomeVerified)

		viewer.shows("p9")
		time.Sleep(showEvery)
		d.deliver(ev("Patient-open", "2", 2, "p2")) // between the two answers
		time.Sleep(showAfter)
		if viewer.shows("p9"); d.outcome(viewer.id) == protocol.OutcomeMismatch {
			t.Error("answers about two contexts made a mismatch")
		}
		time.Sleep(showAgain)
		d.wantOutcome("twice about the new context", viewer, protocol.OutcomeMismatch)
	})
}

// Two answers make a mismatch only where nothing came between: neither a change of which the app was not told, nor something
// that it was told.
func TestS1_AnAnswerFromBeforeSaysNothingOfAfter(t *testing.T) {
	for name, between := range map[string]func(d *deskTest){
		"another patient, of whom it was not told": func(d *deskTest) { d.deliver(ev("Patient-open", "2", 2, "p2")) },
		"the same told again": func(d *deskTest) {
			if err := d.relay.Resync(); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, late := range []bool{false, true} { // whether the first answer is out, or has come
			t.Run(fmt.Sprint(name, " ", late), func(t *testing.T) {
				onDesk(t, func(d *deskTest) {
					viewer := d.attachAs(App{Name: "viewer", Answers: true, Shows: true}, "ImagingStudy-open", &fakeApp{status: 200, says: 500 * time.Millisecond})
					d.settled()
					time.Sleep(time.Second)
					d.hub.set("Patient-open", contextOf("p1"))
					d.deliver(ev("Patient-open", "1", 1, "p1"))
					viewer.shows("p9")
					asked := time.Now().Add(showAfter)
					time.Sleep(showAfter + 300*time.Millisecond)
					if late {
						time.Sleep(400 * time.Millisecond)
					}
					between(d)
					time.Sleep(time.Until(asked.Add(3800 * time.Millisecond))) // one answer more, and no second one
					if got := d.outcome(viewer.id); got == protocol.OutcomeMismatch {
						t.Error("an answer from before was counted")
					}
					time.Sleep(1200 * time.Millisecond)
					d.wantOutcome("two more", viewer, protocol.OutcomeMismatch)
				})
			})
		}
	}
}

// When it is asked: a second after it was told, however often that was; after a change that it was not told; every few
// minutes; and when the user wants all told again. Not while it has not answered, and not who cannot say.
func TestAppsAreAskedWhatTheyShow(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.prover(&fakeApp{status: 200})
		dumb := d.attach("dumb", "", &fakeApp{status: 200})
		slow := d.prover(&fakeApp{status: 200, after: 3 * time.Second, clears: 200, clearsAfter: time.Millisecond})
		d.settled()
		time.Sleep(10 * time.Second)
		was, wasSlow := viewer.questions(), slow.questions()
		asked := func(when string, more, moreSlow int) {
			t.Helper()
			if got, gotSlow := viewer.questions()-was, slow.questions()-wasSlow; got != more || gotSlow != moreSlow {
				t.Errorf("%s: asked %d and %d times, want %d and %d", when, got, gotSlow, more, moreSlow)
			}
			was, wasSlow = viewer.questions(), slow.questions()
		}
		for n := range 5 {
			d.deliver(ev("Patient-open", fmt.Sprint(n), n, fmt.Sprint("p", n)))
			time.Sleep(showAfter / 2)
		}
		asked("while opens come", 0, 0)
		time.Sleep(showAfter)
		asked("after them", 1, 0)
		time.Sleep(3 * time.Second)
		asked("after the slow answer", 0, 1)
		time.Sleep(showEvery)
		asked("some minutes later", 1, 1)
		d.hub.set("Patient-open", contextOf("p4"))
		if err := d.relay.Resync(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		asked("after a re-sync", 1, 1)
		d.relay.Lost(d.n, "reset")
		time.Sleep(showAfter + time.Second)
		asked("while there is no subscription", 0, 0)
		d.confirm()
		time.Sleep(showAfter)
		asked("after a reconnect to the same context", 1, 1)
		if n := dumb.questions(); n != 0 {
			t.Errorf("who cannot say was asked %d times", n)
		}
	})
}

// What cannot be proven any more is not called proven, and silence mends no mismatch.
func TestS1_AnAppThatCannotSayAnyMoreIsNotVerified(t *testing.T) {
	for name, falls := range map[string]func(a *fakeApp){
		"silent":  func(a *fakeApp) { a.mute = true },
		"garbled": func(a *fakeApp) { a.garbled = true },
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.prover(&fakeApp{status: 200})
				d.settled()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				viewer.shows("p1")
				time.Sleep(showAfter)
				d.wantOutcome("at first", viewer, protocol.OutcomeVerified)
				viewer.mu.Lock()
				falls(viewer)
				viewer.mu.Unlock()
				time.Sleep(showEvery + silentAfter)
				d.wantOutcome("without an answer", viewer, protocol.OutcomeAcknowledged)

				viewer.mu.Lock()
				viewer.mute, viewer.garbled = false, false
				viewer.mu.Unlock()
				viewer.shows("p2")
				time.Sleep(showEvery + showAgain)
				d.wantOutcome("elsewhere", viewer, protocol.OutcomeMismatch)
				viewer.mu.Lock()
				falls(viewer)
				viewer.mu.Unlock()
				time.Sleep(time.Minute)
				d.wantOutcome("elsewhere, and without an answer", viewer, protocol.OutcomeMismatch)
				d.wantPhase(protocol.PhaseOutOfSync)
			})
		})
	}
}

// What an app shows never mends what it said: a refusal stays one until the app is told anew. Who cannot answer, or would
// not confirm, is proven by it.
func TestS1_ProofCountsForWhoDidNotConfirmAndAgainstWhoRefused(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   protocol.Outcome
		phase  protocol.Phase
	}{
		{200, protocol.OutcomeVerified, protocol.PhaseInSync},
		{202, protocol.OutcomeVerified, protocol.PhaseInSync},
		{0, protocol.OutcomeVerified, protocol.PhaseInSync}, // cannot answer
		{409, protocol.OutcomeRefused, protocol.PhaseAttention},
		{500, protocol.OutcomeFailed, protocol.PhaseAttention},
	} {
		onDesk(t, func(d *deskTest) {
			viewer := d.prover(&fakeApp{status: tt.status, clears: 200})
			d.settled()
			d.deliver(ev("Patient-open", "1", 1, "p1"))
			viewer.shows("p1")
			time.Sleep(showAfter)
			d.wantOutcome(fmt.Sprint(tt.status), viewer, tt.want)
			d.wantPhase(tt.phase)
			viewer.shows("p2")
			time.Sleep(showEvery + showAgain)
			d.wantOutcome(fmt.Sprint(tt.status, " elsewhere"), viewer, protocol.OutcomeMismatch)
			d.wantPhase(protocol.PhaseOutOfSync)
		})
	}
}

// FC-ERR-01: a mismatch has a SyncError of its own beside that of a refusal, at most one in ten seconds; none where nobody
// counts on the app, and none about what was only read, of which the hub knows no event.
func TestWhoIsAccusedOfAMismatch(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.prover(&fakeApp{status: 409, clears: 200, after: time.Second})
		other := d.attachAs(App{Name: "notes", Answers: true, Shows: true, Required: protocol.RequiredNever}, "", &fakeApp{status: 200})
		d.settled()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.shows("p2")
		other.shows("p2")
		time.Sleep(time.Second + showAfter + showAgain)
		d.wantOutcome("who does not count", other, protocol.OutcomeMismatch)
		time.Sleep(time.Second)
		if got, want := d.accusations(), "1: viewer refused to follow, 1: viewer shows another patient"; got != want {
			t.Errorf("the hub heard %q, want %q", got, want)
		}
		d.hub.set("Patient-open", contextOf("p3"))
		d.relay.Lost(d.n, "reset")
		d.confirm()
		time.Sleep(30 * time.Second)
		d.wantOutcome("after a snapshot", viewer, protocol.OutcomeMismatch)
		if got := len(d.hub.sent()); got != 2 {
			t.Errorf("%d SyncErrors, %s", got, d.accusations())
		}
	})
}

// S9: a question moves an app nowhere, so it does not stand between what it asked for and its echo.
func TestS9_AQuestionIsNothingThatWasDelivered(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.prover(&fakeApp{status: 200, mute: true})
		d.settled() // the question is out
		viewer.news()
		var event *fhircast.Event
		d.hub.publish = func(e *fhircast.Event) (int, error) { event = e; return 202, nil }
		if _, err := d.relay.Send(viewer.id, protocol.SendParams{ID: "mine", Event: "Patient-open", Context: []byte(contextOf("p1"))}); err != nil {
			t.Fatal(err)
		}
		if n := viewer.questions(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		d.deliver(event)
		d.wantNews("the echo", viewer, "")
		d.wantOutcome("withheld", viewer, protocol.OutcomeAcknowledged)
	})
}

// A window names no report: who would not confirm one is not at it because it shows the patient.
func TestS1_WhatAWindowCannotNameIsNotProvenForWhoDidNotConfirm(t *testing.T) {
	for status, want := range map[int]protocol.Outcome{200: protocol.OutcomeVerified, 202: protocol.OutcomeSent} {
		onDesk(t, func(d *deskTest) {
			viewer := d.prover(&fakeApp{status: status})
			d.settled()
			d.deliver(ev("DiagnosticReport-open", "1", 1, "r1/p1"))
			viewer.shows("p1")
			time.Sleep(showAfter)
			d.wantOutcome(fmt.Sprint(status), viewer, want)
		})
	}
}

// What was seen on the screen of an app before nobody knew what it shows, because it was paused or asked for another patient,
// does not prove what it shows afterwards.
func TestS1_AProofFromBeforeAPauseOrAWishIsNone(t *testing.T) {
	for name, strays := range map[string]func(d *deskTest, viewer *fakeApp){
		"paused": func(d *deskTest, viewer *fakeApp) {
			for _, paused := range []bool{true, false} {
				if _, err := d.relay.Pause(viewer.id, paused); err != nil {
					t.Error(err)
				}
			}
		},
		"its wish had no echo": func(d *deskTest, viewer *fakeApp) {
			if _, err := d.ask(viewer, "mine", "p2"); err != nil {
				t.Error(err)
			}
			time.Sleep(echoWithin)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.prover(&fakeApp{}) // it cannot answer
				d.settled()
				d.hub.set("Patient-open", contextOf("p1"))
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				viewer.shows("p1")
				time.Sleep(showAfter)
				d.wantOutcome("at first", viewer, protocol.OutcomeVerified)
				viewer.mu.Lock()
				viewer.mute = true // and from now on it hangs
				viewer.mu.Unlock()
				strays(d, viewer)
				d.wantOutcome("told again", viewer, protocol.OutcomeSent)
				d.wantPhase(protocol.PhaseUnconfirmed)
			})
		})
	}
}

// S10: an answer that is larger than any screen says nothing, and takes no time of the one who answers the hub.
func TestS10_AnAnswerLargerThanAnyScreenSaysNothing(t *testing.T) {
	many := make([]protocol.Identifier, 1_000_000)
	for i := range many {
		many[i] = protocol.Identifier{System: fmt.Sprint("urn:", i), Value: "x"}
	}
	for name, screen := range map[string][]protocol.Window{
		"windows":     make([]protocol.Window, 2_000_000),
		"identifiers": {{Patient: many}},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.prover(&fakeApp{status: 200})
				d.settled()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				viewer.shows("p1")
				time.Sleep(showAfter)
				d.wantOutcome("at first", viewer, protocol.OutcomeVerified)
				viewer.mu.Lock()
				viewer.screen = screen
				viewer.mu.Unlock()
				made := testing.AllocsPerRun(1, func() { time.Sleep(showEvery); synctest.Wait() })
				d.wantOutcome("too much", viewer, protocol.OutcomeAcknowledged)
				if made > 10_000 {
					t.Errorf("%v allocations were made of it", made)
				}
			})
		})
	}
}
