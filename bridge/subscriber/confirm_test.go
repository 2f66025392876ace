package subscriber

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

func TestNoConfirmation(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			if n == 2 {
				s.confirm(3600)
			}
		}
	}, func(w *world) {
		w.after(11 * time.Second)
		if got := w.client.Trouble(); got != "no confirmation within 10s" {
			t.Errorf("trouble %q", got)
		}
		w.after(20 * time.Second)
	})
	w.wantHeard("12.5s subscribed 1: Patient-open,Patient-close,SyncError", "20s run returned: <nil>")
}

// FC-CNF-08 FC-CNF-09
func TestEventsBeforeTheConfirmation(t *testing.T) {
	t.Run("are delivered after it", func(t *testing.T) {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				s.event("e1", "Patient-open")
				s.send(`{"id":"e2","event":7}`)
				time.Sleep(7 * time.Second)
				s.confirm(3600)
				s.event("e3", "Patient-close")
			}
		}, func(w *world) { w.after(20 * time.Second) })
		w.wantHeard(
			"7s subscribed 1: Patient-open,Patient-close,SyncError",
			"7s event 1: e1 Patient-open",
			`7s refused 1: "e2" "" a member has the wrong type`,
			"7s event 1: e3 Patient-close",
			"20s run returned: <nil>",
		)
	})
	t.Run("count as one when none has come in time", func(t *testing.T) {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				time.Sleep(time.Second)
				s.event("e1", "Patient-open")
				time.Sleep(time.Second)
				s.event("e2", "Patient-close")
			}
		}, func(w *world) { w.after(20 * time.Second) })
		w.wantHeard( // and answered before the hub gives up, which is 10 s after the event
			"9s subscribed 1: Patient-open,Patient-close,SyncError",
			"9s event 1: e1 Patient-open",
			"9s event 1: e2 Patient-close",
			"20s run returned: <nil>",
		)
	})
	t.Run("count as one, but not beyond the time to confirm", func(t *testing.T) {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				time.Sleep(5 * time.Second)
				s.event("e1", "Patient-open")
			}
		}, func(w *world) { w.after(20 * time.Second) })
		w.wantHeard(
			"10s subscribed 1: Patient-open,Patient-close,SyncError",
			"10s event 1: e1 Patient-open",
			"20s run returned: <nil>",
		)
	})
	t.Run("do not count when their topic is another", func(t *testing.T) {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				s.send(`{"timestamp":"2000-01-01T00:00:00Z","id":"e1","event":{"hub.topic":"other","hub.event":"Patient-open","context":[]}}`)
			}
		}, func(w *world) { w.after(11 * time.Second) })
		w.wantHeard("11s run returned: <nil>")
	})
	t.Run("are too many at some time", func(t *testing.T) {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				for range mostHeld + 1 {
					s.event("e1", "Patient-open")
				}
			}
		}, func(w *world) {
			w.after(time.Second)
			if got := w.client.Trouble(); got != "too much before the confirmation" {
				t.Errorf("trouble %q", got)
			}
		})
		w.wantHeard("1s run returned: <nil>")
	})
}

// FC-CNF-08: a confirmation of another topic is fatal for the socket, whenever it comes.
func TestConfirmationOfAnotherSession(t *testing.T) {
	const foreign = `{"hub.mode":"subscribe","hub.topic":"other","hub.events":"Patient-open","hub.lease_seconds":60}`
	w := play(t, func(w *world) {
		w.onSocket = func(n int, s *socket) {
			if n > 1 {
				s.confirm(3600)
				time.Sleep(time.Second)
			}
			s.send(foreign)
		}
	}, func(w *world) { w.after(5 * time.Second) })
	w.wantHeard(
		"2.5s subscribed 1: Patient-open,Patient-close,SyncError",
		"3.5s lost 1: the hub confirmed another session",
		"5s run returned: <nil>",
	)
}

// FC-CNF-03 FC-CNF-06 FC-CNF-07 FC-OLD-11
func TestConfirmationsInTheField(t *testing.T) {
	for _, tt := range []struct{ name, text, granted string }{
		{"fewer events than asked", `"hub.events":"Patient-open","hub.lease_seconds":7200`, "Patient-open"},
		{"more events than asked", `"hub.events":"Patient-open,Home-open","hub.lease_seconds":7200`, "Patient-open,Home-open"},
		{"an array", `"hub.events":["Patient-open"],"hub.lease_seconds":"7200"`, "Patient-open"},
		{"an empty list means as asked", `"hub.events":"","hub.callback":"","hub.lease-seconds":7200.0`, "Patient-open,Patient-close,SyncError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) { w.accept(1, rw) }
				w.onSocket = func(n int, s *socket) {
					s.send(fmt.Sprintf(`{"hub.mode":"subscribe","hub.topic":%q,%s}`, topic.Reveal(), tt.text))
				}
			}, func(w *world) { w.after(2 * time.Hour * 65 / 100) })
			w.wantHeard("0s subscribed 1: "+tt.granted, "1h18m0s run returned: <nil>")
			// Renewed at 65 % of two hours: the lease was understood.
			if got := w.posts[1].Get("hub.mode"); got != "subscribe" {
				t.Errorf("second request: %s", got)
			}
		})
	}
}

// FC-SUB-09: a lease is wished for only when configured, and holds where the hub names none.
func TestLeaseWish(t *testing.T) {
	w := play(t, func(w *world) {
		w.config.Lease = 1000 * time.Second
		w.onSocket = func(n int, s *socket) { s.confirm(0) }
	}, func(w *world) { w.after(651 * time.Second) })
	if got := w.posts[0]["hub.lease_seconds"]; len(got) != 1 || got[0] != "1000" {
		t.Errorf("lease wish %q", got)
	}
	if w.hubSaw[2] != "10m50s subscribe" {
		t.Errorf("saw %q", w.hubSaw)
	}
}

// FC-SUB-15 FC-SUB-20 FC-GEN-03 FC-GEN-05 FC-GEN-06 FC-SEC-06 FC-OLD-10
func TestWhereTheSocketIs(t *testing.T) {
	const good = "wss://hub.example.test/ws/1"
	const refusedWords = "subscribe: the hub names a socket that is not wss on its own host or one of hub.socket_hosts"
	for _, tt := range []struct {
		name, body, header string
		status             int
		trouble            string // "" means subscribed
	}{
		{"200", `{"hub.channel.endpoint":"` + good + `"}`, "", 200, ""},
		{"201", `{"hub.channel.endpoint":"` + good + `"}`, "", 201, ""},
		{"with a line break at its end", `{"hub.channel.endpoint":"` + good + `\n"}`, "", 202, ""},
		{"another port of the host", `{"hub.channel.endpoint":"wss://HUB.example.test:8443/ws"}`, "", 202, ""},
		{"in a header", "", good, 202, ""},
		{"in both, the body wins", `{"hub.channel.endpoint":"` + good + `"}`, "wss://elsewhere.test/", 202, ""},
		{"nowhere", "{}", "", 202, "subscribe: the hub named no socket"},
		{"in a page of a captive portal", "<html>Please log in</html>", "", 200, "subscribe: a web page answered in the hub's place"},
		{"not encrypted", `{"hub.channel.endpoint":"ws://hub.example.test/ws"}`, "", 202, refusedWords},
		{"on another host", `{"hub.channel.endpoint":"wss://hub.example.test.` + canary + `.test/ws"}`, "", 202, refusedWords},
		{"behind a name", `{"hub.channel.endpoint":"wss://hub.example.test@` + canary + `.test/ws"}`, "", 202, refusedWords},
		{"on a host that is allowed", `{"hub.channel.endpoint":"wss://Sockets.example.test:8443/ws"}`, "", 202, ""},
		{"not encrypted, on a host that is allowed", `{"hub.channel.endpoint":"ws://sockets.example.test/ws"}`, "", 202, refusedWords},
		{"below a host that is allowed", `{"hub.channel.endpoint":"wss://` + canary + `.sockets.example.test/ws"}`, "", 202, refusedWords},
		{"with a name, on a host that is allowed", `{"hub.channel.endpoint":"wss://` + canary + `@sockets.example.test/ws"}`, "", 202, refusedWords},
		{"with a name", `{"hub.channel.endpoint":"wss://` + canary + `@hub.example.test/ws"}`, "", 202, refusedWords},
		{"relative", `{"hub.channel.endpoint":"/ws/` + canary + `"}`, "", 202, refusedWords},
		{"no address", `{"hub.channel.endpoint":"wss://%zz` + canary + `"}`, "", 202, refusedWords},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.config.SocketHosts = []string{"ws.example.test", "sockets.example.test"}
				w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) {
					if tt.header != "" {
						rw.Header().Set("Content-Location", tt.header)
					}
					rw.WriteHeader(tt.status)
					fmt.Fprint(rw, tt.body)
				}
			}, func(w *world) {
				w.after(time.Millisecond)
				if got := w.client.Trouble(); got != tt.trouble || w.client.State().Subscribed() != (tt.trouble == "") {
					t.Errorf("%v, trouble %q", w.client.State(), got)
				}
			})
			if final := tt.trouble == refusedWords; final != strings.HasSuffix(w.appHeard[0], "run returned: "+refusedWords) {
				t.Errorf("heard %q", w.appHeard)
			}
		})
	}
}

// FM-03: each part of getting there has its time and its words (10 s each), and none goes on when it is not wanted any
// more. Asking for a change has its own.
func TestDeadlinesOnTheWay(t *testing.T) {
	type dial = func(ctx context.Context, network, addr string) (net.Conn, error)
	// The socket's dial is the second: the first is for what the hub says about itself.
	second := func(w *world, then dial) {
		n, first := 0, w.config.Dial
		w.config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if n++; n == 1 {
				return first(ctx, network, addr)
			}
			return then(ctx, network, addr)
		}
	}
	for _, tt := range []struct {
		name    string
		prepare func(w *world)
		trouble string
	}{
		{"the subscribe", func(w *world) {
			w.onSubscribe = func(int, url.Values, http.ResponseWriter) { time.Sleep(15 * time.Second) }
		}, "subscribe: no answer within 10s"},
		{"to connect", func(w *world) {
			second(w, func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
		}, "connect: no connection within 10s"},
		{"TLS", func(w *world) {
			second(w, func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go io.Copy(io.Discard, far) // a server that listens and says nothing; ends with near
				return near, nil
			})
		}, "connect: no TLS handshake within 10s"},
		{"the handshake", func(w *world) {
			w.onUpgrade = func(int, http.ResponseWriter) bool { time.Sleep(15 * time.Second); return true }
		}, "connect: no answer to the WebSocket handshake within 10s"},
		{"the confirmation", func(w *world) { w.onSocket = func(int, *socket) {} }, "no confirmation within 10s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, tt.prepare, func(w *world) {
				w.after(10*time.Second - time.Millisecond)
				if got := w.client.Trouble(); got != "" {
					t.Errorf("too early: %q", got)
				}
				w.after(10 * time.Second)
				if got := w.client.Trouble(); got != tt.trouble {
					t.Errorf("trouble %q, want %q", got, tt.trouble)
				}
			})
			w := play(t, tt.prepare, func(w *world) { w.after(5 * time.Second) })
			for _, h := range w.appHeard { // the unsubscribe, where there is something to unsubscribe, is answered at once
				if h != "5s run returned: <nil>" {
					t.Errorf("heard %q", h)
				}
			}
		})
	}
	publishing(t, func(int, http.ResponseWriter, *http.Request) { time.Sleep(15 * time.Second) }, func(w *world, _ func() []string) {
		_, err := w.client.Publish(w.Context(), patientOpen(t, "p1"))
		if err == nil || err.Error() != "publish: no answer within 10s" || time.Since(w.start) != 11*time.Second || !w.client.State().Subscribed() {
			t.Errorf("after %v: %v", time.Since(w.start), err)
		}
	})
}

func TestConnectErrorsInPlainWords(t *testing.T) {
	play(t, func(w *world) { w.onSocket = func(n int, s *socket) { s.confirm(3600) } }, func(w *world) {
		w.after(time.Second)
		other := w.config
		other.TLS = nil // the system's authorities do not know this hub
		_, _, err := openSocket(w.Context(), other, fhircast.Secret(endpoint(1)))
		if want := "connect: the hub's certificate is from an authority that this computer does not trust"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		_, _, err = openSocket(w.Context(), w.config, "wss://"+canary+".invalid/ws")
		if want := "connect: the hub's certificate is for another name"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		w.net.Refuse(true)
		_, _, err = openSocket(w.Context(), w.config, fhircast.Secret(endpoint(1)))
		if want := "connect: the hub cannot be reached"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// FC-CONF-11 and what follows from it: a hub's word about itself is asked for without a token first, may be anything,
// and holds nothing up for long.
func TestDiscovery(t *testing.T) {
	heartbeats := `{"eventsSupported":["Patient-open","HEARTBEAT"],"webhookSupport":"x","capabilities":7,"fhircastVersion":"STU3"}`
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		asked  string
		at     time.Duration
	}{
		{"none", http.NotFound, "Patient-open,Patient-close,SyncError", 0},
		{"a page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, "Patient-open,Patient-close,SyncError", 0},
		{"it hangs", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "Patient-open,Patient-close,SyncError", 3 * time.Second},
		{"it has heartbeats", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, heartbeats) }, "Patient-open,Patient-close,SyncError,HEARTBEAT", 0},
		{"it wants a token", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+token {
				w.WriteHeader(401)
				return
			}
			fmt.Fprint(w, heartbeats)
		}, "Patient-open,Patient-close,SyncError,HEARTBEAT", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			w := play(t, func(w *world) {
				w.onWellKnown = func(rw http.ResponseWriter, r *http.Request) {
					asked = append(asked, r.RequestURI+" "+r.Header.Get("Authorization"))
					tt.answer(rw, r)
				}
			}, func(w *world) {
				w.after(10 * time.Second)
				w.last().close(websocket.CloseGoingAway)
				w.after(20 * time.Second)
			})
			if got := w.posts[0].Get("hub.events"); got != tt.asked {
				t.Errorf("asked for %s", got)
			}
			if want := fmt.Sprintf("%v subscribe", tt.at); w.hubSaw[0] != want {
				t.Errorf("saw %q, want %q", w.hubSaw[0], want)
			}
			// FC-CONF-01, once per Run, and no token at first
			want := 1
			if tt.name == "it wants a token" {
				want = 2
			}
			if len(asked) != want || asked[0] != "/fc/.well-known/fhircast-configuration?tenant=7 " {
				t.Errorf("asked %q", asked)
			}
		})
	}
}
