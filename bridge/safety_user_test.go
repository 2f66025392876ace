package bridge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// changeUser puts an app at p1 of the first user and joins as the second; the app takes 1.5 s for its clear.
func (d *deskTest) changeUser(events string) *fakeApp {
	d.Helper()
	slow := d.attach("slow", events, &fakeApp{status: 200})
	d.subscribe()
	d.deliver(ev("Patient-open", "1", 1, "p1"))
	d.relay.Leave()
	slow.news()
	slow.after = 1500 * time.Millisecond
	d.hub.set("Patient-open", contextOf("p2"))
	d.joinAs("Practitioner/2")
	d.wantNews("first", slow, "clear:user")
	return slow
}

func (d *deskTest) joinAs(user string) {
	s := d.session()
	s.User = user
	d.relay.Join(s)
	d.confirm()
}

func TestS8_NothingShortensTheWaitForClears(t *testing.T) {
	open := ev("Patient-open", "2", 2, "p3")
	for name, happens := range map[string]func(d *deskTest, slow *fakeApp){
		"the user clears all": func(d *deskTest, _ *fakeApp) { go d.relay.Clear(protocol.ReasonUser) },
		"UserLogout":          func(d *deskTest, _ *fakeApp) { d.deliver(evAt("UserLogout", "9", time.Now(), "[]")) },
		"a repeat":            func(d *deskTest, _ *fakeApp) { d.deliver(open) },
		"other wishes": func(d *deskTest, slow *fakeApp) {
			d.relay.Subscribe(slow.id, fhircast.Names([]string{"Patient-open", "Patient-close"}))
		},
		"a pause and its end": func(d *deskTest, slow *fakeApp) {
			d.relay.Pause(slow.id, true)
			d.relay.Pause(slow.id, false)
		},
		"an update of what is open": func(d *deskTest, _ *fakeApp) { d.deliver(up("8", "r1", "", "")) },
		"a reconnect": func(d *deskTest, _ *fakeApp) {
			d.relay.Lost(d.n, "reset")
			d.confirm()
		},
		"a new subscription without a loss": func(d *deskTest, _ *fakeApp) { d.confirm() },
	} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				slow := d.changeUser("")
				d.deliver(open)
				time.Sleep(time.Second)
				happens(d, slow)
				synctest.Wait()
				time.Sleep(499 * time.Millisecond)
				if got := slow.news(); got != "" && got != "clear:user" && got != "UserLogout" {
					t.Errorf("told %q before it was cleared", got)
				}
			})
		})
	}
}

func TestS8_AnAppThatComesWhileOthersAreClearedIsToldThatTheContextIsUnknown(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.changeUser("")
		d.deliver(ev("Patient-open", "2", 2, "p3"))
		late := d.attach("late", "", &fakeApp{status: 200})
		d.wantNews("hello", late, "clear:unknown")
		time.Sleep(1500 * time.Millisecond)
		d.wantNews("then", late, "Patient-open:p2/snapshot")
	})
}

func TestS8_WhatStillWaitsForAnAppOfTheLastUserIsNotWritten(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		stuck := d.attach("stuck", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		stuck.news()
		hold := make(chan struct{})
		stuck.mu.Lock()
		stuck.stuck = hold
		stuck.mu.Unlock()
		d.deliver(up("8", "r1", "", ""))
		d.deliver(ev("Patient-open", "2", 2, "p2"))
		d.relay.Leave()
		d.hub.set("", "")
		d.joinAs("Practitioner/2")
		stuck.mu.Lock()
		stuck.stuck = nil
		stuck.mu.Unlock()
		close(hold)
		d.wantNews("not p2", stuck, "DiagnosticReport-update:r1 clear:user")
	})
}

func TestS8_APausedAppIsClearedToo(t *testing.T) {
	for _, what := range []string{"another user", "sign-out", "UserLogout"} {
		t.Run(what, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				paused := d.attach("paused", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.relay.Pause(paused.id, true)
				d.deliver(ev("Patient-open", "2", 2, "p2"))
				d.wantNews("paused", paused, "clear:unknown Patient-open:p1")
				want := map[string]string{"another user": "clear:user", "sign-out": "clear:signed_out", "UserLogout": "clear:user_logout"}[what]
				switch what {
				case "another user":
					d.joinAs("Practitioner/2")
				case "sign-out":
					d.relay.Leave()
					if still, _ := d.relay.Clear(protocol.ReasonSignedOut); len(still) != 0 {
						t.Errorf("still %v", still)
					}
				case "UserLogout":
					d.deliver(evAt("UserLogout", "9", time.Now(), "[]"))
				}
				d.wantNews(what, paused, want)
				if got := d.outcome(paused.id); got != protocol.OutcomePaused {
					t.Errorf("outcome %s", got)
				}
			})
		})
	}
}
