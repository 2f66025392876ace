package subscriber

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// FC-CNF-05: the renewal is a subscribe by the same callback, often, and the Handler hears of it only when something is
// granted otherwise.
func TestAWebhookIsRenewedEveryMinuteOrSo(t *testing.T) {
	k := back(t, func(k *hooks) {
		k.verify = func(n int, form url.Values) {
			if n == 3 {
				form.Set("hub.events", "Patient-open")
			}
			k.agrees(form, "7200")
		}
	}, func(k *hooks) { k.after(4 * time.Minute) })
	k.wantSaw("0s subscribe", "1m18s subscribe", "2m36s subscribe", "3m54s subscribe", "4m0s unsubscribe")
	k.wantHeard("0s subscribed 1: "+hookGranted, "2m36s subscribed 1: Patient-open", "3m54s subscribed 1: "+hookGranted, "4m0s run returned: <nil>")
	for _, form := range k.posts {
		if form.Get("hub.callback") != k.posts[0].Get("hub.callback") {
			t.Errorf("%s of another callback", form.Get("hub.mode"))
		}
	}
}

// A hub that accepts a renewal and does not verify it has not renewed it: two minutes after it last did, it is lost.
func TestAHubThatVerifiesNoMoreIsLost(t *testing.T) {
	k := back(t, func(k *hooks) {
		k.verify = func(n int, form url.Values) {
			if n == 1 {
				k.agrees(form, "7200")
			}
		}
	}, func(k *hooks) { k.after(2 * time.Minute) })
	if !slices.Contains(k.appHeard, "1m54s lost 1: the lease could not be renewed") {
		t.Errorf("heard %q", k.appHeard)
	}
}

// S1: life is proven, or there is none. Each row is how the hub ends, and how soon that is known.
func TestS1_AHubThatCallsBackIsKnownToLive(t *testing.T) {
	const minute = 70 * time.Second // and it is known to keep a connection
	var says atomic.Int32           // the hub, when it is asked about itself
	for _, tt := range []struct {
		name string
		hub  func(k *hooks)
		lost string // "" is not at all
	}{
		{"it lives", func(*hooks) {}, ""},
		{"it has nothing to say of itself", func(*hooks) { says.Store(404) }, ""},
		{"it wants a token for that", func(*hooks) { says.Store(401) }, ""},
		{"nobody is at its port", func(k *hooks) { k.net.Refuse(true); k.net.Cut() }, "1m20s lost 1: the hub cannot be reached"},
		{"it is stuck", func(k *hooks) { k.net.Freeze() }, "1m35s lost 1: silence for 25s"},
		{"it was started anew", func(k *hooks) { k.net.Cut() }, "1m20s lost 1: the hub has ended the connection that it kept, as one does that is started anew"},
		{"it is gone behind its gateway", func(*hooks) { says.Store(502) }, "1m35s lost 1: silence for 25s"},
		{"it was stuck for 17 s, and we ended the connection", func(k *hooks) { k.net.Freeze(); time.AfterFunc(17*time.Second, k.net.Thaw) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			says.Store(200)
			k := back(t, func(k *hooks) {
				k.onWellKnown = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(int(says.Load())) }
				k.verify = func(n int, form url.Values) {
					if n == 1 {
						k.agrees(form, "600") // no renewal is life in what follows
					}
				}
			}, func(k *hooks) {
				k.after(minute)
				tt.hub(k)
				k.after(minute + 27*time.Second)
				if lost := tt.lost != ""; k.client.State().Subscribed() == lost {
					t.Errorf("%v", k.client.State())
				}
				k.net.Thaw()
			})
			if got := slices.DeleteFunc(slices.Clone(k.appHeard), func(s string) bool { return !strings.Contains(s, "lost") }); strings.Join(got, ";") != tt.lost {
				t.Errorf("lost %q, want %q", got, tt.lost)
			}
		})
	}
}

// A hub that ends its connections of itself, with a word or always, is not taken for one that was started anew.
func TestAHubThatKeepsNoConnectionsIsNotLost(t *testing.T) {
	asked := 0
	for name, answer := range map[string]func(k *hooks) http.HandlerFunc{
		"each one": func(*hooks) http.HandlerFunc {
			return func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Connection", "close") }
		},
		"with a word, after some": func(*hooks) http.HandlerFunc {
			return func(rw http.ResponseWriter, _ *http.Request) {
				if asked++; asked%10 == 0 {
					rw.Header().Set("Connection", "close")
				}
			}
		},
		"without a word, when idle": func(k *hooks) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { time.AfterFunc(5*time.Second, func() { k.net.Cut() }) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := back(t, func(k *hooks) { k.onWellKnown = answer(k) }, func(k *hooks) { k.after(10 * time.Minute) })
			k.wantHeard("0s subscribed 1: "+hookGranted, "10m0s run returned: <nil>")
		})
	}
}

// A hub that sends heartbeats and stops has forgotten us, whoever answers at its port.
func TestHeartbeatsThatStayAwayAreALoss(t *testing.T) {
	beat := func(period int) string {
		return fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","id":"h","event":{"hub.topic":%q,"hub.event":"heartbeat","context":[{"key":"period","decimal":%d}]}}`, topic.Reveal(), period)
	}
	k := back(t, func(k *hooks) { k.config.Quirks = []string{"heartbeat"} }, func(k *hooks) {
		for range 6 {
			if got := k.call(k.latest(), "POST", "", beat(10), nil); got.status != 200 {
				t.Errorf("answered %d", got.status)
			}
			time.Sleep(10 * time.Second)
		}
		k.after(90 * time.Second)
	})
	if got := k.appHeard[len(k.appHeard)-3]; got != "1m20s lost 1: no heartbeat for 30s" {
		t.Errorf("heard %q", k.appHeard)
	}
	if !k.posts[0].Has("hub.events") || !strings.Contains(k.posts[0].Get("hub.events"), string(fhircast.Heartbeat)) {
		t.Error("not asked for")
	}
}

// Ended at any instant of its life, it ends within seconds and leaves nothing: no port, no goroutine.
func TestAWebhookIsLeftAtAnyTime(t *testing.T) {
	for tenths := range 40 {
		k := back(t, func(k *hooks) {
			k.onWellKnown = func(rw http.ResponseWriter, _ *http.Request) { time.Sleep(700 * time.Millisecond) }
			k.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
				time.Sleep(700 * time.Millisecond)
				rw.WriteHeader(http.StatusAccepted)
				k.work.Go(func() {
					time.Sleep(700 * time.Millisecond)
					k.agrees(form, "600")
					k.event("e1", "Patient-open")
				})
			}
			k.onDelivery = func(*fhircast.Delivery) {} // never answered
		}, func(k *hooks) { k.after(time.Duration(tenths) * 100 * time.Millisecond) })
		if len(k.ports.open) != 0 {
			t.Errorf("after %d: a port is open", tenths)
		}
		if last := k.appHeard[len(k.appHeard)-1]; !strings.Contains(last, "run returned: <nil>") {
			t.Errorf("after %d: %s", tenths, last)
		}
	}
}
