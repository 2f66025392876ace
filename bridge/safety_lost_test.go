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

// cutOff fills an app's queue until it is lost.
func (d *deskTest) cutOff(a *fakeApp) {
	a.mu.Lock()
	a.stuck = make(chan struct{})
	a.mu.Unlock()
	for i := 0; a.closed == ""; i++ {
		d.deliver(up(fmt.Sprint("fill-", i), "r1", "", ""))
	}
	synctest.Wait()
}

func TestS1_ALostAppStaysFailedWhateverIsAskedOfIt(t *testing.T) {
	for name, happens := range map[string]func(d *deskTest, lost *fakeApp){
		"other wishes":  func(d *deskTest, lost *fakeApp) { d.relay.Subscribe(lost.id, fhircast.Names([]string{"Patient-open"})) },
		"pause, resume": func(d *deskTest, lost *fakeApp) { d.relay.Pause(lost.id, true); d.relay.Pause(lost.id, false) },
		"a request": func(d *deskTest, lost *fakeApp) {
			var pe *protocol.Error
			if _, err := d.ask(lost, "q1", "p1"); !errors.As(err, &pe) || pe.Code != protocol.CodeNotConnected {
				d.Errorf("%v", err)
			}
		},
		"a re-sync": func(d *deskTest, _ *fakeApp) { d.relay.Resync() },
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				lost := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("DiagnosticReport-open", "o", 1, "r1/p1"))
				d.cutOff(lost)
				d.hub.set("DiagnosticReport-open", contextOf("r1/p1"))
				happens(d, lost)
				if got := d.outcome(lost.id); got != protocol.OutcomeFailed {
					t.Errorf("outcome %s", got)
				}
				time.Sleep(time.Minute)
				if p := d.relay.View().Problems; len(p) != 1 || p[0].Code != "app_lost" {
					t.Errorf("problems %v", p)
				}
				d.wantPhase(protocol.PhaseAttention)
			})
		})
	}
}

func TestS1_OneHelloBringsBackOneOfTwoLostApps(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		window := func(pid int) *fakeApp {
			return d.attachAs(App{Name: "viewer", Exe: "/opt/viewer", PID: pid, Answers: true}, "", &fakeApp{status: 200})
		}
		one, two := window(10), window(11)
		d.relay.Detach(one.id, one, true)
		d.relay.Detach(two.id, two, true)
		window(11)
		synctest.Wait()
		pids := []string{}
		for _, r := range d.relay.View().Rows {
			pids = append(pids, fmt.Sprint(r.PID, " ", r.Outcome))
		}
		if got := strings.Join(pids, ", "); got != "10 failed, 11 acknowledged" {
			t.Errorf("rows %s", got)
		}
		d.wantPhase(protocol.PhaseAttention)
	})
}

// Two goroutines read the end of the old connection and the hello on the new one: either may be first.
func TestS1_AHelloSpeaksForNoOtherWindow(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		window := func(name string, pid int) *fakeApp {
			return d.attachAs(App{Name: name, Exe: "/opt/viewer", PID: pid, Answers: true}, "", &fakeApp{status: 200})
		}
		wantKept := func(what string, a *fakeApp) {
			d.Helper()
			if !d.relay.Detach(a.id, a, true) {
				d.Errorf("%s is forgotten, and may still show a patient", what)
			}
		}
		first, second, report, unknown := window("viewer", 10), window("viewer", 10), window("report", 10), window("viewer", 0)
		time.Sleep(time.Minute)
		window("list", 10)
		wantKept("a window of another name", report)
		window("report", 10)
		window("viewer", 0)
		wantKept("a window of who knows which process", unknown)
		window("viewer", 10)
		wantKept("the first window", first)
		window("viewer", 10) // brings back the first
		wantKept("the second window", second)
	})
}

func TestS1_AnAppIsBackAlsoWhenItsHelloIsHeardFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		later time.Duration // from the hello to the end of the connection before
		pid   int
		kept  bool
	}{
		"the same process":           {time.Millisecond, 10, false},
		"another process":            {time.Millisecond, 11, true},
		"a second window, long open": {time.Minute, 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				window := func(pid int) *fakeApp {
					return d.attachAs(App{Name: "viewer", Exe: "/opt/viewer", PID: pid, Answers: true}, "", &fakeApp{status: 200})
				}
				old, again := window(10), window(tt.pid)
				time.Sleep(tt.later)
				if kept := d.relay.Detach(old.id, old, true); kept != tt.kept {
					t.Errorf("kept %v", kept)
				}
				if !tt.kept { // one hello brings back one
					another := window(10)
					time.Sleep(time.Millisecond)
					d.relay.Detach(again.id, again, true)
					if d.relay.Detach(another.id, another, true); len(d.relay.View().Rows) != 1 {
						t.Errorf("rows %v", d.relay.View().Rows)
					}
				}
			})
		})
	}
}

func TestS1_APausedAppIsToldNothingByNewWishes(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.relay.Pause(viewer.id, true)
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.relay.Subscribe(viewer.id, fhircast.Names([]string{"Patient-open"}))
		d.wantNews("paused", viewer, "")
		d.relay.Pause(viewer.id, false)
		d.wantNews("resumed", viewer, "Patient-open:p1/replay")
	})
}

func TestS1_AResumedAppThatCannotAnswerIsToldAgain(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		mute := d.attach("mute", "", &fakeApp{})
		d.subscribe()
		d.wantNews("at hello", mute, "clear:unknown")
		d.relay.Pause(mute.id, true) // somebody opens a patient in it by hand
		d.relay.Pause(mute.id, false)
		d.wantNews("resumed", mute, "clear:closed")
	})
}

func TestS10_AnAppThatIsCutOffByAnEventHasFailedIt(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		stuck := d.attach("stuck", "DiagnosticReport-open DiagnosticReport-update DiagnosticReport-close", &fakeApp{status: 200})
		d.attach("good", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("DiagnosticReport-open", "o", 1, "r1/p1"))
		stuck.mu.Lock()
		stuck.stuck = make(chan struct{})
		stuck.mu.Unlock()
		for i := range queueMessages + 1 {
			d.deliver(up(fmt.Sprint(i), "r1", "", ""))
		}
		d.wantAnswer("the one too many", d.deliver(ev("DiagnosticReport-close", "c", 3, "r1/p1")), 500)
	})
}

func TestS10_AnAppThatEndsWhileItIsWaitedForIsNotComplainedAbout(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		gone := d.attach("gone", "", &fakeApp{status: 200})
		d.subscribe()
		gone.mu.Lock()
		gone.status = 0
		gone.mu.Unlock()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		time.Sleep(time.Second)
		d.relay.Detach(gone.id, gone, false) // its process has ended: it shows nothing
		time.Sleep(time.Minute)
		if sent := d.hub.sent(); len(sent) != 0 {
			t.Errorf("sent %v", sent)
		}
	})
}

func TestS10_AnAppThatIsNotRequiredHasNoSayInTheAnswer(t *testing.T) {
	for _, status := range []int{409, 500, 0} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				never := d.attachAs(App{Name: "never", Required: protocol.RequiredNever, Answers: true}, "", &fakeApp{status: status, clears: 200})
				d.subscribe()
				d.wantAnswer("nobody who counts", d.deliver(ev("Patient-open", "1", 1, "p1")), 202)
				d.wantPhase(protocol.PhaseUnconfirmed) // no app follows that counts
				d.attach("good", "", &fakeApp{status: 200})
				d.wantAnswer("one who counts", d.deliver(ev("Patient-open", "2", 2, "p2")), 200)
				d.wantPhase(protocol.PhaseInSync)
				time.Sleep(time.Minute)
				if sent := d.hub.sent(); len(sent) != 0 {
					t.Errorf("sent %v", sent)
				}
				if got := d.outcome(never.id); got == protocol.OutcomeAcknowledged {
					t.Errorf("its row says %s", got)
				}
			})
		})
	}
}

func TestS14_EveryAdapterThatIsNotForTestsIsDroppedAtATestHub(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		adapter := func(name string, test bool) *fakeApp {
			return d.attachAs(App{Name: name, Via: "exec", Adapter: true, Test: test, Answers: true}, "", &fakeApp{status: 200})
		}
		one, two, test, three := adapter("one", false), adapter("two", false), adapter("test", true), adapter("three", false)
		s := d.session()
		s.Test = true
		d.relay.Join(s)
		d.confirm()
		for _, a := range []*fakeApp{one, two, three} {
			if a.closed == "" {
				t.Errorf("%s is still driven", a.id)
			}
		}
		if test.closed != "" || len(d.relay.View().Rows) != 1 {
			t.Errorf("rows %v", d.relay.View().Rows)
		}
	})
}

func TestS13_AnAppThatAskedForNothingIsBroughtToTheContextOnceItAsks(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "-", &fakeApp{status: 200})
		d.subscribe()
		d.relay.Subscribe(viewer.id, nil)
		d.wantNews("nobody knows what it shows", viewer, "clear:closed")
	})
}

func TestS13_AnAppIsToldAgainWhatWasTakenOutOfItsQueue(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		stuck := d.attach("stuck", "Patient-open DiagnosticReport-update", &fakeApp{status: 200})
		d.subscribe()
		time.Sleep(2 * time.Second)
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		stuck.news()
		hold := make(chan struct{})
		stuck.mu.Lock()
		stuck.stuck = hold
		stuck.mu.Unlock()
		d.deliver(up("2", "r1", "", ""))
		d.deliver(ev("Patient-open", "3", 3, "p2"))
		d.deliver(ev("ImagingStudy-open", "4", 4, "s1/p1")) // p2 is superseded, and p1 is what the app has
		stuck.mu.Lock()
		stuck.stuck = nil
		stuck.mu.Unlock()
		close(hold)
		d.wantNews("then", stuck, "DiagnosticReport-update:r1 Patient-open:p1/derived")
		time.Sleep(time.Minute)
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS13_AClearCountsAlsoWhereAnUpdateWasWrittenSince(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "Patient-open DiagnosticReport-update", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.after = time.Second
		d.deliver(ev("Patient-close", "2", 2, "p1"))
		d.deliver(up("3", "r1", "", ""))
		time.Sleep(2 * time.Second)
		d.wantPhase(protocol.PhaseNoContext)
	})
}
