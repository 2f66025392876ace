package hubtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

func TestWithoutFaultsItIsTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		if f := p.frame(); !strings.Contains(f, `"hub.events":"Patient-open,SyncError,heartbeat"`) {
			t.Errorf("got %s", f)
		}
		w.publish("1")
		if f := p.frame(); unversioned(f) != string(w.event("1").Wire()) {
			t.Errorf("got %s", f)
		}
		if err := p.conn.WriteMessage(1, []byte(`{"id":"1","status":"202"}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a := w.Answers("1"); len(a) != 1 || a[0].Status != 202 || a[0].Subscriber != "Viewer" || w.Hub().Subscribers(w.topic)[0].Last.Status != 202 {
			t.Errorf("answers: %+v", a)
		}
		time.Sleep(time.Hour) // pings and pongs pass, too
		w.publish("2")
		if f := p.frame(); !strings.Contains(f, `"id":"2"`) {
			t.Errorf("an hour later: %s", f)
		}
		requests := w.Requests("")
		if len(requests) != 2 || requests[0].On != hubtest.Subscribe || requests[0].Status != 202 || requests[1].On != hubtest.Connect || requests[1].Status != 101 {
			t.Errorf("requests: %+v", requests)
		}
		if q := requests[0]; q.Token.Reveal() != hubtest.Token || q.Header.Get("Authorization") != "" || q.Form.Get("subscriber.name") != "Viewer" {
			t.Errorf("request: %+v", q)
		}
	})
}

// What a subscriber gets to see of each fault: of the confirmation, and then of one event with id "1". Each happens once.
func TestFaultsOfTheSocket(t *testing.T) {
	const event = `"id":"1"`
	for _, row := range []struct {
		fault hubtest.Fault
		want  []string // of each frame, a part
	}{
		{hubtest.NeverConfirm, []string{event}},
		{hubtest.ConfirmOtherTopic, []string{`"hub.topic":"T-other"`, event}},
		{hubtest.ConfirmNoEvents, []string{`"hub.events":""`, event}},
		{hubtest.EventTwice, []string{"subscribe", event, event, event}},
		{hubtest.EventOld, []string{"subscribe", `"timestamp":"1999-12-31T00:00:00.000Z"`, event}},
		{hubtest.EventFragmented, []string{"subscribe", event}},
		{hubtest.FrameForeignTopic, []string{"subscribe", `"hub.topic":"T-foreign"`, event}},
		{hubtest.FrameUnasked, []string{"subscribe", "Slot-open", event}},
		{hubtest.FrameNotJSON, []string{"subscribe", "<html>", event}},
		{hubtest.FrameEmpty, []string{"subscribe", "", event}},
		{hubtest.FrameBinary, []string{"subscribe", "binary:", event}},
		{hubtest.FrameHuge, []string{"subscribe", `"id":"huge"`, event}},
		{hubtest.FrameTwoNames, []string{"subscribe", `"hub.event":"Patient-open","hub.event":"Patient-close"`, event}},
		{hubtest.FrameWrongType, []string{"subscribe", `"context":"none"`, event}},
		{hubtest.Drop, []string{"subscribe", "end 1006"}},
		{hubtest.Silent, []string{"subscribe", "nothing", "nothing"}},
		{hubtest.Deny, []string{"subscribe", `"hub.mode":"denied"`, "end 1000"}},
		{hubtest.CloseRestart, []string{"subscribe", "end 1012"}},
		{hubtest.CloseInternal, []string{"subscribe", "end 1011"}},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(row.fault, 1)
				p := w.join()
				synctest.Wait()
				w.publish("1")
				for i, want := range row.want {
					if i == 2 && row.fault != hubtest.EventTwice || i == 3 {
						w.publish("1") // it happened once: the next is as it should be
					}
					if got := p.frame(); !strings.Contains(got, want) || want == "" && got != "" {
						t.Errorf("frame %d: %.200q, want %q in it", i, got, want)
					}
				}
				if pinged := p.pings.Load() == 1; pinged != (row.fault == hubtest.EventFragmented) {
					t.Errorf("%d pings", p.pings.Load())
				}
			})
		})
	}
}

func TestSilentLineIsNotClosed(t *testing.T) {
	// FC-HGS-07
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		p.frame()
		w.Silence("Viewer")
		time.Sleep(time.Hour)
		if list := w.Hub().Subscribers(w.topic); len(list) != 0 {
			t.Errorf("the hub has not noticed: %+v", list)
		}
		if f := p.frame(); f != "nothing" {
			t.Errorf("the subscriber was told: %q", f)
		}
	})
}

func TestFaultsOfSubscribing(t *testing.T) {
	for _, row := range []struct {
		fault hubtest.Fault
		want  func(endpoint string) bool
	}{
		{hubtest.EndpointPlain, func(e string) bool { return strings.HasPrefix(e, "ws://hub.example.test/fc/ws/") }},
		{hubtest.EndpointForeign, func(e string) bool { return strings.HasPrefix(e, "wss://elsewhere.example.test/fc/ws/") }},
		{hubtest.EndpointMissing, func(e string) bool { return e == "" }},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(row.fault, 1)
				if status, endpoint := w.subscribe(); status != 202 || !row.want(endpoint) {
					t.Errorf("%d %s", status, endpoint)
				}
				if status, endpoint := w.subscribe(); status != 202 || !strings.HasPrefix(endpoint, "wss://hub.example.test/fc/ws/") {
					t.Errorf("the next: %d %s", status, endpoint)
				}
			})
		})
	}
}

func TestRenewalMovesOn(t *testing.T) {
	// FC-CNF-11
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		p.frame()
		w.Fault(hubtest.RenewalMovesOn, 1)
		status, endpoint := w.subscribe("hub.channel.endpoint", p.endpoint)
		if status != 202 || endpoint == p.endpoint {
			t.Fatalf("%d, the same: %t", status, endpoint == p.endpoint)
		}
		if q := w.Requests(hubtest.Subscribe)[1]; q.Form.Get("hub.channel.endpoint") != p.endpoint {
			t.Error("the request is not kept as it came")
		}
		second, err := w.connect(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if f := second.frame(); !strings.Contains(f, "subscribe") {
			t.Errorf("got %s", f)
		}
		w.publish("1")
		if a, b := p.frame(), second.frame(); !strings.Contains(a, `"id":"1"`) || a != b {
			t.Errorf("got %s and %s", a, b)
		}
	})
}

func TestFaultsOfTheContext(t *testing.T) {
	// FC-GCC-01
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("1")
		get := func() (int, string, string) {
			status, body, header, err := w.do("GET", w.URL()+"/"+w.topic.Reveal(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			return status, header.Get("Content-Type"), body
		}
		for _, row := range []struct {
			fault  hubtest.Fault
			status int
			kind   string
			part   string
		}{
			{hubtest.ContextHTML, 200, "text/html", "<title>"},
			{hubtest.ContextOtherPatient, 200, "application/json", `"id":"other"`},
			{"", 200, "application/json", `"id":"p"`},
		} {
			w.Fault(row.fault, 1)
			if status, kind, body := get(); status != row.status || kind != row.kind || !strings.Contains(body, row.part) {
				t.Errorf("%s: %d %s %s", row.fault, status, kind, body)
			}
		}
		w.Fault(hubtest.ContextNotOffered, -1)
		_, doc, _, err := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", "")
		if err != nil || strings.Contains(doc, "etCurrent") || !strings.Contains(doc, "eventsSupported") {
			t.Errorf("still advertised: %s %v", doc, err)
		}
		for range 2 {
			if status, _, _ := get(); status != 501 {
				t.Errorf("got %d", status)
			}
		}
		w.Clear()
		if status, _, _ := get(); status != 200 {
			t.Errorf("cleared: %d", status)
		}
	})
}

func TestReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		post := func(id string) (int, string, error) {
			status, _, header, err := w.do("POST", w.URL(), "application/json", string(w.event(id).Wire()))
			return status, header.Get("Retry-After"), err
		}
		p := w.join()
		p.frame()

		w.Reply(hubtest.Publish, hubtest.Reply{Status: 503, RetryAfter: 2 * time.Minute}, 2)
		w.Reply(hubtest.Publish, hubtest.Reply{Status: 401}, 1)
		for _, want := range []int{503, 503, 401} {
			if status, after, err := post("1"); status != want || (after == "120") != (want == 503) || err != nil {
				t.Errorf("%d %q %v, want %d", status, after, err, want)
			}
		}
		if f := p.frame(); f != "nothing" {
			t.Errorf("refused and yet sent: %s", f)
		}
		if status, _, _ := post("2"); status != 202 || !strings.Contains(p.frame(), `"id":"2"`) {
			t.Errorf("after them: %d", status)
		}

		w.Reply(hubtest.Publish, hubtest.Reply{Lose: true}, 1)
		if status, _, err := post("3"); err == nil {
			t.Errorf("the answer was not lost: %d", status)
		}
		if f := p.frame(); !strings.Contains(f, `"id":"3"`) {
			t.Errorf("and yet it was taken: %s", f)
		}

		w.Reply(hubtest.Publish, hubtest.Reply{Delay: 20 * time.Second}, 1)
		w.Reply(hubtest.Publish, hubtest.Reply{Late: 20 * time.Second}, 1)
		for range 2 {
			start := time.Now()
			if status, _, _ := post("4"); status != 202 || time.Since(start) != 20*time.Second {
				t.Errorf("%d after %v", status, time.Since(start))
			}
		}
		w.client.Timeout = 10 * time.Second
		w.Reply(hubtest.Publish, hubtest.Reply{Delay: time.Minute}, 1)
		if _, _, err := post("5"); err == nil {
			t.Error("no timeout")
		}
		if q := w.Requests(hubtest.Publish); len(q) != 8 || !strings.Contains(string(q[7].Body), `"id":"5"`) || q[7].Status != 0 {
			t.Errorf("requests: %d", len(q))
		}

		w.Reply(hubtest.Connect, hubtest.Reply{Status: 404}, 1)
		_, endpoint := w.subscribe()
		if _, err := w.connect(endpoint); err == nil {
			t.Error("the socket was let in")
		}
		if again, err := w.connect(endpoint); err != nil || !strings.Contains(again.frame(), "subscribe") {
			t.Errorf("the next: %v", err)
		}
	})
}

func TestDenialBecauseOfSomebodyElse(t *testing.T) {
	// FC-UNS-11
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.join("subscriber.name", "A"), w.join("subscriber.name", "B")
		a.frame()
		b.frame()
		w.Fault(hubtest.DenyOthers, 1)
		if status, _ := w.subscribe("hub.mode", "unsubscribe", "hub.channel.endpoint", a.endpoint); status != 202 {
			t.Fatal(status)
		}
		if f := a.frame(); !strings.Contains(f, `"hub.reason":"unsubscribed"`) {
			t.Errorf("the one who unsubscribed: %s", f)
		}
		if f := b.frame(); !strings.Contains(f, `"hub.reason":"a subscriber has unsubscribed"`) {
			t.Errorf("the other: %s", f)
		}
		if f := b.frame(); f != "end 1000" {
			t.Errorf("got %s", f)
		}
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("1")
		for _, forget := range []bool{false, true} {
			p := w.join()
			p.frame()
			p.frame() // the open of "1"
			if err := w.Restart(t.Context(), forget); err != nil {
				t.Fatal(err)
			}
			if f := p.frame(); f != "end 1006" {
				t.Errorf("got %s", f)
			}
			if _, err := w.connect(p.endpoint); err == nil {
				t.Error("the endpoint is still valid")
			}
			if status, _ := w.subscribe("hub.channel.endpoint", p.endpoint); status != 404 {
				t.Errorf("renewal: %d", status)
			}
		}
		p := w.join()
		if f := p.frame(); !strings.Contains(f, "subscribe") {
			t.Errorf("got %s", f)
		}
		if f := p.frame(); f != "nothing" {
			t.Errorf("not forgotten: %s", f)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	// FC-HGS-08
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, deaf := w.join(), w.join("hub.events", "Patient-open")
		p.frame()
		deaf.frame()
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		if err := w.Heartbeat(ctx, w.topic, 10*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		for range 3 {
			if f := p.frame(); !strings.Contains(f, `"hub.event":"heartbeat","context":[{"key":"period","decimal":10}]`) {
				t.Errorf("got %s", f)
			}
		}
		if a, b := p.frame(), deaf.frame(); a != "nothing" || b != "nothing" {
			t.Errorf("got %s and %s", a, b)
		}
	})
}

func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.join("subscriber.name", "A"), w.join("subscriber.name", "B")
		a.frame()
		b.frame()
		w.Send("B", "hello")
		if f := b.frame(); f != "hello" {
			t.Errorf("got %s", f)
		}
		w.Drop("A")
		if f := a.frame(); f != "end 1006" {
			t.Errorf("got %s", f)
		}
		w.Deny("", "because")
		if f := b.frame(); !strings.Contains(f, `"hub.reason":"because"`) {
			t.Errorf("got %s", f)
		}
		if f := b.frame(); f != "end 1000" {
			t.Errorf("got %s", f)
		}
		synctest.Wait()
		last := w.Answers("")
		if len(last) == 0 || last[len(last)-1].Closed != 1000 || last[len(last)-1].Subscriber != "B" {
			t.Errorf("answers: %+v", last)
		}
	})
}
