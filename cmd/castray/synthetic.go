package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// A synthetic writes recordings that name nobody: what tells one patient, study or event from another is replaced, the same
// by the same for as long as it records, and of everything else only what it knows to be harmless is kept. So a recording can
// be given to a vendor or played to a sandbox, and its events still belong together as they did.
type synthetic struct {
	words  map[string]string // by kind and what it stands for
	counts map[string]int
	began  time.Time // the first event's time
}

// synthesized is when every recording begins.
var synthesized = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newSynthetic() *synthetic {
	return &synthetic{words: map[string]string{}, counts: map[string]int{}}
}

// stand is what stands for a word of that kind, "patient-2".
func (s *synthetic) stand(kind, word string) string {
	at := kind + "\x00" + word
	if _, known := s.words[at]; !known {
		s.counts[kind]++
		s.words[at] = fmt.Sprintf("%s-%d", kind, s.counts[kind])
	}
	return s.words[at]
}

// message is what is written of a message: of an event its shape, of a clear all, of a status the phase.
func (s *synthetic) message(method string, params json.RawMessage) json.RawMessage {
	var kept any = protocol.Empty{}
	switch method {
	case protocol.MethodEvent:
		if e, ok := s.event(params); ok {
			kept = e
		}
	case protocol.MethodClear:
		var c protocol.Clear
		if json.Unmarshal(params, &c) == nil {
			kept = c
		}
	case protocol.MethodStatus:
		var status struct {
			Phase protocol.Phase `json:"phase"`
		}
		if json.Unmarshal(params, &status) == nil {
			kept = status
		}
	}
	text, _ := json.Marshal(kept)
	return text
}

func (s *synthetic) event(params json.RawMessage) (protocol.Event, bool) {
	var e protocol.Event
	var body struct {
		Name    string           `json:"hub.event"`
		Context []map[string]any `json:"context"`
		Version string           `json:"context.versionId"`
		Prior   string           `json:"context.priorVersionId"`
	}
	if json.Unmarshal(params, &e) != nil || decode(e.Event, &body) != nil || !isWord(body.Name) {
		return e, false
	}
	out := map[string]any{"hub.topic": "castray", "hub.event": body.Name, "context": s.items(body.Context)}
	for name, version := range map[string]string{"context.versionId": body.Version, "context.priorVersionId": body.Prior} {
		if version != "" {
			out[name] = s.stand("version", version)
		}
	}
	e.Event, _ = json.Marshal(out)
	e.ID = s.stand("event", e.ID)
	e.Timestamp = s.time(e.Timestamp)
	return e, true
}

// time keeps how long after the first event something was.
func (s *synthetic) time(stamp string) string {
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		at = s.began
	}
	if s.began.IsZero() {
		s.began = at
	}
	return synthesized.Add(at.Sub(s.began)).Format("2006-01-02T15:04:05.000Z07:00")
}

func (s *synthetic) items(list []map[string]any) []any {
	out := []any{}
	for _, item := range list {
		key, _ := item["key"].(string)
		if !isWord(key) {
			key = s.stand("key", key)
		}
		kept := map[string]any{"key": key}
		for _, member := range []string{"resource", "reference"} {
			if v, ok := s.value(item[member]); ok {
				kept[member] = v
			}
		}
		out = append(out, kept)
	}
	return out
}

// harmless are members with a word that says what something is, never whose.
var harmless = []string{"resourceType", "status", "type", "method", "severity", "code"}

// vocabularies are those whose codes are kept.
var vocabularies = []string{"http://terminology.hl7.org/", "http://hl7.org/fhir/", "https://fhircast.hl7.org/"}

// referred are the types that a reference may name; of others nothing is kept.
var referred = []string{"Patient", "Encounter", "ImagingStudy", "DiagnosticReport", "Observation", "ServiceRequest", "Practitioner", "PractitionerRole",
	"Organization", "Device", "Endpoint", "Location", "Procedure", "Condition", "Media", "ImagingSelection", "DocumentReference", "Binary", "Bundle"}

// value keeps of a resource, or of a part of one, what tells it apart. Not ok is nothing of that.
func (s *synthetic) value(v any) (kept any, ok bool) {
	switch v := v.(type) {
	case []any:
		var list []any
		for _, entry := range v {
			if part, ok := s.value(entry); ok {
				list = append(list, part)
			}
		}
		return list, len(list) > 0
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if part, ok := s.member(v, name, member); ok {
				out[name] = part
			}
		}
		return out, len(out) > 0
	}
	return nil, false
}

func (s *synthetic) member(of map[string]any, name string, v any) (kept any, ok bool) {
	word, isWord := v.(string)
	switch {
	case !isWord:
		return s.value(v)
	case slices.Contains(harmless, name):
		return s.code(name, of, word)
	case name == "id":
		return s.id(fmt.Sprint(cmp.Or(of["resourceType"], any("part"))), word), true
	case name == "reference" || name == "url" || name == "fullUrl":
		return s.reference(word), true
	case name == "system":
		return word, strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "urn:")
	case name == "uid":
		return s.uid(word), true
	case name == "value" && strings.HasPrefix(word, "urn:oid:"):
		return s.uid(word), true
	case name == "value" && of["system"] != nil:
		return s.stand("number", fmt.Sprint(of["system"], "\x00", word)), true
	}
	return nil, false
}

// code keeps a word of a fixed vocabulary. In a SyncError codes stand for the event and for who did not follow.
func (s *synthetic) code(name string, of map[string]any, word string) (any, bool) {
	system := fmt.Sprint(of["system"])
	known := slices.ContainsFunc(vocabularies, func(v string) bool { return strings.HasPrefix(system, v) })
	switch {
	case strings.HasSuffix(system, "/eventid"):
		return s.stand("event", word), true
	case strings.Contains(system, "/syncerror/subscriber"):
		return s.stand("subscriber", word), true
	case !isWord(word), name == "code" && !known && of["severity"] == nil:
		return nil, false
	}
	return word, true
}

// isWord tells whether it is one word of letters, as event names, keys and FHIR's own codes are.
func isWord(word string) bool {
	return len(word) <= 64 && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._") == ""
}

func (s *synthetic) id(resource, word string) string { return s.stand(strings.ToLower(resource), word) }

// reference is "Patient/patient-1" for "https://ehr.example.org/fhir/Patient/4711".
func (s *synthetic) reference(word string) string {
	parts := strings.Split(strings.TrimRight(word, "/"), "/")
	if n := len(parts); n >= 2 && slices.Contains(referred, parts[n-2]) {
		return parts[n-2] + "/" + s.id(parts[n-2], parts[n-1])
	}
	return "urn:synthetic:" + s.stand("reference", word)
}

// uid is one of the arc that is for examples.
func (s *synthetic) uid(word string) string {
	prefix := ""
	if bare, found := strings.CutPrefix(word, "urn:oid:"); found {
		prefix, word = "urn:oid:", bare
	}
	_, number, _ := strings.Cut(s.stand("uid", word), "-")
	return prefix + "2.999." + number
}

// decode keeps numbers as they are written.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}
