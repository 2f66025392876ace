package hubtest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// What one subscriber is told when another refuses event "1".
func TestShapesOfASyncError(t *testing.T) {
	const id, name, sub, subName = `{"system":"https://fhircast.hl7.org/events/syncerror/eventid","code":"1"}`,
		`{"system":"https://fhircast.hl7.org/events/syncerror/eventname","code":"Patient-open"}`,
		`{"system":"https://fhircast.hl7.org/events/syncerror/subscriber","code":"Refuser"}`,
		`{"system":"https://fhircast.hl7.org/events/syncerror/subscribername","code":"Refuser"}`
	for _, row := range []struct {
		fault   hubtest.Fault
		has     []string
		without []string
	}{
		{hubtest.SyncErrorLower, []string{`"hub.event":"syncerror"`, id, sub, subName}, nil},
		{hubtest.SyncErrorSubscriberOnly, []string{id, name, sub}, []string{subName}},
		{hubtest.SyncErrorSubscriberNameOnly, []string{id, name, subName}, []string{sub}},
		{hubtest.SyncErrorNobody, []string{id, name}, []string{sub, subName}},
		{hubtest.SyncErrorBare, []string{`"OperationOutcome"`}, []string{"coding", "syncerror"}},
		{hubtest.SyncErrorByPosition, []string{`[{"code":"1"},{"code":"Patient-open"},{"code":"Refuser"}]`}, []string{"system"}},
		{hubtest.SyncErrorSameID, []string{id, `"id":"1"`}, nil},
		{hubtest.SyncErrorManyIssues, []string{`"issue":[{"severity":"information"`, id, `"long ago"`}, nil},
		{hubtest.SyncErrorSevere, []string{id, `"severity":"error"`}, []string{"warning"}},
		{hubtest.SyncErrorMild, []string{id, `"severity":"information"`}, []string{"warning"}},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p, refuser := w.join(), w.join("subscriber.name", "Refuser")
				p.frame()
				refuser.frame()
				w.Fault(row.fault, 1)
				for round, event := range []string{"1", "2"} {
					w.publish(event)
					if f := p.frame(); unversioned(f) != string(w.event(event).Wire()) {
						t.Errorf("the event itself has changed: %s", f)
					}
					refuser.until(`"id":"` + event + `"`)
					if err := refuser.conn.WriteMessage(1, []byte(`{"id":"`+event+`","status":409}`)); err != nil {
						t.Fatal(err)
					}
					f := p.frame()
					if !json.Valid([]byte(f)) || !strings.Contains(strings.ToLower(f), `"hub.event":"syncerror"`) {
						t.Fatalf("got %s", f)
					}
					for _, part := range row.has {
						if round == 0 && !strings.Contains(f, part) {
							t.Errorf("got %s, want %s", f, part)
						}
					}
					for _, part := range row.without {
						if round == 0 && strings.Contains(f, part) && !(part == "syncerror" && !strings.Contains(f, "syncerror/")) {
							t.Errorf("got %s, and in it %s", f, part)
						}
					}
					if round == 1 && !(strings.Contains(f, `"code":"2"`) && strings.Contains(f, `"SyncError"`) && strings.Contains(f, "syncerror/subscribername") && strings.Contains(f, "warning")) {
						t.Errorf("the next: %s", f)
					}
				}
			})
		})
	}
}

func TestSyncErrorToTheOneWhoFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		p.frame()
		w.Fault(hubtest.SyncErrorToAll, 1)
		for _, event := range []string{"1", "2"} {
			w.publish(event)
			p.frame()
			if err := p.conn.WriteMessage(1, []byte(`{"id":"`+event+`","status":500}`)); err != nil {
				t.Fatal(err)
			}
			f := p.frame()
			if event == "1" && !(strings.Contains(f, "SyncError") && strings.Contains(f, `"code":"1"`) && strings.Contains(f, `"code":"Viewer"`)) || event == "2" && f != "nothing" {
				t.Errorf("%s: %s", event, f)
			}
		}
	})
}
