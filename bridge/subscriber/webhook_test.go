package subscriber

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/bridge/fhircast"
)

const hookGranted = "Patient-open,Patient-close,SyncError"

// FC-WH-03 FC-WH-08: the whole life of a webhook, with an answer of every kind.
func TestAWebhookIsVerifiedAndItsEventsAreAnswered(t *testing.T) {
	answers := map[string]int{"agreed": 200, "taken": 202, "refused": 409, "failed": 500, "busy": 503, "nonsense": 7, "elsewhere": 302}
	replies := map[string]said{}
	late := make(chan *fhircast.Delivery, 1)
	k := back(t, func(k *hooks) {
		k.onDelivery = func(d *fhircast.Delivery) {
			if status, ok := answers[d.Event.ID]; ok {
				d.Answer(status)
				return
			}
			late <- d
		}
	}, func(k *hooks) {
		for id := range answers {
			replies[id] = k.event(id, "Patient-open")
		}
		k.after(10 * time.Second)
		before := time.Now()
		replies["silent"] = k.event("silent", "Patient-open")
		if took := time.Since(before); took != 2*time.Second || !(<-late).Answer(409) {
			t.Errorf("no answer took %v", took)
		}
		k.after(15 * time.Second)
		if !k.client.State().Subscribed() {
			t.Errorf("%v: %s", k.client.State(), k.client.Trouble())
		}
	})
	want := map[string]said{"agreed": {status: 200}, "taken": {status: 202}, "refused": {status: 409}, "failed": {status: 500}, "busy": {status: 503},
		"nonsense": {status: 500}, "elsewhere": {status: 500}, "silent": {status: 202}}
	if diff := cmp.Diff(want, replies, cmp.AllowUnexported(said{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	form := k.posts[0]
	if secret := form.Get("hub.secret"); len(secret) < 32 || len(secret) >= 200 {
		t.Errorf("a secret of %d bytes", len(secret))
	}
	for name, want := range map[string]string{"hub.mode": "subscribe", "hub.topic": topic.Reveal(), "hub.channel.type": "webhook", "hub.events": hookGranted,
		"hub.lease_seconds": "600", "subscriber.name": "Ward 7", "hub.channel.endpoint": ""} {
		if got := form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if k.appHeard[0] != "0s subscribed 1: "+hookGranted || len(k.appHeard) != 1+len(answers)+2 {
		t.Errorf("heard %q", k.appHeard)
	}
	k.wantSaw("0s subscribe", "15s unsubscribe")
}

// FC-WH-02: a callback cannot be guessed, is another with every subscription, and what the hub adds to it is found beside
// what it is called with already.
func TestACallbackIsAnotherWithEverySubscription(t *testing.T) {
	k := back(t, func(k *hooks) {
		k.verify = func(n int, form url.Values) {
			if n == 2 {
				form = url.Values{"hub.callback": {form.Get("hub.callback") + "?tenant=7&keep=a%20b&hub.trace=1&" + intends(form)}}
				if got := k.call(form, "GET", "", "", nil); got.status != 200 || got.body != "challenge <b>&1" {
					t.Errorf("%+v", got)
				}
				return
			}
			k.agrees(form, "600")
		}
	}, func(k *hooks) {
		for range 3 {
			k.client.Reconnect("another one")
			time.Sleep(5 * time.Second)
		}
	})
	seen := map[string]bool{}
	for _, form := range k.posts {
		if form.Get("hub.mode") != "subscribe" {
			continue
		}
		u, err := url.Parse(form.Get("hub.callback"))
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.RawQuery != "" || len(u.Path) < 27 || seen[u.Path] || seen[form.Get("hub.secret")] {
			t.Errorf("callback %v, %v", u, err)
		}
		seen[u.Path], seen[form.Get("hub.secret")] = true, true
	}
	if len(seen) != 8 || k.ports.opened != 4 || len(k.ports.open) != 0 {
		t.Errorf("%d secrets, %d ports, %d open", len(seen), k.ports.opened, len(k.ports.open))
	}
}

// FC-WH-04 FC-WH-05: the challenge is echoed for what is pending, to the letter, and for nothing else.
func TestOnlyWhatIsPendingIsAgreedTo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change []string
		agreed bool
	}{
		{"what was asked for", nil, true},
		{"fewer events, in another case", []string{"hub.events", "PATIENT-open"}, true},
		{"no events, as a known hub writes them", []string{"hub.events", ""}, true},
		{"the mode in another case", []string{"hub.mode", "Subscribe"}, true},
		{"no lease", []string{"hub.lease_seconds", ""}, true},
		{"another topic", []string{"hub.topic", "other"}, false},
		{"no topic", []string{"hub.topic", ""}, false},
		{"an event that was not asked for", []string{"hub.events", "Patient-open,Encounter-open"}, false},
		{"the end of what has hardly begun", []string{"hub.mode", "unsubscribe"}, false},
		{"no mode", []string{"hub.mode", ""}, false},
		{"no challenge", []string{"hub.challenge", ""}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got said
			k := back(t, func(k *hooks) {
				k.verify = func(_ int, form url.Values) { got = k.call(form, "GET", intends(form, tt.change...), "", nil) }
			}, func(k *hooks) {
				k.after(time.Second)
				if k.client.State().Subscribed() != tt.agreed {
					t.Errorf("%v: %s", k.client.State(), k.client.Trouble())
				}
				if !tt.agreed {
					if status := k.event("e1", "Patient-open").status; status != 410 {
						t.Errorf("an event before is answered %d", status)
					}
					k.after(11 * time.Second)
					if got := k.client.Trouble(); got != "subscribe: the hub has not verified the webhook within 10s" {
						t.Errorf("trouble %q", got)
					}
				}
			})
			want := said{200, "text/html", "challenge <b>&1"}
			if !tt.agreed {
				want = said{404, "text/plain; charset=utf-8", "404 page not found\n"}
			}
			if got != want || !tt.agreed && len(k.appHeard) != 1 {
				t.Errorf("answered %+v, heard %q", got, k.appHeard)
			}
		})
	}
	back(t, nil, func(k *hooks) {
		form := k.latest()
		k.after(19 * time.Second)
		if got := k.call(form, "GET", intends(form), "", nil); got.status != 200 {
			t.Errorf("asked for a second time: %d", got.status)
		}
		k.after(21 * time.Second)
		if got := k.call(form, "GET", intends(form), "", nil); got.status != 404 {
			t.Errorf("asked when nothing is pending: %d", got.status)
		}
	})
}

// A hub may verify before it answers the subscribe, and post as soon as it has the challenge.
func TestAHubVerifiesBeforeItAnswers(t *testing.T) {
	k := back(t, func(k *hooks) {
		k.onSubscribe = func(_ int, form url.Values, rw http.ResponseWriter) {
			k.agrees(form, "600")
			k.work.Go(func() {
				if got := k.event("e1", "Patient-open"); got.status != 202 {
					t.Errorf("answered %d", got.status)
				}
			})
			time.Sleep(5 * time.Second)
			rw.WriteHeader(http.StatusAccepted)
		}
	}, func(k *hooks) { k.after(6 * time.Second) })
	k.wantHeard("5s subscribed 1: "+hookGranted, "5s event 1: e1 Patient-open", "6s run returned: <nil>")
}

// FC-WH-07: nothing is believed that is not signed by SHA-256, byte by byte, and it is told that something came.
func TestWhatIsNotSignedIsRefused(t *testing.T) {
	body := eventText("e1", "Patient-open")
	for _, tt := range []struct {
		name string
		sign func(form url.Values, right string) string // "" is none
		ok   bool
	}{
		{"right", func(_ url.Values, right string) string { return "sha256=" + right }, true},
		{"right, in capitals", func(_ url.Values, right string) string { return "SHA256=" + strings.ToUpper(right) }, true},
		{"none", func(url.Values, string) string { return "" }, false},
		{"no method", func(_ url.Values, right string) string { return right }, false},
		{"SHA-1", func(form url.Values, _ string) string {
			m := hmac.New(sha1.New, []byte(form.Get("hub.secret")))
			io.WriteString(m, body)
			return "sha1=" + hex.EncodeToString(m.Sum(nil))
		}, false},
		{"SHA-1 in name only", func(_ url.Values, right string) string { return "sha1=" + right }, false},
		{"another secret", func(url.Values, string) string { return "sha256=" + mac(url.Values{"hub.secret": {"x"}}, body) }, false},
		{"of other bytes", func(form url.Values, _ string) string { return "sha256=" + mac(form, body+" ") }, false},
		{"half of it", func(_ url.Values, right string) string { return "sha256=" + right[:32] }, false},
		{"empty", func(url.Values, string) string { return "sha256=" }, false},
		{"no hex", func(url.Values, string) string { return "sha256=zz" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := back(t, nil, func(k *hooks) {
				k.after(time.Second)
				form := k.latest()
				got := k.call(form, "POST", "", body, func(r *http.Request) {
					r.Header.Del("X-Hub-Signature")
					if s := tt.sign(form, mac(form, body)); s != "" {
						r.Header.Set("X-Hub-Signature", s)
					}
				})
				if want := map[bool]int{true: 200, false: 403}[tt.ok]; got.status != want {
					t.Errorf("answered %d, want %d", got.status, want)
				}
			})
			heard := "1s event 1: e1 Patient-open"
			if !tt.ok {
				heard = `1s refused 1: "" "" its signature is missing, wrong, or not by SHA-256`
			}
			k.wantHeard("0s subscribed 1: "+hookGranted, heard, "1s run returned: <nil>")
		})
	}
}

// What is posted is judged as what comes by a socket.
func TestWhatIsPostedIsJudgedAsAFrameIs(t *testing.T) {
	padded := func(n int) string {
		return strings.Replace(eventText("big", "Patient-open"), `"context":[]`, `"context":[{"key":"`+strings.Repeat("x", n)+`"}]`, 1)
	}
	for _, tt := range []struct {
		name, body, heard string
		status            int
	}{
		{"no JSON", "x", `refused 1: "" "" it is not a JSON object in UTF-8 without duplicate names`, 400},
		{"an event with a fault", `{"id":"e2","event":7}`, `refused 1: "e2" "" a member has the wrong type`, 400},
		{"a denial, which comes by GET", `{"hub.mode":"denied","hub.topic":"` + topic.Reveal() + `"}`, `refused 1: "" "" it is no event`, 400},
		{"nothing", "", "", 400},
		{"almost 4 MiB", padded(relayLimit - 500), "event 1: big Patient-open", 200},
		{"more than 4 MiB", padded(relayLimit), `refused 1: "big" "Patient-open" it is larger than 4 MiB`, 413},
		{"a SyncError of more than 4 MiB", strings.Replace(padded(relayLimit), "Patient-open", "SyncError", 1), `refused 1: "big" "SyncError" it is larger than 4 MiB`, 200},
		{"more than 32 MiB", padded(frameLimit), `refused 1: "" "" it is larger than 32 MiB`, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := back(t, nil, func(k *hooks) {
				if got := k.call(k.latest(), "POST", "", tt.body, nil); got.status != tt.status {
					t.Errorf("answered %d, want %d", got.status, tt.status)
				}
			})
			if heard := k.appHeard[1]; tt.heard != "" && heard != "0s "+tt.heard || tt.heard == "" && !strings.Contains(heard, "refused 1") {
				t.Errorf("heard %q", heard)
			}
		})
	}
	k := back(t, nil, func(k *hooks) {
		form := k.latest()
		half := padded(relayLimit)[:100000] // of a request that says it is longer
		got := k.call(form, "POST", "", half, func(r *http.Request) { r.ContentLength = 200000 })
		if got.status == 200 || got.status == 202 {
			t.Errorf("half an event is answered %d", got.status)
		}
	})
	k.wantHeard("0s subscribed 1: "+hookGranted, "0s run returned: <nil>")
}

// FC-WH-09: a denial by GET, also as the specification prints it, without the & before hub.events.
func TestADenialByGet(t *testing.T) {
	example := "hub.mode=denied&hub.topic=" + url.QueryEscape(topic.Reveal()) + "hub.events=patient-open,patient-close,syncerror&hub.reason=session+unexpectedly+stopped"
	for name, query := range map[string]string{
		"as printed":   example,
		"as meant":     strings.Replace(example, "hub.events=", "&hub.events=", 1),
		"of all":       "hub.mode=denied&hub.topic=" + url.QueryEscape(topic.Reveal()),
		"in capitals":  "hub.mode=DENIED&hub.topic=" + url.QueryEscape(topic.Reveal()),
		"with rubbish": "hub.mode=denied&%zz&;&hub.topic=" + url.QueryEscape(topic.Reveal()),
	} {
		t.Run(name, func(t *testing.T) {
			k := back(t, nil, func(k *hooks) {
				k.after(time.Second)
				if got := k.call(k.latest(), "GET", query, "", nil); got.status != 200 || got.body != "" {
					t.Errorf("answered %+v", got)
				}
				k.after(10 * time.Second)
			})
			k.wantHeard("0s subscribed 1: "+hookGranted, "1s lost 1: denied by the hub", "3.5s subscribed 2: "+hookGranted, "10s run returned: <nil>")
		})
	}
	k := back(t, nil, func(k *hooks) {
		k.after(time.Second)
		for query, want := range map[string]int{"hub.mode=denied&hub.topic=other": 404, "hub.mode=denied": 404, "": 404} {
			if got := k.call(k.latest(), "GET", query, "", nil); got.status != want {
				t.Errorf("%q is answered %d", query, got.status)
			}
		}
		if got := k.call(k.latest(), "GET", "hub.mode=denied&hub.events=Patient-close&hub.topic="+url.QueryEscape(topic.Reveal()), "", nil); got.status != 200 {
			t.Errorf("answered %d", got.status)
		}
	})
	k.wantHeard("0s subscribed 1: "+hookGranted, "1s subscribed 1: Patient-open,SyncError", "1s run returned: <nil>")
}

// FC-WH-10 FC-UNS-04: leaving mirrors coming where the version says so, the hub verifies that, and no more than that.
func TestLeavingAWebhook(t *testing.T) {
	old := "patient-open,patient-close,syncerror"
	for _, tt := range []struct {
		name     string
		quirks   []string
		mirrors  bool
		verifies bool
		returned string
	}{
		{"STU1", []string{"version-stu1"}, true, true, "1s run returned: <nil>"},
		{"STU1, by a hub that does not verify", []string{"version-stu1"}, true, false, "4s run returned: <nil>"},
		{"the ballot of 2020", []string{"version-2020"}, true, false, "1s run returned: <nil>"},
		{"STU2", []string{"version-stu2"}, false, false, "1s run returned: <nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			agreed := 0
			k := back(t, func(k *hooks) {
				k.config.Quirks = tt.quirks
				k.onUnsubscribe = func(rw http.ResponseWriter) {
					rw.WriteHeader(http.StatusAccepted)
					forms := k.subscribes()
					form := forms[len(forms)-1]
					if !tt.verifies {
						return
					}
					k.work.Go(func() {
						for _, mode := range []string{"subscribe", "unsubscribe"} {
							got := k.call(form, "GET", intends(form, "hub.mode", mode), "", nil)
							if want := map[string]int{"subscribe": 404, "unsubscribe": 200}[mode]; got.status != want {
								t.Errorf("%s is answered %d", mode, got.status)
							} else if got.body == "challenge <b>&1" {
								agreed++
							}
						}
					})
				}
			}, func(k *hooks) { k.after(time.Second) })
			first, last := k.posts[0], k.posts[len(k.posts)-1]
			mirrored := url.Values{}
			for name, values := range first {
				mirrored[name] = values
			}
			mirrored.Set("hub.mode", "unsubscribe")
			if !tt.mirrors {
				for _, name := range []string{"hub.events", "hub.secret", "hub.lease_seconds", "subscriber.name"} {
					mirrored.Del(name)
				}
			}
			last.Del("request")
			if diff := cmp.Diff(mirrored, last); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if first.Get("hub.events") != old || first.Has("hub.channel.type") != (tt.name == "STU2" || tt.name == "the ballot of 2020") || (agreed == 1) != tt.verifies {
				t.Errorf("subscribed by %v, verified %d", first, agreed)
			}
			k.wantHeard("0s subscribed 1: "+old, tt.returned)
		})
	}
}

// A subscription that is lost to us is given up at the hub too: it would call where nobody is, and tell everybody that we
// do not follow.
func TestAHubIsNotLeftCallingWhereNobodyIs(t *testing.T) {
	k := back(t, nil, func(k *hooks) {
		k.after(time.Second)
		k.client.Reconnect("for a change")
		k.after(5 * time.Second)
	})
	k.wantSaw("0s subscribe", "1s unsubscribe", "1.5s subscribe", "5s unsubscribe")
	if k.posts[1].Get("hub.callback") != k.posts[0].Get("hub.callback") || k.posts[3].Get("hub.callback") != k.posts[2].Get("hub.callback") {
		t.Error("another was given up")
	}
	k.wantHeard("0s subscribed 1: "+hookGranted, "1s lost 1: for a change", "1.5s subscribed 2: "+hookGranted, "5s run returned: <nil>")
}

// Who may call, and how: a name of somebody else that leads here, a guessed path and another method get nothing.
func TestACallbackLetsInNobodyElse(t *testing.T) {
	k := back(t, nil, func(k *hooks) {
		form := k.latest()
		u, err := url.Parse(form.Get("hub.callback"))
		if err != nil {
			t.Fatal(err)
		}
		host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
		for _, tt := range []struct {
			name, method string
			change       func(*http.Request)
			status       int
		}{
			{"a name that was made to lead here", "POST", host("evil.example.test:49152"), 404},
			{"localhost", "GET", host("localhost:49152"), 404},
			{"another port", "POST", host("127.0.0.1:80"), 404},
			{"no port", "POST", host("127.0.0.1"), 404},
			{"the root", "POST", func(r *http.Request) { r.URL.Path = "/" }, 404},
			{"below", "POST", func(r *http.Request) { r.URL.Path += "/" }, 404},
			{"almost", "GET", func(r *http.Request) { r.URL.Path = u.Path[:len(u.Path)-1] + "!" }, 404},
			{"PUT", "PUT", nil, 405},
			{"DELETE", "DELETE", nil, 405},
			{"HEAD", "HEAD", nil, 405},
			{"OPTIONS, from a page", "OPTIONS", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.test") }, 405},
			{"as it should be", "GET", nil, 200},
		} {
			if got := k.call(form, tt.method, intends(form), eventText("e1", "Patient-open"), tt.change); got.status != tt.status {
				t.Errorf("%s: answered %d, want %d", tt.name, got.status, tt.status)
			}
		}
	})
	k.wantHeard("0s subscribed 1: "+hookGranted, "0s run returned: <nil>")
}

// What others on this computer can do is to take connections, for a few seconds each.
func TestACallbackOutlivesIdlers(t *testing.T) {
	k := back(t, nil, func(k *hooks) {
		address := strings.TrimPrefix(k.latest().Get("hub.callback"), "http://")
		address, _, _ = strings.Cut(address, "/")
		k.caller.CloseIdleConnections()
		hungUp := 0
		for range 2 * mostConns {
			conn, err := k.ports.dial(k.Context(), "", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
				hungUp++
			}
		}
		if hungUp != mostConns {
			t.Errorf("%d were hung up on", hungUp)
		}
		if got := k.event("e1", "Patient-open"); got.status != 0 {
			t.Errorf("answered %d", got.status)
		}
		k.after(6 * time.Second)
		if got := k.event("e2", "Patient-open"); got.status != 200 {
			t.Errorf("answered %d", got.status)
		}
	})
	k.wantHeard("0s subscribed 1: "+hookGranted, "6s event 1: e2 Patient-open", "6s run returned: <nil>")
}

// Who keeps a connection does not keep us: leaving takes a second more.
func TestIdlersDoNotHoldACallback(t *testing.T) {
	k := back(t, nil, func(k *hooks) {
		address, _, _ := strings.Cut(strings.TrimPrefix(k.latest().Get("hub.callback"), "http://"), "/")
		k.caller.CloseIdleConnections()
		for _, half := range []string{"", "POST / HTTP/1.1\r\nHost: x\r\nContent-Le"} {
			conn, err := k.ports.dial(k.Context(), "", address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(half)); err != nil {
				t.Error(err)
			}
			k.Cleanup(func() { conn.Close() })
		}
	})
	k.wantHeard("0s subscribed 1: "+hookGranted, "1s run returned: <nil>")
}

// Many posts at a time are read and answered some at a time, all of them, in turn.
func TestManyPostsAtATime(t *testing.T) {
	const many = 40
	k := back(t, func(k *hooks) {
		k.onDelivery = func(d *fhircast.Delivery) { time.AfterFunc(300*time.Millisecond, func() { d.Answer(200) }) }
	}, func(k *hooks) {
		statuses := make(chan int, many)
		for i := range many {
			k.work.Go(func() { statuses <- k.event(fmt.Sprint("e", i), "Patient-open").status })
		}
		time.Sleep(3 * time.Second)
		for range many {
			if status := <-statuses; status != 200 {
				t.Errorf("answered %d", status)
			}
		}
	})
	if len(k.appHeard) != many+2 {
		t.Errorf("%d heard", len(k.appHeard))
	}
}

// The hub has to be on this computer: it could not reach us otherwise, and what it posts is not encrypted.
func TestAWebhookIsForAHubOnThisComputer(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::1")}
	for _, tt := range []struct {
		addresses string
		here      bool
	}{
		{"127.0.0.1", true}, {"127.8.9.10", true}, {"::1", true}, {"::ffff:127.0.0.1", true}, {"192.0.2.7", true}, {"::ffff:192.0.2.7", true},
		{"127.0.0.1 ::1 192.0.2.7", true}, {"fe80::1%eth0", true}, {"192.0.2.8", false}, {"127.0.0.1 192.0.2.8", false}, {"0.0.0.0", false}, {"", false},
	} {
		var list []netip.Addr
		for _, word := range strings.Fields(tt.addresses) {
			list = append(list, netip.MustParseAddr(word))
		}
		if got := areHere(list, own); got != tt.here {
			t.Errorf("%q: %v", tt.addresses, got)
		}
	}
	if got := ownAddresses(); !slices.ContainsFunc(got, netip.Addr.IsLoopback) {
		t.Errorf("this computer has %v", got)
	}
	k := back(t, func(k *hooks) { k.config.HubURL = "https://192.0.2.1/fc" }, func(k *hooks) {})
	k.wantHeard("0s run returned: subscribe: a webhook is for a hub on this computer, and the hub's address is not of this computer")
	k.wantSaw()
	if k.ports.opened != 0 {
		t.Error("a port was opened")
	}
	if err := New(Config{HubURL: base, Topic: topic, Handler: &world{}, Channel: "pigeon"}).Run(t.Context()); err == nil || err.Error() != "subscribe: the channel is neither websocket nor webhook" {
		t.Errorf("an unknown channel: %v", err)
	}
}
