package hub

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

func TestSessionAfterEvents(t *testing.T) {
	// FC-GCC-05 FC-INI-01 FC-CAT-04
	const patient, study, report, encounter = `"key":"patient","resource":{"resourceType":"Patient",`, `"key":"study","resource":{"resourceType":"ImagingStudy",`, `"key":"report","resource":{"resourceType":"DiagnosticReport",`, `"key":"encounter","resource":{"resourceType":"Encounter",`
	event := func(step string) *fhircast.Event {
		name, id, _ := strings.Cut(step, " ")
		entries := "[]"
		for resource, start := range map[string]string{"Patient": patient, "ImagingStudy": study, "DiagnosticReport": report, "Encounter": encounter} {
			if fhircast.Name(name).Resource() == resource {
				entries = "[{" + start + `"id":"` + id + `"}}]`
			}
		}
		e, err := fhircast.NewEvent(fhircast.Draft{ID: step, At: time.Unix(0, 0), Topic: "t", Name: fhircast.Name(name), Context: json.RawMessage(entries)})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, row := range []struct{ name, steps, current, initial string }{
		{"nothing yet", "", "", ""},
		{"an open is current", "Patient-open a", "Patient-open a", "Patient-open a"},
		{"a second open replaces the first as current", "Patient-open a,Patient-open b", "Patient-open b", "Patient-open b"},
		{"its close leaves nothing current, and the first still open", "Patient-open a,Patient-open b,Patient-close b", "", "Patient-open a"},
		{"the close of another changes nothing", "Patient-open a,Patient-open b,Patient-close a", "Patient-open b", "Patient-open b"},
		{"a close of what was never open changes nothing", "Patient-open a,Patient-close x", "Patient-open a", "Patient-open a"},
		{"a close in another case is a close", "Patient-open a,PATIENT-CLOSE a", "", ""},
		{"opening again makes current again", "Patient-open a,Patient-open b,Patient-open a", "Patient-open a", "Patient-open a"},
		{"one of each type, oldest first", "Patient-open a,ImagingStudy-open s,DiagnosticReport-open r,Patient-open b", "Patient-open b", "ImagingStudy-open s,DiagnosticReport-open r,Patient-open b"},
		{"the same id of another type is another resource", "Patient-open a,ImagingStudy-open a,ImagingStudy-close a", "", "Patient-open a"},
		{"the close of an encounter leaves its patient open", "Patient-open a,Encounter-open e,Patient-open a,Encounter-close e", "Patient-open a", "Patient-open a"},
		{"home is current, and told last", "Patient-open a,Home-open", "Home-open", "Patient-open a,Home-open"},
		{"home ends with the next open", "Home-open,Patient-open a", "Patient-open a", "Patient-open a"},
		{"a close at home leaves home", "Patient-open a,Home-open,Patient-close a", "Home-open", "Home-open"},
		{"a logout leaves nothing", "Patient-open a,ImagingStudy-open s,UserLogout", "", ""},
		{"a hibernation leaves all", "Patient-open a,UserHibernate", "Patient-open a", "Patient-open a"},
	} {
		var s Session
		for step := range strings.SplitSeq(row.steps, ",") {
			if step != "" {
				s = s.after(event(step))
			}
		}
		current, initial := "", []string{}
		if s.Current != nil {
			current = s.Current.ID
		}
		for _, e := range s.initial() {
			initial = append(initial, e.ID)
		}
		if got := strings.Join(initial, ","); current != row.current || got != row.initial {
			t.Errorf("%s: current %q, initial %q; want %q, %q", row.name, current, got, row.current, row.initial)
		}
	}
}

func TestASessionIsNeverChangedOnlyReplaced(t *testing.T) {
	first := Content{Anchor: "diagnosticreport/r", Resources: []Resource{{Ref: "observation/a", Body: []byte("1")}, {Ref: "observation/b", Body: []byte("1")}}}
	session := Session{Shared: []Content{first}}
	next := session.withContent(first.with([]change{{Ref: "observation/a", Body: []byte("2")}, {Ref: "observation/b"}}, "v"))
	if got := next.Shared[0]; len(got.Resources) != 1 || string(got.Resources[0].Body) != "2" || got.Version != "v" {
		t.Errorf("the next one: %d resources at %q", len(got.Resources), got.Version)
	}
	for _, was := range []Content{first, session.Shared[0]} {
		if len(was.Resources) != 2 || string(was.Resources[0].Body) != "1" || string(was.Resources[1].Body) != "1" || was.Version != "" {
			t.Errorf("the one before is another now: %d resources at %q", len(was.Resources), was.Version)
		}
	}
}
