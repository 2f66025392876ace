package bridge

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// Rules of FHIRcast for who follows, one test each, at one desk.

// FC-NOT-03, FC-NOT-06: time orders the opens of one anchor type and nothing else.
func TestTimestampsOrderOpensOfOneTypeAndNothingElse(t *testing.T) {
	parameters := `[{"key":"parameters","resource":{"resourceType":"Parameters","parameter":[]}}]`
	at := time.Date(2026, 1, 2, 3, 0, 1, 0, time.UTC) // before what is current
	for _, c := range []struct {
		name  string
		event *fhircast.Event
		told  string
	}{
		{"an older open of the same type", ev("DiagnosticReport-open", "x", 1, "r2/p2"), ""},
		{"an older open of another type, the same patient", ev("ImagingStudy-open", "x", 1, "s1/p1"), "ImagingStudy-open:s1"},
		{"a newer open of the same type", ev("DiagnosticReport-open", "x", 9, "r2/p2"), "DiagnosticReport-open:r2"},
		{"an older update", up("x", "r1", "", "", "o1"), "DiagnosticReport-update:r1"},
		{"an older SyncError", evAt("SyncError", "x", at, "[]"), "SyncError"},
		{"an older UserHibernate", evAt("UserHibernate", "x", at, parameters), "UserHibernate"},
		{"an older Home-open", evAt("Home-open", "x", at, "[]"), "Home-open clear:closed DiagnosticReport-open:r1/snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("DiagnosticReport-open", "1", 5, "r1/p1"))
				viewer.news()
				d.hub.set("DiagnosticReport-open", contextOf("r1/p1"))
				d.deliver(c.event)
				d.wantNews("then", viewer, c.told)
			})
		})
	}
}

// FC-ERR-01, FC-ACK-07, FC-SYN-03: who does not follow is told to the hub, by the answer while that is possible and by a
// SyncError within 10 s afterwards, also when nobody knows. FC-ACK-03, FC-ACK-04, FC-ACK-06: 200 says that the change is
// made, 202 that it is not yet known, 409 that an app refuses and 500 that one fails.
func TestTheHubHearsInTimeOfAnAppThatDoesNotFollow(t *testing.T) {
	for _, c := range []struct {
		name      string
		app       *fakeApp
		status    int
		after     time.Duration // of the SyncError
		complains string
	}{
		{"agreed at once", &fakeApp{status: 200}, 200, 0, ""},
		{"told, and will not confirm", &fakeApp{status: 202}, 202, 0, ""},
		{"refused at once", &fakeApp{status: 409}, 409, 0, ""}, // FC-SYN-02: unsaved work
		{"failed at once", &fakeApp{status: 500, clears: 200}, 500, 0, ""},
		{"refused by a user who took a while", &fakeApp{status: 409, after: 6 * time.Second, clears: 200}, 202, 6 * time.Second, "refused"},
		{"failed after a while", &fakeApp{status: 500, after: 2 * time.Second, clears: 200}, 202, 2 * time.Second, "failed"},
		{"undecided", &fakeApp{status: 200, after: time.Hour, clears: 200, clearsAfter: time.Millisecond}, 202, 8 * time.Second, "did not answer"},
		{"agreed after a while", &fakeApp{status: 200, after: 6 * time.Second}, 202, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				d.attach("viewer", "Patient-open", c.app)
				d.subscribe()
				time.Sleep(10 * time.Second)
				answer := d.deliver(ev("Patient-open", "1", 1, "p1"))
				time.Sleep(900 * time.Millisecond)
				d.wantAnswer("the hub", answer, c.status)
				if c.complains != "" {
					time.Sleep(c.after - 900*time.Millisecond - time.Millisecond)
					if n := len(d.hub.sent()); n != 0 {
						t.Errorf("%d SyncErrors before it was known", n)
					}
					time.Sleep(2 * time.Millisecond)
				} else {
					d.afterAll()
				}
				var said []string
				for _, e := range d.hub.sent() {
					for _, f := range e.Failures() {
						said = append(said, f.EventID+" "+f.Diagnostics)
					}
				}
				got := strings.Join(said, ", ")
				if (got == "") != (c.complains == "") || !strings.Contains(got, c.complains) || c.complains != "" && !strings.HasPrefix(got, "1 viewer") {
					t.Errorf("said %q", got)
				}
				if c.complains != "" || c.status >= 400 {
					d.wantPhase(protocol.PhaseAttention) // FC-SYN-01: and the user sees it
				}
			})
		})
	}
}

// FC-DRV-01, FC-DRV-07, FC-DRV-04: opens derived by the hub come before their source and with newer times, closes after
// it. It ends at the source, and no close takes away what it does not name.
func TestWhatAHubDerivesEndsWhereItsSourceIs(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		reports := d.attach("reports", "DiagnosticReport-open DiagnosticReport-close", &fakeApp{status: 200})
		patients := d.attach("patients", "Patient-open Patient-close", &fakeApp{status: 200})
		d.subscribe()
		reports.news()
		patients.news()
		d.deliver(ev("Patient-open", "d1", 7, "p1"))
		d.deliver(ev("ImagingStudy-open", "d2", 7, "s1/p1"))
		d.deliver(ev("DiagnosticReport-open", "source", 5, "r1/s1/p1"))
		d.wantNews("one switch", patients, "Patient-open:p1")
		d.wantNews("one switch", reports, "DiagnosticReport-open:r1")
		d.wantPhase(protocol.PhaseInSync)

		d.deliver(ev("DiagnosticReport-close", "c1", 8, "r1/s1/p1"))
		d.wantNews("nothing is current", reports, "DiagnosticReport-close:r1")
		d.wantNews("nothing is current", patients, "clear:closed")
		d.deliver(ev("ImagingStudy-close", "c2", 8, "s1/p1"))
		if got, _ := d.relay.Context(patients.id); len(got.Open) != 1 { // FC-DRV-04: the patient stays open
			t.Errorf("%d contexts open", len(got.Open))
		}
		d.deliver(ev("Patient-close", "c3", 8, "p1"))
		d.wantNews("a close of what it does not show", patients, "")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

// FC-CAT-04: an encounter that is closed takes no patient with it.
func TestTheCloseOfAnEncounterLeavesThePatientOpen(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		s := d.session()
		s.Events = append(s.Events, "Encounter-close")
		d.relay.Join(s)
		d.confirm()
		d.deliver(ev("Encounter-open", "1", 1, "e1/p1"))
		d.deliver(ev("Patient-open", "2", 2, "p1"))
		viewer.news()
		d.hub.set("Patient-open", contextOf("p1"))
		d.wantAnswer("close", d.deliver(ev("Encounter-close", "3", 3, "e1/p1")), 202)
		d.wantNews("nothing", viewer, "")
		d.wantPhase(protocol.PhaseInSync)
		if got, _ := d.relay.Context(viewer.id); len(got.Open) != 1 {
			t.Errorf("%d open", len(got.Open))
		}
	})
}

// FC-CAT-15, FC-HGS-08: a heartbeat is answered and changes nothing; it never becomes the context.
func TestAHeartbeatIsNoContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "Patient-open", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.wantAnswer("heartbeat", d.deliver(evAt("heartbeat", "hb", time.Now(), `[{"key":"period","decimal":10}]`)), 200)
		d.wantNews("nothing", viewer, "")
		d.wantPhase(protocol.PhaseInSync)
		if v := d.relay.View(); v.LastEvent.ID != "1" || v.Counters.Events != 1 {
			t.Errorf("last %v, %d events", v.LastEvent, v.Counters.Events)
		}
	})
}

// FC-CAT-16: an event about any other resource is followed as those of the catalogue are.
func TestAnyResourceCanBeTheContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		orders := d.attach("orders", "ServiceRequest-open ServiceRequest-close", &fakeApp{status: 200})
		patients := d.attach("patients", "Patient-open", &fakeApp{status: 200})
		s := d.session()
		s.Events = fhircast.Names(strings.Fields("ServiceRequest-open ServiceRequest-close ServiceRequest-update Patient-open"))
		d.relay.Join(s)
		d.confirm()
		orders.news()
		patients.news()
		order := `{"key":"servicerequest","resource":{"resourceType":"ServiceRequest","id":"q1","identifier":[{"system":"urn:order","value":"1"}]}}`
		context := "[" + order + "," + contextOf("p1")[1:]
		d.wantAnswer("open", d.deliver(evAt("servicerequest-open", "1", time.Now(), context)), 200)
		d.wantNews("open", orders, "servicerequest-open:q1")
		d.wantNews("its patient", patients, "Patient-open:p1/derived")
		d.wantPhase(protocol.PhaseInSync)
		d.deliver(evAt("ServiceRequest-close", "2", time.Now(), context))
		d.wantNews("close", orders, "ServiceRequest-close:q1")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

// FC-CAT-13, FC-CAT-23: with a reason and without, logout and hibernate are taken.
func TestLogoutAndHibernateAreTakenWithAndWithoutAReason(t *testing.T) {
	parameters := `[{"key":"parameters","resource":{"resourceType":"Parameters","parameter":[{"name":"code","valueCoding":{"code":"system-timeout"}}]}}]`
	for name, event := range map[string]*fhircast.Event{
		"logout":                   evAt("UserLogout", "x", time.Now(), "[]"),
		"logout with a reason":     evAt("UserLogout", "x", time.Now(), parameters),
		"hibernate":                evAt("userhibernate", "x", time.Now(), "[]"),
		"hibernate with a reason":  evAt("UserHibernate", "x", time.Now(), parameters),
		"logout, as it once began": evAt("userlogout", "x", time.Now(), "[]"),
	} {
		t.Run(name, func(t *testing.T) {
			var signals []fhircast.Name
			onDeskWith(t, Config{Signal: func(n fhircast.Name) { signals = append(signals, n) }}, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				viewer.news()
				d.wantAnswer(name, d.deliver(event), 202)
				if len(signals) != 1 || !signals[0].Is(event.Name) {
					t.Errorf("signals %v", signals)
				}
				if got := viewer.news(); !strings.HasPrefix(got, string(event.Name)) {
					t.Errorf("told %q", got)
				}
				if got := d.hub.sent(); len(got) != 0 { // FC-CAT-22: we send none of our own
					t.Errorf("sent %v", got)
				}
			})
		})
	}
}

// FC-EVT-12, FC-EVT-18: an open replaces all that was known of its resource, be it tiny or large.
func TestAnOpenReplacesWhatWasKnownOfItsResource(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		large := strings.Replace(contextOf("p1"), `"id":"p1"`, `"id":"p1","text":{"div":"`+strings.Repeat("x", 200<<10)+`"}`, 1)
		tiny := `[{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}}]`
		at := time.Date(2026, 1, 2, 3, 0, 1, 0, time.UTC)
		d.wantAnswer("large", d.deliver(evAt("Patient-open", "1", at, large)), 200)
		d.wantAnswer("tiny", d.deliver(evAt("Patient-open", "2", at, tiny)), 200)
		got, _ := d.relay.Context(viewer.id)
		if len(got.Open) != 1 || len(got.Current) > 1000 || !strings.Contains(string(got.Current), `"id":"2"`) {
			t.Errorf("%d open, %d bytes current", len(got.Open), len(got.Current))
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-CNF-11: while a renewal moves to another socket a hub may tell an event on both. It is relayed once, whether the hub can
// be asked or not.
func TestAnEventOnBothSocketsOfAMoveIsRelayedOnce(t *testing.T) {
	for _, offered := range []bool{true, false} {
		onDesk(t, func(d *deskTest) {
			viewer := d.attach("viewer", "", &fakeApp{status: 200})
			d.hub.offered = offered
			d.subscribe()
			time.Sleep(3 * time.Second)
			d.deliver(ev("Patient-open", "1", 1, "p1"))
			viewer.news()
			d.deliver(ev("Patient-open", "2", 2, "p2"))
			d.hub.set("Patient-open", contextOf("p2"))
			d.confirm()
			d.deliver(ev("Patient-open", "2", 2, "p2"))
			time.Sleep(3 * time.Second)
			d.wantNews("once", viewer, "Patient-open:p2")
			d.wantPhase(protocol.PhaseInSync)
		})
	}
}

// FC-EVT-07: neither how an app spells what it wants, nor how the hub spells what happens, decides who is told.
func TestEventsAreRoutedInWhateverCase(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "PATIENT-open patient-Close", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		for i, name := range []fhircast.Name{"patient-open", "Patient-Open", "PATIENT-OPEN"} {
			d.wantAnswer(string(name), d.deliver(ev(name, string(name), i, "p"+string(rune('1'+i)))), 200)
		}
		d.wantAnswer("close", d.deliver(ev("patient-CLOSE", "c", 9, "p3")), 200)
		d.wantNews("all of them", viewer, "Patient-open:p1 Patient-open:p2 Patient-open:p3 Patient-close:p3")
		d.wantPhase(protocol.PhaseNoContext)
	})
}

// FC-TAB-01, FC-TAB-03, FC-TAB-04, FC-TAB-02: opens without closes are normal, a tab switch is an open of what is open,
// and no close is made up, neither for the hub nor for the apps.
func TestTabsAreOpenedWithoutClosesAndSwitchedByOpens(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		for i, what := range []string{"p1", "p2", "p3", "p1"} {
			d.wantAnswer(what, d.deliver(ev("Patient-open", string(rune('a'+i)), i, what)), 200)
		}
		d.wantNews("in order, and no close", viewer, "Patient-open:p1 Patient-open:p2 Patient-open:p3 Patient-open:p1")
		got, _ := d.relay.Context(viewer.id)
		if len(got.Open) != 3 || !strings.Contains(string(got.Open[2]), `"id":"d"`) {
			t.Errorf("%d open", len(got.Open))
		}
		if sent := d.hub.sent(); len(sent) != 0 {
			t.Errorf("sent %v", sent)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-TAB-06: what was open before a reconnect and is not any more is gone from the desk and from the apps.
func TestAReconnectLeavesNoOrphans(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.deliver(ev("ImagingStudy-open", "2", 2, "s2/p2"))
		viewer.news()
		d.relay.Lost(d.n, "reset")
		d.confirm() // the hub says: nothing
		d.wantNews("then", viewer, "clear:closed")
		got, _ := d.relay.Context(viewer.id)
		if got == nil || got.Current != nil || len(got.Open) != 0 {
			t.Errorf("context %+v", got)
		}
	})
}

// FC-REQ-12: without the write scope the hub is not asked.
func TestNothingIsAskedWithoutItsWriteScope(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		s := d.session()
		s.Scopes = fhircast.ParseScopes([]string{"fhircast/ImagingStudy-open.read", "fhircast/Patient-open.write"})
		d.relay.Join(s)
		d.confirm()
		_, err := d.ask(asks, "q1", "s1/p1")
		d.wantFault("read only", err, protocol.CodeNotGranted, 0)
		if _, err = d.ask(asks, "q2", "p1"); err != nil {
			t.Error(err)
		}
		if sent := d.hub.sent(); len(sent) != 1 || sent[0].ID != "q2" {
			t.Errorf("sent %v", sent)
		}
	})
}

// FC-REQ-08, FC-REQ-15: a hub that takes no empty context is not asked twice, and the app is told.
func TestAHomeOpenThatTheHubRefusesIsToldToTheApp(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.hub.set("Patient-open", contextOf("p1"))
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.hub.publish = func(*fhircast.Event) (int, error) { return 400, nil }
		_, err := d.relay.Send(asks.id, protocol.SendParams{Event: "Home-open", Context: json.RawMessage("[]")})
		d.wantFault("the hub's answer", err, protocol.CodeRefused, 400)
		d.afterAll()
		if n := len(d.hub.sent()); n != 1 {
			t.Errorf("asked %d times", n)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-REQ-10: two who ask at once end where the hub's newer one is, and nobody asks again by itself.
func TestCrossingRequestsEndAtTheNewerOne(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		one := d.attach("one", "", &fakeApp{status: 200})
		two := d.attach("two", "", &fakeApp{status: 200})
		d.subscribe()
		one.news()
		two.news()
		if _, err := d.ask(one, "q1", "p1"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ask(two, "q2", "p2"); err != nil {
			t.Fatal(err)
		}
		d.deliver(ev("Patient-open", "q1", 1, "p1"))
		d.deliver(ev("Patient-open", "q2", 2, "p2"))
		d.hub.set("Patient-open", contextOf("p2"))
		d.afterAll()
		if got := one.news(); !strings.HasSuffix(got, "Patient-open:p2") {
			t.Errorf("one ends at %q", got)
		}
		if got := two.news(); !strings.HasSuffix(got, "Patient-open:p2") {
			t.Errorf("two ends at %q", got)
		}
		if n := len(d.hub.sent()); n != 2 {
			t.Errorf("asked %d times", n)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-REQ-07: an app that names no id gets one that nobody else has, and so has a SyncError of ours.
func TestEveryRequestHasAnIDOfItsOwn(t *testing.T) {
	relay, ids := New(Config{}), map[string]bool{}
	for range 1000 {
		id := relay.core.cfg.NewID()
		if u, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")); err != nil || len(u) != 16 || u[6]>>4 != 4 || ids[id] {
			t.Fatalf("%q is no fresh UUID of version 4", id)
		}
		ids[id] = true
	}
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		for range 2 {
			got, err := d.ask(asks, "", "p1")
			if sent := d.hub.sent(); err != nil || got.ID != sent[len(sent)-1].ID || ids[got.ID] {
				t.Errorf("%+v, %v", got, err)
			}
			ids[got.ID] = true
		}
	})
}

// FC-GCC-09: the hub names one context when it is asked, so what else is open is known from its opens, and stays.
func TestAReadingTakesAwayNothingThatIsOpenBesides(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.deliver(ev("ImagingStudy-open", "2", 2, "s2/p2"))
		d.hub.set("ImagingStudy-open", contextOf("s2/p2"))
		asked := d.hub.questions()
		d.deliver(ev("Patient-open", "0", 0, "p9")) // older: a doubt, so the hub is asked
		if n := d.hub.questions(); n != asked+1 {
			t.Errorf("asked %d times", n-asked)
		}
		got, err := d.relay.Context(viewer.id)
		if err != nil || len(got.Open) != 2 || !strings.Contains(string(got.Current), `"s2"`) {
			t.Errorf("context %+v, %v", got, err)
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-TAB-08, FC-TAB-09: a close is of what has its id, and where a hub has given another, of what has its identifier. What
// is not open cannot be closed.
func TestACloseIsMatchedByIDAndByIdentifier(t *testing.T) {
	const open, home = protocol.PhaseInSync, protocol.PhaseNoContext
	for _, c := range []struct {
		name    string
		change  [2]string // in the close of p1
		want    protocol.Phase
		context int // still open
	}{
		{"as it was opened", [2]string{"p1", "p1"}, home, 0},
		{"another id, the same number", [2]string{`"id":"p1"`, `"id":"x"`}, home, 0},
		{"another number under the same id", [2]string{"MRN-p1", "MRN-p8"}, open, 1},
		{"another patient", [2]string{`p1`, `p8`}, open, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(contextOf("p1"), c.change[0]) {
				t.Fatalf("no %s in %s", c.change[0], contextOf("p1"))
			}
			closing := strings.ReplaceAll(contextOf("p1"), c.change[0], c.change[1])
			onDesk(t, func(d *deskTest) {
				viewer := d.attach("viewer", "", &fakeApp{status: 200})
				d.subscribe()
				d.deliver(ev("Patient-open", "1", 1, "p1"))
				d.hub.set("Patient-open", contextOf("p1"))
				answer := d.deliver(evAt("Patient-close", "2", time.Date(2026, 1, 2, 3, 0, 9, 0, time.UTC), closing))
				if got := answer(); got/100 != 2 {
					t.Errorf("answered %d", got)
				}
				d.wantPhase(c.want)
				if got, err := d.relay.Context(viewer.id); err != nil || len(got.Open) != c.context {
					t.Errorf("context %+v, %v", got, err)
				}
			})
		})
	}
}
