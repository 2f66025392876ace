package hub_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// names is what a peer has got, as names and the ids of their anchors.
func (p *peer) names() string {
	p.Helper()
	synctest.Wait()
	var list []string
	for len(p.frames) > 0 {
		e := p.event()
		item, _ := e.Anchor()
		r, _ := item.Resource()
		list = append(list, string(e.Name)+" "+r.ID)
		p.say(`{"id":"` + e.ID + `","status":200}`)
	}
	return strings.Join(list, ", ")
}

func study(id, patientID string) string {
	return `[{"key":"study","resource":{"resourceType":"ImagingStudy","id":"` + id + `"}},{"key":"patient","resource":{"resourceType":"Patient","id":"` + patientID + `"}}]`
}

func TestOpensAreDerivedForThoseWhoDidNotAskForTheEvent(t *testing.T) {
	// FC-DRV-01 FC-DRV-02 FC-DRV-03 FC-DRV-04
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{Rules: hub.Rules{Derive: true}})
		patients := w.join("all", "hub.events", "Patient-open,Patient-close")
		both := w.join("all", "hub.events", "Patient-open,ImagingStudy-open")
		reports := w.join("all", "hub.events", "DiagnosticReport-open,Patient-open")
		closes := w.join("all", "hub.events", "Patient-close,ImagingStudy-close")
		for _, step := range []struct {
			name, context                   string
			patients, both, reports, closes string
		}{
			{"DiagnosticReport-open", report("r"), "Patient-open a", "Patient-open a, ImagingStudy-open s", "DiagnosticReport-open r", ""},
			{"ImagingStudy-open", study("t", "a"), "", "ImagingStudy-open t", "Patient-open a", ""},
			{"Patient-open", patient("b"), "Patient-open b", "Patient-open b", "Patient-open b", ""},
			{"ImagingStudy-open", study("t", "b"), "", "ImagingStudy-open t", "", ""},
			{"ImagingStudy-open", study("u", "a"), "Patient-open a", "ImagingStudy-open u", "Patient-open a", ""},
			{"ImagingStudy-close", study("u", "a"), "", "", "", "ImagingStudy-close u"},
			{"Patient-close", patient("a"), "Patient-close a", "", "", "Patient-close a"},
			{"ImagingStudy-open", study("u", "a"), "Patient-open a", "ImagingStudy-open u", "Patient-open a", ""},
			{"UserLogout", "[]", "", "", "", ""},
			{"ImagingStudy-open", study("u", "a"), "Patient-open a", "ImagingStudy-open u", "Patient-open a", ""},
			{"Home-open", "[]", "", "", "", ""},
		} {
			w.post(time.Now().String(), step.name, step.context)
			for i, p := range []*peer{patients, both, reports, closes} {
				if got, want := p.names(), []string{step.patients, step.both, step.reports, step.closes}[i]; got != want {
					t.Errorf("%s: subscriber %d got %q, want %q", step.name, i, got, want)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

func TestADerivedOpenIsAnEventOfItsOwn(t *testing.T) {
	// FC-DRV-01 FC-SCOPE-05
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{Rules: hub.Rules{Derive: true}})
		other := w.join("all", "hub.events", "ImagingStudy-open,SyncError")
		p := w.join("reader", "hub.events", "Patient-open,ImagingStudy-open", "subscriber.name", "Derives")
		raw := w.message("source", "ImagingStudy-open", "mine", study("s", "a"))
		raw = strings.Replace(raw, "00:00:00Z", "00:00:00.1234567Z", 1)
		if status, body := w.do("POST", "/fc", "all", "application/json", raw); status != 202 {
			t.Fatalf("%d %s", status, body)
		}
		if e := other.event(); e.ID != "source" {
			t.Errorf("got %s", e)
		}
		other.say(`{"id":"source","status":200}`)
		e := p.event()
		if e.ID == "source" || e.Name != "Patient-open" || len(e.Context) != 1 || e.Version != "" || e.Timestamp.Raw != "2000-01-01T00:00:00.1234567Z" {
			t.Errorf("got %s of %s at version %q", e, e.Timestamp.Raw, e.Version)
		}
		// What the others hear of a refusal is about the event that they know.
		p.say(`{"id":"` + e.ID + `","status":409}`)
		failed := other.event()
		if f := failed.Failures(); len(f) != 1 || f[0].EventID != "source" || f[0].EventName != "ImagingStudy-open" || f[0].Subscriber != "Derives" {
			t.Errorf("got %+v", f)
		}
		if got := w.join("reader", "hub.events", "Patient-open").names(); got != "Patient-open a" {
			t.Errorf("a newcomer got %q", got)
		}
	})
}

func TestNothingIsDerivedOfTwoStudiesOrWhenNotAskedTo(t *testing.T) {
	// FC-DRV-02 FC-INI-02
	two := strings.TrimSuffix(report("r"), "]") + `,{"key":"study","resource":{"resourceType":"ImagingStudy","id":"second"}}]`
	for _, row := range []struct {
		name    string
		rules   hub.Rules
		context string
		want    string
	}{
		{"two studies", hub.Rules{Derive: true}, two, "Patient-open a"},
		{"a patient without id", hub.Rules{Derive: true}, strings.Replace(report("r"), `"id":"a",`, "", 1), "ImagingStudy-open s"},
		{"not asked to", hub.Rules{}, report("r"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Config{Rules: row.rules})
				p := w.join("all", "hub.events", "Patient-open,ImagingStudy-open")
				w.post("1", "DiagnosticReport-open", row.context)
				if got := p.names(); got != row.want {
					t.Errorf("got %q, want %q", got, row.want)
				}
				if s := w.hub.Subscribers(w.topic); len(s) != 1 || !fhircast.Name("Patient-open").In(s[0].Events) {
					t.Errorf("subscribers: %+v", s)
				}
			})
		})
	}
}
