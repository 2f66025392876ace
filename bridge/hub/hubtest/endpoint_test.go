package hubtest_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

func (w *world) form(change ...string) (status int, body string, header func(string) string) {
	w.Helper()
	v := url.Values{"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {w.topic.Reveal()}, "hub.events": {"Patient-open"}}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	status, body, h, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", v.Encode())
	if err != nil {
		w.Fatal(err)
	}
	return status, body, h.Get
}

func TestEndpointInAHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.EndpointInHeader, 1)
		status, body, header := w.form()
		if status != 202 || body != "" || header("Content-Type") != "" {
			t.Errorf("%d %q", status, body)
		}
		p, err := w.connect(header("Content-Location"))
		if err != nil {
			t.Fatal(err)
		}
		if f := p.frame(); !strings.Contains(f, "subscribe") {
			t.Errorf("got %s", f)
		}
	})
}

func TestEndpointThatOutlivesItsSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		p.frame()
		w.Drop("Viewer")
		synctest.Wait()
		if _, err := w.connect(p.endpoint); err == nil {
			t.Error("without the fault it lets somebody in, too")
		}
		w.Fault(hubtest.EndpointOutlivesSocket, -1)
		again, err := w.connect(p.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if f := again.frame(); !strings.Contains(f, "Patient-open,SyncError,heartbeat") {
			t.Errorf("got %s", f)
		}
		w.publish("1")
		if f := again.frame(); !strings.Contains(f, `"id":"1"`) {
			t.Errorf("got %s", f)
		}
		if list := w.Hub().Subscribers(w.topic); len(list) != 1 || list[0].Name != "Viewer" {
			t.Errorf("subscribers: %+v", list)
		}
		if status, endpoint := w.subscribe("hub.channel.endpoint", p.endpoint); status != 202 || endpoint != p.endpoint {
			t.Errorf("a renewal under the address that is known: %d, the same: %t", status, endpoint == p.endpoint)
		}
		if f := again.frame(); !strings.Contains(f, "subscribe") {
			t.Errorf("got %s", f)
		}
		if status, _ := w.subscribe("hub.mode", "unsubscribe", "hub.channel.endpoint", p.endpoint); status != 202 {
			t.Errorf("unsubscribe: %d", status)
		}
		if f := again.frame(); !strings.Contains(f, "denied") {
			t.Errorf("got %s", f)
		}
	})
}

func TestOldEndpointThatStaysSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		p.frame()
		w.Drop("Viewer")
		synctest.Wait()
		w.Fault(hubtest.OldEndpointSilent, 1)
		if status, endpoint := w.subscribe("hub.channel.endpoint", p.endpoint); status != 202 || endpoint != p.endpoint {
			t.Errorf("renewal: %d, the same: %t", status, endpoint == p.endpoint)
		}
		again, err := w.connect(p.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		w.publish("1")
		time.Sleep(time.Hour)
		if f := again.frame(); f != "nothing" {
			t.Errorf("got %s", f)
		}
		if _, err := w.connect(p.endpoint); err == nil {
			t.Error("once is enough")
		}
		if f := w.join().frame(); !strings.Contains(f, "subscribe") {
			t.Errorf("a new one: %s", f)
		}
	})
}

func TestChannelTypeMayBeLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		body := url.Values{"hub.mode": {"subscribe"}, "hub.topic": {w.topic.Reveal()}, "hub.events": {"Patient-open"}}.Encode()
		w.Fault(hubtest.ChannelTypeOptional, 1)
		for _, want := range []int{202, 400} {
			if status, _, _, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", body); status != want || err != nil {
				t.Errorf("%d, %v, want %d", status, err, want)
			}
		}
	})
}

func TestTopicThatIsAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if w.Told(w.topic) != w.topic {
			t.Error("an address without the fault")
		}
		w.Fault(hubtest.TopicIsURL, -1)
		topic := w.Told(w.topic).Reveal()
		if topic != w.URL()+"/"+w.topic.Reveal() {
			t.Fatal("the topic is elsewhere")
		}
		p := w.join("hub.topic", topic)
		if f := p.frame(); !strings.Contains(f, `"hub.topic":"`+topic+`"`) {
			t.Errorf("got %s", f)
		}
		event := strings.Replace(string(w.event("1").Wire()), `"`+w.topic.Reveal()+`"`, `"`+topic+`"`, 1)
		if status, _, _, err := w.do("POST", w.URL(), "application/json", event); status != 202 || err != nil {
			t.Errorf("publish: %d, %v", status, err)
		}
		if f := p.frame(); !strings.Contains(f, `"hub.topic":"`+topic+`"`) || !strings.Contains(f, `"id":"1"`) {
			t.Errorf("got %s", f)
		}
	})
}

func TestUnsubscribes(t *testing.T) {
	for _, row := range []struct {
		fault   hubtest.Fault
		events  string // "" for none
		refused bool
	}{
		{hubtest.UnsubscribeNeedsEvents, "", true},
		{hubtest.UnsubscribeNeedsEvents, "Patient-open", false},
		{hubtest.UnsubscribeWithout, "Patient-open", true},
		{hubtest.UnsubscribeWithout, "", false},
	} {
		t.Run(string(row.fault)+" "+row.events, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				p := w.join()
				p.frame()
				w.Fault(row.fault, -1)
				form := url.Values{"hub.channel.type": {"websocket"}, "hub.mode": {"unsubscribe"}, "hub.topic": {w.topic.Reveal()}, "hub.channel.endpoint": {p.endpoint}}
				if row.events != "" {
					form.Set("hub.events", row.events)
				}
				status, _, _, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", form.Encode())
				if err != nil || (status == 400) != row.refused || (status == 202) == row.refused {
					t.Errorf("%d, %v", status, err)
				}
				if f := p.frame(); (f == "nothing") != row.refused {
					t.Errorf("got %s", f)
				}
			})
		})
	}
}

func TestUnsubscribeWithoutADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.join()
		p.frame()
		w.Fault(hubtest.UnsubscribeNoDenial, 1)
		if status, _ := w.subscribe("hub.mode", "unsubscribe", "hub.channel.endpoint", p.endpoint); status != 202 {
			t.Fatal(status)
		}
		if f := p.frame(); f != "nothing" {
			t.Errorf("got %s", f)
		}
		time.Sleep(10 * time.Second)
		if f := p.frame(); f != "end 1006" {
			t.Errorf("the line goes on: %s", f)
		}
	})
}

// An unsubscribe that names an endpoint which nobody has, at a hub that then denies everybody.
func TestDenialBecauseOfAnUnknownEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.join("subscriber.name", "A"), w.join("subscriber.name", "B")
		a.frame()
		b.frame()
		ask := func() int {
			status, _ := w.subscribe("hub.mode", "unsubscribe", "hub.channel.endpoint", "wss://hub.example.test/fc/ws/nobody")
			return status
		}
		if status := ask(); status != 404 || a.frame() != "nothing" {
			t.Errorf("without the fault: %d", status)
		}
		w.Fault(hubtest.DenyOthers, 1)
		if status := ask(); status != 202 {
			t.Errorf("%d", status)
		}
		for _, p := range []*peer{a, b} {
			if f := p.frame(); !strings.Contains(f, "denied") {
				t.Errorf("got %s", f)
			}
		}
	})
}
