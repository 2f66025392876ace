package hubtest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// eventOf is the name and the id of a frame.
func eventOf(frame string) (name, id string) {
	var m struct {
		ID    string
		Event struct {
			Name string `json:"hub.event"`
		}
	}
	_ = json.Unmarshal([]byte(frame), &m)
	return m.Event.Name, m.ID
}

func TestDerivedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.DeriveEvents, -1)
		time.Sleep(time.Minute) // the events of tests are of the beginning
		p := w.join("hub.events", "Patient-open,Patient-close,ImagingStudy-open,ImagingStudy-close,DiagnosticReport-open,DiagnosticReport-close")
		p.frame()
		ids := map[string]bool{}
		for i, verb := range []string{"open", "close", "open", "close"} {
			e := w.made(verb+closeCode(i), "DiagnosticReport-"+verb, report, study, patient)
			if i < 2 {
				if status, _ := w.post(e); status != 202 {
					t.Fatal(status)
				}
			} else if err := w.Publish(t.Context(), w.topic, e); err != nil { // as the program does it itself
				t.Fatal(err)
			}
			want := []string{"Patient-open", "ImagingStudy-open", "DiagnosticReport-open"}
			if verb == "close" {
				want = []string{"DiagnosticReport-close", "ImagingStudy-close", "Patient-close"}
			}
			for _, name := range want {
				f := p.frame()
				got, id := eventOf(f)
				if got != name || (id == e.ID) != strings.HasPrefix(name, "DiagnosticReport") {
					t.Errorf("got %s %s, want %s", got, id, name)
				}
				if source := strings.Contains(f, `"timestamp":"2000-01-01T00:00:00.000Z"`); source != (id == e.ID) {
					t.Errorf("its time is not the hub's: %s", f)
				}
				ids[id] = true
			}
		}
		if f := p.frame(); f != "nothing" || len(ids) != 12 {
			t.Errorf("%d different ids, and then %s", len(ids), f)
		}
		if _, body := w.get(); !strings.Contains(body, `"context.type":""`) {
			t.Errorf("after all closes: %s", body)
		}
	})
}

// Nobody gets an event published without a token that may.
func TestNothingIsDerivedWithoutAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.DeriveEvents, -1)
		w.Fault(hubtest.AcceptedThenRefused, -1)
		p := w.join()
		p.frame()
		resp, err := w.client.Post(w.URL(), "application/json", strings.NewReader(string(w.made("1", "ImagingStudy-open", study, patient).Wire())))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if f := p.frame(); resp.StatusCode != 401 || f != "nothing" {
			t.Errorf("%d, %s", resp.StatusCode, f)
		}
	})
}

func TestBroadcastHasAnIDOfTheHubsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.BroadcastNewID, -1)
		a, b := w.join("subscriber.name", "A"), w.join("subscriber.name", "B")
		a.frame()
		b.frame()
		w.publish("1")
		_, id := eventOf(a.frame())
		if _, other := eventOf(b.frame()); id == "1" || id != other {
			t.Errorf("got %s and %s", id, other)
		}
		if err := a.conn.WriteMessage(1, []byte(`{"id":"`+id+`","status":409}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if last := w.Hub().Subscribers(w.topic)[0].Last; last.EventID != "1" || last.Status != 409 {
			t.Errorf("the hub has not understood the answer: %+v", last)
		}
		if f := b.frame(); !strings.Contains(f, "SyncError") || !strings.Contains(f, `"code":"`+id+`"`) {
			t.Errorf("the SyncError is about another event: %s", f)
		}
	})
}

func TestCloseThatClearsWhateverItNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []int{0, 1} {
			w := newWorld(t)
			w.publish("1")
			w.post(w.made("2", "ImagingStudy-open", study, patient))
			w.Fault(hubtest.CloseClearsCurrent, fault)
			w.post(w.made("3", "Patient-close", patient))
			want := []string{`"context.type":"ImagingStudy"`, `"context.type":""`}[fault]
			if status, body := w.get(); status != 200 || !strings.Contains(body, want) {
				t.Errorf("%d %s", status, body)
			}
		}
	})
}

func TestReportWithoutItsAnchor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.ReportWithoutAnchor, 1)
		p := w.join("hub.events", "Patient-open,DiagnosticReport-open")
		p.frame()
		w.publish("1") // not what it is about, so it is not counted
		p.frame()
		for id, has := range []bool{2: false, 3: true} {
			if id < 2 {
				continue
			}
			w.post(w.made(closeCode(id), "DiagnosticReport-open", report, study, patient))
			if f := p.frame(); strings.Contains(f, `"key":"report"`) != has || !strings.Contains(f, `"key":"study"`) {
				t.Errorf("%d: %s", id, f)
			}
		}
	})
}

func TestLogoutWithAnEmptyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.LogoutEmpty, -1)
		p := w.join("hub.events", "Patient-open,UserLogout,UserHibernate")
		p.frame()
		for _, name := range []string{"UserLogout", "UserHibernate", "Patient-open"} {
			w.post(w.made(name, name, patient))
			if f := p.frame(); strings.Contains(f, `"context":[]`) != strings.HasPrefix(name, "User") {
				t.Errorf("got %s", f)
			}
		}
	})
}

func TestSpellingOfNames(t *testing.T) {
	for fault, want := range map[hubtest.Fault]string{hubtest.NamesLower: "patient-open", hubtest.NamesMixed: "pAtIeNt-oPeN"} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(fault, -1)
				_, doc, _, err := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", "")
				if err != nil || !strings.Contains(doc, `"`+want+`"`) {
					t.Errorf("discovery: %s, %v", doc, err)
				}
				p := w.join()
				if f := p.frame(); !strings.Contains(f, `"hub.events":"`+want+`,`) {
					t.Errorf("got %s", f)
				}
				w.publish("1")
				if f := p.frame(); !strings.Contains(f, `"hub.event":"`+want+`"`) || !strings.Contains(f, `"resourceType":"Patient"`) {
					t.Errorf("got %s", f)
				}
				w.Deny("", "enough")
				w.Fault(fault, 0)
				if f := w.join().frame(); !strings.Contains(f, "Patient-open") {
					t.Errorf("ended, and yet %s", f)
				}
			})
		})
	}
}

func TestNamesOf2019(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.Names2019, -1)
		_, doc, _, err := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", "")
		if err != nil || !strings.Contains(doc, `"open-patient-chart","switch-patient-chart","close-patient-chart","open-imaging-study"`) || strings.Contains(doc, "Patient-open") {
			t.Errorf("discovery: %s, %v", doc, err)
		}
		if status, _ := w.subscribe(); status != 400 {
			t.Errorf("the names of today: %d", status)
		}
		const events = "open-patient-chart,switch-patient-chart,close-patient-chart,switch-imaging-study"
		p := w.join("hub.events", events)
		if f := p.frame(); !strings.Contains(f, `"hub.events":"`+events+`"`) {
			t.Errorf("got %s", f)
		}
		if status, _ := w.post(w.event("today")); status != 400 {
			t.Errorf("an event of today: %d", status)
		}
		for i, row := range []struct{ sent, got string }{
			{"open-patient-chart", "open-patient-chart"},
			{"open-patient-chart", "switch-patient-chart"}, // it is open
			{"switch-patient-chart", "switch-patient-chart"},
			{"close-patient-chart", "close-patient-chart"},
			{"switch-patient-chart", "open-patient-chart"},
			{"open-imaging-study", "open-imaging-study"},
		} {
			id := "e" + closeCode(i)
			event := `{"timestamp":"2019-05-01T00:00:00Z","id":"` + id + `","event":{"hub.topic":"` + w.topic.Reveal() + `","hub.event":"` + row.sent + `","context":[` + patient + `,` + study + `]}}`
			if status, body, _, err := w.do("POST", w.URL(), "application/json", event); status != 202 || err != nil {
				t.Fatalf("%s: %d %s %v", row.sent, status, body, err)
			}
			if name, got := eventOf(p.frame()); name != row.got || got != id {
				t.Errorf("%s is told as %s", row.sent, name)
			}
		}
	})
}
