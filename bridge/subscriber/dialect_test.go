package subscriber

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/bridge/fhircast"
)

// FC-REQ-11 FC-UNS-04 FC-UNS-11 FC-SUB-04 FC-CONF-02 FC-CONF-03 FC-CONF-04 FC-CONF-09 FC-CONF-13: what a hub says of itself
// and what is configured for it decide how it is asked.
func TestAHubIsAskedInItsOwnDialect(t *testing.T) {
	const asked = "Patient-open,Patient-close,SyncError"
	for _, tt := range []struct {
		name, says string // "" is 404
		quirks     []string
		events     string
		kind       string // hub.channel.type
		ending     string // hub.events of the unsubscribe
	}{
		{"it says nothing", "", nil, asked, "websocket", ""},
		{"3.0.0", `{"fhircastVersion":"3.0.0","websocketSupport":true}`, nil, asked, "websocket", ""},
		{"3.0.0 that says something of webhooks", `{"fhircastVersion":"3.0.0","webhookSupport":true}`, nil, asked, "websocket", ""},
		{"3.0.0 that says nonsense of webhooks", `{"webhookSupport":{"x":[1]},"fhircastVersion":"3.0.0"}`, nil, asked, "websocket", ""},
		{"an unknown version", `{"fhircastVersion":"9"}`, nil, asked, "websocket", ""},
		{"an empty object", `{}`, nil, asked, "websocket", ""},
		{"lists that are none", `{"eventsSupported":null,"capabilities":null}`, nil, asked, "websocket", ""},
		{"no sockets, by its own word", `{"websocketSupport":false}`, nil, asked, "websocket", ""},
		{"STU2", `{"fhircastVersion":"STU2"}`, nil, "patient-open,patient-close,syncerror", "websocket", ""},
		{"STU2 with names of today", `{"fhircastVersion":"STU2","eventsSupported":["Patient-open","PATIENT-close"]}`, nil, "Patient-open,PATIENT-close,syncerror", "websocket", ""},
		{"the ballot of 2022", `{"fhircastVersion":"2.1.0-ballot"}`, nil, "patient-open,patient-close,syncerror,heartbeat", "websocket", ""},
		{"STU1 with sockets", `{"fhircastVersion":"STU1","websocketSupport":true}`, nil, "patient-open,patient-close,syncerror", "websocket", "patient-open,patient-close,syncerror"},
		{"the ballot of 2020", "", []string{"version-2020"}, "patient-open,patient-close,syncerror", "websocket", "patient-open,patient-close,syncerror"},
		{"what is configured counts more", `{"fhircastVersion":"STU2"}`, []string{"version-3"}, asked, "websocket", ""},
		{"events are wanted to the end", "", []string{"unsubscribe-events"}, asked, "websocket", asked},
		{"it knows one channel", "", []string{"no-channel-type"}, asked, "", ""},
		{"names of 2019", "", []string{"names-2019"}, "open-patient-chart,switch-patient-chart,close-patient-chart,sync-error", "websocket", ""},
		{"heartbeats that it does not tell of", "", []string{"heartbeat"}, asked + ",heartbeat", "websocket", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.config.Quirks = tt.quirks
				w.onWellKnown = func(rw http.ResponseWriter, r *http.Request) {
					if tt.says == "" {
						http.NotFound(rw, r)
						return
					}
					fmt.Fprint(rw, tt.says)
				}
			}, func(w *world) {
				w.after(time.Second)
				if !w.client.State().Subscribed() {
					t.Errorf("%v: %s", w.client.State(), w.client.Trouble())
				}
			})
			first, last := w.posts[0], w.posts[len(w.posts)-1]
			if got := first.Get("hub.events"); got != tt.events {
				t.Errorf("asked for %s, want %s", got, tt.events)
			}
			if got := last.Get("hub.events"); got != tt.ending || last.Has("hub.events") != (tt.ending != "") {
				t.Errorf("unsubscribed from %q, want %q", got, tt.ending)
			}
			for _, form := range []url.Values{first, last} {
				if got := form.Get("hub.channel.type"); got != tt.kind || form.Has("hub.channel.type") != (tt.kind != "") {
					t.Errorf("%s by %q", form.Get("hub.mode"), got)
				}
			}
		})
	}
}

// FC-SUB-22: JSON where it is configured, and never because a form was refused.
func TestSubscribingInJSON(t *testing.T) {
	w := play(t, func(w *world) {
		w.config.Quirks, w.takesJSON = []string{"json-subscribe"}, true
		w.config.Lease = time.Hour
	}, func(w *world) { w.after(10 * time.Minute) })
	want := []url.Values{
		{"hub.channel.type": {"websocket"}, "hub.mode": {"subscribe"}, "hub.topic": {topic.Reveal()}, "hub.lease_seconds": {"3600"},
			"hub.events": {"Patient-open,Patient-close,SyncError"}, "subscriber.name": {"Ward 7"}},
		{"hub.channel.type": {"websocket"}, "hub.mode": {"unsubscribe"}, "hub.topic": {topic.Reveal()}, "hub.channel.endpoint": {endpoint(1)}, "request": {"/fc?tenant=7"}},
	}
	if diff := cmp.Diff(want, []url.Values{w.posts[0], w.posts[len(w.posts)-1]}); diff != "" {
		t.Error(diff)
	}
	if text := inJSON(url.Values{"hub.lease_seconds": {"60"}, "hub.topic": {"60"}}); text != `{"hub.lease_seconds":60,"hub.topic":"60"}` {
		t.Errorf("numbers and texts: %s", text)
	}
	w = play(t, func(w *world) {
		w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) { rw.WriteHeader(http.StatusUnsupportedMediaType) }
		w.onEvent = func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("%s with %s", r.Method, r.Header.Get("Content-Type"))
		}
	}, func(w *world) { w.after(time.Minute) })
	w.wantSaw("0s subscribe")
}

// postedIn plays a world in a dialect, and tells of each POST of an event where it went, as what, and with which name.
func postedIn(t *testing.T, prepare func(w *world), act func(w *world)) (seen []string) {
	play(t, func(w *world) {
		w.onEvent = func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var m struct {
				Event struct {
					Name string `json:"hub.event"`
				} `json:"event"`
			}
			_ = json.Unmarshal(body, &m)
			seen = append(seen, fmt.Sprintf("%s %s %s", r.RequestURI, r.Header.Get("Content-Type"), m.Event.Name))
			rw.WriteHeader(http.StatusAccepted)
		}
		prepare(w)
	}, func(w *world) {
		w.after(time.Second)
		act(w)
	})
	return seen
}

// FC-REQ-02 FC-REQ-03 FC-REQ-11: events are posted where, as what and under the names that this hub wants, at once.
func TestEventsArePostedInTheHubsDialect(t *testing.T) {
	const atTopic = "/fc/topic%2F" + canary + "=+%25?tenant=7"
	for _, tt := range []struct {
		name   string
		says   string
		quirks []string
		want   string
	}{
		{"3.0.0", `{"fhircastVersion":"3.0.0"}`, nil, "/fc?tenant=7 application/json Patient-open"},
		{"STU2", `{"fhircastVersion":"STU2"}`, nil, "/fc?tenant=7 application/json patient-open"},
		{"STU2 with names of today", `{"fhircastVersion":"STU2","eventsSupported":["Patient-Open"]}`, nil, "/fc?tenant=7 application/json Patient-Open"},
		{"at the topic", `{}`, []string{"publish-to-topic"}, atTopic + " application/json Patient-open"},
		{"as FHIR", `{}`, []string{"fhir-json"}, "/fc?tenant=7 application/fhir+json Patient-open"},
		{"names of 2019", `{}`, []string{"names-2019"}, "/fc?tenant=7 application/json open-patient-chart"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := postedIn(t, func(w *world) {
				w.config.Quirks = tt.quirks
				w.onWellKnown = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, tt.says) }
			}, func(w *world) {
				if status, err := w.client.Publish(w.Context(), patientOpen(t, "p1")); status != 202 || err != nil {
					t.Errorf("%d, %v", status, err)
				}
			})
			if diff := cmp.Diff([]string{tt.want}, seen); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FC-OLD-09: in 2019 the topic was itself the address to post to and to read from, and so it is here, but only at the hub.
func TestATopicThatIsAnAddress(t *testing.T) {
	const address = "https://hub.example.test/sessions/" + canary
	var read []string
	seen := postedIn(t, func(w *world) {
		w.config.Quirks = []string{"version-2019"}
		w.config.Topic = address
		w.onSocket = func(n int, s *socket) {
			s.send(fmt.Sprintf(`{"hub.mode":"subscribe","hub.topic":%q,"hub.events":"open-patient-chart","hub.lease-seconds":3600}`, address))
		}
		w.onWellKnown = func(http.ResponseWriter, *http.Request) { t.Error("asked for a document that 2019 did not have") }
		w.onContext = func(rw http.ResponseWriter, r *http.Request) {
			read = append(read, r.RequestURI)
			fmt.Fprint(rw, `{"timestamp":"2000-01-01T00:00:00Z","id":"x","event":{"hub.topic":"x","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"1"}}]}}`)
		}
	}, func(w *world) {
		e := patientOpen(t, "p1")
		own, err := fhircast.NewEvent(fhircast.Draft{ID: "p1", At: time.Now(), Topic: address, Name: e.Name, Context: json.RawMessage(
			`[{"key":"patient","resource":{"resourceType":"Patient","id":"1","identifier":[{"value":"1"}]}}]`)})
		if err != nil {
			t.Fatal(err)
		}
		if status, err := w.client.Publish(w.Context(), own); status != 202 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
		if e, offered, err := w.client.Context(w.Context(), "s1"); err != nil || !offered || e == nil || !e.Name.Is("Patient-open") {
			t.Errorf("context: %v, %v, %v", e, offered, err)
		}
	})
	if diff := cmp.Diff([]string{"/sessions/" + canary + " application/json open-patient-chart"}, seen); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/sessions/" + canary}, read); diff != "" {
		t.Error(diff)
	}
	for _, elsewhere := range []fhircast.Secret{"https://elsewhere.test/" + canary, "http://hub.example.test/" + canary, "https://x@hub.example.test/", canary, "https://%zz" + canary} {
		err := New(Config{HubURL: base, Topic: elsewhere, Handler: &world{}, Quirks: []string{"topic-url"}}).Run(t.Context())
		if want := "subscribe: the topic is not an https address at the hub's own host"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FC-ACK-02: the status as a text, for a hub that wants it so.
func TestAnswersInTheHubsDialect(t *testing.T) {
	w := play(t, func(w *world) { w.config.Quirks = []string{"status-text"} }, func(w *world) {
		w.after(time.Second)
		w.last().event("e1", "Patient-open")
		w.after(2 * time.Second)
	})
	if want := `1s answer 1: {"id":"e1","status":"200"}`; !slices.Contains(w.hubSaw, want) {
		t.Errorf("no %s in %q", want, w.hubSaw)
	}
}

// FC-SEC-03: the token is in the handshake of the socket where that is configured, and only at the hub's own address. The
// socket is as good as any other: it is proven alive, answered on and left politely.
func TestTheTokenIsShownToTheSocketWhereThatIsConfigured(t *testing.T) {
	w := play(t, func(w *world) {
		w.config.Quirks, w.signs = []string{"bearer-on-socket"}, true
	}, func(w *world) {
		w.after(10 * time.Minute)
		w.last().event("e1", "Patient-open")
		w.after(11 * time.Minute)
		w.net.Freeze()
		w.after(12 * time.Minute)
		w.net.Thaw()
		w.after(15 * time.Minute)
	})
	for _, want := range []string{"10m0s event 1: e1 Patient-open", "11m25s lost 1: silence for 25s", "15m0s run returned: <nil>"} {
		if !slices.Contains(w.appHeard, want) {
			t.Errorf("no %q in %q", want, w.appHeard)
		}
	}
	if !slices.Contains(w.hubSaw, "15m0s socket 2 ended: 1000") {
		t.Errorf("saw %q", w.hubSaw)
	}
	w = play(t, func(w *world) {
		w.config.Quirks = []string{"bearer-on-socket"}
		w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) {
			fmt.Fprint(rw, `{"hub.channel.endpoint":"wss://hub.example.test:8443/ws"}`)
		}
	}, func(w *world) { w.after(time.Minute) })
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "1m0s run returned: <nil>")
}

// A signed handshake has its deadline and its words too.
func TestASignedHandshakeThatFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hub   func(rw http.ResponseWriter)
		at    time.Duration
		words string
		tries []string
	}{
		{"refused", func(rw http.ResponseWriter) { http.Error(rw, canary, http.StatusForbidden) }, 0, "connect: the hub answered 403", []string{"0s subscribe", "32.5s subscribe"}},
		{"told to wait", func(rw http.ResponseWriter) { rw.Header().Set("Retry-After", "40"); rw.WriteHeader(503) }, 0, "connect: the hub answered 503", []string{"0s subscribe", "44s subscribe"}},
		{"sent elsewhere", func(rw http.ResponseWriter) {
			rw.Header().Set("Location", "https://elsewhere.example.test/")
			rw.WriteHeader(307)
		}, 0, "connect: the hub answered 307", []string{"0s subscribe", "2.5s subscribe"}},
		{"not answered", func(http.ResponseWriter) { time.Sleep(time.Minute) }, 10 * time.Second, "connect: no answer to the WebSocket handshake within 10s", []string{"0s subscribe", "12.5s subscribe"}},
		{"answered with nonsense", func(rw http.ResponseWriter) { rw.Header().Set("Upgrade", "x"); rw.WriteHeader(101) }, 0, "", []string{"0s subscribe", "2.5s subscribe"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.config.Quirks, w.signs = []string{"bearer-on-socket"}, true
				w.onUpgrade = func(_ int, rw http.ResponseWriter) bool { tt.hub(rw); return true }
			}, func(w *world) {
				w.after(tt.at + time.Millisecond)
				if got := w.client.Trouble(); got != tt.words && tt.words != "" || got == "" {
					t.Errorf("trouble %q, want %q", got, tt.words)
				}
				w.after(time.Minute)
			})
			if !slices.Equal(w.hubSaw[:2], tt.tries) {
				t.Errorf("saw %q, want %q", w.hubSaw, tt.tries)
			}
		})
	}
}

// FC-SEC-06: a socket at an address of the hub's inside is looked for at the hub's own, where that is configured.
func TestASocketIsRebasedWhereThatIsConfigured(t *testing.T) {
	for named, ok := range map[string]bool{
		"wss://10.0.0.5:8080/ws/1?a=%2F": true,
		"ws://hub-inside/ws/1?a=%2F":     true,
		"/ws/1?a=%2F":                    true,
		"ws/1":                           false,
		"wss://" + canary + "@x/ws/1":    false,
		"wss://%zz" + canary:             false,
	} {
		t.Run(named, func(t *testing.T) {
			hosts := []string{}
			w := play(t, func(w *world) {
				w.config.Quirks = []string{"rebase-endpoint"}
				w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) {
					fmt.Fprintf(rw, `{"hub.channel.endpoint":%q}`, named)
				}
				w.onHandshake = func(r *http.Request) { hosts = append(hosts, r.Host+r.RequestURI) }
			}, func(w *world) { w.after(time.Second) })
			want := "1s run returned: <nil>"
			if !ok {
				want = "0s run returned: subscribe: " + errEndpoint.Error()
			}
			if w.appHeard[len(w.appHeard)-1] != want {
				t.Errorf("heard %q", w.appHeard)
			}
			if ok && !slices.Equal(hosts, []string{"hub.example.test/ws/1?a=%2F"}) {
				t.Errorf("connected to %q", hosts)
			}
		})
	}
}

// Where a topic that is an address is not known to be one, a 404 from below the hub's own address does not say
// that nothing is current.
func TestS3_A404BesideATopicThatIsAnAddressIsUnknown(t *testing.T) {
	play(t, func(w *world) {
		w.config.Topic = "https://hub.example.test/sessions/" + canary
		w.config.Quirks = []string{"get-context"}
		w.onSocket = func(n int, s *socket) {
			s.send(fmt.Sprintf(`{"hub.mode":"subscribe","hub.topic":%q,"hub.events":"Patient-open","hub.lease_seconds":3600}`, w.config.Topic.Reveal()))
		}
	}, func(w *world) {
		w.after(time.Second)
		e, offered, err := w.client.Context(w.Context(), "s1")
		if e != nil || !offered || err == nil || err.Error() != "read the current context: the hub answered 404" {
			t.Errorf("%v, %v, %v", e, offered, err)
		}
	})
}

// FC-GCC-01: a hub that offers the current context without a word is configured so; 404 then means that nothing is current.
func TestAContextThatIsOfferedWithoutAWord(t *testing.T) {
	play(t, func(w *world) { w.config.Quirks = []string{"get-context"} }, func(w *world) {
		w.after(time.Second)
		if e, offered, err := w.client.Context(w.Context(), "s1"); e != nil || !offered || err != nil {
			t.Errorf("%v, %v, %v", e, offered, err)
		}
	})
}

// An unknown quirk is a fault of the configuration: nothing is sent.
func TestAnUnknownQuirkIsSaid(t *testing.T) {
	c := New(Config{HubURL: base, Topic: topic, Handler: &world{}, Quirks: []string{"status-text", "staus-text"}})
	if err := c.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), `subscribe: quirk "staus-text"`) {
		t.Errorf("Run: %v", err)
	}
	if _, err := c.Publish(t.Context(), patientOpen(t, "p1")); err == nil || !notSent(err) {
		t.Errorf("Publish: %v", err)
	}
}
