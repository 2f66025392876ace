package hub_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// What IHE's Integrated Reporting Applications ask of the Hub, transaction by transaction.

const iraEvents = "diagnosticreport-open,diagnosticreport-close,diagnosticreport-update,diagnosticreport-select,syncerror"

func newIRA(t *testing.T) *world { return newWorld(t, hub.Config{Rules: hub.IRA()}) }

func (w *world) reporter(name string) *peer {
	w.Helper()
	return w.join("all", "hub.events", iraEvents, "subscriber.name", name)
}

// posted is the status of a request.
func (w *world) posted(id, name, version, context string) int {
	w.Helper()
	status, _ := w.do("POST", "/fc", "all", "application/json", w.message(id, name, version, context))
	return status
}

func TestIRASubscribe(t *testing.T) {
	// RAD-146 FC-SUB-12
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		for _, row := range []struct {
			name   string
			change []string
		}{
			{"no channel", []string{"hub.channel.type", ""}}, {"a webhook", []string{"hub.channel.type", "webhook"}},
			{"no topic", []string{"hub.topic", ""}}, {"no events", []string{"hub.events", ""}},
			{"no name", []string{"subscriber.name", ""}}, {"a blank name", []string{"subscriber.name", " "}},
			{"an endpoint of nobody", []string{"hub.channel.endpoint", "wss://hub.example.test/fc/ws/x"}},
		} {
			if status, body := w.do("POST", "/fc", "all", formType, w.form(row.change...)); status != 400 {
				t.Errorf("%s: %d %s", row.name, status, body)
			}
		}
		w.topic = "1.2.3"
		endpoint := w.endpoint("all", "hub.events", iraEvents+",Observation-open,org.example.thing")
		p, err := w.connect(endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.frame(); !strings.Contains(got, `"hub.events":"`+iraEvents+`,Observation-open,org.example.thing"`) || !strings.Contains(got, `"hub.topic":"1.2.3"`) {
			t.Errorf("got %s", got)
		}
		if again := w.endpoint("all", "hub.channel.endpoint", endpoint, "hub.events", iraEvents); again != endpoint {
			t.Errorf("renewed as %s", again)
		}
		if status, _ := w.do("POST", "/fc", "bob", formType, w.form()); status != 403 {
			t.Errorf("a session that ann began is open to bob: %d", status)
		}
	})
}

func TestIRASessionsAreBegunWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		w.topic = fhircast.Secret(strings.Repeat("x", 201))
		if status, _ := w.do("POST", "/fc", "all", formType, w.form()); status != 429 {
			t.Errorf("an endless topic: %d", status)
		}
		w.topic = "T2"
		if status, _ := w.do("POST", "/fc", "one", formType, w.form()); status != 403 {
			t.Errorf("by a token for another topic: %d", status)
		}
		if status, _ := w.do("GET", "/fc/T2", "all", "", ""); status != 400 {
			t.Errorf("refused and begun: %d", status)
		}
		for i := range 1001 {
			w.topic = fhircast.Secret(fmt.Sprint("T", i))
			status, _ := w.do("POST", "/fc", "all", formType, w.form())
			if want := map[bool]int{false: 202, true: 429}[i == 1000]; status != want {
				t.Fatalf("topic %d: %d, want %d", i, status, want)
			}
		}
	})
}

func TestIRAConnect(t *testing.T) {
	// RAD-147
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		if _, err := w.connect("wss://hub.example.test/fc/ws/unknown", nil); err == nil || !strings.HasPrefix(err.Error(), "404") {
			t.Errorf("an unknown endpoint: %v", err)
		}
		p := w.join("all", "hub.events", iraEvents, "hub.lease_seconds", "60")
		p.nothing(59 * time.Second)
		if got := p.frame(); !strings.Contains(got, "denied") { // nobody renews for the subscriber
			t.Errorf("got %s", got)
		}
		p.ended(1000)
	})
}

func TestIRAOpen(t *testing.T) {
	// RAD-148
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Display")
		good := w.message("0", "DiagnosticReport-open", "", report("r"))
		without := func(key string) string {
			var items []json.RawMessage
			if err := json.Unmarshal([]byte(report("r")), &items); err != nil {
				t.Fatal(err)
			}
			i := map[string]int{"report": 0, "patient": 1, "study": 2}[key]
			b, err := json.Marshal(append(items[:i:i], items[i+1:]...))
			if err != nil {
				t.Fatal(err)
			}
			return w.message(key, "DiagnosticReport-open", "", string(b))
		}
		for name, body := range map[string]string{
			"no report": without("report"), "no patient": without("patient"), "no study": without("study"),
			"no timestamp":     strings.Replace(good, `"timestamp":"2000-01-01T00:00:00Z",`, "", 1),
			"no id":            strings.Replace(good, `"id":"0",`, "", 1),
			"no event":         `{"timestamp":"2000-01-01T00:00:00Z","id":"0"}`,
			"an unknown topic": strings.Replace(good, w.topic.Reveal(), "nowhere", 1),
		} {
			if status, text := w.do("POST", "/fc", "all", "application/json", body); status != 400 {
				t.Errorf("%s: %d %s", name, status, text)
			}
		}
		p.nothing(time.Second)
		first := p.opened("1", "r")
		if again := p.opened("1", "r"); again != first { // a retry, for want of an answer
			t.Errorf("version %q, then %q", first, again)
		}
		p.opened("2", "other")
		p.opened("3", "r") // resumed
		if got := w.current(); got.Type != "DiagnosticReport" || !strings.Contains(string(got.Context[0].Resource), `"id":"r"`) {
			t.Errorf("current: %+v", got)
		}
	})
}

func TestIRAClose(t *testing.T) {
	// RAD-149
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Creator")
		p.opened("0", "still open")
		p.updated("2", p.opened("1", "r"), put("Observation", "o1", ""))
		for name, context := range map[string]string{"no report": patient("a"), "no id": strings.Replace(report("r"), `"id":"r",`, "", 1)} {
			if status := w.posted(name, "DiagnosticReport-close", "", context); status != 400 {
				t.Errorf("%s: %d", name, status)
			}
		}
		if status := w.posted("x", "DiagnosticReport-close", "", report("never")); status != 409 {
			t.Errorf("never opened: %d", status)
		}
		w.post("3", "DiagnosticReport-close", report("r"))
		if e := p.event(); e.ID != "3" {
			t.Errorf("got %s", e)
		}
		if c := w.current(); c.Type != "" || len(c.Context) != 0 {
			t.Errorf("current: %+v", c)
		}
		w.post("3", "DiagnosticReport-close", report("r")) // a retry, for want of an answer
		p.event()
		p.opened("4", "r")
		w.wantContent("opened anew")
	})
}

func TestIRAUpdate(t *testing.T) {
	// RAD-150 FC-CS-03
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Creator")
		version := p.opened("1", "r")
		identified := `,"identifier":[{"system":"urn:oid:2.999.1","value":"900001"}]`
		rows := []struct {
			name, version, context string
			status                 int
		}{
			{"another version", "v-0", updates("r", put("Observation", "o", "")), 400},
			{"no version", "", updates("r", put("Observation", "o", "")), 400},
			{"no report", version, `[` + updates("r")[strings.Index(updates("r"), `{"key":"updates"`):], 400},
			{"no updates", version, `[{"key":"report","reference":{"reference":"DiagnosticReport/r"}}]`, 400},
			{"the patient is deleted", version, updates("r", remove("Patient/a")), 400},
			{"the study is deleted", version, updates("r", remove("ImagingStudy/s")), 400},
			{"another patient", version, updates("r", put("Patient", "b", identified)), 400},
			{"another number of the patient", version, updates("r", put("Patient", "a", strings.Replace(identified, "900001", "900002", 1))), 400},
			{"no number of the patient", version, updates("r", put("Patient", "a", "")), 400},
			{"another UID of the study", version, updates("r", put("ImagingStudy", "s", `,"identifier":[{"system":"urn:dicom:uid","value":"urn:oid:2.999.4"}]`)), 400},
			{"a report that is not open", version, updates("other", put("Observation", "o", "")), 409},
		}
		for _, row := range rows {
			if status := w.posted(row.name, "DiagnosticReport-update", row.version, row.context); status != row.status {
				t.Errorf("%s: %d, want %d", row.name, status, row.status)
			}
		}
		p.nothing(time.Second)
		w.wantContent("after all of these")
		version = p.updated("2", version, put("Patient", "a", identified+`,"gender":"female"`), put("ImagingStudy", "prior", ""), put("Observation", "o", ""))
		p.opened("3", "other")
		if next := p.updated("4", version, remove("Observation/o")); next == version { // suspended, not closed
			t.Error("the version is the same")
		}
	})
}

func TestIRASelect(t *testing.T) {
	// RAD-151 FC-CS-31
	const asReference = `{"key":"report","reference":{"reference":"DiagnosticReport/r"}}`
	const asResource = `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r"}}`
	selects := func(ids ...string) string {
		s := ""
		for _, id := range ids {
			s += `,{"key":"select","reference":{"reference":"` + id + `"}}`
		}
		return "[" + asReference + s + "]"
	}
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Creator")
		p.updated("2", p.opened("1", "r"), put("Observation", "o1", ""), put("Observation", "o2", ""))
		for _, row := range []struct {
			name, context string
			status        int
			sent          string
		}{
			{"all known", selects("Observation/o1", "ImagingStudy/s"), 202, selects("Observation/o1", "ImagingStudy/s")},
			{"nothing", selects(), 202, selects()},
			{"some unknown", selects("Observation/x", "Observation/o2", "Observation/y"), 206, selects("Observation/o2")},
			{"all unknown", selects("Observation/x"), 206, selects()},
			{"resources", "[" + asResource + `,{"key":"select","resources":[{"resourceType":"Observation","id":"x"},{"resourceType":"Observation","id":"o1"}]}]`, 206,
				"[" + asResource + `,{"key":"select","resources":[{"resourceType":"Observation","id":"o1"}]}]`},
			{"resources without a key", "[" + asResource + `,{"select":[{"resourceType":"Observation","id":"x"}]}]`, 206, "[" + asResource + `,{"select":[]}]`},
		} {
			if status := w.posted(row.name, "DiagnosticReport-select", "", row.context); status != row.status {
				t.Errorf("%s: %d, want %d", row.name, status, row.status)
			}
			if got := p.event(); contextText(t, got) != row.sent || got.ID != row.name {
				t.Errorf("%s: sent %s, want %s", row.name, contextText(t, got), row.sent)
			}
			p.say(`{"id":"` + row.name + `","status":200}`)
		}
		if status := w.posted("closed", "DiagnosticReport-select", "", strings.Replace(selects(), "/r", "/other", 1)); status != 409 {
			t.Errorf("of a report that is not open: %d", status)
		}
		if again := w.posted("some unknown", "DiagnosticReport-select", "", selects("Observation/x", "Observation/o2", "Observation/y")); again != 206 {
			t.Errorf("repeated: %d", again)
		}
		p.nothing(time.Second)
	})
}

func contextText(t *testing.T, e *fhircast.Event) string {
	t.Helper()
	var m struct {
		Event struct{ Context json.RawMessage }
	}
	if err := json.Unmarshal(e.Wire(), &m); err != nil {
		t.Fatal(err)
	}
	return string(m.Event.Context)
}

func TestIRAUnsubscribe(t *testing.T) {
	// RAD-152
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Display")
		leave := func(endpoint string) (int, string) {
			return w.do("POST", "/fc", "all", formType, w.form("hub.mode", "unsubscribe", "hub.events", "", "hub.channel.endpoint", endpoint))
		}
		for _, endpoint := range []string{"", "wss://hub.example.test/fc/ws/x"} {
			if status, _ := leave(endpoint); status != 400 {
				t.Errorf("endpoint %q: %d", endpoint, status)
			}
		}
		here := w.topic
		w.topic = "elsewhere"
		w.reporter("Other")
		if status, _ := leave(p.endpoint); status != 400 {
			t.Errorf("the endpoint of another session: %d", status)
		}
		w.topic = here
		if status, body := leave(p.endpoint); status != 202 || body != `{"hub.channel.endpoint":"`+p.endpoint+`"}` {
			t.Errorf("%d %s", status, body)
		}
		p.frame()
		p.ended(1000)
		if _, err := w.connect(p.endpoint, nil); err == nil {
			t.Error("the endpoint still works")
		}
		if status, _ := leave(p.endpoint); status != 400 {
			t.Errorf("left twice: %d", status)
		}
	})
}

func TestIRACurrentContext(t *testing.T) {
	// RAD-153
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Display")
		if c := w.current(); c.Type != "" || len(c.Context) != 0 {
			t.Errorf("at first: %+v", c)
		}
		version := p.opened("1", "r")
		w.wantContent("with nothing shared")
		version = p.updated("2", version, put("Observation", "o1", ""))
		c := w.current()
		var keys []string
		for _, item := range c.Context {
			keys = append(keys, item.Key)
		}
		if c.Type != "DiagnosticReport" || c.Version != version || strings.Join(keys, " ") != "report patient study content" {
			t.Errorf("%s %q, want version %q: %v", c.Type, c.Version, version, keys)
		}
		w.wantContent("with an observation", held("Observation", "o1", ""))
		w.post("3", "DiagnosticReport-close", report("r"))
		if c := w.current(); c.Type != "" || len(c.Context) != 0 {
			t.Errorf("after the close: %+v", c)
		}
	})
}

func TestIRADistributeAndSyncError(t *testing.T) {
	// RAD-154 RAD-155 FC-ERR-10
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		others, p := w.reporter("Follows"), w.reporter("Fails")
		told := func(id, name, why string) {
			t.Helper()
			frame := others.frame()
			m, err := fhircast.Decode([]byte(frame))
			if err != nil {
				t.Fatal(err)
			}
			const system = `{"system":"https://fhircast.hl7.org/events/syncerror/`
			codings := `"coding":[` + system + `eventid","code":"` + id + `"},` + system + `eventname","code":"` + name + `"},` + system + `subscribername","code":"Fails"}`
			if id == "" {
				f := m.(*fhircast.Event).Failures()
				codings = strings.Replace(codings, `"code":""`, `"code":"`+f[0].EventID+`"`, 1)
				if len(f[0].EventID) < 16 {
					t.Errorf("the id %q is not made for it", f[0].EventID)
				}
			}
			for _, want := range []string{`"hub.event":"SyncError"`, `"severity":"information"`, `"code":"processing"`, `"diagnostics":"Fails: ` + why, codings} {
				if !strings.Contains(frame, want) {
					t.Errorf("no %s in %s", want, frame)
				}
			}
		}
		version := ""
		step := func(id string, status int) {
			t.Helper()
			for _, q := range []*peer{others, p} {
				if e := q.event(); e.ID != id {
					t.Fatalf("got %s", e)
				}
			}
			others.say(`{"id":"` + id + `","status":200}`)
			p.say(fmt.Sprintf(`{"id":"%s","status":%d}`, id, status))
		}
		for i, status := range []int{409, 400, 500} {
			id := fmt.Sprint("open ", i)
			w.post(id, "DiagnosticReport-open", report("r"))
			step(id, status)
			told(id, "DiagnosticReport-open", "")
			if version = w.current().Version; version == "" {
				t.Error("the context is gone because somebody failed")
			}
		}
		if status := w.posted("update", "DiagnosticReport-update", version, updates("r", put("Observation", "o1", ""))); status != 202 {
			t.Fatalf("update: %d", status)
		}
		step("update", 409)
		told("update", "DiagnosticReport-update", "refused to follow")
		w.wantContent("that one subscriber refused", held("Observation", "o1", ""))
		w.post("select", "DiagnosticReport-select", `[{"key":"report","reference":{"reference":"DiagnosticReport/r"}}]`)
		for _, q := range []*peer{others, p} {
			q.event()
		}
		others.say(`{"id":"select","status":200}`)
		told("select", "DiagnosticReport-select", "no answer within 10 s") // p says nothing
		if got := p.frame(); !strings.Contains(got, "denied") {
			t.Errorf("got %s", got)
		}
		w.post("close", "DiagnosticReport-close", report("r"))
		others.event()
		others.say(`{"id":"close","status":200}`)
		p = w.reporter("Fails")
		synctest.Wait()
		p.conn.NetConn().Close() // before it was sent anything
		told("", "SyncError", "connection lost")
		others.nothing(time.Minute)
	})
}

func TestIRANotifyError(t *testing.T) {
	// RAD-156 FC-ERR-04 FC-ERR-05
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.reporter("Display")
		e, err := fhircast.NewSyncError("1", time.Now(), w.topic, fhircast.Failure{EventID: "x", EventName: "DiagnosticReport-open", Subscriber: "Viewer", Diagnostics: "unsaved"})
		if err != nil {
			t.Fatal(err)
		}
		good := string(e.Wire())
		for name, change := range map[string][2]string{
			"no outcome": {"operationoutcome", "something"}, "another resource": {"OperationOutcome", "Patient"}, "severity": {"warning", "information"},
			"code": {`"processing"`, `"other"`}, "diagnostics": {`"unsaved"`, `""`}, "event id": {"syncerror/eventid", "x"},
			"event name": {"syncerror/eventname", "x"}, "event id without a code": {`"code":"x"`, `"code":""`}, "no issue": {`"issue"`, `"issues"`},
		} {
			bad := strings.Replace(strings.Replace(good, change[0], change[1], 1), `"id":"1"`, `"id":"`+name+`"`, 1)
			if status, body := w.do("POST", "/fc", "all", "application/json", bad); bad == good || status != 400 {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
		nobody := strings.ReplaceAll(strings.ReplaceAll(good, "syncerror/subscribername", "x"), "syncerror/subscriber", "y")
		if status, _ := w.do("POST", "/fc", "all", "application/json", nobody); status != 400 {
			t.Errorf("no subscriber: %d", status)
		}
		p.nothing(time.Second)
		if status, body := w.do("POST", "/fc", "all", "application/json", good); status != 202 {
			t.Errorf("%d %s", status, body)
		}
		if got := p.frame(); got != good {
			t.Errorf("got %s", got)
		}
	})
}

func TestIRATakesAnyValidEvent(t *testing.T) {
	// FC-CAT-16 FC-EVT-10 FC-EVT-15 FC-EVT-17
	synctest.Test(t, func(t *testing.T) {
		w := newIRA(t)
		p := w.join("all", "hub.events", "Observation-open,Observation-update,Observation-select,Observation-close,org.example.thing,Patient-*")
		observation := `{"key":"observation","resource":{"resourceType":"Observation","id":"o","value":1.0}}`
		open := "[" + observation + `,{"key":"extension","data":{"a":[1.0]}},{"key":"count","decimal":1.50},{"key":"why","valueString":"x"}]`
		for i, row := range []struct {
			name, context string
			status        int
		}{
			{"Observation-open", open, 202}, {"Observation-open", patient("a"), 400}, {"org.example.thing", "[]", 202}, {"ORG.example.Thing", "[]", 202}, {"Patient-*", "[]", 400}, {"org.example.*", "[]", 400},
		} {
			if status := w.posted(fmt.Sprint(i), row.name, "", row.context); status != row.status {
				t.Errorf("%s: %d", row.name, status)
			}
			if row.status == 202 {
				if got := contextText(t, p.event()); got != row.context {
					t.Errorf("got %s, want %s", got, row.context)
				}
			}
		}
		c := w.current()
		anchor := `{"key":"observation","reference":{"reference":"Observation/o"}}`
		update := "[" + anchor + `,{"key":"updates","resource":{"resourceType":"Bundle","type":"transaction","entry":[` + put("Observation", "child", "") + `]}}]`
		if status := w.posted("u", "Observation-update", c.Version, update); c.Type != "Observation" || status != 202 {
			t.Errorf("%s, update: %d", c.Type, status)
		}
		w.wantContent("of an observation", held("Observation", "child", ""))
		for _, step := range [][2]string{{"Observation-select", "[" + anchor + "]"}, {"Observation-close", "[" + observation + "]"}} {
			if status := w.posted(step[0], step[0], "", step[1]); status != 202 {
				t.Errorf("%s: %d", step[0], status)
			}
		}
		if c := w.current(); c.Type != "" {
			t.Errorf("still %s", c.Type)
		}
	})
}
