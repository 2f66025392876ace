package hubtest_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// A visit is what a subscriber of a time sees of a hub of that time, from discovery to unsubscribe. What is printed here
// comes from the wire reference alone.
type visit struct {
	discovery    []string // parts of the document; none when it is not there
	notAtAll     string   // is nowhere in it
	events       string   // asked for
	confirmation []string
	open, logout []string // parts of an event that the hub sends
	initial      bool     // who joins is told what is open
	heartbeat    bool
	context      int      // status
	current      []string // parts of it
	withEvents   bool     // an unsubscribe names events
	syncError    []string
	notInError   string
	anonymous    bool // a SyncError has no subscriber
}

func visits() map[hubtest.Fault]visit {
	const eventID = `"code":"2"`
	return map[hubtest.Fault]visit{
		hubtest.Version2019: {events: "open-patient-chart,switch-patient-chart,user-logout,sync-error", withEvents: true, context: 200, current: []string{`"event":{"context":[{"key":"patient"`, `"timestamp":`},
			confirmation: []string{`"hub.events":"open-patient-chart,switch-patient-chart,user-logout,sync-error"`, `"hub.topic":"https://`},
			open:         []string{`"hub.event":"open-patient-chart"`, `"hub.topic":"https://`}, logout: []string{`"hub.event":"user-logout"`, `"context":[]`},
			syncError: []string{`"hub.event":"sync-error"`, `"id":"2"`}, anonymous: true},
		hubtest.Version2020: {events: "patient-open,userlogout,syncerror", withEvents: true, context: 501,
			confirmation: []string{`"hub.events":"patient-open,userlogout,syncerror"`, `"hub.lease-seconds":7200`},
			open:         []string{`"hub.event":"patient-open"`}, logout: []string{`"hub.event":"userlogout"`, `"context":[]`},
			syncError: []string{`"hub.event":"syncerror"`, `"id":"2"`}, anonymous: true},
		hubtest.VersionSTU2: {events: "patient-open,userlogout,syncerror", context: 501,
			discovery: []string{`"eventsSupported":["home-open"`, `"websocketSupport":true`, `"fhircastVersion":"STU2"`, `"webhookSupport":false`}, notAtAll: "etCurrent",
			confirmation: []string{`"hub.events":"patient-open,userlogout,syncerror"`, `"hub.lease_seconds":7200`},
			open:         []string{`"hub.event":"patient-open"`}, logout: []string{`"context":[]`},
			syncError: []string{`"hub.event":"syncerror"`, eventID, "eventname"}, anonymous: true},
		hubtest.Version21: {events: "Patient-open,UserLogout,SyncError,heartbeat", context: 200, initial: true, heartbeat: true,
			discovery: []string{`"fhircastVersion":"STU3"`, `"getCurrentSupport":true`, `"heartbeat"`}, notAtAll: "capabilities",
			confirmation: []string{`"hub.events":"Patient-open,UserLogout,SyncError,heartbeat"`},
			open:         []string{`"hub.event":"Patient-open"`}, logout: []string{`"hub.event":"UserLogout"`, `"context":[]`},
			syncError: []string{`"hub.event":"syncerror"`, eventID, `syncerror/subscriber"`, `"severity":"error"`}, notInError: "subscribername"},
		hubtest.Version2024: {events: "Patient-open,UserLogout,SyncError,heartbeat", context: 200, initial: true, heartbeat: true,
			discovery: []string{`"fhircastVersion":"STU3"`, `"fhirVersion":"R4"`, `"getCurrentSupport":true`}, notAtAll: "capabilities",
			confirmation: []string{`"hub.events":"Patient-open,UserLogout,SyncError,heartbeat"`},
			open:         []string{`"hub.event":"Patient-open"`}, logout: []string{`"hub.event":"UserLogout"`, `"key":"patient"`},
			syncError: []string{`"hub.event":"SyncError"`, eventID, `syncerror/subscribername"`, `"severity":"information"`}, notInError: `/subscriber"`},
	}
}

func TestVersions(t *testing.T) {
	all := visits()
	for _, version := range hubtest.Habits() {
		v, ok := all[version]
		if !ok {
			if strings.HasPrefix(string(version), "version-") && version != hubtest.VersionSTU1 { // see TestVersionSTU1
				t.Errorf("%s is not visited", version)
			}
			continue
		}
		t.Run(string(version), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { newWorld(t).visit(version, v) }) })
	}
}

func (w *world) visit(version hubtest.Fault, v visit) {
	w.Fault(version, -1)
	has := func(what, got string, parts []string) {
		w.Helper()
		for _, part := range parts {
			if !strings.Contains(got, part) {
				w.Errorf("%s: got %s, want %s", what, got, part)
			}
		}
	}
	known, doc, _, err := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", "")
	if err != nil || (known == 200) != (v.discovery != nil) || v.notAtAll != "" && strings.Contains(doc, v.notAtAll) {
		w.Errorf("discovery: %d %s %v", known, doc, err)
	}
	has("discovery", doc, v.discovery)

	topic, publishAt := w.Told(w.topic).Reveal(), w.URL()
	if version == hubtest.Version2019 {
		publishAt = topic
	}
	publish := func(id string) {
		w.Helper()
		name := "Patient-open"
		if version == hubtest.Version2019 {
			name = "open-patient-chart"
		}
		text := `{"timestamp":"2019-05-01T00:00:00Z","id":"` + id + `","event":{"hub.topic":"` + topic + `","hub.event":"` + name + `","context":[` + patient + `]}}`
		if status, body, _, err := w.do("POST", publishAt, "application/json", text); status != 202 || err != nil {
			w.Errorf("publish: %d %s %v", status, body, err)
		}
		if status, _, _, _ := w.do("POST", publishAt, "application/fhir+json", text); status != 415 {
			w.Errorf("a media type of 3.0.0: %d", status)
		}
	}
	publish("1")

	p := w.joinAs(version, topic, v.events, "Viewer")
	refuser := w.joinAs(version, topic, v.events, "Refuser")
	confirmed := p.frame()
	has("confirmation", confirmed, v.confirmation)
	has("confirmation", confirmed, []string{`"hub.topic":"` + topic + `"`, `"hub.mode":"subscribe"`})
	refuser.frame()
	w.drain(v, p)
	w.drain(v, refuser)
	publish("2")
	got := p.frame()
	has("open", got, append(v.open, `"id":"2"`, `"id":"p"`))
	p.answer("2")
	if shares := strings.Contains(got, "context.versionId"); shares != v.initial {
		w.Errorf("content is shared: %t: %s", shares, got)
	}
	refuser.until(`"id":"2"`)
	if err := refuser.conn.WriteMessage(1, []byte(`{"id":"2","status":"500"}`)); err != nil {
		w.Fatal(err)
	}
	failed := p.frame()
	has("SyncError", failed, v.syncError)
	if strings.Contains(failed, "syncerror/subscriber") == v.anonymous || v.notInError != "" && strings.Contains(failed, v.notInError) {
		w.Errorf("who failed: %s", failed)
	}
	status, current := w.get()
	if status != v.context {
		w.Errorf("context: %d", status)
	}
	has("context", current, v.current)
	if err := w.Hub().Publish(w.Context(), w.topic, w.made("bye", "UserLogout", patient)); err != nil {
		w.Fatal(err)
	}
	has("logout", p.frame(), v.logout)
	p.answer("bye")
	refuser.until(`"id":"bye"`)
	refuser.answer("bye")

	time.Sleep(10 * time.Second)
	if f := p.frame(); strings.Contains(f, "heartbeat") != v.heartbeat {
		w.Errorf("heartbeat: %s", f)
	}
	for _, withEvents := range []bool{!v.withEvents, v.withEvents} {
		if v.initial && version == hubtest.Version2024 {
			withEvents = false // it took no notice
		}
		form := url.Values{"hub.mode": {"unsubscribe"}, "hub.topic": {topic}, "hub.channel.endpoint": {p.endpoint}, "hub.channel.type": {"websocket"}}
		if withEvents {
			form.Set("hub.events", v.events)
		}
		status, _, _, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", form.Encode())
		if err != nil || (status == 202) != (withEvents == v.withEvents) {
			w.Errorf("unsubscribe, with events %t: %d, %v", withEvents, status, err)
		}
		if version == hubtest.Version2024 {
			break
		}
	}
	if f := p.frame(); strings.Contains(f, "denied") != (version == hubtest.Version2024) {
		w.Errorf("a denial: %s", f)
	}
}

// joinAs subscribes as one did at that time.
func (w *world) joinAs(version hubtest.Fault, topic, events, name string) *peer {
	w.Helper()
	form := url.Values{"hub.mode": {"subscribe"}, "hub.topic": {topic}, "hub.events": {events}, "subscriber.name": {name}}
	if version != hubtest.Version2019 {
		form.Set("hub.channel.type", "websocket")
	}
	status, body, header, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", form.Encode())
	endpoint := header.Get("Content-Location")
	if version == hubtest.Version2020 && body != "" || version != hubtest.Version2020 && endpoint != "" || status != 202 || err != nil {
		w.Fatalf("subscribe: %d %q %v", status, body, err)
	}
	if endpoint == "" {
		_, endpoint, _ = strings.Cut(body, `"hub.channel.endpoint":"`)
		endpoint = strings.TrimRight(endpoint, `"}`)
	}
	p, err := w.connect(endpoint)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// drain takes what comes by itself after the confirmation: the heartbeat, and what is open.
func (w *world) drain(v visit, p *peer) {
	w.Helper()
	var got []string
	for range 2 {
		got = append(got, p.frame())
	}
	p.answer("1")
	all := strings.Join(got, "\n")
	if strings.Contains(all, `"id":"1"`) != v.initial || strings.Contains(all, "heartbeat") != v.heartbeat {
		w.Errorf("on joining: %s", all)
	}
}

func (p *peer) answer(id string) {
	if err := p.conn.WriteMessage(1, []byte(`{"id":"`+id+`","status":200}`)); err != nil {
		p.Fatal(err)
	}
}

// The two ballots that share content: what is told on joining, and in which shape an update comes.
func TestWhatTheBallotsShare(t *testing.T) {
	for version, want := range map[hubtest.Fault]struct {
		initial int
		method  string
	}{hubtest.Version21: {1, "POST"}, hubtest.Version2024: {2, "PUT"}} {
		t.Run(string(version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(version, -1)
				w.publish("1")
				w.post(w.made("2", "DiagnosticReport-open", report, patient))
				p := w.join("hub.events", "Patient-open,DiagnosticReport-open,DiagnosticReport-update")
				p.frame()
				last := ""
				for range want.initial {
					last = p.frame()
				}
				if f := p.frame(); f != "nothing" || !strings.Contains(last, `"id":"2"`) {
					t.Errorf("told on joining: %s, and then %s", last, f)
				}
				version := versionOf(w, last)
				if status := w.share("3", "update", version, anchorNow, patientRef, updates(put("o"))); status != 400 {
					t.Errorf("an update of 3.0.0: %d", status)
				}
				if status := w.share("4", "update", version, anchorThen, updates(put("o"))); status != 202 {
					t.Errorf("an update of that time: %d", status)
				}
				if f := p.frame(); !strings.Contains(f, `"method":"`+want.method+`"`) || !strings.Contains(f, anchorThen) {
					t.Errorf("got %s", f)
				}
			})
		})
	}
}
