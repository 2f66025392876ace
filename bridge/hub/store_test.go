package hub

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

func TestSessionAfterEvents(t *testing.T) {
	// FC-GCC-05 FC-INI-01
	const patient, study, report = `"key":"patient","resource":{"resourceType":"Patient",`, `"key":"study","resource":{"resourceType":"ImagingStudy",`, `"key":"report","resource":{"resourceType":"DiagnosticReport",`
	event := func(step string) *fhircast.Event {
		name, id, _ := strings.Cut(step, " ")
		entries := "[]"
		for resource, start := range map[string]string{"Patient": patient, "ImagingStudy": study, "DiagnosticReport": report} {
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
