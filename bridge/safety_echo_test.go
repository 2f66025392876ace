package bridge

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// ask requests an open of what, in the name of an app, and returns the hub's answer as the app gets it.
func (d *deskTest) ask(a *fakeApp, id, what string) (protocol.SendResult, error) {
	defer synctest.Wait()
	name := map[byte]string{'p': "Patient-open", 's': "ImagingStudy-open"}[what[0]]
	return d.relay.Send(a.id, protocol.SendParams{ID: id, Event: name, Context: json.RawMessage(contextOf(what))})
}

func TestS9_AnAppWhoseEchoIsWithheldCountsAsAgreed(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		d.ask(asks, "q1", "p1")
		d.wantAnswer("the only app", d.deliver(ev("Patient-open", "q1", 1, "p1")), 200)
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS9_TheEchoIsDeliveredToAnAppThatReturnedUnderTheSameName(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.ask(asks, "q1", "p1")
		d.relay.Detach(asks.id, asks, false)
		back := d.attach("viewer", "", &fakeApp{status: 200})
		if back.id != asks.id {
			t.Fatalf("returned as %s", back.id)
		}
		back.news()
		d.deliver(ev("Patient-open", "q1", 1, "p1"))
		d.wantNews("it never asked", back, "Patient-open:p1")
	})
}

func TestS9_TheEchoIsDeliveredToAnAppThatAskedBeforeItHadAnswered(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		asks.after = time.Second
		d.deliver(ev("Patient-open", "2", 1, "p2"))
		d.ask(asks, "q1", "p1")
		time.Sleep(time.Second) // it read p2 after it had asked, and shows it
		d.deliver(ev("Patient-open", "q1", 2, "p1"))
		d.wantNews("in this order", asks, "Patient-open:p2 Patient-open:p1")
	})
}

func TestS9_AnAppThatDoesNotAnswerGetsItsEcho(t *testing.T) {
	onDesk(t, func(d *deskTest) { // nobody knows whether it has read what it was sent before it asked
		asks := d.attach("asks", "", &fakeApp{})
		d.subscribe()
		asks.news()
		d.deliver(ev("Patient-open", "2", 1, "p2"))
		d.ask(asks, "q1", "p1")
		d.deliver(ev("Patient-open", "q1", 2, "p1"))
		d.wantNews("in this order", asks, "Patient-open:p2 Patient-open:p1")
		if got := d.outcome(asks.id); got != protocol.OutcomeSent {
			t.Errorf("outcome %s", got)
		}
	})
}

func TestS9_AnEchoIsDeliveredWhereTheAppWasToldThatItsRequestFailed(t *testing.T) {
	for name, answer := range map[string]func(*fhircast.Event) (int, error){
		"lost":    func(*fhircast.Event) (int, error) { return 0, errors.New("reset") },
		"refused": func(*fhircast.Event) (int, error) { return 409, nil },
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				asks := d.attach("asks", "", &fakeApp{status: 200})
				d.subscribe()
				asks.news()
				d.hub.publish = answer
				if _, err := d.ask(asks, "q1", "p1"); err == nil {
					t.Fatal("no error")
				}
				d.deliver(ev("Patient-open", "q1", 1, "p1"))
				d.wantNews("it may have gone back", asks, "Patient-open:p1")
			})
		})
	}
}

func TestS9_AnAnswerAfterTheEcho(t *testing.T) {
	for _, c := range []struct {
		name     string
		status   int
		err      error
		accepted bool
		told     string
	}{
		{"a lost one changes nothing: the echo has confirmed it", 0, errors.New("reset"), true, ""},
		{"a refusal contradicts it: the hub is asked", 409, nil, false, "Patient-open:p1/snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				asks := d.attach("asks", "", &fakeApp{status: 200})
				d.subscribe()
				asks.news()
				release := make(chan struct{})
				d.hub.publish = func(*fhircast.Event) (int, error) { <-release; return c.status, c.err }
				got := make(chan error)
				go func() { _, err := d.ask(asks, "q1", "p1"); got <- err }()
				synctest.Wait()
				d.deliver(ev("Patient-open", "q1", 1, "p1"))
				d.wantNews("withheld", asks, "")
				d.hub.set("Patient-open", contextOf("p1"))
				close(release)
				if err := <-got; (err == nil) != c.accepted {
					t.Errorf("%v", err)
				}
				d.wantNews("then", asks, c.told)
				if _, err := d.ask(asks, "q1", "p1"); (err == nil) != c.accepted || len(d.hub.sent()) != 1 {
					t.Errorf("the same id: %v, posted %d times", err, len(d.hub.sent()))
				}
			})
		})
	}
}

func TestS9_TheEchoOfARequestIsDeliveredToAnAppThatHasAskedForMoreSince(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		d.ask(asks, "q1", "p1")
		d.ask(asks, "q2", "p2")
		d.deliver(ev("Patient-open", "q2", 1, "p2"))
		d.deliver(ev("Patient-open", "q1", 1, "p1")) // the hub took them the other way round
		if got := asks.news(); got != "Patient-open:p1" {
			t.Errorf("told %q: it shows p2, and p1 is current", got)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS9_NoEchoAndNothingCurrentClearsTheAppThatAsked(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		d.ask(asks, "q1", "p1") // it shows p1 by now, for all we know
		time.Sleep(5 * time.Second)
		d.wantNews("the hub says that nothing is current", asks, "clear:closed")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

func TestS9_NoEchoWhereTheHubCannotBeAskedIsUnknownToAll(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "Patient-open", &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		time.Sleep(2 * time.Second)
		asks.news()
		d.ask(asks, "q1", "p1")
		time.Sleep(5 * time.Second)
		d.wantNews("unknown", asks, "clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
	})
}

func TestS9_AnEchoThatIsOldNewsConfirmsNothing(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		time.Sleep(2 * time.Second)
		asks.news()
		d.ask(asks, "q1", "p1")
		d.deliver(ev("Patient-open", "2", 9, "p2"))
		d.wantNews("first", asks, "Patient-open:p2")
		d.hub.set("Patient-open", contextOf("p2"))
		d.wantAnswer("old", d.deliver(ev("Patient-open", "q1", 1, "p1")), 202)
		d.wantNews("what the hub says goes to the app that asked", asks, "Patient-open:p2/snapshot")
		asked := d.hub.questions()
		time.Sleep(10 * time.Second)
		if d.hub.questions() != asked {
			t.Error("asked again after 5 s")
		}
	})
}

func TestS9_AfterAReconnectTheContextIsToldToAnAppWhoseEchoHadNotCome(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.hub.set("Patient-open", contextOf("p0"))
		asks := d.attach("asks", "", &fakeApp{status: 200})
		other := d.attach("other", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		other.news()
		d.ask(asks, "q1", "p1")
		d.relay.Lost(d.n, "reset")
		d.confirm()
		d.wantNews("the hub still says p0", asks, "Patient-open:p0/snapshot")
		d.wantNews("is there", other, "")
	})
}

func TestS9_ARequestOfAnAppThatFollowsNothingIsNoAgreement(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		command := d.attachAs(App{Name: "command", MaySend: true, Hidden: true, Answers: true}, "-", &fakeApp{status: 200})
		d.subscribe()
		d.ask(command, "q1", "p1")
		d.wantAnswer("no app follows", d.deliver(ev("Patient-open", "q1", 1, "p1")), 202)
		d.wantPhase(protocol.PhaseUnconfirmed)
	})
}

func TestS9_TheEchoOfACloseSaysNothingOfWhatTheAppDidNotClose(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("DiagnosticReport-open", "1", 1, "r1/p1"))
		asks.mu.Lock()
		asks.status = 409
		asks.mu.Unlock()
		d.deliver(ev("DiagnosticReport-close", "2", 2, "r1/p1"))
		d.wantPhase(protocol.PhaseAttention)
		d.relay.Send(asks.id, protocol.SendParams{ID: "q1", Event: "Patient-close", Context: json.RawMessage(contextOf("p3"))})
		d.deliver(ev("Patient-close", "q1", 3, "p3"))
		if got := d.outcome(asks.id); got == protocol.OutcomeAcknowledged {
			t.Errorf("it shows r1, and its row says %s", got)
		}
	})
}

func TestS9_ACommandThatAsksAndFollowsNothingIsToldNothing(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		command := d.attachAs(App{Name: "command", MaySend: true, Hidden: true, Answers: true}, "-", &fakeApp{status: 200})
		d.subscribe()
		d.ask(command, "q1", "p1")
		d.deliver(ev("Patient-open", "q1", 1, "p1"))
		d.deliver(ev("ImagingStudy-open", "2", 2, "s2/p2"))
		d.deliver(ev("Patient-close", "3", 3, "p1"))
		d.wantNews("nothing", command, "")
	})
}

func TestS9_AnEchoThatIsHeldBackLeavesNothingToBelieve(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		slow := d.attach("slow", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.relay.Leave()
		slow.after = 1500 * time.Millisecond
		d.joinAs("Practitioner/2")
		asks.news()
		d.ask(asks, "q1", "p2") // while slow is being cleared
		d.deliver(ev("Patient-open", "q1", 2, "p2"))
		d.deliver(ev("Patient-close", "2", 3, "p2"))
		d.wantNews("not yet", asks, "")
		time.Sleep(1500 * time.Millisecond)
		d.wantNews("it shows p2", asks, "clear:closed")
	})
}

func TestS9_AnEchoIsNoInitialOpen(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.hub.offered = false
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		d.ask(asks, "q1", "p1")
		d.deliver(ev("Patient-open", "2", 5, "p2"))
		d.deliver(ev("Patient-open", "q1", 2, "p1")) // the hub took it after p2
		d.wantNews("a doubt", asks, "")
		time.Sleep(2 * time.Second)
		d.wantNews("that the hub cannot settle", asks, "clear:unknown")
		d.wantPhase(protocol.PhaseAttention)
	})
}

func TestS9_WhatWasSentBeforeTheAppAskedSaysNothingOfWhatItShows(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "ImagingStudy-open", &fakeApp{status: 200})
		d.subscribe()
		time.Sleep(2 * time.Second)
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		asks.news()
		asks.after = time.Second
		d.deliver(ev("Patient-open", "2", 2, "p2"))
		d.wantNews("other patient", asks, "clear:other_patient")
		d.ask(asks, "q1", "p3") // it has read the clear, and answers it later
		d.deliver(ev("Patient-open", "q1", 3, "p3"))
		d.wantNews("nobody knows what it shows", asks, "clear:other_patient")
		time.Sleep(2 * time.Second)
		d.wantPhase(protocol.PhaseInSync)
	})
}
