package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// said are the events of a recording.
func said(t *testing.T, s *synthetic, events ...string) []*fhircast.Event {
	t.Helper()
	var list []*fhircast.Event
	for _, e := range events {
		m, err := fhircast.Decode(s.message(protocol.MethodEvent, json.RawMessage(e)))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m.(*fhircast.Event))
	}
	return list
}

const (
	recordedPatient = `{"timestamp":"2026-05-04T03:02:01.000Z","id":"canary-1","event":{"hub.topic":"canary","hub.event":"Patient-open","context":[{"key":"patient",
		"resource":{"resourceType":"Patient","id":"canary","identifier":[{"use":"official","system":"urn:oid:1.2.3","value":"canary-mrn"}],
		"name":[{"family":"Canary"}],"birthDate":"1970-01-02","text":{"div":"<div>canary</div>"},"contact":[{"telecom":[{"system":"phone","value":"canary"}]}]}}]}}`
	recordedStudy = `{"timestamp":"2026-05-04T03:02:06.500Z","id":"canary-2","event":{"hub.topic":"canary","hub.event":"ImagingStudy-open","context":[
		{"key":"study","resource":{"resourceType":"ImagingStudy","id":"canary-study","status":"available","subject":{"reference":"https://canary.example.org/fhir/Patient/canary","display":"Canary"},
		"identifier":[{"system":"urn:dicom:uid","value":"urn:oid:1.2.840.1"},{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"ACSN"}]},"system":"urn:oid:1.2.4","value":"canary-acc"}]}},
		{"key":"patient","resource":{"resourceType":"Patient","id":"canary","identifier":[{"system":"urn:oid:1.2.3","value":"canary-mrn"}]}}]}}`
	recordedError = `{"timestamp":"2026-05-04T03:02:08.000Z","id":"canary-3","event":{"hub.topic":"canary","hub.event":"SyncError","context":[{"key":"operationoutcome",
		"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing","diagnostics":"canary","details":{"coding":[
		{"system":"https://fhircast.hl7.org/events/syncerror/eventid","code":"canary-2"},{"system":"https://fhircast.hl7.org/events/syncerror/eventname","code":"ImagingStudy-open"},
		{"system":"https://fhircast.hl7.org/events/syncerror/subscriber","code":"canary desk"}]}}]}}]}}`
)

// What belonged together in what was said belongs together in the recording: patient and study, error and event, and times.
func TestARecordingKeepsWhatBelongsTogether(t *testing.T) {
	list := said(t, newSynthetic(), recordedPatient, recordedStudy, recordedError)
	patient, study, fault := list[0], list[1], list[2]
	first, _ := patient.Item("patient")
	again, _ := study.Item("patient")
	a, _ := first.Resource()
	b, _ := again.Resource()
	if a.ID == "" || a.ID != b.ID || len(a.Identifiers) != 1 || a.Identifiers[0].Value == "" || fmt.Sprint(a.Identifiers) != fmt.Sprint(b.Identifiers) {
		t.Errorf("%+v and %+v", a, b)
	}
	anchor, _ := study.Anchor()
	images, _ := anchor.Resource()
	if !strings.Contains(string(anchor.Value), `"reference":"Patient/`+a.ID+`"`) || !strings.Contains(string(anchor.Value), `"urn:oid:2.999.1"`) || !strings.Contains(string(anchor.Value), `"ACSN"`) {
		t.Errorf("%+v: %s", images, anchor.Value)
	}
	if f := fault.Failures(); len(f) != 1 || f[0].EventID != study.ID || f[0].EventName != "ImagingStudy-open" || f[0].Subscriber == "" {
		t.Errorf("failures %+v", fault.Failures())
	}
	if got := study.Timestamp.At.Sub(patient.Timestamp.At).Milliseconds(); got != 5500 || !patient.Timestamp.At.Equal(synthesized) {
		t.Errorf("%d ms after %v", got, patient.Timestamp.At)
	}
}

// S11: no word of what was said that could name anybody is in the recording, whatever a hub sends.
func TestS11_ARecordingNamesNobody(t *testing.T) {
	s := newSynthetic()
	for _, text := range []string{recordedPatient, recordedStudy, recordedError} {
		if out := string(s.message(protocol.MethodEvent, json.RawMessage(text))); strings.Contains(strings.ToLower(out), "canary") || strings.Contains(out, "1970") || strings.Contains(out, "2026-05") {
			t.Errorf("recorded %s", out)
		}
	}
	for name, text := range map[string]string{
		"a key":           `{"timestamp":"x","id":"1","event":{"hub.topic":"t","hub.event":"Patient-open","context":[{"key":"canary 7","resource":{}}]}}`,
		"an event's name": `{"timestamp":"x","id":"1","event":{"hub.topic":"t","hub.event":"canary 7","context":[]}}`,
		"a code":          `{"timestamp":"x","id":"1","event":{"hub.topic":"t","hub.event":"Patient-open","context":[{"key":"p","resource":{"code":{"coding":[{"system":"http://local","code":"canary"}],"text":"canary"}}}]}}`,
		"a version":       `{"timestamp":"x","id":"1","event":{"hub.topic":"t","hub.event":"Patient-open","context.versionId":"canary","context":[]}}`,
		"an address":      `{"timestamp":"x","id":"1","event":{"hub.topic":"t","hub.event":"Patient-open","context":[{"key":"p","reference":{"reference":"canary/canary"}},{"key":"extension","data":{"a":"canary"}}]}}`,
		"no event":        `{"canary":1}`,
	} {
		if out := string(s.message(protocol.MethodEvent, json.RawMessage(text))); strings.Contains(out, "canary") {
			t.Errorf("%s: recorded %s", name, out)
		}
	}
	status := s.message(protocol.MethodStatus, json.RawMessage(`{"phase":"in_sync","site":"canary","hub":"canary","user":{"name":"canary"},"apps":[{"name":"canary"}]}`))
	if string(status) != `{"phase":"in_sync"}` {
		t.Errorf("recorded %s", status)
	}
	if out := s.message("news", json.RawMessage(`{"canary":1}`)); string(out) != `{}` {
		t.Errorf("recorded %s", out)
	}
}

// Every example of every version can be recorded and read again.
func TestEveryExampleCanBeRecorded(t *testing.T) {
	recorded := 0
	err := filepath.WalkDir("../../bridge/fhircast/testdata/examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" || strings.Contains(path, "malformed") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := fhircast.Decode(append([]byte(nil), text...))
		before, isEvent := m.(*fhircast.Event)
		if err != nil || !isEvent {
			return nil // a confirmation, an answer, a resource
		}
		after := said(t, newSynthetic(), string(text))[0]
		if after.Name != before.Name || len(after.Context) != len(before.Context) {
			t.Errorf("%s: %v became %v", path, before, after)
		}
		recorded++
		return nil
	})
	if err != nil || recorded < 40 {
		t.Errorf("%d recorded, %v", recorded, err)
	}
}
