package subscriber

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FC-SUB-01 FC-SUB-02 FC-SUB-03 FC-SUB-04 FC-SUB-06 FC-SUB-07 FC-SUB-08 FC-SUB-12 FC-CNF-01 FC-CNF-02 FC-UNS-01 FC-UNS-02
// FC-UNS-03 FC-UNS-09
func TestSubscribeReceiveAnswerUnsubscribe(t *testing.T) {
	w := play(t, nil, func(w *world) {
		w.after(time.Second)
		w.last().event("e1", "Patient-open")
		w.after(2 * time.Second)
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"1s event 1: e1 Patient-open",
		"2s run returned: <nil>",
	)
	w.wantSaw(
		"0s subscribe",
		"0s socket 1",
		`1s answer 1: {"id":"e1","status":200}`,
		"2s unsubscribe",
		"2s socket 1 ended: 1000",
	)
	if diff := cmp.Diff([]State{subscribing, connecting, confirming, subscribed, leaving, ended}, w.states); diff != "" {
		t.Error(diff)
	}
	want := []url.Values{{
		"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {topic.Reveal()},
		"hub.events": {"Patient-open,Patient-close,SyncError"}, "subscriber.name": {"Ward 7"},
	}, {
		"hub.channel.type": {"websocket"}, "hub.mode": {"unsubscribe"}, "hub.topic": {topic.Reveal()},
		"hub.channel.endpoint": {endpoint(1)}, "request": {"/fc?tenant=7"},
	}}
	if diff := cmp.Diff(want, w.posts); diff != "" {
		t.Error(diff)
	}
}
