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

func TestS7_TwoMatchesWhereOneWasAskedForAreRefused(t *testing.T) {
	who := func(resource string) identity {
		i, ok := identify(fhircast.Item{Kind: "resource", Value: json.RawMessage(resource)})
		if !ok {
			t.Fatalf("not identified: %s", resource)
		}
		return i
	}
	patient := func(identifiers string) string {
		return `{"resourceType":"Patient","id":"x","identifier":[` + identifiers + `]}`
	}
	id := func(system, value string) string { return `{"system":"` + system + `","value":"` + value + `"}` }
	accession := func(value string) string { return `{"type":{"coding":[{"code":"ACSN"}]},"value":"` + value + `"}` }
	study := func(identifiers string) string {
		return `{"resourceType":"ImagingStudy","identifier":[` + identifiers + `]}`
	}
	for _, c := range []struct {
		name, a, b string
		want       verdict
	}{
		{"the same identifier", patient(id("m", "1")), patient(id("m", "1")), same},
		{"another identifier", patient(id("m", "1")), patient(id("m", "2")), different},
		{"one of two matches", patient(id("m", "1") + "," + id("m", "2")), patient(id("m", "1")), unclear},
		{"the same two", patient(id("m", "1") + "," + id("m", "2")), patient(id("m", "2") + "," + id("m", "1")), same},
		{"none of two matches", patient(id("m", "1") + "," + id("m", "2")), patient(id("m", "3")), different},
		{"agrees here, differs there", patient(id("m", "1") + "," + id("n", "1")), patient(id("m", "1") + "," + id("n", "2")), different},
		{"clear in one system, unclear in another", patient(id("m", "1") + "," + id("n", "1") + "," + id("n", "2")), patient(id("m", "1") + "," + id("n", "1")), same},
		{"no system in common, same FHIR id", patient(id("m", "1")), patient(id("n", "1")), same},
		{"no system at all, another FHIR id", patient(``), `{"resourceType":"Patient","id":"y"}`, unclear},
		{"no id", `{"resourceType":"Patient"}`, `{"resourceType":"Patient"}`, unclear},
		{"another type", patient(id("m", "1")), `{"resourceType":"Person","id":"x","identifier":[` + id("m", "1") + `]}`, different},
		{"study UID with and without prefix", study(id(dicomUID, "urn:oid:1.2")), study(id(dicomUID, "1.2")), same},                                // FC-PRF-09
		{"study UID in the shape of DSTU2", `{"resourceType":"ImagingStudy","uid":"urn:oid:1.2"}`, study(id(dicomUID, "urn:oid:1.2")), same},       // FC-CAT-05
		{"accession without a system", study(accession("A")), study(accession("A")), same},                                                         // FC-PRF-10
		{"another accession", study(accession("A")), study(accession("B")), different},                                                             //
		{"one of two accessions", study(accession("A") + "," + accession("B")), study(accession("A")), unclear},                                    //
		{"accession by basedOn", `{"resourceType":"ImagingStudy","basedOn":[{"identifier":` + accession("A") + `}]}`, study(accession("A")), same}, // FC-PRF-10
	} {
		if got := compare(who(c.a), who(c.b)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := compare(who(c.b), who(c.a)); got != c.want {
			t.Errorf("%s, the other way round: %d, want %d", c.name, got, c.want)
		}
	}
	onDesk(t, func(d *deskTest) { // a belief that matches by one of two is not in sync
		d.hub.set("Patient-open", `[{"key":"patient","resource":`+patient(id("m", "1")+","+id("m", "2"))+`}]`)
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		d.subscribe()
		viewer.news()
		d.relay.Lost(d.n, "x")
		d.hub.set("Patient-open", `[{"key":"patient","resource":`+patient(id("m", "1"))+`}]`)
		d.confirm()
		d.wantNews("told again", viewer, "Patient-open:x/snapshot")
	})
}

func TestS7_NothingIsDerivedFromOneOfTwoStudies(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		images := d.attach("images", "ImagingStudy-open", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		images.news()
		d.deliver(ev("DiagnosticReport-open", "2", 2, "r1/p2/s1/s2"))
		d.wantNews("not the first study", images, "clear:other_patient")
	})
}

func TestS8_AppsAreClearedBeforeAnotherUsersFirstContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		slow := d.attach("slow", "", &fakeApp{status: 200})
		hung := d.attach("hung", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		slow.news()
		hung.news()
		slow.after, hung.clears = time.Second, 0
		hung.status = 0
		d.relay.Leave()
		d.hub.set("Patient-open", contextOf("p2"))
		s := d.session()
		s.User = "Practitioner/2"
		d.relay.Join(s)
		d.confirm()
		d.wantNews("first", slow, "clear:user")
		d.wantAnswer("an event meanwhile", d.deliver(ev("Patient-open", "2", 2, "p3")), 202)
		time.Sleep(1999 * time.Millisecond)
		d.wantNews("waits for the other", slow, "")
		d.wantPhase(protocol.PhaseConnecting)
		time.Sleep(time.Millisecond)
		d.wantNews("then", slow, "Patient-open:p3 Patient-open:p2/snapshot")
		if d.outcome(hung.id) == protocol.OutcomeAcknowledged {
			t.Error("the app that did not clear looks well")
		}
	})
}

func TestS8_AUserWhoCannotBeComparedIsAnother(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		s := d.session()
		s.User = ""
		d.relay.Join(s)
		d.confirm()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.relay.Lost(d.n, "x")
		d.confirm()
		d.wantNews("cleared", viewer, "clear:user")
	})
}

func TestS8_SignOutAndUserLogoutClear(t *testing.T) {
	var signals []fhircast.Name
	onDeskWith(t, Config{Signal: func(n fhircast.Name) { signals = append(signals, n) }}, func(d *deskTest) {
		viewer := d.attach("viewer", "Patient-open", &fakeApp{status: 200})
		d.attachAs(App{Name: "mute"}, "", &fakeApp{})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		viewer.news()
		d.wantAnswer("logout", d.deliver(evAt("userlogout", "2", time.Now(), "[]")), 202) // FC-CAT-13, FC-CAT-20, FC-CAT-23
		d.wantNews("logout", viewer, "clear:user_logout")
		if fmt.Sprint(signals) != "[UserLogout]" {
			t.Errorf("signals %v", signals)
		}
		d.deliver(ev("Patient-open", "3", 3, "p1"))
		d.wantAnswer("hibernate", d.deliver(evAt("UserHibernate", "4", time.Now(), "[]")), 202) // FC-CAT-14
		d.relay.Leave()
		viewer.news()
		still, err := d.relay.Clear(protocol.ReasonSignedOut)
		if err != nil || fmt.Sprint(still) != "[mute]" {
			t.Errorf("still %v, %v", still, err)
		}
		d.wantNews("sign-out", viewer, "clear:signed_out")
		if d.outcome(viewer.id) != protocol.OutcomeCleared || d.outcome("mute") != protocol.OutcomeSent {
			t.Errorf("rows %v", d.relay.View().Rows)
		}
	})
}

func TestS9_TheEchoConfirmsAndIsWithheldFromTheAppThatAsked(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		other := d.attach("other", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		other.news()
		got, err := d.relay.Send(asks.id, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
		if err != nil || got.Status != 202 || got.ID == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		sent := d.hub.sent()[0]
		d.wantAnswer("echo", d.deliver(ev("Patient-open", sent.ID, 1, "p1")), 200) // FC-NOT-08, FC-REQ-05, FC-REQ-06
		d.wantNews("asked", asks, "")
		d.wantNews("did not", other, "Patient-open:p1")
		d.wantPhase(protocol.PhaseInSync)
		time.Sleep(10 * time.Second)
		if n := d.hub.questions(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestS9_TheEchoIsDeliveredIfAnythingElseWasMeanwhile(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		d.relay.Send(asks.id, protocol.SendParams{ID: "q1", Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
		d.deliver(ev("Patient-open", "2", 1, "p2"))
		d.deliver(ev("Patient-open", "q1", 2, "p1"))
		d.wantNews("crossed", asks, "Patient-open:p2 Patient-open:p1")
	})
}

func TestS9_TheEchoIsDeliveredToAnAppThatHasNotAnsweredWhatItWasSentBefore(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		asks.news()
		asks.after = time.Second // p2 may still lie unread in its pipe when it asks for p1
		d.deliver(ev("Patient-open", "2", 1, "p2"))
		d.relay.Send(asks.id, protocol.SendParams{ID: "q1", Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
		d.deliver(ev("Patient-open", "q1", 2, "p1"))
		d.wantNews("in this order", asks, "Patient-open:p2 Patient-open:p1")
	})
}

func TestS9_NoEchoOrASyncErrorBeforeItAsksTheHub(t *testing.T) {
	for happened, happens := range map[string]func(d *deskTest){
		"": func(d *deskTest) { time.Sleep(5 * time.Second) },
		"SyncError ": func(d *deskTest) { // FC-REQ-04
			e, _ := fhircast.NewSyncError("se", time.Unix(0, 0), topic, fhircast.Failure{EventID: "q1", EventName: "Patient-open"})
			d.deliver(e)
		},
	} {
		t.Run(happened, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				asks := d.attach("asks", "", &fakeApp{status: 200})
				other := d.attach("other", "", &fakeApp{status: 200})
				d.hub.set("Patient-open", contextOf("p3"))
				d.subscribe()
				asks.news()
				other.news()
				d.relay.Send(asks.id, protocol.SendParams{ID: "q1", Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
				happens(d)
				d.wantNews("told what the hub says, though it was told before", asks, happened+"Patient-open:p3/snapshot")
				d.wantNews("already there", other, strings.TrimSpace(happened))
			})
		})
	}
}

func TestS10_ASlowAppDelaysNeitherTheHubsAnswerNorAnotherApp(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		stuck := d.attach("stuck", "", &fakeApp{status: 200})
		good := d.attach("good", "", &fakeApp{status: 200})
		d.subscribe()
		time.Sleep(2 * time.Second)
		good.news()
		stuck.news()
		stuck.mu.Lock()
		stuck.stuck = make(chan struct{})
		stuck.mu.Unlock()
		for i := range 20 { // FC-ACK-09
			start := time.Now()
			answer := d.deliver(ev("Patient-open", fmt.Sprint(i), i, fmt.Sprintf("p%d", i)))
			d.wantNews("at once", good, fmt.Sprintf("Patient-open:p%d", i))
			time.Sleep(800 * time.Millisecond)
			d.wantAnswer("in time", answer, 202)
			if got := time.Since(start); got != 800*time.Millisecond {
				t.Errorf("after %v", got)
			}
		}
		if n := d.relay.View().Counters.Superseded; n != 18 { // the first hangs in the writer, the last waits
			t.Errorf("superseded %d", n)
		}
		close(stuck.stuck)
		stuck.mu.Lock()
		stuck.stuck = nil
		stuck.mu.Unlock()
		d.wantNews("what it has missed is not told", stuck, "Patient-open:p0 Patient-open:p19")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS10_AFullQueueCutsTheAppOff(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		stuck := d.attach("stuck", "", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("DiagnosticReport-open", "o", 1, "r1/p1"))
		stuck.mu.Lock()
		stuck.stuck = make(chan struct{})
		stuck.mu.Unlock()
		for i := range queueMessages + 2 {
			d.deliver(up(fmt.Sprint(i), "r1", "", ""))
		}
		synctest.Wait()
		if !strings.Contains(stuck.closed, "did not read") {
			t.Errorf("closed: %q", stuck.closed)
		}
		d.wantPhase(protocol.PhaseAttention)
		if p := d.relay.View().Problems; len(p) != 1 || p[0].Code != "app_lost" {
			t.Errorf("problems %v", p)
		}
		back := d.attach("stuck", "", &fakeApp{status: 200})
		d.wantNews("the context on return", back, "DiagnosticReport-open:r1/replay")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS12_NothingIsAskedWithoutASubscriptionNorTwice(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		ask := func(id string) (protocol.SendResult, error) {
			return d.relay.Send(asks.id, protocol.SendParams{ID: id, Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
		}
		wantCode := func(what string, err error, code int) *protocol.Error {
			t.Helper()
			var pe *protocol.Error
			if !errors.As(err, &pe) || pe.Code != code {
				t.Errorf("%s: %v, want %d", what, err, code)
				return &protocol.Error{}
			}
			return pe
		}
		_, err := ask("q0")
		wantCode("before any subscription", err, protocol.CodeNotConnected)
		d.subscribe()
		if n := len(d.hub.sent()); n != 0 {
			t.Errorf("%d requests were kept", n)
		}
		d.hub.publish = func(*fhircast.Event) (int, error) { return 0, errors.New("reset") }
		_, err = ask("q1") // the answer is lost
		if e := wantCode("lost", err, protocol.CodeNotConnected); e.Data == nil || !e.Data.Unknown {
			t.Errorf("data %+v", e.Data)
		}
		time.Sleep(20 * time.Second)
		if n := len(d.hub.sent()); n != 1 { // FC-REQ-09 is decided otherwise: we never resend by ourselves
			t.Errorf("sent %d times", n)
		}
		d.hub.publish = nil
		if got, err := ask("q1"); err != nil || got.ID != "q1" { // FC-REQ-13
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := ask("q1"); err != nil || got.Status != 202 {
			t.Errorf("%+v, %v", got, err)
		}
		sent := d.hub.sent()
		if len(sent) != 2 || sent[0].ID != sent[1].ID {
			t.Errorf("sent %v", sent)
		}
		d.hub.publish = func(*fhircast.Event) (int, error) { return 409, nil }
		_, err = ask("q2") // FC-REQ-08
		if e := wantCode("refused", err, protocol.CodeRefused); e.Data == nil || e.Data.Status != 409 {
			t.Errorf("data %+v", e.Data)
		}
		_, err = ask("q2")
		wantCode("the first result", err, protocol.CodeRefused)
		d.hub.publish = func(*fhircast.Event) (int, error) { return 401, nil }
		_, err = ask("q3")
		wantCode("401", err, protocol.CodeSigninNeeded)
		d.relay.Lost(d.n, "reset")
		_, err = ask("q4")
		wantCode("after the loss", err, protocol.CodeNotConnected)
	})
}

func TestS12_WhatWasOutWhenTheSubscriptionEndedIsUnknown(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		asks := d.attach("asks", "", &fakeApp{status: 200})
		d.subscribe()
		release := make(chan struct{})
		d.hub.publish = func(*fhircast.Event) (int, error) { <-release; return 0, errors.New("cancelled") }
		got := make(chan error)
		go func() {
			_, err := d.relay.Send(asks.id, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
			got <- err
		}()
		synctest.Wait()
		d.relay.Lost(d.n, "reset")
		close(release)
		var pe *protocol.Error
		if err := <-got; !errors.As(err, &pe) || pe.Data == nil || !pe.Data.Unknown {
			t.Errorf("%v", err)
		}
	})
}

func TestS13_EveryAppIsBroughtToTheContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		all := d.attach("all", "", &fakeApp{status: 200})
		patients := d.attach("patients", "Patient-open Patient-close", &fakeApp{status: 200})
		studies := d.attach("studies", "ImagingStudy-open ImagingStudy-close", &fakeApp{status: 200})
		nothing := d.attach("nothing", "-", &fakeApp{status: 200})
		late := d.attach("mute", "Patient-open", &fakeApp{})
		d.subscribe()
		apps := []*fakeApp{all, patients, studies, nothing, late}
		for _, a := range apps {
			a.news()
		}
		step := func(what string, e *fhircast.Event, want ...string) {
			t.Helper()
			d.deliver(e)
			for i, a := range apps {
				d.wantNews(what, a, want[i])
			}
		}
		step("a study", ev("ImagingStudy-open", "1", 1, "s1/p1"),
			"ImagingStudy-open:s1", "Patient-open:p1/derived", "ImagingStudy-open:s1", "", "Patient-open:p1/derived")
		step("its patient", ev("Patient-open", "2", 2, "p1"),
			"Patient-open:p1", "Patient-open:p1", "", "", "Patient-open:p1") // studies holds the same patient
		step("another patient", ev("Patient-open", "3", 3, "p2"),
			"Patient-open:p2", "Patient-open:p2", "clear:other_patient", "", "Patient-open:p2")
		step("a study without a patient", ev("ImagingStudy-open", "4", 4, "s4"),
			"ImagingStudy-open:s4", "clear:other_patient", "ImagingStudy-open:s4", "", "clear:other_patient")
		step("the study closes", ev("ImagingStudy-close", "5", 5, "s4"),
			"ImagingStudy-close:s4", "", "ImagingStudy-close:s4", "", "")
		step("a report of both", ev("DiagnosticReport-open", "6", 6, "r1/s1/p1"),
			"DiagnosticReport-open:r1", "Patient-open:p1/derived", "ImagingStudy-open:s1/derived", "", "Patient-open:p1/derived")
		step("the report closes", ev("DiagnosticReport-close", "7", 7, "r1/s1/p1"),
			"DiagnosticReport-close:r1", "clear:closed", "clear:closed", "", "clear:closed")
		if len(d.hub.sent()) != 0 {
			t.Error("a derived event was sent to the hub")
		}
	})
}

func TestS13_AfterHelloTheAppIsBroughtToTheContext(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.wantNews("offline", d.attach("offline", "", &fakeApp{status: 200}), "clear:unknown")
		d.subscribe()
		d.wantNews("nothing current", d.attach("first", "", &fakeApp{status: 200}), "clear:closed")
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		d.wantNews("a study", d.attach("second", "", &fakeApp{status: 200}), "ImagingStudy-open:s1/replay")
		got := d.attach("third", "Patient-open", &fakeApp{status: 200})
		d.wantNews("its patient", got, "Patient-open:p1/replay/derived")
		if len(got.params) == 0 {
			t.Fatal("told nothing")
		}
		if !strings.Contains(got.params[0], `"id":"1"`) || !strings.Contains(got.params[0], `"replay":true`) || !strings.Contains(got.params[0], `"derived":true`) {
			t.Errorf("told %s", got.params[0])
		}
		if strings.Contains(got.params[0], topic) {
			t.Error("the topic reached an app")
		}
		d.wantPhase(protocol.PhaseInSync)
		d.relay.Subscribe(got.id, fhircast.Names([]string{"ImagingStudy-open"}))
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS14_ATestHubDrivesNoAdapterThatDoesNotSayTest(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		before := d.attachAs(App{Name: "real", Via: "exec", Adapter: true, Answers: true}, "", &fakeApp{status: 200})
		s := d.session()
		s.Test = true
		d.relay.Join(s)
		d.confirm()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.wantNews("attached before", before, "clear:unknown")
		if before.closed == "" {
			t.Error("still driven")
		}
		if _, _, err := d.relay.Attach(App{Name: "real", Adapter: true}, &fakeApp{}); !errors.Is(err, ErrTestHub) {
			t.Errorf("attached: %v", err)
		}
		test := d.attachAs(App{Name: "test", Adapter: true, Test: true, Answers: true}, "", &fakeApp{status: 200})
		d.wantNews("a test adapter", test, "Patient-open:p1/replay")
		if !d.relay.View().Test {
			t.Error("the view does not say so")
		}
	})
}
