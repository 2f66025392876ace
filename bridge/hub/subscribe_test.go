package hub_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub"
)

func TestSubscribeIsConfirmedOnItsSocket(t *testing.T) {
	// FC-SUB-15 FC-SUB-17 FC-CNF-02 FC-CNF-03 FC-GEN-01 FC-GEN-03 FC-GEN-05
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		a := w.endpoint("all", "hub.events", "patient-OPEN, SyncError,Patient-open,Heartbeat", "hub.lease_seconds", "600")
		if kind := w.kind.Load(); kind != "application/json" {
			t.Errorf("accepted in %v", kind)
		}
		b := w.endpoint("all")
		secret, ok := strings.CutPrefix(a, "wss://hub.example.test/fc/ws/")
		if !ok || len(secret) < 26 {
			t.Errorf("endpoint %q", a)
		}
		w.unlike(a[len("wss://hub.example.test/fc/ws/"):], b[len("wss://hub.example.test/fc/ws/"):])
		p, err := w.connect(a, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"hub.mode":"subscribe","hub.topic":"` + w.topic.Reveal() + `","hub.events":"patient-OPEN,SyncError","hub.lease_seconds":600}`
		if got := p.frame(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		list := w.hub.Subscribers(w.topic)
		if len(list) != 1 || list[0].Name != "Viewer" || len(list[0].Events) != 2 || !list[0].Since.Equal(time.Now()) {
			t.Errorf("subscribers: %+v", list)
		}
	})
}

func TestSubscribeRefusals(t *testing.T) {
	// FC-SUB-03 FC-SUB-04 FC-SUB-05 FC-SUB-08 FC-SUB-16 FC-SUB-18 FC-UNS-06 FC-GEN-01 FC-GEN-05 FC-DISC-01
	rows := []struct {
		name   string
		token  string
		change []string
		status int
		text   string
	}{
		{"no channel type", "all", []string{"hub.channel.type", ""}, 400, "hub.channel.type"},
		{"a webhook", "all", []string{"hub.channel.type", "webhook"}, 400, "hub.channel.type"},
		{"no mode", "all", []string{"hub.mode", ""}, 400, "hub.mode"},
		{"no topic", "all", []string{"hub.topic", ""}, 400, "hub.topic"},
		{"no events", "all", []string{"hub.events", " , "}, 400, "hub.events"},
		{"a lease of words", "all", []string{"hub.lease_seconds", "soon"}, 400, "hub.lease_seconds"},
		{"a lease of nothing", "all", []string{"hub.lease_seconds", "0"}, 400, "hub.lease_seconds"},
		{"a topic that is not there", "all", []string{"hub.topic", "T-7f3a"}, 404, "no such topic"},
		{"an endpoint that is not there", "all", []string{"hub.channel.endpoint", "wss://hub.example.test/fc/ws/x"}, 404, "endpoint"},
		{"events that the hub does not know", "all", []string{"hub.events", "Observation-update"}, 400, "eventsSupported"},
		{"events beyond the scopes", "reader", []string{"hub.events", "UserLogout"}, 403, "scope"},
		{"somebody else's topic", "bob", nil, 403, "not for this topic"},
		{"no token", "", nil, 401, "bearer"},
		{"a wrong token", "guess", nil, 401, "token"},
		{"an endless name", "all", []string{"subscriber.name", strings.Repeat("x", 201)}, 400, "subscriber.name"},
		{"unsubscribe without endpoint", "all", []string{"hub.mode", "unsubscribe"}, 400, "hub.channel.endpoint"},
		{"unsubscribe of nothing", "all", []string{"hub.mode", "unsubscribe", "hub.channel.endpoint", "wss://x"}, 404, "endpoint"},
		{"unsubscribe on somebody else's topic", "bob", []string{"hub.mode", "unsubscribe", "hub.channel.endpoint", "wss://x"}, 403, "topic"},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		for _, row := range rows {
			status, body := w.do("POST", "/fc", row.token, formType, w.form(row.change...))
			if status != row.status || !strings.Contains(body, row.text) {
				t.Errorf("%s: %d %q, want %d with %q", row.name, status, body, row.status, row.text)
			}
			if kind := w.kind.Load(); kind != "text/plain; charset=utf-8" {
				t.Errorf("%s: refused in %v", row.name, kind)
			}
		}
		for _, other := range []string{strings.ToLower(w.topic.Reveal()), w.topic.Reveal() + " ", " " + w.topic.Reveal(), w.topic.Reveal()[1:]} {
			if status, _ := w.do("POST", "/fc", "all", formType, w.form("hub.topic", other)); status != 404 {
				t.Errorf("almost the topic: %d", status)
			}
		}
		for _, kind := range []string{"", "text/plain", "multipart/form-data; boundary=x"} {
			if status, _ := w.do("POST", "/fc", "all", kind, w.form()); status != 415 {
				t.Errorf("a form as %q: %d", kind, status)
			}
		}
		twice := w.form() + "&hub.events=Patient-open"
		if status, body := w.do("POST", "/fc", "all", formType, twice); status != 400 || !strings.Contains(body, "more than once") {
			t.Errorf("a parameter twice: %d %q", status, body)
		}
		if status, _ := w.do("POST", "/fc?"+w.form(), "all", formType, ""); status != 400 {
			t.Errorf("parameters in the query: %d", status)
		}
	})
}

func TestScopesDecideWhatIsGrantedAndSent(t *testing.T) {
	// FC-SCOPE-05 FC-SCOPE-06 FC-CNF-03 FC-INI-02
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p, err := w.connect(w.endpoint("reader", "hub.events", "Encounter-open,Patient-open"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.frame(); !strings.Contains(got, `"hub.events":"Patient-open"`) {
			t.Errorf("granted: %s", got)
		}
		w.post("e1", "Encounter-open", `[{"key":"encounter","resource":{"resourceType":"Encounter","id":"e"}}]`)
		p.nothing(time.Second)
	})
}

func TestEndpointIsForOneSocketAndForAMinute(t *testing.T) {
	// FC-SEC-02 FC-SEC-04 FC-SUB-17 FC-SUB-19
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		endpoint := w.endpoint("all")
		// A page of another origin that knows the address is let in, without a token, one that knows it not would not be:
		// what counts is the address, whoever subscribed.
		p, err := w.connect(endpoint, http.Header{"Origin": {"https://elsewhere.example"}})
		if err != nil {
			t.Fatal(err)
		}
		p.frame()
		if _, err := w.connect(endpoint, nil); err == nil || !strings.HasPrefix(err.Error(), "409") {
			t.Errorf("second socket: %v", err)
		}
		late := w.endpoint("all")
		time.Sleep(time.Minute)
		if _, err := w.connect(late, nil); err == nil || !strings.HasPrefix(err.Error(), "404") {
			t.Errorf("after a minute: %v", err)
		}
		if _, err := w.connect("wss://hub.example.test/fc/ws/guess", nil); err == nil || !strings.HasPrefix(err.Error(), "404") {
			t.Errorf("guessed: %v", err)
		}
		if status, _ := w.do("GET", strings.TrimPrefix(w.endpoint("all"), "wss://hub.example.test"), "all", "", ""); status != 426 {
			t.Errorf("without upgrade: %d", status)
		}
	})
}

func TestNewSubscriberIsToldWhatIsOpen(t *testing.T) {
	// FC-INI-01 FC-INI-02 FC-INI-03
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		study := `[{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s"}}]`
		w.post("1", "Patient-open", patient("a"))
		w.post("2", "Patient-open", patient("b"))
		w.post("3", "ImagingStudy-open", study)
		w.post("4", "Patient-open", patient("c"))
		w.post("5", "Patient-close", patient("c"))
		opened := time.Now()
		time.Sleep(time.Hour)
		ids := func(change ...string) []string {
			var list []string
			p := w.join("all", change...)
			synctest.Wait()
			for len(p.frames) > 0 {
				e := p.event()
				if !e.Timestamp.At.Equal(opened) {
					t.Errorf("%s has the time %s, not that of the event", e.ID, e.Timestamp.Raw)
				}
				list = append(list, e.ID)
			}
			return list
		}
		if got := strings.Join(ids("hub.events", "Patient-open,ImagingStudy-open"), " "); got != "2 3" {
			t.Errorf("got %q", got)
		}
		if got := strings.Join(ids("hub.events", "ImagingStudy-open,Patient-close"), " "); got != "3" {
			t.Errorf("got %q", got)
		}
	})
}

func TestLeaseIsNoLongerThanTheToken(t *testing.T) {
	// FC-SUB-09 FC-SUB-10 FC-CNF-04 FC-DEN-02 FC-DEN-04
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		endpoint := w.endpoint("short", "hub.lease_seconds", "3600") // the token has 90 s
		time.Sleep(10 * time.Second)
		p, err := w.connect(endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.frame(); !strings.Contains(got, `"hub.lease_seconds":80`) {
			t.Errorf("got %s", got)
		}
		w.post("1", "Patient-open", patient("a"))
		p.event()
		p.say(`{"id":"1","status":200}`)
		time.Sleep(80*time.Second - time.Nanosecond)
		synctest.Wait()
		if len(p.frames) != 0 {
			t.Error("ended before its time")
		}
		want := `{"hub.mode":"denied","hub.topic":"` + w.topic.Reveal() + `","hub.events":"Patient-open,Patient-close,Home-open,SyncError","hub.reason":"the lease has ended"}`
		if got := p.frame(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		p.ended(1000)
		if list := w.hub.Subscribers(w.topic); len(list) != 0 {
			t.Errorf("still there: %+v", list)
		}
		if status, _ := w.do("POST", "/fc", "short", formType, w.form()); status != 401 {
			t.Errorf("with the token that expired: %d", status)
		}
	})
}

func TestRenewalReplacesTheList(t *testing.T) {
	// FC-SUB-14 FC-CNF-05
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all", "hub.lease_seconds", "60")
		time.Sleep(50 * time.Second)
		if again := w.endpoint("all", "hub.channel.endpoint", p.endpoint, "hub.events", "Patient-close", "hub.lease_seconds", "60"); again != p.endpoint {
			t.Errorf("another endpoint: %s", again)
		}
		if got := p.frame(); !strings.Contains(got, `"hub.events":"Patient-close","hub.lease_seconds":60`) {
			t.Errorf("got %s", got)
		}
		if elsewhere, err := w.hub.NewTopic(t.Context(), "ann"); err != nil {
			t.Error(err)
		} else if status, _ := w.do("POST", "/fc", "all", formType, w.form("hub.channel.endpoint", p.endpoint, "hub.topic", elsewhere.Reveal())); status != 404 {
			t.Errorf("renewed on another topic: %d", status)
		}
		w.post("1", "Patient-open", patient("a"))
		w.post("2", "Patient-close", patient("a"))
		if e := p.event(); e.ID != "2" {
			t.Errorf("got %s", e)
		}
		p.say(`{"id":"2","status":200}`)
		p.nothing(59 * time.Second) // the first lease is over, the second is not
		if !strings.Contains(p.frame(), "denied") {
			t.Error("no end of the lease")
		}
	})
}

func TestUnsubscribeEndsTheSocketForGood(t *testing.T) {
	// FC-UNS-05 FC-UNS-07 FC-DEN-04 FC-HGS-04
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		other, p := w.join("all"), w.join("all")
		w.post("1", "Patient-open", patient("a"))
		other.event()
		other.say(`{"id":"1","status":200}`)
		p.event() // and does not answer: it is gone before it has to
		status, body := w.do("POST", "/fc", "all", formType, w.form("hub.mode", "unsubscribe", "hub.channel.endpoint", p.endpoint, "hub.events", ""))
		if status != 202 || body != `{"hub.channel.endpoint":"`+p.endpoint+`"}` {
			t.Errorf("%d %s", status, body)
		}
		if got := p.frame(); !strings.Contains(got, `"hub.mode":"denied"`) || !strings.Contains(got, `"hub.reason":"unsubscribed"`) {
			t.Errorf("got %s", got)
		}
		p.ended(1000)
		if _, err := w.connect(p.endpoint, nil); err == nil || !strings.HasPrefix(err.Error(), "404") {
			t.Errorf("the endpoint still works: %v", err)
		}
		if status, _ := w.do("POST", "/fc", "all", formType, w.form("hub.channel.endpoint", p.endpoint)); status != 404 {
			t.Errorf("renewed after the end: %d", status)
		}
		other.nothing(time.Minute)
	})
}
