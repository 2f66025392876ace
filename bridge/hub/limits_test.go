package hub_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/hub"
)

func TestSlowReaderIsCutOffAndOthersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{Queue: 4})
		other := w.join("all")
		near, far := net.Pipe()
		w.dial <- far
		endpoint := w.endpoint("all", "subscriber.name", "Slow")
		u := "ws" + strings.TrimPrefix(endpoint, "wss")
		d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return near, nil }}
		conn, resp, err := d.Dial(u, nil) // and never reads: the hub's first write waits
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		defer conn.Close()
		synctest.Wait()
		for i := range 4 {
			w.post(fmt.Sprint(i), "Patient-open", patient("a"))
			other.event()
			other.say(fmt.Sprintf(`{"id":"%d","status":200}`, i))
		}
		other.nothing(time.Second)
		w.post("too many", "Patient-open", patient("a"))
		for range 2 { // the event and the SyncError, in either order
			if e := other.event(); e.Name == "SyncError" {
				if f := e.Failures()[0]; f.EventID != "too many" || f.Subscriber != "Slow" || !strings.Contains(f.Diagnostics, "does not keep up") {
					t.Errorf("got %+v", f)
				}
			} else {
				other.say(`{"id":"too many","status":200}`)
			}
		}
		if n := len(w.hub.Subscribers(w.topic)); n != 1 {
			t.Errorf("%d subscribers", n)
		}
		if _, frame, err := conn.ReadMessage(); err != nil || !strings.Contains(string(frame), "subscribe") {
			t.Errorf("the frame that was under way: %s, %v", frame, err)
		}
		if _, frame, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
			t.Errorf("got %s, %v", frame, err)
		}
	})
}

func TestTopicHasSoManySubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{PerTopic: 2})
		p := w.join("all")
		w.endpoint("all") // never connected
		if status, body := w.do("POST", "/fc", "all", formType, w.form()); status != 429 {
			t.Errorf("third: %d %s", status, body)
		}
		if again := w.endpoint("all", "hub.channel.endpoint", p.endpoint); again != p.endpoint {
			t.Error("a renewal is no third one")
		}
		time.Sleep(time.Minute)
		w.endpoint("all") // in place of the one that never came
	})
}

func TestLogAndWatchTellWhatHappenedWithoutPHI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		changed, stop := w.hub.Watch(t.Context(), w.topic)
		p := w.join("all")
		w.post("1", "Patient-open", patient("a"))
		p.event()
		p.say(`{"id":"1","status":409}`)
		synctest.Wait()
		w.endpoint("all", "hub.channel.endpoint", p.endpoint)
		p.frame()
		closeWith(1000)(p)
		synctest.Wait()
		var got []string
		for _, e := range w.hub.Log(w.topic, 0) {
			got = append(got, fmt.Sprint(e.Number, " ", e.What, " ", e.Subscriber, " ", e.EventID, " ", e.Status, " ", e.Detail))
		}
		want := []string{"1 subscribed Viewer  0 ", "2 published  1 0 ", "3 answered Viewer 1 409 ",
			"4 syncerror Viewer 1 0 refused to follow (409)", "5 renewed Viewer  0 ", "6 gone Viewer  0 has left"}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if rest := w.hub.Log(w.topic, 5); len(rest) != 1 || rest[0].Number != 6 {
			t.Errorf("after 5: %+v", rest)
		}
		if n := len(changed); n != 1 {
			t.Errorf("a watcher that slept has %d wakes", n)
		}
		stop()
		<-changed
		w.post("2", "Patient-open", patient("a"))
		if len(changed) != 0 {
			t.Error("told after stop")
		}
		for i := range 300 {
			w.post(fmt.Sprint("more ", i), "Home-open", "[]")
		}
		if all := w.hub.Log(w.topic, 0); len(all) != 256 || all[255].EventID != "more 299" {
			t.Errorf("%d entries", len(all))
		}
		for _, secret := range []string{w.topic.Reveal(), p.endpoint[len(p.endpoint)-26:], "Zyxcanary"} {
			if strings.Contains(w.logs.String(), secret) || strings.Contains(fmt.Sprint(w.hub.Log(w.topic, 0), w.hub.Subscribers(w.topic)), secret) {
				t.Errorf("%q is in a log", secret)
			}
		}
		if !strings.Contains(w.logs.String(), "subscriber did not follow") {
			t.Errorf("log: %s", w.logs)
		}
	})
}

func TestCloseEndsSocketsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all")
		pending := w.endpoint("all")
		w.hub.Close()
		p.ended(1001)
		if status, _ := w.do("POST", "/fc", "all", formType, w.form()); status != 503 {
			t.Errorf("subscribe: %d", status)
		}
		if _, err := w.connect(pending, nil); err == nil || !strings.HasPrefix(err.Error(), "503") {
			t.Errorf("connect: %v", err)
		}
		if err := w.hub.Publish(t.Context(), w.topic, w.draft("1", "Patient-open", patient("a"))); err == nil {
			t.Error("published")
		}
		w.hub.Close() // again is nothing
	})
}

func TestCloseDoesNotWaitForeverForAPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		p := w.join("all")
		p.mute.Store(true)
		start := time.Now()
		w.hub.Close()
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("waited %v", d)
		}
	})
}
