package fhircast

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// notFrames are examples of other things than socket frames: bodies of HTTP answers.
var notFrames = []string{"current-context", "extension-context", "fhircast-configuration", "smart-token-response",
	"subscription-response", "unsubscribe-response", "README"}

func examples(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "examples", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples %s: %v", pattern, err)
	}
	all := make(map[string][]byte)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = b
	}
	return all
}

// FC-CNF-09: messages are told apart by shape. FC-EVT-01, FC-EVT-03: every printed timestamp is taken. FC-EVT-21. FM-21:
// what is relayed is on one line, however it was printed.
func TestDecodeEveryExampleOfEveryVersion(t *testing.T) {
	seen := 0
	for file, text := range examples(t, "stu*/*.json") {
		if isAny(file, notFrames) {
			continue
		}
		seen++
		m, err := Decode(bytes.Clone(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		switch m := m.(type) {
		case *Event:
			if m.ID == "" || m.Name == "" || m.Topic == "" || m.Timestamp.Raw == "" {
				t.Errorf("%s: %v lacks a member", file, m)
			}
			if got, want := asValue(t, m.Wire()), asValue(t, text); !cmp.Equal(got, want) { // FC-GEN-08
				t.Errorf("%s: the wire changed: %s", file, cmp.Diff(want, got))
			}
			if bytes.ContainsAny(m.Wire(), "\r\n") {
				t.Errorf("%s: relayed on more than one line", file)
			}
			holds(t, file, text, m)
		case *Confirmation:
			if m.Lease != 2*time.Hour || len(m.Events) == 0 {
				t.Errorf("%s: lease %v, %d events", file, m.Lease, len(m.Events))
			}
		case *Denial:
			if m.Reason == "" || len(m.Events) == 0 { // FC-DEN-02
				t.Errorf("%s: reason %q", file, m.Reason)
			}
		case *Answer:
			if m.Status != 200 { // FC-ACK-02: printed as a string
				t.Errorf("%s: status %d", file, m.Status)
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d examples were read", seen)
	}
}

// holds compares what was read with what the text says by another reader, and with the name of the file.
func holds(t *testing.T, file string, text []byte, e *Event) {
	t.Helper()
	var says struct {
		ID, Timestamp string
		Event         struct {
			Topic   string `json:"hub.topic"`
			Name    string `json:"hub.event"`
			Context []map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &says); err != nil {
		t.Fatal(err)
	}
	if e.ID != says.ID || e.Timestamp.Raw != says.Timestamp || e.Topic.Reveal() != says.Event.Topic || string(e.Name) != says.Event.Name || len(e.Context) != len(says.Event.Context) {
		t.Errorf("%s: %v has another id, time, topic, name or length than the text", file, e)
		return
	}
	stem := strings.TrimSuffix(strings.TrimRight(strings.TrimSuffix(filepath.Base(file), ".json"), "0123456789"), "-")
	if known := !isAny(file, []string{"event-notification", "r5-shape", "heartbeat"}); known && !e.Name.Is(Name(stem)) {
		t.Errorf("%s: the event is %s", file, e.Name)
	}
	for i, item := range e.Context {
		entry := says.Event.Context[i]
		value, ok := entry[item.Kind]
		if !ok || !cmp.Equal(asValue(t, value), asValue(t, item.Value)) {
			t.Errorf("%s: entry %d is read as %q", file, i, item.Kind)
		}
		if key := entry["key"]; key != nil && string(key) != strconv.Quote(item.Key) {
			t.Errorf("%s: entry %d has the key %q", file, i, item.Key)
		}
	}
	if !e.Name.Changes() || e.Name.Is(HomeOpen) {
		return
	}
	anchor, ok := e.Anchor()
	r, read := anchor.Resource()
	if misprint := filepath.Join("stu3-2.1.0-ballot", "encounter-"); strings.Contains(file, misprint) { // inside the patient's identifiers
		if ok {
			t.Errorf("%s: the anchor is not at its misprinted place", file)
		}
		return
	}
	if !ok || !read || r.Type != e.Name.Resource() || r.ID == "" {
		t.Errorf("%s: the anchor is %v (%v, %v)", file, r, ok, read)
	}
}

func isAny(file string, words []string) bool {
	for _, w := range words {
		if strings.Contains(filepath.Base(file), w) {
			return true
		}
	}
	return false
}

func asValue(t *testing.T, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// FC-GEN-07: what is not JSON is refused with a reason, and with the id where it could be read.
func TestDecodeRefusesTheMalformedExamples(t *testing.T) {
	for file, text := range examples(t, "malformed/*.json.txt") {
		m, err := Decode(text)
		var fe *FrameError
		if !errors.As(err, &fe) {
			t.Errorf("%s: decoded to %T, error %v", file, m, err)
			continue
		}
		// A message prints its id first, so it must have been read.
		if bytes.Contains(text, []byte(`"event": {`)) && fe.ID == "" {
			t.Errorf("%s: the id was there to be read", file)
		}
	}
}

// FC-EVT-01: whatever of an event is not there or of another type, it is refused, under its id where it has one.
func TestDecodeFaults(t *testing.T) {
	const ok = `"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.topic":"T","hub.event":"Patient-open","context":[]}`
	for _, c := range []struct {
		name, frame, reason, id string
	}{
		{"nothing", ``, "JSON", ""},
		{"an array", `[]`, "JSON", ""},
		{"half an object", `{"id":"e1"`, "JSON", "e1"},
		{"rubbish after it", `{` + ok + `}x`, "JSON", "e1"},
		{"two objects", `{` + ok + `}{}`, "JSON", "e1"},
		{"a duplicate name", `{"id":"e1",` + ok + `}`, "JSON", "e1"},
		{"a duplicate name deep down", `{"id":"e1","x":{"a":1,"a":2}}`, "JSON", "e1"},
		{"bad UTF-8", "{\"id\":\"e1\",\"x\":\"\xff\"}", "JSON", "e1"},
		{"a raw line break in a text", "{\"id\":\"e1\",\"x\":\"a\nb\"}", "JSON", "e1"},
		{"depth", `{"id":"e1","x":` + strings.Repeat("[", 100_000), "JSON", "e1"},
		{"no id", `{"timestamp":"t","event":{"hub.topic":"T","hub.event":"Patient-open","context":[]}}`, "no id", ""},
		{"a number for an id", `{"timestamp":"t","id":1,"event":{}}`, "wrong type", ""},
		{"no timestamp", `{"id":"e1","event":{"hub.topic":"T","hub.event":"Patient-open","context":[]}}`, "no timestamp", "e1"},
		{"no topic", `{"timestamp":"t","id":"e1","event":{"hub.event":"Patient-open","context":[]}}`, "no hub.topic", "e1"},
		{"no event name", `{"timestamp":"t","id":"e1","event":{"hub.topic":"T","context":[]}}`, "no hub.event", "e1"},
		{"no context", `{"timestamp":"t","id":"e1","event":{"hub.topic":"T","hub.event":"Patient-open"}}`, "no context", "e1"},
		{"context is no array", `{"timestamp":"t","id":"e1","event":{"hub.topic":"T","hub.event":"Patient-open","context":{}}}`, "wrong type", "e1"},
		{"an entry is no object", `{"timestamp":"t","id":"e1","event":{"hub.topic":"T","hub.event":"Patient-open","context":[7]}}`, "no object", "e1"},
		{"a key is no text, the id comes last", `{"timestamp":"t","event":{"hub.topic":"T","hub.event":"Patient-open","context":[{"key":7}]},"id":"e1"}`, "no text", "e1"},
		{"event is no object", `{"id":"e1","event":"x"}`, "wrong type", "e1"},
		{"unknown mode", `{"hub.mode":"publish"}`, "no message", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Decode([]byte(c.frame))
			var fe *FrameError
			if !errors.As(err, &fe) {
				t.Fatalf("decoded to %v", m)
			}
			if !strings.Contains(fe.Reason, c.reason) || fe.ID != c.id {
				t.Errorf("reason %q, id %q", fe.Reason, fe.ID)
			}
		})
	}
}

// FC-CNF-06, FC-CNF-07, FC-OLD-11: leases and event lists in every shape that was seen.
func TestDecodeConfirmationShapes(t *testing.T) {
	for _, c := range []struct {
		members string
		lease   time.Duration
		events  string
	}{
		{`"hub.events":"Patient-open,Patient-close","hub.lease_seconds":3600`, time.Hour, "Patient-open Patient-close"},
		{`"hub.events":"patient-open, Patient-open ,","hub.lease_seconds":"3600"`, time.Hour, "patient-open"},
		{`"hub.events":["Patient-open"],"hub.lease-seconds":3600.5`, time.Hour + 500*time.Millisecond, "Patient-open"},
		{`"hub.events":"","hub.lease_seconds":0,"hub.callback":""`, 0, ""},
		{`"hub.events":7,"hub.lease_seconds":-1`, 0, ""},
		{`"hub.lease_seconds":1e300`, 365 * 24 * time.Hour, ""},
	} {
		m, err := Decode([]byte(`{"hub.mode":"subscribe","hub.topic":"T",` + c.members + `}`))
		if err != nil {
			t.Errorf("%s: %v", c.members, err)
			continue
		}
		var words []string
		for _, n := range m.(*Confirmation).Events {
			words = append(words, string(n))
		}
		if conf := m.(*Confirmation); conf.Lease != c.lease || strings.Join(words, " ") != c.events || conf.Topic.Reveal() != "T" {
			t.Errorf("%s: lease %v, events %q", c.members, conf.Lease, words)
		}
	}
}

// FC-DEN-06: the reason is foreign text.
func TestDenialReasonIsMadePrintable(t *testing.T) {
	long := strings.Repeat("x", 500)
	m, err := Decode([]byte(`{"hub.mode":"Denied","hub.topic":"T","hub.reason":"a\u0007b\u202ec\n` + long + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.(*Denial).Reason; len(got) != 200 || !strings.HasPrefix(got, "abcx") {
		t.Errorf("reason %q", got)
	}
}

// FC-ACK-14: an answer without a status is seen at a client library.
func TestDecodeAnswers(t *testing.T) {
	for frame, want := range map[string]Answer{
		`{"id":"a","status":200}`:       {"a", 200},
		`{"id":"a","status":"409"}`:     {"a", 409},
		`{"id":"a","timestamp":"x"}`:    {"a", 0},
		`{"id":"a","status":{"x":"y"}}`: {"a", 0},
	} {
		m, err := Decode([]byte(frame))
		if err != nil {
			t.Errorf("%s: %v", frame, err)
		} else if got := *m.(*Answer); got != want {
			t.Errorf("%s: %+v", frame, got)
		}
	}
	if got := string((Answer{ID: `a"b`, Status: 202}).Encode()); got != `{"id":"a\"b","status":202}` { // FC-ACK-02
		t.Errorf("written as %s", got)
	}
}

// FC-HGS-08, FC-CAT-15: the period of a heartbeat is a number or a string.
func TestHeartbeatPeriod(t *testing.T) {
	for value, want := range map[string]time.Duration{`10`: 10 * time.Second, `"10"`: 10 * time.Second, `"x"`: 0, `2.5`: 2500 * time.Millisecond} {
		e := event(t, "Heartbeat", `[{"key":"period","decimal":`+value+`}]`)
		if got := e.Period(); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	if got := event(t, "heartbeat", `[]`).Period(); got != 0 {
		t.Errorf("no period: %v", got)
	}
}

func event(t testing.TB, name Name, context string) *Event {
	t.Helper()
	m, err := Decode([]byte(`{"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.topic":"T-secret","hub.event":"` + string(name) + `","context":` + context + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Event)
}

// FC-EVT-03: shapes of a time; FC-NOT-07: what cannot be read orders nothing.
func TestTimes(t *testing.T) {
	for raw, want := range map[string]string{
		"2026-01-02T03:04:05Z":           "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.1Z":         "2026-01-02T03:04:05.1Z",
		"2021-05-19T10:24:58.614989800Z": "2021-05-19T10:24:58.6149898Z",
		"2026-01-02T03:04:05+00:00":      "2026-01-02T03:04:05Z",
		"2026-01-02T05:04:05.25+02:00":   "2026-01-02T03:04:05.25Z",
		"2018-01-08T01:37:05.14":         "2018-01-08T01:37:05.14Z",
		"2023-04-01T010:38:04.16":        "",
		"yesterday":                      "",
		"":                               "",
	} {
		got := parseTime(raw)
		if got.Raw != raw || got.Known() != (want != "") || (want != "" && got.At.Format(time.RFC3339Nano) != want) {
			t.Errorf("%q: %v", raw, got)
		}
	}
	old, unknown, young := parseTime("2026-01-02T03:04:05Z"), parseTime("2026-01-02T010:04:05Z"), parseTime("2026-01-02T03:04:06Z")
	if !old.Before(young) || young.Before(old) || old.Before(old) || unknown.Before(young) || old.Before(unknown) {
		t.Error("order")
	}
	if got := At(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600))).Raw; got != "2026-01-02T02:04:05.006Z" { // FC-EVT-02
		t.Errorf("written as %s", got)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "examples", "*", "*.json*"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			f.Add(b)
		}
	}
	for _, context := range []string{updating(putO2 + `,` + deleteO1), `[` + anchorHeld + `,{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}},` + updatesHead + deleteO1 + `]}}]`} {
		f.Add(draft(f, "DiagnosticReport-update", context, "v1").Wire())
	}
	for _, context := range []string{`[` + anchorRef + `,{"key":"select","reference":{"reference":"Observation/o1"}}]`, `[` + anchorHeld + `,{"key":"select","resources":[]}]`, `[` + anchorHeld + `,{"select":[{"resourceType":"Observation","id":"o1"}]}]`} {
		f.Add(draft(f, "DiagnosticReport-select", context, "v1").Wire())
	}
	f.Add([]byte(`{"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.event":"switch-patient-chart","hub.topic":"T","context":[` + patient + `]}}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		valid := json.Valid(frame)
		m, err := Decode(bytes.Clone(frame))
		if err == nil && !valid {
			t.Fatal("took what is not JSON")
		}
		if e, ok := m.(*Event); ok && err == nil {
			line := e.Relay("alias", `{"replay":true}`)
			if !json.Valid(line) || bytes.ContainsAny(line, "\r\n") {
				t.Fatalf("relayed line is not one line of JSON")
			}
			again, err := Decode(line)
			if err != nil {
				t.Fatalf("the relayed line does not decode: %v", err)
			}
			if a := again.(*Event); a.ID != e.ID || a.Name != e.Name.now() || a.Topic.Reveal() != "alias" || len(a.Context) != len(e.Context) {
				t.Fatal("the relayed event is another")
			}
			_, _ = e.Content()
			_ = e.Failures()
			writeAgain(t, e)
		}
		_, _ = Skim(bytes.NewReader(frame))
		_, _ = DecodeContext(frame, "T", "snapshot-1", time.Unix(0, 0))
	})
}

// writeAgain sends an event in every dialect in which it is fit to be sent: what is written is the same event, and what is
// written of that is the same text.
func writeAgain(t *testing.T, e *Event) {
	for _, d := range []Dialect{{}, {R5: true}, {Content: Shape2024}, {Content: Shape2022, Lower: true}, {Names2019: true}} {
		once, err := d.Encode(e)
		if err != nil {
			continue
		}
		m, err := Decode(bytes.Clone(once))
		if err != nil {
			t.Fatalf("%+v: wrote what does not decode: %v", d, err)
		}
		w := m.(*Event)
		if w.ID != e.ID || !w.Name.Is(e.Name) || w.Topic != e.Topic || w.Version != e.Version {
			t.Fatalf("%+v: wrote another event", d)
		}
		twice, err := d.Encode(w)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%+v: wrote %s, then %s, %v", d, once, twice, err)
		}
		if change, err := e.Update(); err == nil {
			if again, err := w.Update(); err != nil || short(again) != short(change) {
				t.Fatalf("%+v: the update became %s, was %s, %v", d, short(again), short(change), err)
			}
		}
		if chosen, err := e.Selection(); err == nil {
			if again, err := w.Selection(); err != nil || !cmp.Equal(again, chosen) {
				t.Fatalf("%+v: the selection became %v, was %v, %v", d, again, chosen, err)
			}
		}
	}
}
