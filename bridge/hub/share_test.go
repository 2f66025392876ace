package hub_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub"
)

const sharingEvents = "DiagnosticReport-open,DiagnosticReport-close,DiagnosticReport-update,DiagnosticReport-select,SyncError"

// report is the context of an open of that report, of patient a and study s.
func report(id string) string {
	return `[{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"` + id + `","status":"unknown"}},` +
		`{"key":"patient","resource":{"resourceType":"Patient","id":"a","identifier":[{"system":"urn:oid:2.999.1","value":"900001"}]}},` +
		`{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s","identifier":[{"system":"urn:dicom:uid","value":"urn:oid:2.999.3"}]}}]`
}

func put(resource, id, more string) string {
	return `{"request":{"method":"PUT","url":"` + resource + `/` + id + `"},"resource":{"resourceType":"` + resource + `","id":"` + id + `"` + more + `}}`
}

func remove(ref string) string {
	return `{"fullUrl":"` + ref + `","request":{"method":"DELETE","url":"` + ref + `"}}`
}

// updates is the context of an update of that report.
func updates(report string, entries ...string) string {
	return `[{"key":"report","reference":{"reference":"DiagnosticReport/` + report + `"}},{"key":"updates","resource":` +
		`{"resourceType":"Bundle","id":"b-77","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}}]`
}

func (w *world) message(id, name, version, entries string) string {
	if version != "" {
		version = `"context.versionId":"` + version + `",`
	}
	return `{"timestamp":"2000-01-01T00:00:00Z","id":"` + id + `","event":{"hub.topic":"` + w.topic.Reveal() + `","hub.event":"` + name +
		`",` + version + `"context":` + entries + `}}`
}

// update posts an update and gives what it was answered.
func (w *world) update(id, version, entries string) (int, string) {
	w.Helper()
	return w.do("POST", "/fc", "all", "application/json", w.message(id, "DiagnosticReport-update", version, entries))
}

// opened opens that report and gives the version that a peer was told.
func (p *peer) opened(id, reportID string) string {
	p.Helper()
	p.post(id, "DiagnosticReport-open", report(reportID))
	e := p.event()
	p.say(`{"id":"` + id + `","status":200}`)
	return e.Version
}

// updated posts an update that must be taken, and gives its version.
func (p *peer) updated(id, version string, entries ...string) string {
	p.Helper()
	if status, body := p.update(id, version, updates("r", entries...)); status != 202 {
		p.Fatalf("update %s: %d %s", id, status, body)
	}
	return p.event().Version
}

// current is the answer to Get Current Context.
func (w *world) current() (got struct {
	Type    string `json:"context.type"`
	Version string `json:"context.versionId"`
	Context []struct {
		Key      string
		Resource json.RawMessage
	}
}) {
	w.Helper()
	status, body := w.do("GET", "/fc/"+w.topic.Reveal(), "all", "", "")
	if status != 200 {
		w.Fatalf("context: %d %s", status, body)
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		w.Fatal(err)
	}
	return got
}

// content is the one content item of the current context.
func (w *world) content() string {
	w.Helper()
	text := ""
	for _, item := range w.current().Context {
		if item.Key == "content" {
			if text != "" {
				w.Error("two content items")
			}
			text = string(item.Resource)
		}
	}
	return text
}

func (w *world) wantContent(when string, entries ...string) {
	w.Helper()
	version := w.current().Version
	want := `{"resourceType":"Bundle","id":"` + version + `","type":"collection"`
	if len(entries) > 0 {
		want += `,"entry":[` + strings.Join(entries, ",") + `]`
	}
	if got := w.content(); got != want+"}" {
		w.Errorf("%s:\ngot  %s\nwant %s}", when, got, want)
	}
}

func held(resource, id, more string) string {
	return `{"resource":{"resourceType":"` + resource + `","id":"` + id + `"` + more + `}}`
}

func TestEachOpenGetsAVersionOfItsOwn(t *testing.T) {
	// FC-CS-01 FC-EVT-05 FC-GCC-03
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", "Patient-open,Patient-close,Home-open,DiagnosticReport-open")
		seen := map[string]bool{"": true, "mine": true}
		for i, row := range []struct{ name, version, context string }{
			{"Patient-open", "", patient("a")}, {"DiagnosticReport-open", "", report("r")}, {"Patient-open", "mine", patient("a")},
		} {
			if status, body := w.do("POST", "/fc", "all", "application/json", w.message(fmt.Sprint(i), row.name, row.version, row.context)); status != 202 {
				t.Fatalf("%d %s", status, body)
			}
			frame := p.frame()
			version := w.current().Version
			if seen[version] {
				t.Errorf("%s: version %q is none of the hub's, or an old one", row.name, version)
			}
			seen[version] = true
			if want := strings.Replace(w.message(fmt.Sprint(i), row.name, "", row.context), `"event":{`, `"event":{"context.versionId":"`+version+`",`, 1); frame != want {
				t.Errorf("got  %s\nwant %s", frame, want)
			}
		}
		w.post("c", "Patient-close", patient("a"))
		w.post("h", "Home-open", "[]")
		for range 2 {
			if e := p.event(); e.Version != "" {
				t.Errorf("%s has a version", e.Name)
			}
		}
		if c := w.current(); c.Type != "" || c.Version != "" || len(c.Context) != 0 {
			t.Errorf("at home: %+v", c)
		}
	})
}

func TestAHubThatSharesNothingLeavesEventsAsTheyAre(t *testing.T) {
	// FC-CS-01 FC-GCC-06
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{Events: notShared()})
		p := w.join("all")
		w.post("1", "Patient-open", patient("a"))
		if e := p.event(); e.Version != "" || w.content() != "" {
			t.Errorf("version %q, content %s", e.Version, w.content())
		}
	})
}

func TestAnUpdateGoesOutWithItsVersionAndTheOneBefore(t *testing.T) {
	// FC-CS-04 FC-CS-22 FC-EVT-05 FC-EVT-06 FC-CAT-09
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		for i := range 3 {
			posted := w.message(fmt.Sprint("u", i), "DiagnosticReport-update", version, updates("r", put("Observation", fmt.Sprint("o", i), `,"value":1.00`)))
			posted = strings.Replace(posted, `"event":{`, `"more":{"context.versionId":"not this"}, "event" : { `, 1)
			if status, body := w.do("POST", "/fc", "all", "application/json", posted); status != 202 {
				t.Fatalf("%d %s", status, body)
			}
			frame := p.frame()
			next := w.current().Version
			if next == version || next == "" {
				t.Fatalf("the version is still %q", next)
			}
			want := strings.Replace(posted, `"event" : { `, `"event" : {"context.versionId":"`+next+`","context.priorVersionId":"`+version+`",`, 1)
			want = strings.Replace(want, `"DiagnosticReport-update","context.versionId":"`+version+`",`, `"DiagnosticReport-update",`, 1)
			if frame != want {
				t.Errorf("got  %s\nwant %s", frame, want)
			}
			version = next
		}
	})
}

func TestAnUpdateOfAnotherVersionIsRefused(t *testing.T) {
	// FC-CS-03 FC-REQ-04
	for _, row := range []struct {
		name     string
		conflict int
		version  func(first, latest string) string
		report   string
		status   int
	}{
		{"the version before", 0, func(first, _ string) string { return first }, "r", 409},
		{"a version of nowhere", 0, func(string, string) string { return "v-1" }, "r", 409},
		{"the version before, by IHE's rule", 400, func(first, _ string) string { return first }, "r", 400},
		{"no version", 0, func(string, string) string { return "" }, "r", 400},
		{"a report that is not open", 0, func(_, latest string) string { return latest }, "other", 409},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Config{Rules: hub.Rules{Conflict: row.conflict}})
				p := w.join("all", "hub.events", sharingEvents)
				first := p.opened("1", "r")
				latest := p.updated("2", first, put("Observation", "o1", ""))
				status, body := w.update("3", row.version(first, latest), updates(row.report, put("Observation", "o2", "")))
				if status != row.status || strings.Contains(body, latest) {
					t.Errorf("%d %s, want %d", status, body, row.status)
				}
				p.nothing(time.Minute)
				w.wantContent("afterwards", held("Observation", "o1", ""))
				p.updated("3", latest, put("Observation", "o3", "")) // mended, under the id that was refused
			})
		})
	}
}

func TestAnUpdateIsTakenWholeOrNotAtAll(t *testing.T) {
	// FC-CS-05 FC-CS-06
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		for i, last := range []string{put("Observation", "", ""), remove("Patient/a"), remove("nowhere"), `{"request":{"method":"PATCH"}}`} {
			status, body := w.update(fmt.Sprint("bad", i), version, updates("r", put("Observation", "o1", ""), last))
			if status != 400 {
				t.Errorf("%s: %d %s", last, status, body)
			}
		}
		w.wantContent("after updates of which one part is bad")
		// Of many upon one version one is taken, and the others find that they were late.
		var all sync.WaitGroup
		statuses := make(chan int, 20)
		for i := range cap(statuses) {
			all.Go(func() {
				status, _ := w.update(fmt.Sprint("race", i), version, updates("r", put("Observation", "x", ""), put("Observation", fmt.Sprint("o", i), "")))
				statuses <- status
			})
		}
		all.Wait()
		taken := 0
		for range cap(statuses) {
			switch status := <-statuses; status {
			case 202:
				taken++
			case 409:
			default:
				t.Errorf("status %d", status)
			}
		}
		if got := strings.Count(w.content(), `"resource":`); taken != 1 || got != 2 {
			t.Errorf("%d were taken, and there are %d resources", taken, got)
		}
	})
}

func TestTheCurrentContextHasWhatWasShared(t *testing.T) {
	// FC-GCC-03 FC-GCC-06 FC-GCC-07 FC-CS-25
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		w.wantContent("before the first update")
		version = p.updated("2", version, put("Observation", "o1", `,"value":1.00`), `{"fullUrl":"https://x.test/o2",`+put("Observation", "o2", "")[1:], put("ImagingStudy", "prior", ""))
		w.wantContent("after three came", held("Observation", "o1", `,"value":1.00`),
			`{"fullUrl":"https://x.test/o2","resource":{"resourceType":"Observation","id":"o2"}}`, held("ImagingStudy", "prior", ""))
		version = p.updated("3", version, remove("Observation/o2"), remove("Observation/never"), put("Observation", "o1", `,"value":2`),
			put("DiagnosticReport", "r", `,"status":"final"`))
		w.wantContent("after one changed and one went", held("Observation", "o1", `,"value":2`), held("ImagingStudy", "prior", ""),
			held("DiagnosticReport", "r", `,"status":"final"`))
		got := w.current()
		if got.Type != "DiagnosticReport" || got.Version != version {
			t.Errorf("type %q, version %q, want the report and %q", got.Type, got.Version, version)
		}
		_, body := w.do("GET", "/fc/"+w.topic.Reveal(), "all", "", "")
		if opened := strings.TrimSuffix(report("r"), "]"); !strings.Contains(body, `"context":`+opened+`,{"key":"content"`) {
			t.Errorf("what was opened is not as it was: %s", body)
		}
		if late := w.join("all", "hub.events", "DiagnosticReport-open").event(); late.ID != "1" || late.Version == version {
			// At the version of the open, the next update shows the newcomer that it has missed some.
			t.Errorf("a newcomer was told of %s at the latest version", late)
		}
	})
}

func TestContentGoesWithTheCloseAndStaysUntilThen(t *testing.T) {
	// FC-CS-07 FC-EVT-12 FC-EVT-24 FC-GEN-04: FHIR has no empty array, so nothing shared is no list of entries.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		first := p.updated("2", p.opened("1", "r"), put("Observation", "o1", ""))
		p.opened("3", "other")
		w.wantContent("of another report")
		w.post("4", "DiagnosticReport-open", strings.Replace(report("r"), "unknown", "partial", 1)) // the reader comes back to it
		again := p.event()
		w.wantContent("of the report that was never closed", held("Observation", "o1", ""))
		if again.Version == first || again.Version != w.current().Version {
			t.Errorf("opened again at %q, which was %q", again.Version, first)
		}
		if status := string(w.current().Context[0].Resource); !strings.Contains(status, "partial") || strings.Contains(status, "unknown") {
			t.Errorf("an open replaces the one before: %s", status)
		}
		w.post("5", "DiagnosticReport-close", report("r"))
		p.event()
		if status, _ := w.update("6", again.Version, updates("r", put("Observation", "o2", ""))); status != 409 {
			t.Errorf("an update after the close: %d", status)
		}
		p.opened("7", "r")
		w.wantContent("of the report opened anew")
		version := w.current().Version
		w.post("8", "UserLogout", "[]")
		if status, _ := w.update("9", version, updates("r", put("Observation", "o2", ""))); status != 409 {
			t.Errorf("an update after the logout: %d", status)
		}
	})
}

func TestUpdatesThatNoHubMayTake(t *testing.T) {
	// FC-CS-16 FC-CS-18 FC-CS-19 FC-CS-20 FC-CS-21 FC-CS-24
	good := updates("r", put("Observation", "o1", ""))
	in := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	anchor := `{"key":"report","reference":{"reference":"DiagnosticReport/r"}}`
	rows := []struct{ name, context string }{
		{"no anchor", in(anchor+",", "")},
		{"two anchors", in(anchor, anchor+","+anchor)},
		{"an anchor of another type", in("DiagnosticReport/r", "Patient/a")},
		{"an anchor without id", in("DiagnosticReport/r", "DiagnosticReport/")},
		{"no updates", "[" + anchor + "]"},
		{"two updates", in(anchor, good[len("["+anchor+","):len(good)-1]+","+anchor)},
		{"updates by reference", "[" + anchor + `,{"key":"updates","reference":{"reference":"Bundle/b"}}]`},
		{"updates that are no Bundle", in(`"resourceType":"Bundle"`, `"resourceType":"List"`)},
		{"a batch", in("transaction", "batch")},
		{"a Bundle with links", in(`"type":`, `"link":[],"type":`)},
		{"an entry that was searched for", in(`{"request"`, `{"search":{},"request"`)},
		{"an entry that is an answer", in(`{"request"`, `{"response":{"status":"200"},"request"`)},
		{"a patch", in("PUT", "PATCH")},
		{"no method", in(`"method":"PUT",`, "")},
		{"a PUT of nothing", updates("r", `{"request":{"method":"PUT","url":"Observation/o1"}}`)},
		{"a PUT of what has no id", in(`,"id":"o1"`, "")},
		{"a PUT elsewhere than it says", in(`"url":"Observation/o1"`, `"url":"Observation/o2"`)},
		{"a POST of what has no id", strings.Replace(in("PUT", "POST"), `,"id":"o1"`, "", 1)},
		{"a DELETE of nothing", updates("r", `{"request":{"method":"DELETE"}}`)},
		{"a DELETE with a resource", in("PUT", "DELETE")},
		{"a resource twice", updates("r", put("Observation", "o1", ""), remove("Observation/o1"))},
		{"the patient is deleted", updates("r", remove("Patient/a"))},
		{"the study is deleted, by its address at a server", updates("r", remove("https://pacs.test/fhir/ImagingStudy/s"))},
		{"the report is deleted", updates("r", remove("DiagnosticReport/r"))},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		for _, row := range rows {
			if status, body := w.update(row.name, version, row.context); status != 400 {
				t.Errorf("%s: %d %s", row.name, status, body)
			}
		}
		p.nothing(time.Minute)
		w.wantContent("after all of these")
		if status, body := w.update("good", version, good); status != 202 {
			t.Errorf("the good one: %d %s", status, body)
		}
	})
}

func TestUpdatesInTheShapesOfTheBallotsAreTaken(t *testing.T) {
	// FC-CS-08 FC-CS-19 FC-CS-20
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		old := func(entries string) string {
			return `[{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r","status":"nonsense"}},{"key":"updates","resource":` +
				`{"resourceType":"Bundle","type":"transaction","entry":[` + entries + `]}}]`
		}
		for i, step := range []struct{ entries, held string }{
			{`{"request":{"method":"POST"},"resource":{"resourceType":"Observation","id":"o1","status":7}},{"request":{"method":"POST","url":"Observation"},"resource":{"resourceType":"Observation","id":"o2"}}`,
				held("Observation", "o1", `,"status":7`) + "," + held("Observation", "o2", "")},
			{`{"request":{"method":"DELETE"},"resource":{"resourceType":"Observation","id":"o2"}}`, held("Observation", "o1", `,"status":7`)}, // 2022
			{`{"request":{"method":"PUT"},"resource":{"resourceType":"Observation","id":"o1"}}`, held("Observation", "o1", "")},
			{`{"fullUrl":"Observation/o1","request":{"method":"DELETE"}}`, ""}, // 2024 and the examples of 3.0.0
		} {
			status, body := w.update(fmt.Sprint("u", i), version, old(step.entries))
			if status != 202 {
				t.Fatalf("%s: %d %s", step.entries, status, body)
			}
			version = p.event().Version
			if step.held == "" {
				w.wantContent(step.entries)
				continue
			}
			w.wantContent(step.entries, step.held)
		}
	})
}

func TestSelectionsArePassedOn(t *testing.T) {
	// FC-CS-09 FC-CS-30 FC-CS-31 FC-CS-32 FC-CAT-10
	asReference, asResource := `{"key":"report","reference":{"reference":"DiagnosticReport/r"}}`, `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r"}}`
	rows := []struct {
		name, context string
		status        int
	}{
		{"references", "[" + asReference + `,{"key":"select","reference":{"reference":"Observation/o1"}},{"key":"select","reference":{"reference":"Observation/unknown"}}]`, 202},
		{"nothing", "[" + asReference + "]", 202},
		{"resources of the ballot of 2024", "[" + asResource + `,{"key":"select","resources":[{"resourceType":"Observation","id":"o1"}]}]`, 202},
		{"resources of the ballot of 2022", "[" + asResource + `,{"select":[{"resourceType":"Observation","id":"o1"}]}]`, 202},
		{"nothing, in the shape of 2024", "[" + asResource + `,{"key":"select","resources":[]}]`, 202},
		{"no anchor", `[{"key":"select","reference":{"reference":"Observation/o1"}}]`, 400},
		{"a reference to nothing", "[" + asReference + `,{"key":"select","reference":{"reference":"o1"}}]`, 400},
		{"a resource without id", "[" + asReference + `,{"key":"select","resources":[{"resourceType":"Observation"}]}]`, 400},
		{"a text", "[" + asReference + `,{"key":"select","string":"Observation/o1"}]`, 400},
		{"a text for a list", "[" + asReference + `,{"key":"select","resources":"Observation/o1"}]`, 400},
		{"a report that is open and not current", strings.Replace("["+asReference+"]", "/r", "/first", 1), 409},
		{"a report that is not open", strings.Replace("["+asReference+"]", "/r", "/other", 1), 409},
	}
	for _, rules := range []hub.Rules{{}, {NonCurrentUpdates: true}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, hub.Config{Rules: rules})
			p := w.join("all", "hub.events", sharingEvents)
			p.opened("0", "first")
			p.updated("2", p.opened("1", "r"), put("Observation", "o1", ""))
			for _, row := range rows {
				m := w.message(row.name, "DiagnosticReport-select", "", row.context)
				status, body := w.do("POST", "/fc", "all", "application/json", m)
				if status != row.status {
					t.Errorf("%s: %d %s", row.name, status, body)
				}
				if status == 202 {
					if got := p.frame(); got != m {
						t.Errorf("%s: got %s", row.name, got)
					}
				}
			}
			p.nothing(time.Minute)
		})
	}
}

func TestAnUpdateElsewhereNeverSwitchesTheContext(t *testing.T) {
	// FC-CS-33 FC-CONF-07
	for _, takes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, hub.Config{Rules: hub.Rules{NonCurrentUpdates: takes}})
			if _, body := w.do("GET", "/fc/.well-known/fhircast-configuration", "", "", ""); !strings.Contains(body, fmt.Sprintf(`"supportsNonCurrentContextUpdates":%v`, takes)) {
				t.Errorf("advertised: %s", body)
			}
			p := w.join("all", "hub.events", sharingEvents)
			version := p.opened("1", "r")
			p.opened("2", "current")
			before := w.current()
			status, body := w.update("3", version, updates("r", put("Observation", "o1", "")))
			if !takes {
				if status != 409 {
					t.Errorf("%d %s", status, body)
				}
				p.nothing(time.Minute)
				return
			}
			if status != 202 {
				t.Fatalf("%d %s", status, body)
			}
			if e := p.event(); e.PriorVersion != version {
				t.Errorf("prior version %q", e.PriorVersion)
			}
			if after := w.current(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("was %v, is %v", before, after)
			}
			p.opened("4", "r")
			w.wantContent("once it is current", held("Observation", "o1", ""))
		})
	}
}

func TestTooMuchContentIsRefused(t *testing.T) {
	// FC-CS-27
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{MaxBody: 4096, MaxContent: 1000})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		fill := func(n int) string { return `,"text":"` + strings.Repeat("x", n) + `"` }
		version = p.updated("2", version, put("Observation", "o1", fill(600)))
		for _, n := range []int{600, 5000} { // too much for the context, and for a request
			if status, _ := w.update(fmt.Sprint(n), version, updates("r", put("Observation", "o2", fill(n)))); status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d bytes more: %d", n, status)
			}
		}
		p.updated("3", version, put("Observation", "o1", fill(800))) // in place of what was there
		time.Sleep(time.Second)                                      // the server ends the line of a request that was too large
	})
}

func TestARepeatChangesNothing(t *testing.T) {
	// FC-NOT-02 FC-REQ-13
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.events", sharingEvents)
		version := p.opened("1", "r")
		if again := p.opened("1", "r"); again != version {
			t.Errorf("opened at %q and, repeated, at %q", version, again)
		}
		p.updated("2", version, put("Observation", "o1", ""))
		p.updated("3", w.current().Version, remove("Observation/o1"))
		after := w.current()
		if status, body := w.update("2", version, updates("r", put("Observation", "o1", ""))); status != 202 {
			t.Errorf("repeated by who never heard that it was taken: %d %s", status, body)
		}
		p.nothing(time.Minute)
		if now := w.current(); fmt.Sprint(now) != fmt.Sprint(after) {
			t.Errorf("was %v, is %v", after, now)
		}
	})
}

func TestSharedContentIsInNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &hub.Memory{}
		w := newWorld(t, hub.Config{Store: memory})
		p := w.join("all", "hub.events", sharingEvents)
		if status, body := w.update("2", p.opened("1", "Zyxcanary"), updates("Zyxcanary", put("Observation", "o1", `,"text":"Zyxcanary"`))); status != 202 {
			t.Fatalf("%d %s", status, body)
		}
		w.update("3", "Zyxcanary", updates("Zyxcanary", put("Observation", "o1", "Zyxcanary")))
		s, err := memory.Load(t.Context(), w.topic)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal([]any{s, s.Shared[0].Resources[0]})
		if err != nil {
			t.Fatal(err)
		}
		if printed := fmt.Sprintf("%v %+v %#v %s %s %s", s, s, s, s.Shared[0].Resources[0], asJSON, w.logs); strings.Contains(printed, "Zyxcanary") {
			t.Errorf("printed: %s", printed)
		}
	})
}
