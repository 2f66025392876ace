package hubtest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
)

const (
	anchorNow  = `{"key":"report","reference":{"reference":"DiagnosticReport/r"}}`
	anchorThen = `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r"}}`
	patientRef = `{"key":"patient","reference":{"reference":"Patient/p"}}`
)

// sharing opens a report, of whose content the peer is told, and gives its version.
func (w *world) sharing() (p *peer, version string) {
	w.Helper()
	p = w.join("hub.events", "DiagnosticReport-open,DiagnosticReport-update,DiagnosticReport-select")
	p.frame()
	w.post(w.made("open", "DiagnosticReport-open", report, patient))
	return p, versionOf(w, p.frame())
}

func versionOf(w *world, frame string) string {
	w.Helper()
	var m struct {
		Event struct {
			Version string `json:"context.versionId"`
		}
	}
	if json.Unmarshal([]byte(frame), &m) != nil || m.Event.Version == "" {
		w.Fatalf("no version: %s", frame)
	}
	return m.Event.Version
}

func (w *world) share(id, verb, version string, entries ...string) (status int) {
	w.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: w.event(id).Timestamp.At, Topic: w.topic, Name: fhircast.Name("DiagnosticReport-" + verb),
		Version: version, Context: json.RawMessage("[" + strings.Join(entries, ",") + "]")})
	if err != nil {
		w.Fatal(err)
	}
	status, _ = w.post(e)
	return status
}

func updates(entries ...string) string {
	return `{"key":"updates","resource":{"resourceType":"Bundle","id":"b","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}}`
}

func put(id string) string {
	return `{"request":{"method":"PUT","url":"Observation/` + id + `"},"resource":{"resourceType":"Observation","id":"` + id + `","status":"final","code":{"text":"x"}}}`
}

const deleted = `{"fullUrl":"Observation/o","request":{"method":"DELETE","url":"Observation/o"}}`

func TestUpdateOfAnOldVersion(t *testing.T) {
	for fault, want := range map[hubtest.Fault]int{"": 409, hubtest.UpdateMismatch400: 400, hubtest.UpdateMismatch412: 412} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p, version := w.sharing()
				if fault != "" {
					w.Fault(fault, -1)
				}
				if status := w.share("1", "update", version, anchorNow, patientRef, updates(put("o"))); status != 202 {
					t.Errorf("the latest version: %d", status)
				}
				p.frame()
				if status := w.share("2", "update", version, anchorNow, patientRef, updates(put("o"))); status != want {
					t.Errorf("an old version: %d, want %d", status, want)
				}
				if f := p.frame(); f != "nothing" {
					t.Errorf("got %s", f)
				}
				if status, _ := w.post(w.made("open", "DiagnosticReport-open", patient)); status != 400 && status != 409 || status == 412 {
					t.Errorf("what is no update: %d", status)
				}
			})
		})
	}
}

func TestShapesOfContent(t *testing.T) {
	for _, row := range []struct {
		fault                    hubtest.Fault
		anchor                   string
		first, again, gone, note string // parts of the updates and of the selection that come
	}{
		{"", anchorNow, `"method":"PUT"`, `"method":"PUT"`, `"fullUrl":"Observation/o"`, `{"key":"select","reference":{"reference":"Observation/o"}}`},
		{hubtest.Content2024, anchorThen, `"method":"PUT"`, `"method":"PUT"`, `"fullUrl":"Observation/o"`, `{"key":"select","resources":[{"resourceType":"Observation","id":"o"}]}`},
		{hubtest.Content21, anchorThen, `"method":"POST"`, `"method":"PUT"`, `"resource":{"resourceType":"Observation","id":"o"}`, `{"select":[{"resourceType":"Observation","id":"o"}]}`},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p, version := w.sharing()
				old := row.fault != ""
				if old {
					w.Fault(row.fault, -1)
					if status := w.share("new", "update", version, anchorNow, patientRef, updates(put("o"))); status != 400 {
						t.Errorf("an update of 3.0.0: %d", status)
					}
				}
				for i, step := range []struct{ verb, entry, want string }{
					{"update", updates(put("o")), row.first},
					{"update", updates(put("o")), row.again},
					{"select", `{"key":"select","reference":{"reference":"Observation/o"}}`, row.note},
					{"update", updates(deleted), row.gone},
				} {
					anchor := row.anchor
					if old && step.verb == "select" {
						step.entry = `{"key":"select","resources":[{"resourceType":"Observation","id":"o"}]}`
					}
					if status := w.share(closeCode(i), step.verb, version, anchor, step.entry); status != 202 {
						t.Fatalf("step %d: %d", i, status)
					}
					f := p.frame()
					if !strings.Contains(f, step.want) || !strings.Contains(f, row.anchor) || strings.Contains(f, `"reference"`) == old {
						t.Errorf("step %d: got %s, want %s", i, f, step.want)
					}
					if step.verb == "update" {
						version = versionOf(w, f)
					}
				}
			})
		})
	}
}

func TestNoContentIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.ContentNone, -1)
		_, doc, _, err := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", "")
		if err != nil || strings.Contains(doc, "-update") || strings.Contains(doc, "-select") || !strings.Contains(doc, "DiagnosticReport-open") {
			t.Errorf("discovery: %s, %v", doc, err)
		}
		p := w.join("hub.events", "DiagnosticReport-open,DiagnosticReport-update")
		if f := p.frame(); strings.Contains(f, "update") {
			t.Errorf("granted: %s", f)
		}
		w.post(w.made("1", "DiagnosticReport-open", report, patient))
		if f := p.frame(); strings.Contains(f, "versionId") || !strings.Contains(f, `"id":"1"`) {
			t.Errorf("got %s", f)
		}
		if status := w.share("2", "update", "v", anchorNow, patientRef, updates(put("o"))); status != 400 {
			t.Errorf("an update: %d", status)
		}
	})
}
