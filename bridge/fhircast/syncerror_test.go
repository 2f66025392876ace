package fhircast

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FC-ERR-06, FC-ERR-07, FC-ERR-10: STU1 re-uses the id of the event, the 2.1.0 ballot names no subscriber and says
// "error", and 3.0.0 puts the subscriber under one of its two systems.
func TestSyncErrorsOfEveryVersionAreReadAlike(t *testing.T) {
	const failed = "fdb2f928-5546-4f52-87a0-0648e9ded065"
	for file, want := range map[string]Failure{
		"stu1-1.0/syncerror-1.json":          {EventID: "q9v3jubddqt63n1", Diagnostics: "AppId3456 failed to follow context"},
		"stu2-2.0/syncerror-1.json":          {EventID: failed, EventName: "patient-open", Diagnostics: "AppId3456 failed to follow context"},
		"stu3-2.1.0-ballot/syncerror-1.json": {EventID: failed, EventName: "patient-open", Diagnostics: "AppId3456 failed to follow context"},
		"stu3-3.0.0-ballot/syncerror-1.json": {EventID: failed, EventName: "Patient-open", Subscriber: "Acme Product", Diagnostics: "Acme Product failed to follow context"},
		"stu3-3.0.0/syncerror-1.json":        {EventID: failed, EventName: "Patient-open", Subscriber: "Acme Product", Diagnostics: "Acme Product failed to follow context"},
	} {
		for _, text := range examples(t, file) {
			m, err := Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Failure{want}, m.(*Event).Failures()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", filepath.Dir(file), diff)
			}
		}
	}
}

// RAD-155: IRA finds the codings by position. Where one system is FHIRcast's, position counts for nothing.
func TestSyncErrorWithoutSystemsIsReadByPosition(t *testing.T) {
	for _, c := range []struct {
		name, codings string
		want          Failure
	}{
		{"no system", `{"code":"e9"},{"code":"diagnosticreport-open"},{"code":"Viewer"}`, Failure{EventID: "e9", EventName: "diagnosticreport-open", Subscriber: "Viewer"}},
		{"others' systems", `{"system":"urn:a","code":"e9"},{"system":"urn:b","code":"syncerror"}`, Failure{EventID: "e9", EventName: "syncerror"}},
		{"one of FHIRcast's, later", `{"system":"urn:a","code":"X-17"},{"system":"https://fhircast.hl7.org/events/syncerror/eventid","code":"e9"}`, Failure{EventID: "e9"}},
		{"the two systems of a subscriber", `{"system":"https://fhircast.hl7.org/events/syncerror/eventid","code":"e9"},{"system":"https://fhircast.hl7.org/events/syncerror/subscribername","code":"Viewer"}`, Failure{EventID: "e9", Subscriber: "Viewer"}},
	} {
		e := event(t, "SyncError", `[{"key":"operationoutcome","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"processing","details":{"coding":[`+c.codings+`]}}]}}]`)
		if diff := cmp.Diff([]Failure{c.want}, e.Failures()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	made, err := NewSyncError("x1", time.Unix(0, 0), "T", Failure{EventID: "e9", EventName: "Patient-open", Subscriber: "Viewer", Diagnostics: "no"})
	if err != nil {
		t.Fatal(err)
	}
	var outcome operationOutcome
	if err := json.Unmarshal(made.Context[0].Value, &outcome); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, c := range outcome.Issue[0].Details.Coding[:3] {
		codes = append(codes, c.Code)
	}
	if got := strings.Join(codes, " "); got != "e9 Patient-open Viewer" {
		t.Errorf("ours by position: %s", got)
	}
}

// FC-CS-27, FC-ERR-05: an issue that everybody looks for, and one that says too long. FC-ERR-15: each of several issues
// is read, wherever it stands.
func TestSyncErrorAboutAnEventThatWasTooLong(t *testing.T) {
	long := Failure{EventID: "e9", EventName: "DiagnosticReport-update", Subscriber: "Viewer", Diagnostics: "too large", TooLong: true}
	other := Failure{EventID: "e8", EventName: "Patient-open", Subscriber: "Viewer", Diagnostics: "busy"}
	e, err := NewSyncError("x1", time.Unix(0, 0), "T", long, other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(e); err != nil {
		t.Error(err)
	}
	var outcome operationOutcome
	if err := json.Unmarshal(e.Context[0].Value, &outcome); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, i := range outcome.Issue {
		codes = append(codes, i.Code+" "+i.failure().EventID)
	}
	if diff := cmp.Diff([]string{"processing e9", "too-long e9", "processing e8"}, codes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Failure{long, other}, e.Failures()); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	later := event(t, "SyncError", `[{"key":"operationoutcome","resource":{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"informational","diagnostics":"by the way"},`+
		`{"severity":"error","code":"processing","details":{"coding":[{"system":"urn:x","code":"y"},{"system":"https://fhircast.hl7.org/events/syncerror/eventid","code":"never seen"}]}}]}}]`)
	if diff := cmp.Diff([]Failure{{EventID: "e1", Diagnostics: "by the way"}, {EventID: "never seen"}}, later.Failures()); diff != "" {
		t.Errorf("the second of two (-want +got):\n%s", diff)
	}
	alone := event(t, "SyncError", `[{"key":"operationoutcome","resource":{"resourceType":"OperationOutcome","issue":[{"code":"too-long","details":{"coding":[{"system":"https://fhircast.hl7.org/events/syncerror/eventid","code":"e9"}]}}]}}]`)
	if diff := cmp.Diff([]Failure{{EventID: "e9", TooLong: true}}, alone.Failures()); diff != "" {
		t.Errorf("too long alone (-want +got):\n%s", diff)
	}
}

// FC-ERR-06, FC-ERR-07, FC-ERR-08: which event of which name, who and why.
func TestOnlyASyncErrorThatSaysAllIsSent(t *testing.T) {
	whole := Failure{EventID: "e9", EventName: "Patient-open", Subscriber: "Viewer", Diagnostics: "no"}
	for name, change := range map[string]func(*Failure){
		"":                  func(*Failure) {},
		"no event":          func(f *Failure) { f.EventID = "" },
		"no name of it":     func(f *Failure) { f.EventName = "" },
		"no subscriber":     func(f *Failure) { f.Subscriber = "" },
		"no word about why": func(f *Failure) { f.Diagnostics = "" },
	} {
		f := whole
		change(&f)
		e, err := NewSyncError("x1", time.Unix(0, 0), "T", f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Encode(e); (err == nil) != (name == "") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// FC-GEN-04: what is not known is left out, for FHIR has no empty texts.
func TestSyncErrorHasNoEmptyTexts(t *testing.T) {
	e, err := NewSyncError("x1", time.Unix(0, 0), "T", Failure{EventName: "Patient-open"}, Failure{})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkFHIR(e.Context[0].Value); err != nil {
		t.Errorf("%v: %s", err, e.Context[0].Value)
	}
}
