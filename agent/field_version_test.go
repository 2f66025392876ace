package agent

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
)

// FC-CAT-23 FC-ERR-03 FC-OLD-08 FC-OLD-09 FC-OLD-10 FC-REQ-11 FC-UNS-04
//
// A hub of another time is found by its own word, or by the configuration where it had none yet, and is spoken to in its own
// words: followed, asked for a change, told of a refusal and telling of one, and left.
func TestAHubOfAnotherTimeIsFollowedFromJoiningToLogout(t *testing.T) {
	for _, row := range []struct {
		name   string
		fault  hubtest.Fault
		quirks []string
		open   string // what it calls the open of a patient
		ends   bool   // an unsubscribe names the events
		shares bool   // content, as it wants it
		beats  bool   // a heartbeat
	}{
		{"2019, by configuration", hubtest.Version2019, []string{"version-2019"}, "open-patient-chart", true, false, false},
		{"2020, by configuration", hubtest.Version2020, []string{"version-2020"}, "patient-open", true, false, false},
		{"STU2, by its word", hubtest.VersionSTU2, nil, "patient-open", false, false, false},
		{"2.1, by its word, which it shares with 3.0.0", hubtest.Version21, nil, "Patient-open", false, false, true},
		{"2.1, by configuration", hubtest.Version21, []string{"version-2.1"}, "Patient-open", false, true, true},
		{"2024, by its word, which it shares with 3.0.0", hubtest.Version2024, nil, "Patient-open", false, false, true},
		{"2024, by configuration", hubtest.Version2024, []string{"version-2024"}, "Patient-open", false, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inWard(t, func(w *ward) {
				w.hub.Fault(row.fault, -1)
				w.colleagueJoins(row.quirks...)
				w.joins(row.quirks...)
				w.quiet("joining")
				asked := strings.Split(w.hub.Requests(hubtest.Subscribe)[0].Form.Get("hub.events"), ",")
				if !slices.Contains(asked, row.open) || row.beats && !slices.Contains(asked, "heartbeat") {
					t.Errorf("asked for %q", asked)
				}
				w.opens("a")
				if _, err := w.chart.sends("Patient-open", list(patientItem("b")), ""); err != nil {
					t.Errorf("a change: %v", err)
				}
				w.quiet("the chart asks for b")
				w.at("b")
				if posted := w.posted(); posted != row.open {
					t.Errorf("posted %s", posted)
				}
				w.syncErrorsBothWays()
				if row.fault != hubtest.Version2019 { // which has no reports
					w.shares(row.shares)
				}
				w.heartbeats(row.beats)
				w.logout()
				for _, r := range w.hub.Requests(hubtest.Unsubscribe) {
					if r.Status != 202 || r.Form.Has("hub.events") != row.ends {
						t.Errorf("unsubscribed with %q: %d", r.Form.Get("hub.events"), r.Status)
					}
				}
				w.colleague.leave()
				time.Sleep(longLasts)
				if n := len(w.hub.Hub().Subscribers(w.topic)); n != 0 || len(w.hub.Requests(hubtest.Unsubscribe)) != 2 {
					t.Errorf("%d subscribers are left", n)
				}
			})
		})
	}
}

// opens has the colleague open a patient, whom viewer and chart then show.
func (w *ward) opens(patient string) {
	w.Helper()
	w.happens("Patient-open", list(patientItem(patient)))
	w.quiet(patient + " is opened")
	w.at(patient)
}

func (w *ward) at(patient string) {
	w.Helper()
	for _, app := range []*screen{w.viewer, w.chart} {
		if got := app.showing()["patient"]; got != patient || w.current()["patient"] != patient {
			w.Errorf("%s shows %q, the hub says %q, want %q", app.Name, got, w.current()["patient"], patient)
		}
	}
}

// posted is the name of the event that was posted last.
func (w *ward) posted() string {
	var m struct {
		Event struct {
			Name string `json:"hub.event"`
		}
	}
	posts := w.hub.Requests(hubtest.Publish)
	_ = json.Unmarshal(posts[len(posts)-1].Body, &m)
	return m.Event.Name
}

// syncErrorsBothWays: the user is told of the colleague who refuses, and the colleague's side of ours.
func (w *ward) syncErrorsBothWays() {
	w.Helper()
	w.colleague.answers(409)
	w.opens("c")
	if s := w.agent.Status(); s.Phase != protocol.PhaseOutOfSync {
		w.Errorf("the colleague refused: %s", s.Phase)
	}
	w.colleague.answers(200)
	w.viewer.answers(409)
	w.opens("d")
	if s := w.agent.Status(); s.Phase != protocol.PhaseAttention {
		w.Errorf("the viewer refused: %s", s.Phase)
	}
	if !w.colleague.hears(fhircast.SyncError) {
		w.Error("the colleague hears of no refusal")
	}
	w.viewer.answers(200)
	w.opens("a")
}

// shares has the reporter share something. Where the hub takes another form than the one that is spoken, the app is told.
func (w *ward) shares(want bool) {
	w.Helper()
	w.happens("DiagnosticReport-open", list(reportItem("d"), studyItem("d"), patientItem("d")))
	w.quiet("d's report is opened")
	_, err := w.reporter.sends("DiagnosticReport-update", updateOf("d", "o1"), w.version())
	w.quiet("the reporter shares something: " + words(err))
	var told *protocol.Error
	if want != (err == nil) || err != nil && (!errors.As(err, &told) || told.Code != protocol.CodeRefused && told.Code != protocol.CodeInvalidParams) {
		w.Errorf("an update: %v", err)
	}
	if w.colleague.hears("DiagnosticReport-update") != want {
		w.Errorf("the colleague hears of an update: %t", !want)
	}
}

// heartbeats reach an app that asked for them.
func (w *ward) heartbeats(want bool) {
	w.Helper()
	told := len(w.reporter.tellings(0))
	time.Sleep(longLasts)
	synctest.Wait()
	beats := 0
	for _, t := range w.reporter.tellings(told) {
		if strings.EqualFold(t.what, "heartbeat") {
			beats++
		}
	}
	if (beats > 2) != want {
		w.Errorf("%d heartbeats in %v", beats, longLasts)
	}
}
