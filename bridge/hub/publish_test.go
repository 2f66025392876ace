package hub_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub"
)

func TestPublishedEventGoesToAllAsItCame(t *testing.T) {
	// FC-REQ-01 FC-REQ-04 FC-REQ-05 FC-REQ-06 FC-NOT-01 FC-EVT-07
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{Events: notShared()})
		both := []*peer{w.join("all"), w.join("reader", "hub.events", "PATIENT-open")}
		home := w.join("all", "hub.events", "Home-open")
		raw := `{"timestamp":"2000-01-01T00:00:00.120Z","id":"mine","extra":1.00,"event":{"hub.topic":"` + w.topic.Reveal() +
			`","hub.event":"patient-open","context":` + patient("a") + `}}`
		for _, kind := range []string{"application/json", "application/fhir+json; charset=utf-8"} {
			if status, body := w.do("POST", "/fc", "all", kind, raw); status != 202 {
				t.Fatalf("%s: %d %s", kind, status, body)
			}
			for _, p := range both {
				if got := p.frame(); got != raw {
					t.Errorf("got  %s\nwant %s", got, raw)
				}
			}
		}
		home.nothing(time.Second)
		e := w.draft("2", "Patient-close", patient("a"))
		if err := w.hub.Publish(t.Context(), w.topic, e); err != nil {
			t.Fatal(err)
		}
		if got := both[0].event(); got.ID != "2" {
			t.Errorf("got %s", got)
		}
		if err := w.hub.Publish(t.Context(), "other", e); err == nil || err.(*hub.StatusError).Status != 400 {
			t.Errorf("for another topic: %v", err)
		}
	})
}

func TestPublishRefusals(t *testing.T) {
	// FC-EVT-01 FC-EVT-22 FC-EVT-25 FC-REQ-04 FC-SUB-13
	event := func(id, name, entries string) string {
		return `{"timestamp":"2000-01-01T00:00:00Z","id":"` + id + `","event":{"hub.topic":"TOPIC","hub.event":"` + name + `","context":` + entries + `}}`
	}
	good := event("x", "Patient-open", patient("x"))
	rows := []struct {
		name, token, kind, body string
		status                  int
		text                    string
	}{
		{"no token", "", "application/json", good, 401, "bearer"},
		{"no JSON", "all", "application/json", "{", 400, "JSON"},
		{"an answer", "all", "application/json", `{"id":"1","status":200}`, 400, "event"},
		{"no id", "all", "application/json", strings.Replace(good, `"id":"x",`, "", 1), 400, "no id"},
		{"no timestamp", "all", "application/json", strings.Replace(good, `"timestamp":"2000-01-01T00:00:00Z",`, "", 1), 400, "no timestamp"},
		{"no context", "all", "application/json", strings.Replace(good, `,"context":`+patient("x"), "", 1), 400, "no context"},
		{"an endless id", "all", "application/json", event(strings.Repeat("x", 201), "Patient-open", patient("x")), 400, "id"},
		{"an open of nothing", "all", "application/json", event("x", "Patient-open", "[]"), 400, "the Patient"},
		{"an open of two", "all", "application/json", event("x", "Patient-open", `[{"key":"patient","resource":{"resourceType":"Patient","id":"a"}},{"key":"patient","resource":{"resourceType":"Patient","id":"b"}}]`), 400, "exactly once"},
		{"an open of something else", "all", "application/json", event("x", "Patient-open", `[{"key":"patient","resource":{"resourceType":"Encounter","id":"a"}}]`), 400, "the Patient"},
		{"content sharing", "all", "application/json", event("x", "DiagnosticReport-update", "[]"), 400, "eventsSupported"},
		{"an unknown topic", "all", "application/json", strings.Replace(good, "TOPIC", "T-7f3a", 1), 404, "no such topic"},
		{"somebody else's topic", "bob", "application/json", good, 403, "topic"},
		{"a token that only reads", "reader", "application/json", good, 403, "write scope"},
		{"a picture", "all", "image/png", good, 415, "Content-Type"},
		{"no type", "all", "", good, 415, "Content-Type"},
		{"too large", "all", "application/json", strings.Repeat(" ", 5000) + good, 413, "4096"},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{MaxBody: 4096, Events: notShared()})
		p := w.join("all")
		for _, row := range rows {
			status, body := w.do("POST", "/fc", row.token, row.kind, strings.ReplaceAll(row.body, "TOPIC", w.topic.Reveal()))
			if status != row.status || !strings.Contains(body, row.text) || strings.Contains(body, "Zyxcanary") || strings.Contains(body, w.topic.Reveal()) {
				t.Errorf("%s: %d %q, want %d with %q", row.name, status, body, row.status, row.text)
			}
		}
		p.nothing(time.Minute)
	})
}

func TestRepeatIsTakenUntilSomethingNewerHappens(t *testing.T) {
	// FC-NOT-02 FC-REQ-13
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		a := string(w.draft("1", "Patient-open", patient("a")).Wire())
		post := func(body string) int {
			status, _ := w.do("POST", "/fc", "all", "application/json", body)
			return status
		}
		if first, again := post(a), post(a); first != 202 || again != 202 {
			t.Errorf("first %d, again %d", first, again)
		}
		if other := post(strings.Replace(a, `"id":"a"`, `"id":"b"`, 1)); other != 409 {
			t.Errorf("another event under the same id: %d", other)
		}
		w.post("2", "Patient-open", patient("b"))
		if late := post(a); late != 409 {
			t.Errorf("repeat after a newer context: %d", late)
		}
		if _, body := w.do("GET", "/fc/"+w.topic.Reveal(), "all", "", ""); !strings.Contains(body, `"id":"b"`) {
			t.Errorf("context: %s", body)
		}
	})
}

func TestCurrentContext(t *testing.T) {
	// FC-GCC-01 FC-GCC-03 FC-GCC-04 FC-GCC-05 FC-GEN-01
	const none = `{"context.type":"","context":[]}`
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{Events: notShared()})
		get := func(token string) (int, string) { return w.do("GET", "/fc/"+w.topic.Reveal(), token, "", "") }
		want := func(when, body string) {
			t.Helper()
			if status, got := get("all"); status != 200 || got != body || w.kind.Load() != "application/json" {
				t.Errorf("%s: %d %v %s, want %s", when, status, w.kind.Load(), got, body)
			}
		}
		want("at first", none)
		w.post("1", "Patient-open", patient("a"))
		want("after an open", `{"context.type":"Patient","context":`+patient("a")+`}`)
		study := `[{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s"},"note":1.0}]`
		w.post("2", "ImagingStudy-open", study)
		want("after another open", `{"context.type":"ImagingStudy","context":`+study+`}`)
		if status, body := get("reader"); status != 403 || !strings.Contains(body, "scope") {
			t.Errorf("with a token that may not read studies: %d %s", status, body)
		}
		w.post("3", "Patient-close", patient("a"))
		want("after the close of another", `{"context.type":"ImagingStudy","context":`+study+`}`)
		w.post("4", "Patient-open", patient("b"))
		w.post("5", "Patient-close", patient("b"))
		want("after its close, with the study still open", none)
		w.post("6", "Patient-open", patient("c"))
		w.post("7", "Home-open", "[]")
		want("at home", none)
		for token, status := range map[string]int{"": 401, "guess": 401, "bob": 403} {
			if got, _ := get(token); got != status {
				t.Errorf("token %q: %d, want %d", token, got, status)
			}
		}
		if status, _ := w.do("GET", "/fc/nowhere", "all", "", ""); status != 404 {
			t.Errorf("unknown topic: %d", status)
		}
	})
}

func TestDiscovery(t *testing.T) {
	// FC-CONF-01 FC-CONF-02 FC-CONF-03 FC-CONF-04 FC-CONF-05 FC-CONF-06 FC-CONF-07 FC-CONF-08 FC-EVT-08 FC-EVT-11 FC-ERR-03
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		resp, err := w.http.Get("http://hub.example.test/fc/.well-known/fhircast-configuration")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "application/json" {
			t.Errorf("%d %s", resp.StatusCode, kind)
		}
		list, _ := got["eventsSupported"].([]any)
		events := fmt.Sprint(list)
		if strings.Contains(events, ".") || strings.Contains(events, "*") {
			t.Errorf("a name of its own, or none at all, in %s", events)
		}
		for _, name := range []string{"Patient-open", "DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select", "Home-open", "UserLogout", "SyncError"} {
			if !strings.Contains(events, name) {
				t.Errorf("%s is not in %s", name, events)
			}
		}
		delete(got, "eventsSupported")
		want := `{"capabilities":{"supportsGetCurrentContext":true,"supportsNonCurrentContextUpdates":false},"fhirVersion":"R4","fhircastVersion":"3.0.0","getCurrentSupport":true,"websocketSupport":true}`
		if b, _ := json.Marshal(got); string(b) != want {
			t.Errorf("got %s", b)
		}
	})
}

func TestPathsAndMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		for _, row := range []struct {
			method, path string
			status       int
		}{
			{"GET", "/fc", 405}, {"PUT", "/fc/", 405}, {"POST", "/fc/" + w.topic.Reveal(), 405},
			{"GET", "/", 404}, {"GET", "/fcx", 404}, {"GET", "/fc/a/b", 404}, {"GET", "/fc/%2e%2e/x", 404},
		} {
			if status, body := w.do(row.method, row.path, "all", "", ""); status != row.status {
				t.Errorf("%s %s: %d %s", row.method, row.path, status, body)
			}
		}
	})
}

func TestEndOfTopicDeniesItsSubscribers(t *testing.T) {
	// FC-DEN-01 FC-DISC-01
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all")
		if err := w.hub.EndTopic(t.Context(), w.topic, "signed out"); err != nil {
			t.Fatal(err)
		}
		if got := p.frame(); !strings.Contains(got, `"hub.reason":"signed out"`) {
			t.Errorf("got %s", got)
		}
		p.ended(1000)
		if status, _ := w.do("POST", "/fc", "all", formType, w.form()); status != 404 {
			t.Errorf("subscribe: %d", status)
		}
		other, err := w.hub.NewTopic(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		w.unlike(w.topic.Reveal(), other.Reveal())
	})
}

func TestNewWantsHTTPS(t *testing.T) {
	// FC-GEN-02 FC-SEC-01
	authorize := func(string) (hub.Grant, bool) { return hub.Grant{}, false }
	for _, base := range []string{"", "http://hub.example.test/fc", "//hub.example.test", "https:///fc", "https://h/?q", "wss://h/",
		"http://localhost/fc", "http://192.0.2.1/fc", "ws://127.0.0.1/fc"} {
		if _, err := hub.New(hub.Config{BaseURL: base, Authorize: authorize}); err == nil {
			t.Errorf("%q was taken", base)
		}
	}
	if _, err := hub.New(hub.Config{BaseURL: "http://127.0.0.1:17321/fc", Authorize: authorize}); err != nil {
		t.Errorf("the loopback: %v", err)
	}
	if _, err := hub.New(hub.Config{BaseURL: "https://hub.example.test"}); err == nil {
		t.Error("nobody to authorize was taken")
	}
}
