package fhircast

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// draft is an event as an app asks for it.
func draft(t testing.TB, name Name, context, version string) *Event {
	t.Helper()
	e, err := NewEvent(Draft{ID: "e1", At: time.Unix(1, 0), Topic: "T", Name: name, Context: json.RawMessage(context), Version: version})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// written is the context that a dialect writes for an event.
func written(t testing.TB, d Dialect, e *Event) string {
	t.Helper()
	raw, err := d.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(raw)
	if err != nil {
		t.Fatalf("wrote %s: %v", raw, err)
	}
	_, context, _ := strings.Cut(string(raw), `"context":`)
	if w := m.(*Event); w.ID != e.ID || !w.Name.Is(e.Name) || w.Version != e.Version || w.Timestamp != e.Timestamp || w.Topic != e.Topic {
		t.Errorf("the event became another: %s", raw)
	}
	return strings.TrimSuffix(context, `}}`)
}

const (
	putO2       = `{"request":{"method":"PUT","url":"Observation/o2"},"resource":{"resourceType":"Observation","id":"o2","value":1.50}}`
	deleteO1    = `{"fullUrl":"Observation/o1","request":{"method":"DELETE","url":"Observation/o1"}}`
	anchorHeld  = `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r1"}}`
	patientRef  = `{"key":"patient","reference":{"reference":"Patient/p1"}}`
	updatesHead = `{"key":"updates","resource":{"resourceType":"Bundle","id":"b7","type":"transaction","entry":[`
)

// FC-CS-17, FC-CS-18, FC-CS-19, FC-CS-20, FC-CS-22, FC-CAT-09
func TestUpdatesAreWrittenInTheShapeOfTheHub(t *testing.T) {
	deleted := `{"fullUrl":"Observation/o1","request":{"method":"DELETE","url":"Observation/o1"},"resource":{"resourceType":"Observation","id":"o1"}}`
	want := map[Shape]string{
		Shape3:    `[` + anchorRef + `,` + patientRef + `,` + updatesHead + putO2 + `,` + deleteO1 + `]}}]`,
		Shape2024: `[` + anchorHeld + `,` + updatesHead + putO2 + `,` + deleteO1 + `]}}]`,
		Shape2022: `[` + anchorHeld + `,` + updatesHead + putO2 + `,` + deleted + `]}}]`,
	}
	for name, context := range map[string]string{
		"as 3.0.0 has it":                   want[Shape3],
		"as the examples of 3.0.0 print it": strings.ReplaceAll(strings.ReplaceAll(want[Shape3], `,"url":"Observation/o1"`, ``), `,"url":"Observation/o2"`, ``),
		"with a patient held by id":         `[` + anchorRef + `,{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}},` + updatesHead + putO2 + `,` + deleteO1 + `]}}]`,
		"as the 3.0.0 ballot has it":        `[` + strings.Replace(anchorHeld, `"r1"`, `"r1","status":"unknown"`, 1) + `,` + patientRef + `,` + updatesHead + putO2 + `,` + deleteO1 + `]}}]`,
		"as the 2.1.0 ballot has it":        `[` + anchorHeld + `,` + patientRef + `,` + updatesHead + putO2 + `,{"request":{"method":"DELETE"},"resource":{"resourceType":"Observation","id":"o1"}}]}}]`,
	} {
		for shape, want := range want {
			got := written(t, Dialect{Content: shape}, draft(t, "DiagnosticReport-update", context, "v3"))
			switch { // what the older shapes have room for
			case strings.Contains(name, "held by id") && shape != Shape3:
				want = strings.Replace(want, anchorHeld+`,`, anchorHeld+`,{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}},`, 1)
			case strings.Contains(name, "3.0.0 ballot") && shape != Shape3:
				want = strings.Replace(want, `"r1"`, `"r1","status":"unknown"`, 1)
			case strings.Contains(name, "2.1.0 ballot") && shape == Shape2022:
				got = strings.Replace(got, `{"request":{"method":"DELETE","url":"Observation/o1"},"resource":{"resourceType":"Observation","id":"o1"}}`, deleted, 1)
			}
			if got != want {
				t.Errorf("%s, written in shape %d:\n%s, want\n%s", name, shape, got, want)
			}
		}
	}
}

// FC-CS-23: what the 2.1.0 ballot says of a study beside the updates is among them too, so 3.0.0 loses nothing.
func TestAStudyBesideTheUpdatesIsWrittenWhereItHasAPlace(t *testing.T) {
	const held = `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s1","status":"available"}}`
	e := draft(t, "DiagnosticReport-update", `[`+anchorHeld+`,`+held+`,`+updatesHead+`{"request":{"method":"PUT"},"resource":{"resourceType":"ImagingStudy","id":"s1","status":"available"}}]}}]`, "v3")
	for shape, has := range map[Shape]bool{Shape3: false, Shape2024: true, Shape2022: true} {
		if got := written(t, Dialect{Content: shape}, e); strings.Contains(got, held) != has || strings.Count(got, `"available"`) < 1 {
			t.Errorf("shape %d: %s", shape, got)
		}
	}
}

// FC-CS-19: what an app adds by POST is a PUT for every hub but one of 2022.
func TestPostIsKeptForAHubThatKnowsIt(t *testing.T) {
	post := draft(t, "DiagnosticReport-update", `[`+anchorRef+`,`+updatesHead+`{"request":{"method":"POST","url":"Observation"},"resource":{"resourceType":"Observation","id":"o2"}}]}}]`, "v3")
	for shape, want := range map[Shape]string{Shape3: "PUT", Shape2024: "PUT", Shape2022: "POST"} {
		if got := written(t, Dialect{Content: shape}, post); !strings.Contains(got, `"request":{"method":"`+want+`","url":"Observation/o2"}`) {
			t.Errorf("shape %d: %s", shape, got)
		}
	}
}

// FC-CS-31, FC-CAT-10: selected, and cleared.
func TestSelectionsAreWrittenInTheShapeOfTheHub(t *testing.T) {
	const o1, o2 = `{"key":"select","reference":{"reference":"Observation/o1"}}`, `{"key":"select","reference":{"reference":"Observation/o2"}}`
	const stubs = `[{"resourceType":"Observation","id":"o1"},{"resourceType":"Observation","id":"o2"}]`
	selected := map[Shape]string{
		Shape3:    `[` + anchorRef + `,` + o1 + `,` + o2 + `]`,
		Shape2024: `[` + anchorHeld + `,{"key":"select","resources":` + stubs + `}]`,
		Shape2022: `[` + anchorHeld + `,{"select":` + stubs + `}]`,
	}
	cleared := map[Shape]string{
		Shape3: `[` + anchorRef + `]`, Shape2024: `[` + anchorHeld + `,{"key":"select","resources":[]}]`, Shape2022: `[` + anchorHeld + `,{"select":[]}]`,
	}
	for _, all := range []map[Shape]string{selected, cleared} {
		for from, context := range all {
			for to, want := range all {
				if got := written(t, Dialect{Content: to}, draft(t, "DiagnosticReport-select", context, "")); got != want {
					t.Errorf("shape %d from %d:\n%s, want\n%s", to, from, got, want)
				}
			}
		}
	}
}

// FC-PRF-16: a report of R4 has imagingStudy, one of R5 study, in an open as in an update; both are taken from an app.
func TestReportsNameTheirStudiesAsTheHubsFHIRDoes(t *testing.T) {
	for _, said := range []string{"study", "imagingStudy"} {
		open := draft(t, "DiagnosticReport-open", `[`+strings.Replace(report, `"subject"`, `"`+said+`":[{"reference":"ImagingStudy/s1"}],"subject"`, 1)+`,`+patient+`]`, "")
		update := draft(t, "DiagnosticReport-update", updating(`{"request":{"method":"PUT"},"resource":{"resourceType":"DiagnosticReport","id":"r1","`+said+`":[{"reference":"ImagingStudy/s1"}]}}`), "v1")
		for want, d := range map[string]Dialect{"imagingStudy": {}, "study": {R5: true}} {
			for _, e := range []*Event{open, update} {
				if got := written(t, d, e); !strings.Contains(got, `"`+want+`":[{"reference":"ImagingStudy/s1"}]`) || strings.Count(got, `tudy":[`) != 1 {
					t.Errorf("%s from %s: %s", want, said, got)
				}
			}
		}
	}
	for _, e := range []*Event{ // with both, or elsewhere, the words are not touched
		draft(t, "DiagnosticReport-close", `[`+strings.Replace(report, `"subject"`, `"study":[{"reference":"ImagingStudy/s1"}],"imagingStudy":[{"reference":"ImagingStudy/s1"}],"subject"`, 1)+`,`+patient+`]`, ""),
		draft(t, "DiagnosticReport-open", `[`+report+`,`+patient+`,`+study+`]`, ""),
		draft(t, "org.example.thing", `[{"key":"report","resource":{"resourceType":"Basic","id":"1","study":"x"}}]`, ""),
	} {
		for _, d := range []Dialect{{}, {R5: true}} {
			if got, err := d.Encode(e); err != nil || string(got) != string(e.Wire()) {
				t.Errorf("wrote %s, %v", got, err)
			}
		}
	}
}

// FC-CAT-13, FC-CAT-14, FC-CAT-23: with a reason, and without one for a hub of before the 3.0.0 ballot.
func TestLogoutIsWrittenInTheDialect(t *testing.T) {
	const reason = `[{"key":"parameters","resource":{"resourceType":"Parameters","parameter":[{"name":"code","valueCoding":{"code":"user-initiated"}}]}}]`
	for _, name := range []Name{UserLogout, UserHibernate} {
		e := draft(t, name, reason, "")
		if got := written(t, Dialect{}, e); got != reason {
			t.Errorf("%s: %s", name, got)
		}
		if got := written(t, DialectOf("STU2"), e); got != `[]` {
			t.Errorf("%s for STU2: %s", name, got)
		}
	}
}

// FC-OLD-04, FC-OLD-05, FC-OLD-06, FC-OLD-07, FC-OLD-08: apps are told by the names of today. FC-EVT-07: a case is kept.
func TestRelayedNamesAreOfToday(t *testing.T) {
	for said, want := range map[string]string{
		"switch-patient-chart": "Patient-open", "close-imaging-study": "ImagingStudy-close", "user-logoff": "UserLogout", "sync-error": "SyncError",
		"patient-OPEN": "patient-OPEN", "org.example.thing": "org.example.thing", `patient\u002dopen`: `patient\u002dopen`,
	} {
		for _, members := range []string{`"hub.topic":"T","context":[],"hub.event":"%"`, `"hub.event":"%" , "context" : [ ],"hub.topic":"T"`, `"hub.topic":"T","hub.event":"%","context":[]`} {
			frame := `{"timestamp":"t","id":"e1","event":{` + members + `},"x":1.0}`
			m, err := Decode([]byte(strings.Replace(frame, "%", said, 1)))
			if err != nil {
				t.Fatal(err)
			}
			relayed := strings.Replace(strings.Replace(frame, "%", want, 1), `"T"`, `"here"`, 1)
			if got := string(m.(*Event).Relay("here", "")); got != relayed {
				t.Errorf("%s: relayed\n%s, want\n%s", said, got, relayed)
			}
			marked := strings.TrimSuffix(relayed, "}") + `,"castray":{"replay":true}}`
			if got := string(m.(*Event).Relay("here", `{"replay":true}`)); got != marked {
				t.Errorf("%s: marked\n%s, want\n%s", said, got, marked)
			}
		}
	}
}
