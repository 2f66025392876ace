package subscriber

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// FC-SUB-01 FC-SUB-02 FC-SUB-13 FC-UNS-02 FC-GEN-01 FC-CONF-01: subscribe, renewal and unsubscribe are signed forms that are
// posted to the hub's address, as it was given, byte by byte; what the hub says of itself is asked for below its path.
func TestTheHubsAddressIsUsedAsItIs(t *testing.T) {
	const wellKnown = "/.well-known/fhircast-configuration"
	for _, tt := range []struct{ given, posted, asked string }{
		{"", "/", wellKnown}, // an address without a path has this one
		{"/", "/", wellKnown},
		{"/fc", "/fc", "/fc" + wellKnown},
		{"/fc/", "/fc/", "/fc" + wellKnown},
		{"/fc//x", "/fc//x", "/fc//x" + wellKnown},
		{"/a%2Fb/%7Euser", "/a%2Fb/%7Euser", "/a%2Fb/%7Euser" + wellKnown},
		{"/fc?tenant=7&x=a%20b", "/fc?tenant=7&x=a%20b", "/fc" + wellKnown + "?tenant=7&x=a%20b"},
		{"/FC/?q", "/FC/?q", "/FC" + wellKnown + "?q"},
	} {
		t.Run(tt.given, func(t *testing.T) {
			var got []string
			w := play(t, func(w *world) {
				w.config.HubURL = hubtest.PipeURL + tt.given
				w.onForm = func(r *http.Request, _ http.ResponseWriter) bool {
					got = append(got, strings.Join([]string{r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("Authorization")}, " "))
					return true
				}
				w.onWellKnown = func(rw http.ResponseWriter, r *http.Request) {
					got = append(got, r.RequestURI)
					http.NotFound(rw, r)
				}
				w.onContext = w.onWellKnown // the world knows its own address only
				w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) { w.accept(1, rw) }
				w.onSocket = func(n int, s *socket) { s.confirm(100) }
			}, func(w *world) { w.after(80 * time.Second) })
			posted := "POST " + tt.posted + " application/x-www-form-urlencoded Bearer " + token
			if diff := cmp.Diff([]string{tt.asked, posted, posted, posted}, got); diff != "" {
				t.Error(diff)
			}
			w.wantSaw("0s subscribe", "0s socket 1", "1m5s subscribe", "1m20s unsubscribe", "1m20s socket 1 ended: 1000")
		})
	}
}

// FC-SUB-08: a name is asked for once, in whatever case it was configured how often.
func TestEachEventIsAskedForOnce(t *testing.T) {
	w := play(t, func(w *world) {
		w.config.Events = []fhircast.Name{"Patient-open", "patient-OPEN", "syncerror", "Patient-close", "Patient-open", "SyncError"}
	}, func(w *world) { w.after(time.Second) })
	if got := w.posts[0].Get("hub.events"); got != "Patient-open,SyncError,Patient-close" {
		t.Errorf("asked for %s", got)
	}
}

// FC-DISC-01 FC-SUB-07: a topic is whatever it is: it is not read, trimmed or spelled otherwise, in a form, in an address and
// in a comparison.
func TestATopicIsTakenAsItIs(t *testing.T) {
	for _, said := range []string{" T 1 ", "MixedCase", "a/b?c#d&e=f+g", "%41%2f", "ünïcode\u00a0", "https://hub.example.test/fc/T"} {
		t.Run(said, func(t *testing.T) {
			confirmation := func(topic string) string {
				return fmt.Sprintf(`{"hub.mode":"subscribe","hub.topic":%q,"hub.events":"Patient-open","hub.lease_seconds":3600}`, topic)
			}
			var read []string
			w := play(t, func(w *world) {
				w.config.Topic = fhircast.Secret(said)
				w.onSocket = func(n int, s *socket) {
					s.send(confirmation(said))
					time.Sleep(time.Minute)
					s.send(confirmation(strings.ToUpper(said + "x")))
				}
				w.onContext = func(rw http.ResponseWriter, r *http.Request) {
					read = append(read, strings.TrimSuffix(r.RequestURI, "?tenant=7"))
					fmt.Fprint(rw, "[]")
				}
			}, func(w *world) {
				w.after(time.Second)
				if _, _, err := w.client.Context(w.Context(), "s1"); err != nil {
					t.Error(err)
				}
				w.after(time.Minute + time.Second)
			})
			if got := w.posts[0].Get("hub.topic"); got != said {
				t.Errorf("asked for %q", got)
			}
			segment, err := url.PathUnescape(strings.TrimPrefix(read[0], "/fc/"))
			if err != nil || segment != said || strings.Count(read[0], "/") != 2 {
				t.Errorf("read at %q", read[0])
			}
			w.wantHeard("0s subscribed 1: Patient-open", "1m0s lost 1: the hub confirmed another session", "1m1s run returned: <nil>")
		})
	}
}

// FC-SUB-21: a subscribe and an unsubscribe stay at the hub too, whatever it says.
func TestASubscribeIsNotSentElsewhere(t *testing.T) {
	for _, to := range []string{"https://elsewhere.example.test/fc", "http://hub.example.test/fc", "https://hub.example.test:8443/fc"} {
		for _, mode := range []string{"subscribe", "unsubscribe"} {
			play(t, func(w *world) {
				away := func(rw http.ResponseWriter) {
					rw.Header().Set("Location", to)
					rw.WriteHeader(http.StatusTemporaryRedirect)
				}
				w.onForm = func(r *http.Request, _ http.ResponseWriter) bool {
					if r.Host != "hub.example.test" || r.RequestURI != "/fc?tenant=7" {
						t.Errorf("%s went to %s%s", mode, r.Host, r.RequestURI)
					}
					return true
				}
				if mode == "unsubscribe" {
					w.onUnsubscribe = away
				} else {
					w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) { away(rw) }
				}
			}, func(w *world) { w.after(time.Minute) })
		}
	}
}

// FC-UNS-05: who has left comes back without a word of the socket there was.
func TestAnEndpointIsNotUsedAgain(t *testing.T) {
	w := play(t, nil, func(w *world) {
		client := New(w.config)
		for range 2 {
			ctx, cancel := context.WithCancel(w.Context())
			ended := make(chan error)
			go func() { ended <- client.Run(ctx) }()
			w.after(time.Since(w.start) + time.Second)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	var named []string
	for _, form := range w.posts {
		named = append(named, form.Get("hub.mode")+" "+form.Get("hub.channel.endpoint"))
	}
	want := []string{"subscribe ", "subscribe ", "unsubscribe " + endpoint(2), "subscribe ", "unsubscribe " + endpoint(3), "unsubscribe " + endpoint(1)}
	if diff := cmp.Diff(want, named); diff != "" {
		t.Error(diff)
	}
}

// FC-CNF-06: a hub that names no lease, in whatever way, is taken to mean an hour.
func TestALeaseThatIsNotSaid(t *testing.T) {
	for _, text := range []string{``, `,"hub.lease_seconds":0`, `,"hub.lease_seconds":null`, `,"hub.lease_seconds":"soon"`} {
		w := play(t, func(w *world) {
			w.onSocket = func(n int, s *socket) {
				s.send(fmt.Sprintf(`{"hub.mode":"subscribe","hub.topic":%q,"hub.events":"Patient-open"%s}`, topic.Reveal(), text))
			}
			w.onSubscribe = func(_ int, _ url.Values, rw http.ResponseWriter) { w.accept(1, rw) }
		}, func(w *world) { w.after(40 * time.Minute) })
		w.wantSaw("0s subscribe", "0s socket 1", "39m0s subscribe", "40m0s unsubscribe", "40m0s socket 1 ended: 1000")
	}
}
