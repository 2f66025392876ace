package hubtest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// Each is told once, and the next confirmation is as it should be.
func TestShapesOfAConfirmation(t *testing.T) {
	for _, row := range []struct {
		fault   hubtest.Fault
		has     []string
		without string
	}{
		{hubtest.ConfirmNoEvents, []string{`"hub.events":""`, `"hub.lease_seconds":7200`}, "hub.callback"},
		{hubtest.ConfirmBlank, []string{`"hub.events":""`, `"hub.callback":""`, `"hub.secret":""`, `"hub.channel.endpoint":""`}, "Patient"},
		{hubtest.ConfirmEventsArray, []string{`"hub.events":["Patient-open","SyncError","heartbeat"]`}, `"hub.events":"`},
		{hubtest.LeaseString, []string{`"hub.lease_seconds":"7200"`}, "7200,"},
		{hubtest.LeaseDashed, []string{`"hub.lease-seconds":7200`}, "lease_seconds"},
		{hubtest.LeaseZero, []string{`"hub.lease_seconds":0`}, "7200"},
		{hubtest.LeaseMissing, []string{`"hub.events":"Patient-open`}, "lease"},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(row.fault, 1)
				p := w.join()
				got := p.frame()
				for _, part := range append(row.has, `"hub.mode":"subscribe"`, `"hub.topic":"`+w.topic.Reveal()) {
					if !strings.Contains(got, part) {
						t.Errorf("got %s, want %s in it", got, part)
					}
				}
				if strings.Contains(got, row.without) {
					t.Errorf("got %s, want no %s in it", got, row.without)
				}
				w.publish("1")
				if f := p.frame(); unversioned(f) != string(w.event("1").Wire()) {
					t.Errorf("the event has changed: %s", f)
				}
				if f := w.join().frame(); !strings.Contains(f, `"hub.events":"Patient-open,SyncError,heartbeat"`) || !strings.Contains(f, `"hub.lease_seconds":7200`) {
					t.Errorf("it happened more than once: %s", f)
				}
			})
		})
	}
}

func TestConfirmationThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.ConfirmLate, 1)
		start := time.Now()
		p := w.join()
		synctest.Wait()
		w.publish("1")
		if f := p.frame(); !strings.Contains(f, `"id":"1"`) || time.Since(start) > time.Second {
			t.Errorf("the event waits: %s", f)
		}
		time.Sleep(4500 * time.Millisecond)
		if f := p.frame(); !strings.Contains(f, "subscribe") || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %s", time.Since(start), f)
		}
	})
}

func TestEventBeforeConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.EventBeforeConfirmation, 2)
		p := w.join()
		synctest.Wait()
		w.publish("1")
		if a, b := p.frame(), p.frame(); !strings.Contains(a, `"id":"1"`) || !strings.Contains(b, "subscribe") {
			t.Errorf("got %s, then %s", a, b)
		}
		quiet := w.join("hub.events", "SyncError")
		time.Sleep(5 * time.Second)
		if f := quiet.frame(); !strings.Contains(f, "subscribe") {
			t.Errorf("without an event it never comes: %s", f)
		}
		if f := p.frame(); f != "nothing" {
			t.Errorf("confirmed twice: %s", f)
		}
	})
}

// What one who joins is told: the patient is open behind the report.
func TestWhatIsToldOnJoining(t *testing.T) {
	for fault, want := range map[hubtest.Fault][]string{
		"":                  {"1", "2"},
		hubtest.InitialOne:  {"2"},
		hubtest.InitialNone: {},
	} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.publish("1")
				w.post(w.made("2", "DiagnosticReport-open", report, patient))
				if fault != "" {
					w.Fault(fault, 1)
				}
				p := w.join("hub.events", "Patient-open,DiagnosticReport-open")
				p.frame()
				for _, id := range want {
					if f := p.frame(); !strings.Contains(f, `"id":"`+id+`"`) {
						t.Errorf("got %s, want %s", f, id)
					}
				}
				if f := p.frame(); f != "nothing" {
					t.Errorf("and then %s", f)
				}
				w.publish("3")
				if f := p.frame(); !strings.Contains(f, `"id":"3"`) {
					t.Errorf("what happens later: %s", f)
				}
			})
		})
	}
}
