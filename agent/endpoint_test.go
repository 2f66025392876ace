package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
)

// An app that speaks FHIRcast and nothing of ours counts as all others do: it follows, its answer is the hub's and its row's,
// it can ask what is current, and it leaves.
func TestAFHIRcastAppFollows(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.endpoint("")
	l := h.listens("Slicer #1", "Patient-open", "Patient-close", "Home-open")
	h.opensPatient("p1")
	l.sees("Patient-open")
	s := h.app("the app has followed", outcome(protocol.OutcomeAcknowledged))
	if r := s.Apps[0]; r.Name != "Slicer  1" || r.Via != "fhircast" || r.PID != os.Getpid() || !slices.Contains(r.Can, protocol.CanAnswer) {
		t.Errorf("row %+v", r)
	}
	h.phase(protocol.PhaseInSync)
	if l.lastPatient() != "p1" || l.events[len(l.events)-1].Topic != "castray" {
		t.Error("told another patient, or the hub's topic")
	}
	current, _, err := l.Context(h.ctx, "now")
	if err != nil || current == nil || !current.Name.Is("Patient-open") {
		t.Errorf("the current context: %v, %v", current, err)
	}
	l.says(409)
	h.opensPatient("p2")
	s = h.app("the app has refused", outcome(protocol.OutcomeRefused))
	if s.Phase != protocol.PhaseAttention {
		t.Errorf("phase %s", s.Phase)
	}
	h.until("the hub hears of it", func(protocol.Status) bool {
		for _, sub := range h.hub.Hub().Subscribers(h.topic) {
			if sub.Last.EventID == "event-2" && sub.Last.Status == 409 {
				return true
			}
		}
		return false
	})
	l.leave()
	h.until("its row goes with it", func(s protocol.Status) bool { return len(s.Apps) == 0 && !has(s, "app_lost") })
	h.keepsSecrets()
	if strings.Contains(h.log.String(), h.keys().AppKey) {
		t.Error("S11: the key is in the log")
	}
}

// S2: while the agent has no hub it is none. Its apps are sent away, for they would take silence for agreement; meanwhile they
// are let in by no way; and when the hub is back they find what is current then.
func TestS2_AFHIRcastAppFollowsThroughARestartOfTheHub(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.endpoint("")
	l := h.listens("Slicer", "Patient-open", "Patient-close")
	h.opensPatient("p1")
	l.sees("Patient-open")
	h.phase(protocol.PhaseInSync)
	h.do("pause", `{}`)
	l.sees("Patient-open", "lost 1")
	h.phase(protocol.PhasePaused)
	if status, _ := h.asks("POST", "", aForm, wishFor("castray"), nil); status != 503 {
		t.Errorf("subscribed, with status %d", status)
	}
	if status, body := h.asks("GET", "/castray", "", "", nil); status != 503 {
		t.Errorf("the context is told, with status %d: %s", status, body)
	}
	h.do("resume", `{}`)
	l.sees("Patient-open", "lost 1", "subscribed 2", "Patient-open")
	h.phase(protocol.PhaseInSync)
	if err := h.hub.Restart(h.ctx, false); err != nil {
		t.Fatal(err)
	}
	l.sees("subscribed 2", "Patient-open", "lost 2", "subscribed 3")
	h.opensPatient("p2")
	h.until("the app is at what is current", func(s protocol.Status) bool { return s.Phase == protocol.PhaseInSync && l.lastPatient() == "p2" })
}

// DESIGN 1: an app that is to be cleared when the hub is lost is cleared before it is sent away.
func TestAFHIRcastAppIsClearedWhenTheHubIsLost(t *testing.T) {
	t.Parallel()
	path, _ := program(t)
	h := newHospital(t)
	h.endpoint(fmt.Sprintf("[[app]]\nname = \"viewer\"\nexe = %q\non_loss = \"clear\"\n", path))
	l := h.listens("Slicer", "Patient-open", "Home-open")
	h.opensPatient("p1")
	l.sees("Patient-open")
	h.phase(protocol.PhaseInSync)
	h.do("pause", `{}`)
	l.sees("Patient-open", "lost 1")
	h.do("resume", `{}`)
	l.sees("lost 1", "subscribed 2", "Patient-open")
	h.phase(protocol.PhaseInSync)
	l.mu.Lock()
	if slices.Contains(l.told[slices.Index(l.told, "Patient-open"):], "Home-open") {
		t.Errorf("a pause clears nobody: told %v", l.told)
	}
	l.mu.Unlock()
	if err := h.hub.Restart(h.ctx, false); err != nil {
		t.Fatal(err)
	}
	l.sees("subscribed 2", "Patient-open", "Home-open", "lost 2", "subscribed 3", "Patient-open")
}

// S6, S13: FHIRcast has no word for "show no patient". Home-open is one, or the close of what was opened; an app that asked
// for neither cannot be cleared, and its row says no better.
func TestClearingAFHIRcastApp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		events  []fhircast.Name
		told    string
		outcome protocol.Outcome
		phase   protocol.Phase
	}{
		{"it asked for Home-open", []fhircast.Name{"Patient-open", "Patient-close", "Home-open"}, "Home-open", protocol.OutcomeCleared, protocol.PhaseAttention},
		{"it asked for closes", []fhircast.Name{"Patient-open", "Patient-close"}, "Patient-close", protocol.OutcomeCleared, protocol.PhaseAttention},
		{"it asked for neither", []fhircast.Name{"Patient-open"}, "", protocol.OutcomeFailed, protocol.PhaseOutOfSync},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			h.endpoint("")
			l := h.listens("Slicer", tt.events...)
			h.opensPatient("p1")
			l.sees("Patient-open")
			h.phase(protocol.PhaseInSync)
			h.do("clear", `{}`)
			if tt.told != "" {
				l.sees("Patient-open", tt.told)
				if tt.told == "Patient-close" && l.lastPatient() != "p1" {
					t.Error("the close is of another patient")
				}
			}
			s := h.app("the row says what came of it", outcome(tt.outcome))
			if slices.Contains(s.Apps[0].Can, protocol.CanClear) != (tt.told != "") {
				t.Errorf("row %+v", s.Apps[0])
			}
			h.phase(tt.phase)
			l.mu.Lock()
			defer l.mu.Unlock()
			if tt.told == "" && l.told[len(l.told)-1] != "Patient-open" {
				t.Errorf("told %v", l.told)
			}
		})
	}
}

// Who has said that all is closed shows no patient, and needs not be told so again.
func TestAFHIRcastAppThatIsClearAlready(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.endpoint("")
	l := h.listens("Slicer", "Patient-open", "Patient-close")
	h.opensPatient("p1")
	l.sees("Patient-open")
	h.phase(protocol.PhaseInSync)
	if err := h.hub.Hub().Publish(h.ctx, h.topic, h.draft("closed", "Patient-close", patientEntry("p1"))); err != nil {
		t.Fatal(err)
	}
	l.sees("Patient-close")
	h.phase(protocol.PhaseNoContext)
	h.do("resync", `{}`)
	h.app("it is clear", outcome(protocol.OutcomeCleared))
	h.phase(protocol.PhaseNoContext)
}

func patientEntry(id string) string {
	return `[{"key":"patient","resource":{"resourceType":"Patient","id":"` + id + `","identifier":[{"system":"urn:x","value":"` + id + `"}]}}]`
}

func (h *hospital) draft(id, name, entries string) *fhircast.Event {
	h.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: h.topic, Name: fhircast.Name(name), Context: json.RawMessage(entries)})
	if err != nil {
		h.Fatal(err)
	}
	return e
}

// A rule holds for who speaks FHIRcast too: what it may see, in events and in the current context, and what it may ask for.
func TestARuleHoldsAtTheEndpoint(t *testing.T) {
	path, _ := program(t)
	open := func(name string) string {
		return `{"timestamp":"2026-01-02T03:04:05Z","id":"asked-` + name + `","event":{"hub.topic":"castray","hub.event":"` + name +
			`","context":` + patientEntry("p9") + `}}`
	}
	t.Run("an app that no rule names may follow and not send", func(t *testing.T) {
		t.Parallel()
		h := newHospital(t)
		h.endpoint("")
		if status, _ := h.asks("POST", "", "application/json", open("Patient-open"), nil); status != 403 {
			t.Errorf("status %d", status)
		}
	})
	t.Run("or nothing, where unknown apps are denied", func(t *testing.T) {
		t.Parallel()
		h := newHospital(t)
		h.endpoint("unknown_apps = \"deny\"\n")
		for _, ask := range [][4]string{{"POST", "", aForm, wishFor("castray")}, {"GET", "/castray", "", ""}, {"POST", "", "application/json", open("Patient-open")}} {
			if status, _ := h.asks(ask[0], ask[1], ask[2], ask[3], nil); status != 403 {
				t.Errorf("%v: status %d", ask, status)
			}
		}
	})
	t.Run("a rule permits some", func(t *testing.T) {
		t.Parallel()
		h := newHospital(t)
		h.endpoint(fmt.Sprintf("[[app]]\nname = \"viewer\"\nexe = %q\nevents = [\"Patient-open\", \"Patient-close\"]\nsend = [\"Patient-open\"]\n", path))
		l := h.listens("Slicer", "Patient-open", "ImagingStudy-open")
		if status, body := h.asks("POST", "", "application/json", open("Patient-open"), nil); status != 202 {
			t.Errorf("status %d: %s", status, body)
		}
		l.sees("Patient-open") // also its own, as from every hub
		h.phase(protocol.PhaseInSync)
		if status, _ := h.asks("POST", "", "application/json", open("Patient-close"), nil); status != 403 {
			t.Errorf("it may see it and not send it: status %d", status)
		}
		e := h.draft("study", "ImagingStudy-open", `[{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s1","identifier":`+
			`[{"system":"urn:dicom:uid","value":"urn:oid:2.999.1"}]}},`+patientEntry("p8")[1:])
		if err := h.hub.Hub().Publish(h.ctx, h.topic, e); err != nil {
			t.Fatal(err)
		}
		h.until("it is told the patient of the study", func(protocol.Status) bool { return l.lastPatient() == "p8" })
		status, body := h.asks("GET", "/castray", "", "", nil)
		if status != 200 || strings.Contains(body, "ImagingStudy") || !strings.Contains(body, `"context.type":"Patient"`) {
			t.Errorf("the current context: %d %s", status, body)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if slices.Contains(l.told, "ImagingStudy-open") || !slices.Equal(l.granted, []fhircast.Name{"Patient-open"}) {
			t.Errorf("told %v, granted %v", l.told, l.granted)
		}
	})
}

// S9: a request that the hub took and told nobody may have moved the app that asked, and no other. It is sent away, and told
// what is current when it returns.
func TestARequestOfAFHIRcastAppWithoutEcho(t *testing.T) {
	t.Parallel()
	path, _ := program(t)
	h := newHospital(t)
	h.endpoint(fmt.Sprintf("[[app]]\nname = \"viewer\"\nexe = %q\nsend = [\"Patient-open\"]\n", path))
	l := h.listens("Slicer", "Patient-open")
	h.opensPatient("p1")
	l.sees("Patient-open")
	h.phase(protocol.PhaseInSync)
	h.hub.Reply(hubtest.Publish, hubtest.Reply{Status: 202}, 1)
	body := `{"timestamp":"2026-01-02T03:04:05Z","id":"lost","event":{"hub.topic":"castray","hub.event":"Patient-open","context":` + patientEntry("p2") + `}}`
	if status, text := h.asks("POST", "", "application/json", body, nil); status != 202 {
		t.Fatalf("status %d: %s", status, text)
	}
	l.sees("Patient-open", "lost 1", "subscribed 2", "Patient-open")
	if l.lastPatient() != "p1" {
		t.Errorf("it is at %s", l.lastPatient())
	}
}

// DESIGN 3.2: app_key admits, Host and Origin are checked, and the one topic is not the hub's.
func TestWhoIsLetInAtTheEndpoint(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.endpoint("origins = [\"https://viewer.example.org\"]\n")
	for _, tt := range []struct {
		name   string
		topic  string
		change func(*http.Request)
		status int
	}{
		{"no key", "castray", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"another key", "castray", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("0", 64)) }, 401},
		{"the key of control", "castray", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+h.key()) }, 401},
		{"a name that was made ours", "castray", func(r *http.Request) { r.Host = "rebound.example.org" }, 421},
		{"another page", "castray", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.org") }, 403},
		{"the hub's topic", h.topic.Reveal(), nil, 404},
		{"a page that is listed", "castray", func(r *http.Request) { r.Header.Set("Origin", "https://viewer.example.org") }, 202},
		{"a program", "castray", nil, 202},
	} {
		if status, body := h.asks("POST", "", aForm, wishFor(tt.topic), tt.change); status != tt.status {
			t.Errorf("%s: status %d, %s", tt.name, status, body)
		}
	}
	if len(h.running.agent.Status().Apps) != 0 {
		t.Error("an app has a row before its socket")
	}
}

// DESIGN 2: an app whose connection ends while its process lives may still show a patient, and its row says so until it is
// back.
func TestAFHIRcastAppThatIsLost(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.endpoint("")
	keys := h.keys()
	l := h.listens("Slicer", "Patient-open")
	h.opensPatient("p1")
	l.sees("Patient-open")
	h.phase(protocol.PhaseInSync)
	l.Reconnect("the test wants it")
	l.sees("lost 1")
	s := h.app("the row stays", func(r protocol.AppRow) bool { return r.Outcome == protocol.OutcomeFailed })
	if !has(s, "app_lost") {
		t.Errorf("problems %+v", s.Problems)
	}
	l.sees("subscribed 2", "Patient-open")
	h.until("it is back", func(s protocol.Status) bool { return s.Phase == protocol.PhaseInSync && !has(s, "app_lost") })
	h.end()
	if _, err := http.Get(keys.Endpoint + "/.well-known/fhircast-configuration"); err == nil {
		t.Error("the endpoint outlives its agent")
	}
}
