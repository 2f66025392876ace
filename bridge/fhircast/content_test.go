package fhircast

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// short is a change in one line: the anchor, then each entry, with the length of a resource that it holds.
func short(c Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%.8s:", c.Type, c.ID)
	for _, e := range c.Entries {
		holds := ""
		if e.Resource != nil {
			holds = "+"
		}
		fmt.Fprintf(&b, " %s %s/%.8s%s", e.Method, e.Type, e.ID, holds)
	}
	return b.String()
}

// FC-CS-17, FC-CS-19, FC-CS-20, FC-CS-22: an anchor that is a resource or a reference, a POST that is a PUT, entries
// without request.url, Bundles with and without an id. FC-EVT-05, FC-EVT-06.
func TestUpdatesOfEveryVersionAreReadAlike(t *testing.T) {
	for file, want := range map[string]struct{ change, version, prior string }{
		"stu3-3.0.0/diagnosticreport-update-1.json":        {"DiagnosticReport/2402d3bd: PUT ImagingStudy/7e9deb91+ PUT Observation/40afe766+ PUT DiagnosticReport/2402d3bd+", "b9574cb0", ""},
		"stu3-3.0.0/diagnosticreport-update-2.json":        {"DiagnosticReport/2402d3bd: PUT ImagingStudy/7e9deb91+ PUT Observation/40afe766+ PUT DiagnosticReport/2402d3bd+", "efcac43a", "b9574cb0"},
		"stu3-3.0.0/diagnosticreport-update-3.json":        {"DiagnosticReport/2402d3bd: DELETE Observation/40afe766 PUT DiagnosticReport/2402d3bd+", "efcac43a", ""},
		"stu3-3.0.0-ballot/diagnosticreport-update-1.json": {"DiagnosticReport/2402d3bd: PUT ImagingStudy/7e9deb91+ PUT Observation/40afe766+", "b9574cb0", ""},
		"stu3-3.0.0-ballot/diagnosticreport-update-2.json": {"DiagnosticReport/2402d3bd: PUT ImagingStudy/7e9deb91+ PUT Observation/40afe766+", "efcac43a", "b9574cb0"},
		"stu3-2.1.0-ballot/diagnosticreport-update-1.json": {"DiagnosticReport/40012366: PUT ImagingStudy/34781163+ PUT Observation/43509823+", "b9574cb0", ""},
		"stu3-2.1.0-ballot/diagnosticreport-update-2.json": {"DiagnosticReport/40012366: PUT ImagingStudy/34781163+ PUT Observation/43509823+", "efcac43a", "b9574cb0"},
	} {
		for _, text := range examples(t, file) {
			m, err := Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			e := m.(*Event)
			c, err := e.Update()
			if err != nil || short(c) != want.change {
				t.Errorf("%s: %s, %v", file, short(c), err)
			}
			if fmt.Sprintf("%.8s %.8s", e.Version, e.PriorVersion) != want.version+" "+want.prior {
				t.Errorf("%s: version %s after %s", file, e.Version, e.PriorVersion)
			}
			for _, entry := range c.Entries {
				if kind, id, ok := identity(entry.Resource); entry.Resource != nil && (!ok || kind != entry.Type || id != entry.ID) {
					t.Errorf("%s: the resource of %s is another", file, entry)
				}
			}
		}
	}
}

// FC-EVT-05: the table of 3.0.0 has other names than its examples.
func TestVersionsInBothSpellings(t *testing.T) {
	for _, prefix := range []string{"", "context."} {
		m, err := Decode([]byte(`{"timestamp":"t","id":"e1","event":{"hub.topic":"T","hub.event":"DiagnosticReport-update","` + prefix + `versionId":"v2","` + prefix + `priorVersionId":"v1","context":[]}}`))
		if err != nil {
			t.Fatal(err)
		}
		if e := m.(*Event); e.Version != "v2" || e.PriorVersion != "v1" {
			t.Errorf("%q: %q after %q", prefix, e.Version, e.PriorVersion)
		}
	}
	e, err := NewEvent(Draft{ID: "e1", Topic: "T", Name: "Patient-open", Version: "v1", Context: json.RawMessage(`[` + patient + `]`)})
	if err != nil || !strings.Contains(string(e.Wire()), `,"context.versionId":"v1",`) {
		t.Errorf("written as %s, %v", e.Wire(), err)
	}
}

const anchorRef = `{"key":"report","reference":{"reference":"DiagnosticReport/r1"}}`

func updating(entries string) string {
	return `[` + anchorRef + `,{"key":"updates","resource":{"resourceType":"Bundle","type":"transaction","entry":[` + entries + `]}}]`
}

func TestUpdatesInOddShapes(t *testing.T) {
	const put = `{"request":{"method":"PUT"},"resource":{"resourceType":"Observation","id":"o1"}}`
	for _, c := range []struct{ name, context, want, fault string }{
		{"no entries", updating(``), "DiagnosticReport/r1:", ""},
		{"nulls", strings.Replace(updating(``), `[]`, `null`, 1), "DiagnosticReport/r1:", ""},
		{"a null in an entry", updating(`{"fullUrl":null,"request":{"method":"PUT","url":null},"resource":{"resourceType":"Observation","id":"o1"}}`), "DiagnosticReport/r1: PUT Observation/o1+", ""},
		{"members in another order", updating(`{"resource":{"x":[{"id":"no"}],"id":"o\u0031","resourceType":"Observation"},"request":{"url":"Observation/o1","method":"PUT"}}`), "DiagnosticReport/r1: PUT Observation/o1+", ""},
		{"entries that are no list", strings.Replace(updating(``), `[]`, `{}`, 1), "", "updates"},
		{"an entry that is no object", updating(`7`), "", "updates"},
		{"a method that is no text", updating(`{"request":{"method":1},"resource":{"resourceType":"Observation","id":"o1"}}`), "", "updates"},
		{"a resource that is no object", updating(`{"request":{"method":"PUT"},"resource":[]}`), "", "type and the id"},
		{"a resource that is null", updating(`{"fullUrl":"Observation/o1","request":{"method":"PUT"},"resource":null}`), "", "type and the id"},
		{"an anchor by an absolute address", strings.Replace(updating(put), "DiagnosticReport/r1", "https://fhir.example/r4/DiagnosticReport/r1/_history/7", 1), "DiagnosticReport/r1: PUT Observation/o1+", ""},
		{"deleted by fullUrl", updating(`{"fullUrl":"Observation/o1","request":{"method":"DELETE"}}`), "DiagnosticReport/r1: DELETE Observation/o1", ""},
		{"deleted by an absolute fullUrl", updating(`{"fullUrl":"https://x/y/Observation/o1","request":{"method":"delete"}}`), "DiagnosticReport/r1: DELETE Observation/o1", ""},
		{"deleted by request.url", updating(`{"fullUrl":"urn:uuid:1","request":{"method":"DELETE","url":"Observation/o1"}}`), "DiagnosticReport/r1: DELETE Observation/o1", ""},
		{"deleted by resource, as in 2022", updating(`{"request":{"method":"DELETE"},"resource":{"resourceType":"Observation","id":"o1"}}`), "DiagnosticReport/r1: DELETE Observation/o1", ""},
		{"put by its address alone", updating(`{"fullUrl":"https://x/Observation/o1","request":{"method":"PUT"}}`), "DiagnosticReport/r1: PUT Observation/o1", ""},
		{"a POST without an id", updating(`{"request":{"method":"POST"},"resource":{"resourceType":"Observation"}}`), "", "type and the id"}, // FC-CS-19
		{"a PATCH", updating(`{"request":{"method":"PATCH"},"resource":{"resourceType":"Observation","id":"o1"}}`), "", "neither"},
		{"nothing to delete", updating(`{"request":{"method":"DELETE"}}`), "", "type and the id"},
		{"no Bundle", `[` + anchorRef + `,{"key":"updates","resource":{"resourceType":"Observation","id":"o1"}}]`, "", "updates"},
		{"no updates", `[` + anchorRef + `]`, "", "updates"}, // FC-CS-16
		{"two updates", `[` + anchorRef + `,{"key":"updates","resource":{"resourceType":"Bundle"}},{"key":"updates","resource":{"resourceType":"Bundle"}}]`, "", "updates"},
		{"no anchor", `[{"key":"updates","resource":{"resourceType":"Bundle"}}]`, "", "not named exactly once"}, // FC-CS-16
		{"an anchor of another type", strings.Replace(updating(put), "DiagnosticReport/r1", "Observation/r1", 1), "", "not named exactly once"},
		{"an anchor that is no reference", strings.Replace(updating(put), `"reference":{"reference":"DiagnosticReport/r1"}`, `"reference":"DiagnosticReport/r1"`, 1), "", "not named exactly once"},
	} {
		got, err := event(t, "diagnosticreport-update", c.context).Update()
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v", c.name, err)
			}
		case err != nil || short(got) != c.want:
			t.Errorf("%s: %s, %v", c.name, short(got), err)
		}
	}
	if _, err := event(t, "DiagnosticReport-open", updating(put)).Update(); err == nil {
		t.Error("an open was read as an update")
	}
}

// FC-CS-31
func TestSelectionsOfEveryShape(t *testing.T) {
	const report = `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r1"}}`
	for _, c := range []struct{ name, context, want, fault string }{
		{"3.0.0", `[` + anchorRef + `,{"key":"select","reference":{"reference":"Observation/o1"}},{"key":"select","reference":{"reference":"ImagingSelection/i2"}}]`, "Observation/o1 ImagingSelection/i2", ""},
		{"3.0.0 ballot", `[` + report + `,{"key":"select","resources":[{"resourceType":"Observation","id":"o1"},{"resourceType":"ImagingSelection","id":"i2"}]}]`, "Observation/o1 ImagingSelection/i2", ""},
		{"2.1.0 ballot", `[` + report + `,{"select":[{"resourceType":"Observation","id":"o1"},{"resourceType":"ImagingSelection","id":"i2"}]}]`, "Observation/o1 ImagingSelection/i2", ""},
		{"references in an array", `[` + anchorRef + `,{"key":"select","reference":[{"reference":"Observation/o1"}]}]`, "Observation/o1", ""},
		{"nothing, 3.0.0", `[` + anchorRef + `]`, "", ""},
		{"nothing, by an array", `[` + anchorRef + `,{"key":"select","reference":[]}]`, "", ""},
		{"nothing, 3.0.0 ballot", `[` + report + `,{"key":"select","resources":[]}]`, "", ""},
		{"nothing, 2.1.0 ballot", `[` + report + `,{"select":[]}]`, "", ""},
		{"no id", `[` + report + `,{"select":[{"resourceType":"Observation"}]}]`, "", "type and id"},
		{"no array", `[` + report + `,{"select":7}]`, "", "type and id"},
		{"a logical reference", `[` + anchorRef + `,{"key":"select","reference":{"identifier":{"value":"x"}}}]`, "", "type and id"},
		{"no anchor", `[{"key":"select","reference":{"reference":"Observation/o1"}}]`, "", "not named"},
	} {
		got, err := event(t, "DiagnosticReport-Select", c.context).Selection()
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v", c.name, err)
			}
		case err != nil || got == nil || strings.Join(got, " ") != c.want:
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	for file, want := range map[string]string{
		"stu3-3.0.0":        "Observation/40afe766-3628-4ded-b5bd-925727c013b3 Observation/e25ce4c2-95c1-4078-8ef5-84aab1a69036",
		"stu3-3.0.0-ballot": "Observation/40afe766-3628-4ded-b5bd-925727c013b3", "stu3-2.1.0-ballot": "Observation/a67tbi5891trw123u6f9134",
	} {
		for _, text := range examples(t, file+"/diagnosticreport-select-1.json") {
			m, err := Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := m.(*Event).Selection(); err != nil || strings.Join(got, " ") != want {
				t.Errorf("%s: %v, %v", file, got, err)
			}
		}
	}
}

// FC-GCC-06, FC-GCC-07: the items as they were opened, and one Bundle of what was shared since.
func TestContentOfAContextThatWasRead(t *testing.T) {
	content := func(entries string) string {
		return `{"context.type":"DiagnosticReport","context.versionId":"v3","context":[` + report + `,` + anchoredPatient +
			`,{"key":"content","resource":{"resourceType":"Bundle","type":"collection"` + entries + `}}]}`
	}
	for _, c := range []struct{ name, body, want, fault string }{
		{"none", content(``), "", ""},
		{"an empty list", content(`,"entry":[]`), "", ""},
		{"two", content(`,"entry":[{"fullUrl":"Observation/o1","resource":{"resourceType":"Observation","id":"o1"}},{"resource":{"resourceType":"ImagingStudy","id":"s9"}}]`), "Observation/o1 ImagingStudy/s9", ""},
		{"a hub that does not share", `{"context.type":"Patient","context":[` + anchoredPatient + `]}`, "", ""},
		{"no resource", content(`,"entry":[{"fullUrl":"Observation/o1"}]`), "", "no resource"},
		{"no Bundle", `{"context.type":"Patient","context":[` + anchoredPatient + `,{"key":"content","resource":{"resourceType":"List"}}]}`, "", "one Bundle"},
		{"two Bundles", strings.Replace(content(``), `{"key":"content"`, `{"key":"content","resource":{"resourceType":"Bundle"}},{"key":"content"`, 1), "", "one Bundle"},
	} {
		e, err := DecodeContext([]byte(c.body), "T", "snapshot-1", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		entries, err := e.Content()
		for _, entry := range entries {
			got = append(got, entry.Type+"/"+entry.ID)
		}
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v", c.name, err)
			}
		case err != nil || strings.Join(got, " ") != c.want:
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	for file, text := range examples(t, "*/current-context-report.json") {
		e, err := DecodeContext(text, "T", "snapshot-1", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := e.Content()
		if err != nil || len(entries) != 1 || entries[0].Type+"/"+entries[0].ID != "Observation/435098234" {
			t.Errorf("%s: %v, %v", file, entries, err)
		}
		if opened, ok := e.Item("patient"); !ok || !strings.Contains(string(opened.Value), "185444") {
			t.Errorf("%s: the patient is not as in its open", file)
		}
	}
}

const anchoredPatient = `{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}}`

func TestS11_ChangesPrintNothingOfWhatTheyHold(t *testing.T) {
	c, err := event(t, "DiagnosticReport-update", updating(`{"fullUrl":"Observation/CANARY","request":{"method":"PUT"},"resource":{"resourceType":"Observation","id":"CANARY"}}`)).Update()
	if err != nil || c.Entries[0].ID != "CANARY" {
		t.Fatalf("%v, %v", c, err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb+verb+verb, c, c.Entries[0], []any{c, &c, c.Entries})
	}
	text, err := json.Marshal([]any{c, c.Entries, struct{ C Change }{c}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Write(text); strings.Contains(out.String(), "CANARY") || strings.Contains(out.String(), fmt.Sprintf("%x", "CANARY")) {
		t.Errorf("printed %s", out.String())
	}
}

func TestReferences(t *testing.T) {
	for ref, want := range map[string]string{
		"Patient/p1": "Patient p1", "https://h.example:8443/r4/Patient/p1": "Patient p1", "Patient/p1/_history/2": "Patient p1",
		"": "", "Patient": "", "Patient/": "", "/p1": "", "urn:uuid:x": "", "#p1": "", "patient/p1": "", "Patient/p1?x=1": "", "Patient?identifier=x": "", "https://h.example": "",
	} {
		resource, id, ok := splitReference(ref)
		if diff := cmp.Diff(want, strings.TrimSpace(resource+" "+id)); diff != "" || ok != (want != "") {
			t.Errorf("%q: %s", ref, diff)
		}
	}
}
