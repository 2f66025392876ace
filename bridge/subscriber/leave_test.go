package subscriber

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// FC-UNS-06 FC-UNS-07: whatever the hub says to the unsubscribe, the socket is closed with 1000.
func TestUnsubscribeRefused(t *testing.T) {
	for _, status := range []int{200, 202, 204, 400, 404, 500} {
		w := play(t, func(w *world) {
			w.onUnsubscribe = func(rw http.ResponseWriter) { rw.WriteHeader(status) }
		}, func(w *world) { w.after(time.Second) })
		if !slices.Contains(w.hubSaw, "1s socket 1 ended: 1000") {
			t.Errorf("%d: saw %q", status, w.hubSaw)
		}
		w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "1s run returned: <nil>")
	}
}

// FC-UNS-10: where the hub does not hear the unsubscribe in time, the close says that we are going away.
func TestUnsubscribeNotAnswered(t *testing.T) {
	w := play(t, func(w *world) {
		w.onUnsubscribe = func(http.ResponseWriter) { time.Sleep(time.Minute) }
	}, func(w *world) { w.after(time.Second) })
	w.wantSaw("0s subscribe", "0s socket 1", "1s unsubscribe", "4s socket 1 ended: 1001")
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "4s run returned: <nil>")
}

// FC-UNS-10: a socket that opens while we leave is closed with a word, too.
func TestLeavingWhileTheSocketOpens(t *testing.T) {
	w := play(t, func(w *world) {
		w.onHandshake = func(*http.Request) { time.Sleep(2 * time.Second) }
		w.onUnsubscribe = func(http.ResponseWriter) { time.Sleep(2 * time.Second) }
	}, func(w *world) { w.after(time.Second) })
	w.wantSaw("0s subscribe", "1s unsubscribe", "2s socket 1", "2s socket 1 ended: 1001")
	w.wantHeard("3s run returned: <nil>")
}

func TestLeavingIntoABlackHole(t *testing.T) {
	w := play(t, nil, func(w *world) {
		w.after(time.Second)
		w.net.Freeze()
	})
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "5s run returned: <nil>")
}

// Both sockets are left when a move is under way.
func TestLeavingWhileMoving(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			if n == 1 {
				s.confirm(100)
			}
		}
	}, func(w *world) { w.after(66 * time.Second) })
	if !slices.Contains(w.hubSaw, "1m6s socket 1 ended: 1000") || !slices.Contains(w.hubSaw, "1m6s socket 2 ended: 1000") {
		t.Errorf("saw %q", w.hubSaw)
	}
	for i, form := range w.posts[2:] {
		if form.Get("hub.mode") != "unsubscribe" || form.Get("hub.channel.endpoint") != endpoint(i+1) {
			t.Errorf("request %d: %v", i, form)
		}
	}
}

// A Client may run again. Numbers go on, the hub is asked about itself again, and an old wish to reconnect is void.
func TestRunAgain(t *testing.T) {
	asked := 0
	w := play(t, func(w *world) {
		w.onWellKnown = func(rw http.ResponseWriter, _ *http.Request) { asked++; http.Error(rw, "", 500) }
		w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) {
			if n == 2 {
				rw.WriteHeader(http.StatusGone)
				return
			}
			w.accept(n, rw)
		}
	}, func(w *world) {
		w.last().close(1001)
		w.after(5 * time.Second)
		w.heard("%v, trouble %q", w.client.State(), w.client.Trouble())
		w.client.Reconnect("too late")
		done := make(chan error)
		go func() { done <- w.client.Run(w.Context()) }()
		w.after(6 * time.Second)
		w.heard("%v, trouble %q", w.client.State(), w.client.Trouble())
		w.last().deny("")
		w.after(10 * time.Second)
		w.last().deny("")
		w.heard("run again returned: %v", <-done)
	})
	if asked != 2 {
		t.Errorf("asked %d times about itself", asked)
	}
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"0s lost 1: the hub closed the socket (1001)",
		"2.5s run returned: subscribe: the hub answered 410",
		`5s ended, trouble "subscribe: the hub answered 410"`,
		"5s subscribed 2: Patient-open,Patient-close,SyncError",
		`6s subscribed, trouble ""`,
		"6s lost 2: denied by the hub",
		"8.5s subscribed 3: Patient-open,Patient-close,SyncError",
		"10s lost 3: denied by the hub",
		fmt.Sprintf("10s run again returned: %v", ErrDenied),
	)
}

// What a hub could not say about itself because there was no way to it, it is asked again.
func TestDiscoveryWhenTheNetworkIsBack(t *testing.T) {
	w := play(t, func(w *world) {
		w.net.Refuse(true)
		w.onWellKnown = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `{"eventsSupported":["heartbeat"]}`) }
	}, func(w *world) {
		w.after(time.Second)
		if got := w.client.Trouble(); got != "subscribe: the hub cannot be reached" {
			t.Errorf("trouble %q", got)
		}
		w.net.Refuse(false)
		w.after(10 * time.Second)
	})
	if got := w.posts[0].Get("hub.events"); got != "Patient-open,Patient-close,SyncError,heartbeat" {
		t.Errorf("asked for %q", got)
	}
}
