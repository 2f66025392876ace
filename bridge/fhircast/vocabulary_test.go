package fhircast

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FC-EVT-07, FC-EVT-08, FC-EVT-15
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name      Name
		canonical Name
		resource  string
		verb      Verb
		key       string
	}{
		{"patient-open", "Patient-open", "Patient", Open, "patient"},
		{"PATIENT-CLOSE", "Patient-close", "Patient", Close, "patient"},
		{"imagingstudy-Open", "ImagingStudy-open", "ImagingStudy", Open, "study"},
		{"DiagnosticReport-update", "DiagnosticReport-update", "DiagnosticReport", Update, "report"},
		{"diagnosticreport-select", "DiagnosticReport-select", "DiagnosticReport", Select, "report"},
		{"Observation-open", "Observation-open", "Observation", Open, "observation"},
		{"home-open", "Home-open", "", Open, ""},
		{"userlogout", "UserLogout", "", "", ""},
		{"syncerror", "SyncError", "", "", ""},
		{"org.example.patient_transmogrify", "org.example.patient_transmogrify", "", "", ""},
		{"org.example.patient-transmogrify", "org.example.patient-transmogrify", "", "", ""}, // FC-EVT-10: accepted
	} {
		if got := c.name.Canonical(); got != c.canonical {
			t.Errorf("%s: canonical %s", c.name, got)
		}
		if c.name.Resource() != c.resource || c.name.Verb() != c.verb || (c.key != "" && Key(c.resource) != c.key) {
			t.Errorf("%s: resource %q verb %q", c.name, c.name.Resource(), c.name.Verb())
		}
		if !c.name.Is(Name(strings.ToUpper(string(c.name)))) || c.name.Is("other") {
			t.Errorf("%s: comparison", c.name)
		}
	}
}

// FC-SCOPE-01, FC-SCOPE-08
func TestScopes(t *testing.T) {
	for _, s := range []string{"fhircast/Patient-open.read", "fhircast/Patient-open.write", "fhircast/*.*", "fhircast/SyncError.*", "fhircast/org.example.thing.read"} {
		if scope, err := ParseScope(s); err != nil || scope.String() != s {
			t.Errorf("%s: %v, %v", s, scope, err)
		}
	}
	for _, s := range []string{"", "fhircast", "fhircast/", "fhircast/.read", "fhircast/Patient-*.read", "fhircast/Patient-open", "fhircast/Patient-open.rs", "patient/*.read", "openid", "fhircast/a b.read"} {
		if scope, err := ParseScope(s); err == nil {
			t.Errorf("%s: taken as %v", s, scope)
		}
	}
	granted := ParseScopes([]string{"openid", "fhircast/patient-open.read", "fhircast/SyncError.*", "launch"})
	if len(granted) != 2 || !granted.Read("Patient-open") || granted.Write("Patient-open") || !granted.Write("syncerror") || granted.Read("Patient-close") {
		t.Errorf("granted %v", granted)
	}
}

// FC-SCOPE-02, FC-SCOPE-03, FC-SCOPE-07: the grammars of before 3.0.0.
func TestScopesOfEveryVersion(t *testing.T) {
	for _, c := range []struct {
		word   string
		in     string // the versions in which it is a scope
		covers string
	}{
		{"fhircast", "2019", "Patient-open Patient-close patient-open ImagingStudy-open org.example.x SyncError"},
		{"fhircast/Patient-*.read", "stu1 2020 stu2 2.1", "Patient-open Patient-close patient-open"},
		{"fhircast/*-open.read", "stu1 2020 stu2 2.1", "Patient-open patient-open ImagingStudy-open"},
		{"fhircast/*.read", strings.Join(everyVersion, " "), "Patient-open Patient-close patient-open ImagingStudy-open org.example.x SyncError"},
		{"fhircast/patient-open.read", strings.Join(everyVersion, " "), "Patient-open patient-open"},
		{"fhircast/open-patient-chart.read", strings.Join(everyVersion, " "), "Patient-open patient-open"},
		{"fhircast/*-*.read", "", ""}, {"fhircast/Pat*-open.read", "", ""}, {"fhircast/Patient-o*.read", "", ""}, {"fhircast/Patient-*", "", ""},
	} {
		for _, version := range everyVersion {
			is := slices.Contains(strings.Fields(c.in), version)
			granted := DialectOf(version).ParseScopes([]string{"openid", c.word})
			if is != (len(granted) == 1) {
				t.Errorf("%s in %s: granted %v", c.word, version, granted)
			}
			var covers []string
			for _, n := range []Name{"Patient-open", "Patient-close", "patient-open", "ImagingStudy-open", "org.example.x", "SyncError"} {
				if granted.Read(n) {
					covers = append(covers, string(n))
				}
			}
			if is && strings.Join(covers, " ") != c.covers {
				t.Errorf("%s in %s covers %v", c.word, version, covers)
			}
		}
	}
}

const (
	patient = `{"key":"patient","resource":{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:x","value":"1"}]}}`
	study   = `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s1","subject":{"reference":"Patient/p1"}}}`
	report  = `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r1","subject":{"reference":"Patient/p1"}}}`
)

func TestEncode(t *testing.T) {
	for _, c := range []struct {
		name    string
		event   Name
		context string
		want    string // part of the error, "" when fit
	}{
		{"a patient", "patient-open", `[` + patient + `]`, ""},
		{"a study with its patient", "ImagingStudy-open", `[` + study + `,` + patient + `]`, ""},
		{"a study alone", "ImagingStudy-open", `[{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s1"}}]`, ""}, // FC-CAT-05
		{"a study without the patient it is of", "ImagingStudy-open", `[` + study + `]`, "not in the event"},                 // FC-CAT-05
		{"a report", "DiagnosticReport-open", `[` + report + `,` + patient + `,` + study + `]`, ""},                          // FC-CAT-07
		{"home", "Home-open", `[]`, ""},                                                                                                        // FC-CAT-11
		{"own event", "org.example.thing_done", `[{"key":"x","string":"y"}]`, ""},                                                              // FC-EVT-10
		{"own event with a dash", "org.example.thing-done", `[]`, "dash"},                                                                      // FC-EVT-10
		{"a wildcard", "*-open", `[]`, "asterisk"},                                                                                             // FC-EVT-09
		{"no anchor", "ImagingStudy-open", `[` + patient + `]`, "exactly once"},                                                                // FC-EVT-25
		{"two anchors", "Patient-open", `[` + patient + `,` + patient + `]`, "exactly once"},                                                   //
		{"a report without its patient", "DiagnosticReport-open", `[` + report + `]`, `no entry "patient"`},                                    // FC-EVT-13
		{"more than belongs to it", "Patient-open", `[` + patient + `,` + study + `]`, "does not belong"},                                      // FC-EVT-13
		{"no id", "Patient-open", `[{"key":"patient","resource":{"resourceType":"Patient"}}]`, "no Patient with an id"},                        // FC-PRF-01
		{"another type", "Patient-open", `[{"key":"patient","resource":{"resourceType":"Person","id":"p1"}}]`, "another resource"},             //
		{"upper-case key", "Patient-open", `[{"key":"Patient","resource":{"resourceType":"Patient","id":"p1"}}]`, "lower case"},                // FC-EVT-14
		{"another patient's study", "ImagingStudy-open", `[` + strings.Replace(study, "p1", "p2", 1) + `,` + patient + `]`, "another patient"}, // FC-EVT-19, FC-PRF-03
		{"no value", "Patient-open", `[{"key":"patient"}]`, "no value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := NewEvent(Draft{ID: "e1", At: time.Unix(1, 0), Topic: "T", Name: c.event, Context: json.RawMessage(c.context)})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := Encode(e)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				want := `{"timestamp":"1970-01-01T00:00:01.000Z","id":"e1","event":{"hub.topic":"T","hub.event":"` + string(c.event.Canonical()) + `","context":` + c.context + `}}`
				if string(raw) != want { // FC-EVT-02, FC-EVT-22
					t.Errorf("wrote %s", raw)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	e := event(t, "Patient-open", `[`+patient+`]`)
	e.Timestamp = Time{Raw: "2018-01-08T01:37:05.14"}
	if _, err := Encode(e); err == nil {
		t.Error("sent a time that is not UTC")
	}
}

func TestNewEventRefusesContextThatIsNoArray(t *testing.T) {
	var fe *FrameError
	if e, err := NewEvent(Draft{ID: "e1", Topic: "T", Name: "Patient-open", Context: json.RawMessage(`{}`)}); !errors.As(err, &fe) {
		t.Errorf("made %v", e)
	}
}

func TestRelayReplacesTheTopicAndMarks(t *testing.T) {
	e := event(t, "Patient-open", `[`+patient+`]`)
	for mark, suffix := range map[string]string{"": "", `{"replay":true}`: `,"castray":{"replay":true}`} {
		want := `{"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.topic":"here","hub.event":"Patient-open","context":[` + patient + `]}` + suffix + `}`
		if got := string(e.Relay("here", mark)); got != want {
			t.Errorf("relayed\n%s, want\n%s", got, want)
		}
	}
	forged, err := Decode([]byte(`{"castray":{"derived":true},"id":"e2","timestamp":"t","event":{"hub.topic":"T","hub.event":"Home-open","context":[]},"x":1.50}`))
	if err != nil {
		t.Fatal(err)
	}
	got := asValue(t, forged.(*Event).Relay("here", "")).(map[string]any)
	if _, ok := got["castray"]; ok || got["x"] != json.Number("1.50") {
		t.Errorf("relayed %v", got)
	}
}

// FC-GEN-08: what nobody knows is relayed as it came, however deep it lies and however its numbers are written.
func TestUnknownMembersAreRelayedAsTheyCame(t *testing.T) {
	const unknown = `"x-1":{"a":[1.50,1e3,-0],"b":{"c":{"d":"\u00e9\/"}}}`
	const frame = `{` + unknown + `,"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.topic":"T",` + unknown + `,"hub.event":"Patient-open","context":[{"key":"patient",` +
		unknown + `,"resource":{"resourceType":"Patient",` + unknown + `,"id":"p1","extension":[{"url":"u",` + unknown + `}]}},{` + unknown + `}]},"y":12345678901234567890.10}`
	m, err := Decode([]byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	e := m.(*Event)
	if item, ok := e.Anchor(); !ok || item.Key != "patient" || len(e.Context) != 2 {
		t.Errorf("read %v", e)
	}
	if got, want := string(e.Relay("here", "")), strings.Replace(frame, `"T"`, `"here"`, 1); got != want {
		t.Errorf("relayed\n%s, want\n%s", got, want)
	}
}

func TestS13_DerivedOpenKeepsIDAndTimestampOfItsSource(t *testing.T) {
	m, err := Decode([]byte(`{"timestamp":"2018-01-08T01:37:05.14","id":"e1","event":{"hub.topic":"T","hub.event":"DiagnosticReport-open","context":[` + report + `,` + patient + `,` + study + `]}}`))
	if err != nil {
		t.Fatal(err)
	}
	e := m.(*Event)
	for key, want := range map[string]string{
		"patient": `"hub.event":"Patient-open","context":[` + patient + `]`,
		"study":   `"hub.event":"ImagingStudy-open","context":[` + patient + `,` + study + `]`,
	} {
		d := e.Derive(key)
		if d == nil {
			t.Fatalf("%s: not derived", key)
		}
		if got := `{"timestamp":"2018-01-08T01:37:05.14","id":"e1","event":{"hub.topic":"T",` + want + `}}`; string(d.Wire()) != got {
			t.Errorf("%s: %s", key, d.Wire())
		}
	}
	if e.Derive("encounter") != nil {
		t.Error("derived from an entry that is not there")
	}
	if two := event(t, "DiagnosticReport-open", `[`+report+`,`+patient+`,`+study+`,`+study+`]`); two.Derive("study") != nil {
		t.Error("derived from one of two studies")
	}
}

// FC-GCC-03, FC-GCC-04, FC-GCC-08
func TestDecodeContext(t *testing.T) {
	read := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct{ name, body, event, version, fault string }{
		{"none", `{"context.type":"","context":[]}`, "", "", ""},
		{"bare none", `[]`, "", "", ""},
		{"none after a byte order mark", "\ufeff {\"context.type\":\"\",\"context\":[]}\n", "", "", ""},
		{"a patient", `{"context.type":"Patient","context":[` + patient + `]}`, "Patient-open", "", ""},
		{"a report with a version", `{"context.type":"DiagnosticReport","context.versionId":"v3","context":[` + report + `,` + patient + `]}`, "DiagnosticReport-open", "v3", ""},
		{"a bare array", `[` + patient + `,` + study + `]`, "ImagingStudy-open", "", ""},
		{"a whole message without a name", `{"timestamp":"x","id":"y","event":{"hub.topic":"T","context":[` + patient + `]}}`, "Patient-open", "", ""},
		{"a page", `<html>`, "", "", "JSON"},
		{"a bare array of nothing known", `[{"key":"x","string":"y"}]`, "", "", "no type"},
		{"an object of something else", `{"error":"x"}`, "", "", "no context"},
		{"a type that is no text", `{"context.type":7,"context":[]}`, "", "", "wrong type"},
		{"two texts", `[] []`, "", "", "JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := DecodeContext([]byte(c.body), "T", "snapshot-1", read)
			switch {
			case c.fault != "":
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Error(err)
			case c.event == "":
				if e != nil {
					t.Errorf("read %v", e)
				}
			case e == nil || e.Name != Name(c.event) || e.ID != "snapshot-1" || !e.Timestamp.At.Equal(read) || e.Topic != "T" || e.Version != c.version:
				t.Errorf("read %v", e)
			}
		})
	}
	for file, text := range examples(t, "*/current-context*.json") {
		if _, err := DecodeContext(text, "T", "snapshot-1", read); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// FC-ERR-04, FC-ERR-05, FC-ERR-06, FC-ERR-07, FC-ERR-08, FC-ERR-09
func TestSyncErrors(t *testing.T) {
	want := Failure{EventID: "e1", EventName: "Patient-open", Subscriber: "Viewer", Diagnostics: "Viewer did not answer"}
	e, err := NewSyncError("x1", time.Unix(0, 0), "T", want)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(e); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]Failure{want}, e.Failures()); diff != "" {
		t.Error(diff)
	}
	const system = `{"system":"https://fhircast.hl7.org/events/syncerror/`
	outcome := `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing","diagnostics":"Viewer did not answer","details":{"coding":[` +
		system + `eventid","code":"e1"},` + system + `eventname","code":"Patient-open"},` + system + `subscribername","code":"Viewer"},` + system + `subscriber","code":"Viewer"}]}}]}`
	if len(e.Context) != 1 || e.Context[0].Key != "operationoutcome" || string(e.Context[0].Value) != outcome {
		t.Errorf("written\n%s, want\n%s", e.Context[0].Value, outcome)
	}
	for _, context := range []string{`[]`, `[{"key":"operationoutcome","resource":7}]`, `[{"key":"operationoutcome","resource":{}}]`} { // FC-ERR-04
		if got := event(t, "SyncError", context).Failures(); len(got) != 1 || got[0] != (Failure{}) {
			t.Errorf("%s: %+v", context, got)
		}
	}
}

func TestS11_EventsAndSecretsPrintNothingOfWhatTheyHold(t *testing.T) {
	e := event(t, "Patient-open", `[{"key":"patient","resource":{"resourceType":"Patient","id":"CANARY","name":[{"family":"CANARY"}]}}]`)
	d := NewDelivery(e, 1, func(Answer) {})
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "event", e, "topic", e.Topic, "item", e.Context[0], "context", e.Context, "delivery", d, "struct", struct{ E *Event }{e})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "event", e, "topic", e.Topic, "item", e.Context[0], "delivery", d)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+verb, e, e.Topic, e.Context, e.Context[0], d)
		fmt.Fprintf(&out, verb, struct {
			E *Event
			S Secret
		}{e, e.Topic})
	}
	json.NewEncoder(&out).Encode(map[string]any{"e": e, "s": e.Topic, "c": e.Context})
	for _, canary := range []string{"CANARY", "T-secret", fmt.Sprintf("%x", "CANARY"), fmt.Sprintf("%x", "T-secret")} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("printed %q in %s", canary, out.String())
		}
	}
	if e.Topic.Reveal() != "T-secret" {
		t.Error("the topic is lost")
	}
}

func TestDeliveryIsAnsweredOnce(t *testing.T) {
	var got []Answer
	d := NewDelivery(event(t, "Patient-open", `[]`), 1, func(a Answer) { got = append(got, a) })
	if !d.Answer(202) || d.Answer(200) || len(got) != 1 || got[0] != (Answer{"e1", 202}) {
		t.Errorf("answers %v", got)
	}
}

// FC-ACK-13
func TestSkim(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ frame, id, name string }{
		{`{"id":"e1","event":{"hub.event":"Patient-open","context":["` + big + `"]}}`, "e1", "Patient-open"},
		{`{"event":{"context":["` + big + `"],"hub.event":"Patient-open"},"id":"e1"}`, "e1", "Patient-open"},
		{`{"id":"e1","event":{"context":["` + big, "e1", ""},
		{`{"id":7}`, "", ""}, {`[`, "", ""}, {``, "", ""},
	} {
		if id, name := Skim(strings.NewReader(c.frame)); id != c.id || string(name) != c.name {
			t.Errorf("%.40s: %q %q", c.frame, id, name)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		entry := `{"request":{"method":"PUT"},"resource":{"resourceType":"Observation","id":"o1","note":[{"text":"left \"upper\" lobe \u00e9"}]}}`
		bundle := strings.Repeat(entry+",", size/len(entry)) + entry
		frame := []byte(`{"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.topic":"T","hub.event":"DiagnosticReport-update","context":[` + report + `,{"key":"updates","resource":{"resourceType":"Bundle","entry":[` + bundle + `]}}]}}`)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
