package hubtest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

func TestWhereAndHowEventsAreTaken(t *testing.T) {
	const plain, fhir = "application/json", "application/fhir+json"
	for _, row := range []struct {
		fault   hubtest.Fault
		atTopic bool
		kind    string
		status  int
	}{
		{hubtest.PublishAtTopic404, false, plain, 404},
		{hubtest.PublishAtTopic404, true, plain, 202},
		{hubtest.PublishAtTopic405, false, plain, 405},
		{hubtest.PublishAtTopic405, true, plain, 202},
		{hubtest.PublishFHIRJSONOnly, false, plain + "; charset=utf-8", 415},
		{hubtest.PublishFHIRJSONOnly, false, fhir + "; charset=utf-8", 202},
		{hubtest.PublishJSONOnly, false, fhir, 415},
		{hubtest.PublishJSONOnly, false, plain, 202},
	} {
		t.Run(string(row.fault)+" "+closeCode(row.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(row.fault, -1)
				p := w.join() // a subscription is taken where it always was
				p.frame()
				url := w.URL()
				if row.atTopic {
					url += "/" + w.topic.Reveal()
				}
				status, _, _, err := w.do("POST", url, row.kind, string(w.event("1").Wire()))
				if status != row.status || err != nil {
					t.Errorf("%d, %v", status, err)
				}
				if f := p.frame(); (f == "nothing") != (row.status != 202) {
					t.Errorf("got %s", f)
				}
			})
		})
	}
}

func TestEventWithoutContextIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.PublishNeedsContext, 1)
		if status, _ := w.post(w.event("1")); status != 202 {
			t.Errorf("an event with a context: %d", status)
		}
		for _, want := range []int{400, 202} {
			if status, _ := w.post(w.made("2", "Home-open")); status != want {
				t.Errorf("%d, want %d", status, want)
			}
		}
	})
}

func TestWhatIsAnsweredWhenItIsTaken(t *testing.T) {
	event := func(w *world) string { return string(w.event("1").Wire()) }
	for _, row := range []struct {
		fault          hubtest.Fault
		publish        int
		body           func(*world) string
		subscribe      int
		unsubscribe    int
		unsubscribedAs string
	}{
		{hubtest.Accept200, 200, func(*world) string { return "{}" }, 200, 200, "{"},
		{hubtest.Accept201, 201, func(*world) string { return "{}" }, 201, 201, "{"},
		{hubtest.Accept204, 204, func(*world) string { return "" }, 202, 204, ""},
		{hubtest.AcceptWithoutBody, 202, func(*world) string { return "" }, 202, 202, ""},
		{hubtest.AcceptText, 202, func(*world) string { return "OK" }, 202, 202, "OK"},
		{hubtest.AcceptEchoesTheEvent, 202, event, 202, 202, "{"},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(row.fault, -1)
				status, body, _ := w.form()
				var m map[string]string
				if json.Unmarshal([]byte(body), &m) != nil || status != row.subscribe || m["hub.channel.endpoint"] == "" {
					t.Errorf("subscribe: %d %s", status, body)
				}
				if status, body := w.post(w.event("1")); status != row.publish || body != row.body(w) {
					t.Errorf("publish: %d %q", status, body)
				}
				status, body, _ = w.form("hub.mode", "unsubscribe", "hub.channel.endpoint", m["hub.channel.endpoint"])
				if status != row.unsubscribe || !strings.HasPrefix(body, row.unsubscribedAs) || (body == "") != (row.unsubscribedAs == "") {
					t.Errorf("unsubscribe: %d %q", status, body)
				}
				if status, _ := w.post(w.made("2", "Slot-open", patient)); status != 400 {
					t.Errorf("what is refused: %d", status)
				}
			})
		})
	}
}

// The hub keeps silent to everybody but the one who asked, who is told later.
func TestAcceptedAndRefusedAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := hubtest.New(hub.Config{Authorize: func(token string) (hub.Grant, bool) {
			return hub.Grant{User: hubtest.User, Scopes: fhircast.ParseScopes([]string{"fhircast/*.*"})}, token == hubtest.Token || token == "other"
		}})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldOf(t, s)
		p := w.join()
		p.frame()
		form := url.Values{"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {w.topic.Reveal()}, "hub.events": {"Patient-open,SyncError"}}
		r, _ := http.NewRequestWithContext(t.Context(), "POST", w.URL(), strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer other")
		resp, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var m map[string]string
		_ = json.NewDecoder(resp.Body).Decode(&m)
		other, err := w.connect(m["hub.channel.endpoint"])
		if err != nil {
			t.Fatal(err)
		}
		other.frame()

		w.Fault(hubtest.AcceptedThenRefused, 1)
		if status, body := w.post(w.event("1")); status != 202 || body != "{}" {
			t.Errorf("%d %s", status, body)
		}
		if f := p.frame(); !strings.Contains(f, `"hub.event":"SyncError"`) || !strings.Contains(f, `"code":"1"`) || !strings.Contains(f, `"code":"Patient-open"`) {
			t.Errorf("got %s", f)
		}
		if a, b := p.frame(), other.frame(); a != "nothing" || b != "nothing" {
			t.Errorf("got %s, and the other %s", a, b)
		}
		if _, body := w.get(); !strings.Contains(body, `"context.type":""`) {
			t.Errorf("it has happened: %s", body)
		}
		if status, _ := w.post(w.event("2")); status != 202 || !strings.Contains(p.frame(), `"id":"2"`) || !strings.Contains(other.frame(), `"id":"2"`) {
			t.Errorf("the next: %d", status)
		}
	})
}
