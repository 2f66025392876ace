package subscriber

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
)

// With jitter at one half: windows of 5, 10, 20, 40, 60, 60 s. Told at once, and always subscribed anew.
func TestReconnectByTheSchedule(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) {
			if n >= 2 && n <= 7 {
				rw.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.accept(n, rw)
		}
	}, func(w *world) {
		w.after(10 * time.Second)
		w.net.Cut()
		w.after(10 * time.Second)
		if w.client.State() != waiting || w.client.Trouble() != "the connection broke" {
			t.Errorf("state %v, trouble %q", w.client.State(), w.client.Trouble())
		}
		w.after(20 * time.Second)
		if got := w.client.Trouble(); got != "subscribe: the hub answered 500" {
			t.Errorf("trouble %q", got)
		}
		w.after(200 * time.Second)
		if got := w.client.Trouble(); got != "" {
			t.Errorf("trouble %q while subscribed", got)
		}
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"10s lost 1: the connection broke",
		"2m17.5s subscribed 2: Patient-open,Patient-close,SyncError",
		"3m20s run returned: <nil>",
	)
	w.wantSaw(
		"0s subscribe", "0s socket 1", "10s socket 1 ended: 1006",
		"12.5s subscribe",   // 2.5
		"17.5s subscribe",   // 5
		"27.5s subscribe",   // 10
		"47.5s subscribe",   // 20
		"1m17.5s subscribe", // 30
		"1m47.5s subscribe",
		"2m17.5s subscribe",
		"2m17.5s socket 2",
		"3m20s unsubscribe", "3m20s socket 2 ended: 1000",
	)
	for _, form := range w.posts[:8] {
		// FC-SUB-11
		if form.Has("hub.channel.endpoint") {
			t.Error("an old socket in a new subscription")
		}
	}
}

// After 60 s of health the schedule begins anew; before, it goes on.
func TestReconnectAfterHealthBeginsAnew(t *testing.T) {
	for _, tt := range []struct{ health, wait time.Duration }{
		{59 * time.Second, 5 * time.Second},
		{60 * time.Second, 2500 * time.Millisecond},
	} {
		w := play(t, nil, func(w *world) {
			w.after(time.Second)
			w.last().close(websocket.CloseServiceRestart) // attempt 0: back after 2.5 s
			w.after(3500*time.Millisecond + tt.health)
			w.last().close(websocket.CloseServiceRestart)
			w.after(3 * time.Minute)
		})
		back := 3500*time.Millisecond + tt.health + tt.wait
		if want := fmt.Sprintf("%v subscribe", back); !slices.Contains(w.hubSaw, want) {
			t.Errorf("after %v of health: no %q in %q", tt.health, want, w.hubSaw)
		}
		if !slices.Contains(w.appHeard, "1s lost 1: the hub closed the socket (1012)") {
			t.Errorf("heard %q", w.appHeard)
		}
	}
}

// FC-HGS-10
func TestReconnectOnRequestCostsASecondAtMost(t *testing.T) {
	w := play(t, nil, func(w *world) {
		w.after(10 * time.Second)
		w.client.Reconnect("resume from sleep")
		w.after(12 * time.Second)
		w.net.Refuse(true)
		w.client.Reconnect("another network")
		w.after(20 * time.Second) // 12.5 fails, 15 fails, next would be at 20
		w.net.Refuse(false)
		w.client.Reconnect("another network") // also while waiting
		w.after(30 * time.Second)
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"10s lost 1: resume from sleep",
		"10.5s subscribed 2: Patient-open,Patient-close,SyncError",
		"12s lost 2: another network",
		"20.5s subscribed 3: Patient-open,Patient-close,SyncError",
		"30s run returned: <nil>",
	)
	// FC-HGS-01: what we close on purpose has a code that alarms nobody.
	for _, want := range []string{"10s socket 1 ended: 1001", "12s socket 2 ended: 1001"} {
		if !slices.Contains(w.hubSaw, want) {
			t.Errorf("no %q in %q", want, w.hubSaw)
		}
	}
}

func TestRetryAfterIsObeyedAlsoByAReconnect(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) {
			switch n {
			case 1:
				rw.Header().Set("Retry-After", "20")
				rw.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				rw.Header().Set("Date", "Sat, 01 Jan 2005 12:00:00 GMT") // the hub's clock counts, not ours
				rw.Header().Set("Retry-After", "Sat, 01 Jan 2005 12:01:00 GMT")
				rw.WriteHeader(http.StatusTooManyRequests)
			case 3:
				rw.Header().Set("Retry-After", "86400")
				rw.WriteHeader(http.StatusServiceUnavailable)
			default:
				w.accept(n, rw)
			}
		}
	}, func(w *world) {
		w.after(5 * time.Second)
		w.client.Reconnect("the user")
		w.after(10 * time.Minute)
	})
	w.wantSaw(
		"0s subscribe",
		"22s subscribe",
		"1m28s subscribe", // 60 s and a tenth
		"6m58s subscribe", // 5 min and a tenth
		"6m58s socket 1",
		"10m0s unsubscribe", "10m0s socket 1 ended: 1000",
	)
}

// A hub may refuse the socket it named, and ask for time as well.
func TestSocketRefused(t *testing.T) {
	w := play(t, func(w *world) {
		w.onUpgrade = func(n int, rw http.ResponseWriter) bool {
			switch n {
			case 1:
				rw.Header().Set("Retry-After", "10")
				rw.WriteHeader(503)
			case 2:
				rw.WriteHeader(404)
			case 3:
				rw.WriteHeader(403)
			default:
				return false
			}
			fmt.Fprint(rw, canary)
			return true
		}
	}, func(w *world) {
		w.after(5 * time.Second)
		if got := w.client.Trouble(); got != "connect: the hub answered 503" {
			t.Errorf("trouble %q", got)
		}
		w.after(2 * time.Minute)
	})
	w.wantSaw("0s subscribe", "11s subscribe", "16s subscribe",
		"56s subscribe", // 30 s and half of the third window
		"56s socket 1", "2m0s unsubscribe", "2m0s socket 1 ended: 1000")
}

// FC-SUB-18 FC-SUB-20
func TestRefusalsThatNoRetryMends(t *testing.T) {
	for _, tt := range []struct {
		status int
		tries  []string // nil: it is tried for ever
	}{
		{400, []string{"0s subscribe"}},
		{404, []string{"0s subscribe"}},
		{410, []string{"0s subscribe"}},
		{422, []string{"0s subscribe"}},
		{401, []string{"0s subscribe", "32.5s subscribe"}},
		{403, []string{"0s subscribe", "32.5s subscribe"}},
		{408, nil}, {425, nil}, {429, nil}, {500, nil}, {503, nil}, {204, nil}, {302, nil},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			w := play(t, func(w *world) {
				w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) {
					rw.Header().Set("Location", "https://elsewhere.example.test/")
					rw.WriteHeader(tt.status)
					if tt.status != 204 {
						fmt.Fprint(rw, "details about "+canary)
					}
				}
			}, func(w *world) { w.after(10 * time.Minute) })
			if tt.tries == nil {
				if len(w.hubSaw) < 10 || !slices.Contains(w.appHeard, "10m0s run returned: <nil>") {
					t.Errorf("given up: %q %q", w.hubSaw, w.appHeard)
				}
				return
			}
			w.wantSaw(tt.tries...)
			want := fmt.Sprintf("run returned: subscribe: the hub answered %d", tt.status)
			if len(w.appHeard) != 1 || !strings.HasSuffix(w.appHeard[0], want) {
				t.Errorf("heard %q, want %q", w.appHeard, want)
			}
		})
	}
}

func TestRefusalIsAStatusError(t *testing.T) {
	play(t, func(w *world) {
		w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) { rw.WriteHeader(404) }
	}, func(w *world) {
		w.after(time.Second)
		err := New(w.config).Run(w.Context())
		var status *StatusError
		if !errors.As(err, &status) || status.Status != 404 {
			t.Errorf("got %v", err)
		}
	})
}

// FC-DEN-01 FC-DEN-02 FC-DEN-03 FC-DEN-04 FC-DEN-06
func TestDeniedTwiceWithinAMinute(t *testing.T) {
	for _, early := range []bool{true, false} {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				if !early || n == 1 {
					s.confirm(3600)
					time.Sleep(time.Minute - 3*time.Second)
				}
				s.deny("")
			}
		}, func(w *world) { w.after(5 * time.Minute) })
		if early { // denied before the confirmation, the second time
			w.wantHeard(
				"0s subscribed 1: Patient-open,Patient-close,SyncError",
				"57s lost 1: denied by the hub",
				"59.5s run returned: the hub denies the subscription",
			)
		} else {
			w.wantHeard(
				"0s subscribed 1: Patient-open,Patient-close,SyncError",
				"57s lost 1: denied by the hub",
				"59.5s subscribed 2: Patient-open,Patient-close,SyncError",
				"1m56.5s lost 2: denied by the hub",
				"1m56.5s run returned: the hub denies the subscription",
			)
		}
	}
}

// FC-UNS-11: somebody else's unsubscribe may deny us, once.
func TestDeniedNowAndThen(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			s.confirm(3600)
			time.Sleep(time.Minute)
			if n < 3 {
				s.deny("")
			}
		}
	}, func(w *world) { w.after(4 * time.Minute) })
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"1m0s lost 1: denied by the hub",
		"1m2.5s subscribed 2: Patient-open,Patient-close,SyncError",
		"2m2.5s lost 2: denied by the hub",
		"2m5s subscribed 3: Patient-open,Patient-close,SyncError",
		"4m0s run returned: <nil>",
	)
}

// FC-DEN-07
func TestDenialOfSomeEvents(t *testing.T) {
	w := play(t, nil, func(w *world) {
		w.after(time.Second)
		w.last().deny("patient-close")
		w.after(2 * time.Second)
		w.last().event("e1", "Patient-open")
		w.after(3 * time.Second)
		w.last().deny("Patient-open") // nothing of worth is left
		w.after(4 * time.Second)
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"1s subscribed 1: Patient-open,SyncError",
		"2s event 1: e1 Patient-open",
		"3s lost 1: denied by the hub",
		"4s run returned: <nil>",
	)
}

// FC-DEN-05: the denial that answers our own unsubscribe is the normal end.
func TestDenialAfterUnsubscribeIsNoLoss(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			s.confirm(3600)
			for len(w.subscribes()) < 2 {
				time.Sleep(time.Millisecond)
			}
			s.deny("")
			s.close(1000)
		}
	}, func(w *world) { w.after(time.Second) })
	if got := w.appHeard[len(w.appHeard)-1]; !strings.HasSuffix(got, "run returned: <nil>") || len(w.appHeard) != 2 {
		t.Errorf("heard %q", w.appHeard)
	}
}

// FC-GEN-02 FC-DISC-02: without https or a topic nothing is sent.
func TestConfigThatCannotWork(t *testing.T) {
	handler := &world{}
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{HubURL: "http://hub.example.test/" + canary, Topic: topic, Handler: handler}, "subscribe: the hub's address is not an https URL"},
		{Config{HubURL: "https://u:p@hub.example.test/", Topic: topic, Handler: handler}, "subscribe: the hub's address is not an https URL"},
		{Config{HubURL: "https://%zz" + canary, Topic: topic, Handler: handler}, "subscribe: the hub's address is not an https URL"},
		{Config{Topic: topic, Handler: handler}, "subscribe: the hub's address is not an https URL"},
		{Config{HubURL: "/fc", Topic: topic, Handler: handler}, "subscribe: the hub's address is not an https URL"},
		{Config{HubURL: base, Handler: handler}, "subscribe: no topic"},
		{Config{HubURL: base, Topic: topic}, "subscribe: no handler"},
	} {
		c := New(tt.config)
		if err := c.Run(t.Context()); err == nil || err.Error() != tt.want {
			t.Errorf("Run: %v, want %s", err, tt.want)
		}
		if _, err := c.Publish(t.Context(), patientOpen(t, "p1")); err == nil || !notSent(err) {
			t.Errorf("Publish: %v", err)
		}
		if _, _, err := c.Context(t.Context(), "s1"); err == nil {
			t.Error("Context: no error")
		}
	}
	if diff := cmp.Diff([]string(nil), handler.appHeard); diff != "" {
		t.Error(diff)
	}
}

func notSent(err error) bool {
	var e interface{ NotSent() bool }
	return errors.As(err, &e) && e.NotSent()
}
