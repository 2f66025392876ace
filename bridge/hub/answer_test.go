package hub_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/hub"
)

// failure is the SyncError that a peer must get next.
func (p *peer) failure(event, subscriber, why string) {
	p.Helper()
	e := p.event()
	if e.Name != "SyncError" {
		p.Fatalf("no SyncError but %s", e)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", e.Timestamp.Raw); err != nil || e.Topic != p.topic {
		p.Errorf("a SyncError of %s, its topic is the session's: %v", e.Timestamp.Raw, e.Topic == p.topic)
	}
	f := e.Failures()
	if len(f) != 1 || f[0].EventID != event || f[0].EventName != "Patient-open" || f[0].Subscriber != subscriber || !strings.Contains(f[0].Diagnostics, why) {
		p.Errorf("got %+v", f)
	}
}

func TestAnswersMakeSyncErrorsForTheOthers(t *testing.T) {
	// FC-ACK-03 FC-ACK-04 FC-ACK-05 FC-ACK-06 FC-ACK-08 FC-ACK-14 FC-ERR-02 FC-ERR-12 FC-EVT-02 FC-EVT-22
	rows := []struct {
		answer string
		status int
		why    string // "" for none
	}{
		{`{"id":"ID","status":200}`, 200, ""},
		{`{"id":"ID","status":"202"}`, 202, ""},
		{`{"id":"ID","status":206}`, 206, ""},
		{`{"id":"ID","timestamp":"2000-01-01T00:00:00Z"}`, 0, ""},
		{`{"id":"ID","status":409}`, 409, "refused to follow (409)"},
		{`{"id":"ID","status":"400"}`, 400, "refused to follow (400)"},
		{`{"id":"ID","status":413}`, 413, "refused to follow (413)"},
		{`{"id":"ID","status":500}`, 500, "could not process the event (500)"},
		{`{"id":"ID","status":302}`, 302, "could not process the event (302)"},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		follows := w.join("all", "subscriber.name", "Follows")
		p := w.join("all", "subscriber.name", "Answers")
		deaf := w.join("all", "hub.events", "Home-open")
		for i, row := range rows {
			id := fmt.Sprint("event ", i)
			w.post(id, "Patient-open", patient("a"))
			follows.event()
			follows.say(`{"id":"` + id + `","status":200}`)
			p.event()
			p.say(strings.Replace(row.answer, "ID", id, 1))
			synctest.Wait()
			p.say(`{"id":"` + id + `","status":500}`) // a second answer changes nothing
			if row.why != "" {
				follows.failure(id, "Answers", row.why)
			}
			follows.nothing(time.Second)
			if last := w.hub.Subscribers(w.topic)[1].Last; last.EventID != id || last.EventName != "Patient-open" || last.Status != row.status {
				t.Errorf("%s: %+v", row.answer, last)
			}
		}
		p.nothing(time.Minute) // never told about itself
		deaf.nothing(time.Second)
	})
}

func TestSyncErrorIsAsTheStandardWantsIt(t *testing.T) {
	// FC-ERR-03 FC-ERR-04 FC-ERR-05 FC-ERR-06 FC-ERR-07 FC-ERR-08 FC-ERR-10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		other, p := w.join("all"), w.join("all", "subscriber.name", "Ward 7")
		w.post("1", "patient-open", patient("a"))
		other.event()
		other.say(`{"id":"1","status":200}`)
		p.event()
		p.say(`{"id":"1","status":409}`)
		var got struct {
			ID    string
			Event struct {
				Topic   string `json:"hub.topic"`
				Name    string `json:"hub.event"`
				Context []struct {
					Key      string
					Resource json.RawMessage
				}
			}
		}
		if err := json.Unmarshal([]byte(other.frame()), &got); err != nil {
			t.Fatal(err)
		}
		const system = "https://fhircast.hl7.org/events/syncerror/"
		want := `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing","diagnostics":"Ward 7: refused to follow (409)","details":{"coding":[` +
			`{"system":"` + system + `eventid","code":"1"},{"system":"` + system + `eventname","code":"Patient-open"},` +
			`{"system":"` + system + `subscribername","code":"Ward 7"},{"system":"` + system + `subscriber","code":"Ward 7"}]}}]}`
		if e := got.Event; got.ID == "1" || e.Topic != w.topic.Reveal() || e.Name != "SyncError" || len(e.Context) != 1 ||
			e.Context[0].Key != "operationoutcome" || string(e.Context[0].Resource) != want {
			t.Errorf("got %+v\n%s\nwant %s", e, e.Context[0].Resource, want)
		}
	})
}

func TestSilentSubscriberIsGivenUpAfterTenSeconds(t *testing.T) {
	// FC-ACK-09 FC-HGS-02 FC-HGS-03
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		other, p := w.join("all"), w.join("all", "subscriber.name", "Silent")
		start := time.Now()
		w.post("1", "Patient-open", patient("a"))
		other.event()
		other.say(`{"id":"1","status":202}`)
		p.event()
		other.failure("1", "Silent", "no answer within 10 s")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("after %v", d)
		}
		if f := p.frame(); !strings.Contains(f, "denied") || !strings.Contains(f, "no answer within 10 s") {
			t.Errorf("got %s", f)
		}
		p.ended(1008)
		other.nothing(time.Minute) // one SyncError, not another for the close
		if n := len(w.hub.Subscribers(w.topic)); n != 1 {
			t.Errorf("%d subscribers", n)
		}
	})
}

func TestLeavingIsToldUnlessItIsProper(t *testing.T) {
	// FC-HGS-01 FC-HGS-03 FC-HGS-04
	for _, row := range []struct {
		name  string
		leave func(p *peer)
		told  bool
	}{
		{"close 1000", closeWith(1000), false},
		{"close 1001", closeWith(1001), false},
		{"close 1011", closeWith(1011), true},
		{"close without code", closeWith(1005), true},
		{"a line that breaks", func(p *peer) { p.conn.NetConn().Close() }, true},
		{"a frame that is too large", func(p *peer) { p.say(strings.Repeat("x", 65<<10)) }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Config{})
				other, p := w.join("all"), w.join("all", "subscriber.name", "Leaves")
				w.post("1", "Patient-open", patient("a"))
				for _, q := range []*peer{other, p} {
					q.event()
					q.say(`{"id":"1","status":200}`)
				}
				synctest.Wait()
				row.leave(p)
				if row.told {
					other.failure("1", "Leaves", "connection lost")
				}
				other.nothing(time.Minute)
				if n := len(w.hub.Subscribers(w.topic)); n != 1 {
					t.Errorf("%d subscribers", n)
				}
				if _, err := w.connect(p.endpoint, nil); err == nil {
					t.Error("its endpoint still works")
				}
			})
		})
	}
}

func closeWith(code int) func(p *peer) {
	return func(p *peer) {
		_ = p.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	}
}

func TestAnswerAfterTheEndIsIgnored(t *testing.T) {
	// FC-HGS-04
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		other, p := w.join("all"), w.join("all")
		w.post("1", "Patient-open", patient("a"))
		other.event()
		other.say(`{"id":"1","status":200}`)
		p.event()
		p.mute.Store(true)
		w.do("POST", "/fc", "all", formType, w.form("hub.mode", "unsubscribe", "hub.channel.endpoint", p.endpoint))
		p.say(`{"id":"1","status":409}`)
		other.nothing(time.Minute)
	})
}

func TestSyncErrorIsNeverAboutASyncError(t *testing.T) {
	// FC-ACK-12 FC-REQ-05
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		peers := []*peer{w.join("all"), w.join("all"), w.join("all")}
		w.post("1", "SyncError", `[{"key":"operationoutcome","resource":{"resourceType":"OperationOutcome"}}]`)
		for _, p := range peers {
			if e := p.event(); e.ID != "1" {
				t.Errorf("got %s", e)
			}
		}
		peers[0].say(`{"id":"1","status":500}`)
		peers[1].say(`{"id":"1","status":409}`)
		for _, p := range peers { // the third never answers
			p.nothing(time.Minute)
		}
	})
}

func TestDeadLineIsFoundWithin25Seconds(t *testing.T) {
	// FC-HGS-01
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		other, p := w.join("all"), w.join("all", "subscriber.name", "Dead")
		w.post("1", "Patient-open", patient("a"))
		for _, q := range []*peer{other, p} {
			q.event()
			q.say(`{"id":"1","status":200}`)
		}
		synctest.Wait()
		p.mute.Store(true)
		other.failure("1", "Dead", "connection lost")
		if d := time.Since(w.start); d > 26*time.Second || d < 20*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestUnreadableFramesFromASubscriberAreCountedOnly(t *testing.T) {
	// FC-GEN-07
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all")
		for _, text := range []string{"", "{", "[]", "null", `{"hub.mode":"subscribe"}`, strings.Repeat("[", 60000), `{"id":7,"status":200}`} {
			p.say(text)
		}
		if err := p.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"id":"1","status":200}`)); err != nil {
			t.Fatal(err)
		}
		w.post("1", "Patient-open", patient("a"))
		if e := p.event(); e.ID != "1" {
			t.Errorf("got %s", e)
		}
		p.say(`{"id":"1","status":200}`)
		synctest.Wait()
		n := 0
		for _, e := range w.hub.Log(w.topic, 0) {
			if e.What == "unreadable" {
				n++
			}
		}
		if n != 8 {
			t.Errorf("%d counted", n)
		}
	})
}
