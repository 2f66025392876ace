package bridge

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// An app is told no more than its rule lets it see, whatever it asks for: not in an event, nor in hello, nor when it asks what
// is current.
func TestAnAppSeesWhatItsRuleAllows(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		patients := fhircast.Names([]string{"Patient-open", "Patient-close"})
		greedy := d.attachAs(App{Name: "greedy", Answers: true, Sees: patients}, "", &fakeApp{status: 200})
		asking := d.attachAs(App{Name: "asking", Answers: true, Sees: patients}, "ImagingStudy-open Patient-open", &fakeApp{status: 200})
		nothing := d.attachAs(App{Name: "nothing", Answers: true, Sees: []fhircast.Name{}}, "", &fakeApp{status: 200})
		d.settled()
		for _, a := range []*fakeApp{greedy, asking, nothing} {
			a.news()
		}
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		d.wantNews("a study", greedy, "Patient-open:p1/derived")
		d.wantNews("a study", asking, "Patient-open:p1/derived")
		d.wantNews("a study", nothing, "")
		if err := d.relay.Subscribe(greedy.id, fhircast.Names([]string{"ImagingStudy-open", "Patient-open"})); err != nil {
			t.Fatal(err)
		}
		d.wantNews("asked for more", greedy, "")
		d.wantPhase(protocol.PhaseInSync)

		see := func(a *fakeApp, current string, open int) {
			t.Helper()
			got, err := d.relay.Context(a.id)
			if err != nil || got == nil {
				t.Fatalf("%v, %v", got, err)
			}
			words := ""
			if len(got.Current) > 0 {
				words = inWords(Message{Method: protocol.MethodEvent, Params: got.Current})
			}
			if words != current || len(got.Open) != open {
				t.Errorf("%s sees %q and %d open, want %q and %d", a.id, words, len(got.Open), current, open)
			}
			if text, _ := json.Marshal(got); strings.Contains(string(text), "ImagingStudy") {
				t.Errorf("%s sees the study", a.id)
			}
		}
		see(greedy, "Patient-open:p1/derived", 0)
		see(nothing, "", 0)
		d.deliver(ev("Patient-open", "2", 2, "p1"))
		see(greedy, "Patient-open:p1", 1)
		see(nothing, "", 0)
	})
}

// An app asks for what its rule allows of what is configured.
func TestAnAppSendsWhatItsRuleAllows(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		a := d.attachAs(App{Name: "asks", Answers: true, MaySend: true, Sends: []fhircast.Name{"Patient-open", "Encounter-open"}}, "", &fakeApp{status: 200})
		d.settled()
		for event, allowed := range map[string]bool{"Patient-open": true, "patient-open": true, "ImagingStudy-open": false, "Patient-close": false, "Encounter-open": false} {
			what := map[string]string{"ImagingStudy-open": "s1/p1", "Encounter-open": "e1/p1"}[event]
			if what == "" {
				what = "p1"
			}
			_, err := d.relay.Send(a.id, protocol.SendParams{Event: event, Context: json.RawMessage(contextOf(what))})
			var fault *protocol.Error
			if allowed != (err == nil) || !allowed && (!errors.As(err, &fault) || fault.Code != protocol.CodeNotAllowed) {
				t.Errorf("%s: %v", event, err)
			}
		}
	})
}

// S1: an app that always has to be there and is not, is a row that has failed: the hub is answered 500, the desk is not in
// sync, and both are over when it is there.
func TestS1_AnAppThatIsAlwaysRequiredIsMissed(t *testing.T) {
	onDeskWith(t, Config{Always: []string{"viewer", "report"}}, func(d *deskTest) {
		d.attach("notes", "", &fakeApp{status: 200})
		report := d.attachAs(App{Name: "Report", Rule: "report", Answers: true}, "", &fakeApp{status: 200})
		began := time.Now()
		d.settled()
		d.wantPhase(protocol.PhaseAttention)
		d.wantAnswer("without it", d.deliver(ev("Patient-open", "1", 1, "p1")), 500)
		v := d.relay.View()
		if len(v.Rows) != 3 || v.Rows[2].ID != "viewer" || v.Rows[2].Outcome != protocol.OutcomeFailed || v.Rows[2].Required != protocol.RequiredAlways || !v.Rows[2].Since.Equal(began) {
			t.Errorf("rows %+v", v.Rows)
		}
		if len(v.Problems) != 1 || v.Problems[0].Code != "app_missing" || v.Problems[0].Name != "viewer" {
			t.Errorf("problems %v", v.Problems)
		}
		d.wantAnswer("about a select", d.deliver(decoded(`{"timestamp":"2026-01-02T03:00:00.000Z","id":"s","event":{"hub.topic":"`+topic+
			`","hub.event":"DiagnosticReport-select","context":[`+anchorOf("r9")+`,{"key":"select","reference":[{"reference":"Observation/o1"}]}]}}`)), 202)

		impostor := d.attachAs(App{Name: "viewer", Answers: true}, "", &fakeApp{status: 200}) // the name alone is nothing
		if impostor.id != "viewer#2" {
			t.Errorf("it is called %s", impostor.id)
		}
		d.wantPhase(protocol.PhaseAttention)
		viewer := d.attachAs(App{Name: "viewer", Rule: "viewer", Answers: true, Required: protocol.RequiredAlways}, "", &fakeApp{status: 200})
		d.wantPhase(protocol.PhaseInSync)
		d.wantAnswer("with it", d.deliver(ev("Patient-open", "2", 2, "p2")), 200)

		d.relay.Detach(viewer.id, viewer, true)
		if p := d.relay.View().Problems; len(p) != 1 || p[0].Code != "app_lost" {
			t.Errorf("lost: %v", p) // its own row says so, once
		}
		left := time.Now()
		d.relay.Detach(viewer.id, viewer, false)
		d.relay.Detach(report.id, report, false)
		d.wantPhase(protocol.PhaseAttention)
		if p := d.relay.View().Problems; len(p) != 2 || p[0].Code != "app_missing" || !p[0].Since.Equal(left) {
			t.Errorf("gone: %v", p)
		}
	})
}
