package subscriber

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FC-HGS-07 FM-02: the line is dead 25 s after the last life, to the instant.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(w *world, s *socket)
		lost   string
	}{
		{"of a hub that answers no pings", func(w *world, s *socket) { s.deaf.Store(true) }, "25s lost 1: silence for 25s"},
		{"of a hub that goes deaf", func(w *world, s *socket) {
			time.Sleep(time.Minute - time.Second)
			s.deaf.Store(true)
		}, "1m15s lost 1: silence for 25s"}, // the pong to the ping at 50 s was the last
		{"after an event", func(w *world, s *socket) {
			s.deaf.Store(true)
			time.Sleep(24 * time.Second)
			s.event("e1", "Patient-open")
		}, "49s lost 1: silence for 25s"},
		{"after a ping of the hub's", func(w *world, s *socket) {
			s.deaf.Store(true)
			time.Sleep(7 * time.Second)
			s.ping()
		}, "32s lost 1: silence for 25s"},
		{"of the network", func(w *world, s *socket) {
			time.Sleep(35 * time.Second)
			w.net.Freeze()
			time.Sleep(5 * time.Minute)
			w.net.Thaw()
		}, "55s lost 1: silence for 25s"},
		// FC-HGS-08: heartbeats say how long silence may last, as a number or a text, within reason.
		{"of a hub with quick heartbeats", func(w *world, s *socket) { s.deaf.Store(true); s.heartbeat("2") }, "9s lost 1: silence for 9s"},
		{"of a hub with slow heartbeats", func(w *world, s *socket) { s.deaf.Store(true); s.heartbeat(`"30"`) }, "1m5s lost 1: silence for 1m5s"},
		{"of a hub with hourly heartbeats", func(w *world, s *socket) { s.deaf.Store(true); s.heartbeat("3600") }, "2m5s lost 1: silence for 2m5s"},
		{"of a hub with mad heartbeats", func(w *world, s *socket) { s.deaf.Store(true); s.heartbeat("0.001") }, "7s lost 1: silence for 7s"},
		{"of a hub with heartbeats without a period", func(w *world, s *socket) { s.deaf.Store(true); s.heartbeat(`{}`) }, "25s lost 1: silence for 25s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.onSocket = func(n int, s *socket) {
					s.confirm(3600)
					if n == 1 {
						tt.script(w, s)
					}
				}
			}, func(w *world) { w.after(10 * time.Minute) })
			if !slices.Contains(w.appHeard, tt.lost) {
				t.Errorf("no %q in %q", tt.lost, w.appHeard)
			}
		})
	}
}

func TestPongsKeepAQuietLineAlive(t *testing.T) {
	w := play(t, nil, func(w *world) { w.after(30 * time.Minute) })
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "30m0s run returned: <nil>")
}

// A frame that takes long is life as long as it goes on.
func TestALargeFrameMayTakeLong(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			s.confirm(3600)
			s.deaf.Store(true)
			s.write.Lock()
			defer s.write.Unlock()
			m, _ := s.ws.NextWriter(1)
			fmt.Fprintf(m, `{"timestamp":"2000-01-01T00:00:00Z","id":"e1","event":{"hub.topic":%q,"hub.event":"Patient-open","context":[`, topic.Reveal())
			for range 10 {
				time.Sleep(10 * time.Second)
				fmt.Fprint(m, strings.Repeat(" ", 10<<10))
			}
			fmt.Fprint(m, `]}}`)
			m.Close()
		}
	}, func(w *world) { w.after(2 * time.Minute) })
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"1m40s event 1: e1 Patient-open",
		"2m0s run returned: <nil>",
	)
}

// FM-02: a hub that reads nothing takes no pings and no answers: a write has 5 s.
func TestAHubThatTakesNothing(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			s.confirm(3600)
			if n == 1 {
				s.nap.Store(int64(time.Minute)) // once it has read the first answer
				for range 4 {
					s.event(strings.Repeat("x", 60<<10), "Patient-open") // the answers fill what lies between
				}
			}
		}
	}, func(w *world) { w.after(2 * time.Minute) })
	if !slices.Contains(w.appHeard, "5s lost 1: the hub takes nothing") {
		for _, h := range w.appHeard {
			t.Errorf("heard %.80q", h)
		}
	}
}

// FC-CNF-05 FC-SUB-11 FC-SUB-14 FC-CNF-10: renewed within 50 to 80 %, on the same socket.
func TestRenewal(t *testing.T) {
	for _, tt := range []struct {
		r    float64
		want []string
	}{
		{0, []string{"0s subscribe", "0s socket 1", "50s subscribe", "1m40s subscribe", "2m30s subscribe"}},
		{0.5, []string{"0s subscribe", "0s socket 1", "1m5s subscribe", "2m10s subscribe"}},
		{0.999999999, []string{"0s subscribe", "0s socket 1", "1m19.99999997s subscribe", "2m39.99999994s subscribe"}},
	} {
		for _, confirms := range []bool{true, false} {
			t.Run(fmt.Sprint(tt.r, confirms), func(t *testing.T) {
				w := play(t, func(w *world) {
					w.config.Rand = func() float64 { return tt.r }
					w.onSocket = func(n int, s *socket) { s.confirm(100) }
					w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
						if n > 1 && form.Get("hub.channel.endpoint") != endpoint(1) {
							t.Errorf("renewal names %q", form["hub.channel.endpoint"])
						}
						w.accept(1, rw)
						if n > 1 && confirms {
							w.last().confirm(100)
						}
					}
				}, func(w *world) { w.after(170 * time.Second) })
				w.wantSaw(append(tt.want, "2m50s unsubscribe", "2m50s socket 1 ended: 1000")...)
				w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "2m50s run returned: <nil>")
			})
		}
	}
}

// FC-CNF-03: what a renewal grants replaces what was granted; the number stays.
func TestRenewalThatGrantsOtherEvents(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) { s.confirm(100) }
		w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
			if n > 1 {
				w.last().confirm(200, "Patient-open")
				time.Sleep(time.Second)
			}
			w.accept(1, rw)
		}
	}, func(w *world) { w.after(200 * time.Second) })
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"1m5s subscribed 1: Patient-open",
		"3m20s run returned: <nil>",
	)
	if want := "3m16s subscribe"; w.hubSaw[3] != want { // 66 s and 65 % of the new lease
		t.Errorf("saw %q, want %q", w.hubSaw[3], want)
	}
}

// FC-CNF-04: a renewal that is refused, with whatever status, is tried again by the schedule until 95 % of the lease are over. No
// gap when the hub takes it in the end, a new subscription when not.
func TestRenewalRefused(t *testing.T) {
	for _, tt := range []struct {
		mends bool
		heard []string
	}{
		{true, []string{"0s subscribed 1: Patient-open,Patient-close,SyncError", "23m20s run returned: <nil>"}},
		{false, []string{
			"0s subscribed 1: Patient-open,Patient-close,SyncError",
			"15m50s lost 1: the lease could not be renewed",
			"15m50.5s subscribed 2: Patient-open,Patient-close,SyncError",
			"23m20s run returned: <nil>",
		}},
	} {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) { s.confirm(1000) }
			w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
				if form.Has("hub.channel.endpoint") && (n < 6 || !tt.mends) {
					rw.WriteHeader([]int{404, 403, 500, 503}[n%4])
					return
				}
				if form.Has("hub.channel.endpoint") {
					n = 1
				}
				w.accept(n, rw)
			}
		}, func(w *world) { w.after(1400 * time.Second) })
		w.wantHeard(tt.heard...)
		if diff := cmp.Diff([]string{
			"10m50s subscribe",   // 650 s: 500
			"10m52.5s subscribe", // 503
			"10m57.5s subscribe", // 404
			"11m7.5s subscribe",  // 403: 30 s and half of 40
		}, w.hubSaw[2:6]); diff != "" {
			t.Error(diff)
		}
	}
}

// FC-CNF-11: a renewal that names another socket is the next subscription, and nothing is lost in between.
func TestRenewalThatMoves(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			if n == 2 {
				time.Sleep(time.Second)
				w.sockets[0].event("e1", "Patient-open") // still on the old one
				time.Sleep(time.Second)
			}
			s.confirm(100)
			s.event(fmt.Sprintf("first of %d", n), "Patient-open")
		}
	}, func(w *world) { w.after(90 * time.Second) })
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"0s event 1: first of 1 Patient-open",
		"1m6s event 1: e1 Patient-open",
		"1m7s subscribed 2: Patient-open,Patient-close,SyncError",
		"1m7s event 2: first of 2 Patient-open",
		"1m30s run returned: <nil>",
	)
	if !slices.Contains(w.hubSaw, "1m7s socket 1 ended: 1000") {
		t.Errorf("saw %q", w.hubSaw)
	}
	if got := w.posts[len(w.posts)-1].Get("hub.channel.endpoint"); got != endpoint(2) {
		t.Errorf("unsubscribed %q", got)
	}
}

// A second socket that comes to nothing does not harm the first; the first one's end is a loss all the same.
func TestRenewalThatMovesToNowhere(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(w *world, s *socket)
		heard  []string
	}{
		{"no confirmation", func(w *world, s *socket) {}, nil},
		{"denied", func(w *world, s *socket) { s.deny("") }, nil},
		{"closed", func(w *world, s *socket) { s.close(1011) }, nil},
		{"the first is lost", func(w *world, s *socket) { w.sockets[0].close(1011) }, []string{
			"1m5s lost 1: the hub closed the socket (1011)",
			"1m7.5s subscribed 2: Patient-open,Patient-close,SyncError",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.onSocket = func(n int, s *socket) {
					if n == 2 {
						tt.script(w, s)
						return
					}
					s.confirm(100)
				}
				w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) {
					if n == 3 && tt.heard == nil {
						n = 1 // takes the renewal on the socket there is, this time
					}
					w.accept(n, rw)
				}
			}, func(w *world) { w.after(100 * time.Second) })
			want := append([]string{"0s subscribed 1: Patient-open,Patient-close,SyncError"}, tt.heard...)
			w.wantHeard(append(want, "1m40s run returned: <nil>")...)
		})
	}
}

// A day of leases, a restart of the hub each hour: always back, nothing piles up.
func TestADay(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	w := play(t, func(w *world) { w.onSocket = func(n int, s *socket) { s.confirm(600) } }, func(w *world) {
		for hour := range 24 {
			w.after(time.Duration(hour)*time.Hour + 59*time.Minute)
			if !w.client.State().Subscribed() {
				t.Fatalf("hour %d: %v", hour, w.client.State())
			}
			w.net.Cut()
		}
		w.after(25 * time.Hour)
	})
	lost := 0
	for _, h := range w.appHeard {
		if strings.Contains(h, "lost") {
			lost++
		}
	}
	if lost != 24 {
		t.Errorf("%d losses, want 24", lost)
	}
}
