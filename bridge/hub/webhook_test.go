package hub_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

const callbackURL = "http://127.0.0.1:8080/in?id=7&keep=a%20b"

// A call is one request to a callback.
type call struct {
	at        time.Time
	method    string
	path      string
	query     url.Values
	raw       string // the query
	kind      string
	signature string
	body      string
}

// hooks is a program that is called back. It keeps what it got and answers as it is told: the challenge to a GET, 200 to
// a POST, unless answer says otherwise.
type hooks struct {
	*world
	mu     sync.Mutex
	calls  []call
	answer func(w http.ResponseWriter, c call) bool
}

// newHooks has the client of the hub end up at a server in memory. dial is what the client does before, nil for nothing.
func newHooks(t *testing.T, c hub.Config, allow func(*url.URL) bool) *hooks {
	k := &hooks{}
	lines := make(chan net.Conn)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case lines <- far:
			return near, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	c.Webhooks = hub.Webhooks{Client: &http.Client{Transport: transport}, Allow: allow}
	server := &http.Server{Handler: k}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(pipes{lines, make(chan struct{})}) }()
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close(); <-served })
	k.world = newWorld(t, c)
	return k
}

func (k *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c := call{time.Now(), r.Method, r.URL.Path, r.URL.Query(), r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("X-Hub-Signature"), string(body)}
	k.mu.Lock()
	k.calls = append(k.calls, c)
	answer := k.answer
	k.mu.Unlock()
	if answer != nil && answer(w, c) {
		return
	}
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, c.query.Get("hub.challenge"))
	}
}

// got waits until nothing happens any more and gives the calls so far, which are then forgotten.
func (k *hooks) got() []call {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	calls := k.calls
	k.calls = nil
	return calls
}

func (k *hooks) answers(f func(w http.ResponseWriter, c call) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = f
}

// status has POSTs answered so.
func status(code int) func(w http.ResponseWriter, c call) bool {
	return func(w http.ResponseWriter, c call) bool {
		if c.method == http.MethodPost {
			w.WriteHeader(code)
		}
		return c.method == http.MethodPost
	}
}

// ask posts a form about a webhook, and gives status and body.
func (k *hooks) ask(change ...string) (int, string) {
	k.Helper()
	return k.do("POST", "/fc", "all", formType, k.form(append([]string{"hub.channel.type", "webhook", "hub.callback", callbackURL, "hub.secret", "sesame"}, change...)...))
}

// hooked subscribes and gives what the callback was asked.
func (k *hooks) hooked(change ...string) call {
	k.Helper()
	if status, body := k.ask(change...); status != 202 || body != "" {
		k.Fatalf("subscribe: %d %q", status, body)
	}
	calls := k.got()
	if len(calls) != 1 || len(k.hub.Subscribers(k.topic)) == 0 {
		k.Fatalf("calls %+v, subscribers %+v", calls, k.hub.Subscribers(k.topic))
	}
	return calls[0]
}

func TestAWebhookConfirmsAndGetsSignedEvents(t *testing.T) {
	// FC-WH-01 FC-WH-02 FC-WH-04 FC-WH-07
	synctest.Test(t, func(t *testing.T) {
		k := newHooks(t, hub.Config{}, nil)
		k.post("before", "Patient-open", patient("a"))
		if status, body := k.ask("hub.lease_seconds", "600"); status != 202 || body != "" {
			t.Fatalf("%d %q", status, body)
		}
		calls := k.got()
		if len(calls) != 2 {
			t.Fatalf("calls: %+v", calls)
		}
		asked, initial := calls[0], calls[1]
		if asked.method != "GET" || asked.path != "/in" || !strings.HasPrefix(asked.raw, "id=7&keep=a%20b&hub.") {
			t.Errorf("asked %+v", asked)
		}
		for name, want := range map[string]string{"hub.mode": "subscribe", "hub.topic": k.topic.Reveal(), "hub.lease_seconds": "600", "hub.events": "Patient-open,Patient-close,Home-open,SyncError", "id": "7", "keep": "a b"} {
			if got := asked.query[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if len(asked.query.Get("hub.challenge")) < 26 {
			t.Errorf("challenge %q", asked.query.Get("hub.challenge"))
		}
		k.post("live", "Patient-close", strings.Replace(patient("a"), "Zyxcanary", "Ünicode", 1))
		k.post("not asked for", "ImagingStudy-open", study("s", "a"))
		calls = append([]call{initial}, k.got()...)
		if len(calls) != 2 {
			t.Fatalf("calls: %+v", calls)
		}
		for i, id := range []string{"before", "live"} {
			c := calls[i]
			mac := hmac.New(sha256.New, []byte("sesame"))
			mac.Write([]byte(c.body))
			if c.method != "POST" || c.path != "/in" || c.raw != "id=7&keep=a%20b" || c.kind != "application/json" || c.signature != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
				t.Errorf("posted %+v", c)
			}
			if m, err := fhircast.Decode([]byte(c.body)); err != nil || m.(*fhircast.Event).ID != id {
				t.Errorf("body %s: %v", c.body, err)
			}
		}
		if s := k.hub.Subscribers(k.topic); len(s) != 1 || s[0].Name != "Viewer" || s[0].Last.EventID != "live" || s[0].Last.Status != 200 {
			t.Errorf("subscribers: %+v", s)
		}
		if strings.Contains(k.logs.String(), "127.0.0.1") || strings.Contains(k.logs.String(), "sesame") {
			t.Errorf("log: %s", k.logs)
		}
	})
}

func TestAWebhookThatDoesNotConfirmIsNone(t *testing.T) {
	// FC-WH-06
	for _, row := range []struct {
		name   string
		answer func(w http.ResponseWriter, c call)
		agrees bool
	}{
		{"the challenge", func(w http.ResponseWriter, c call) { io.WriteString(w, c.query.Get("hub.challenge")) }, true},
		{"the challenge, created", func(w http.ResponseWriter, c call) {
			w.WriteHeader(201)
			io.WriteString(w, c.query.Get("hub.challenge"))
		}, true},
		{"404", func(w http.ResponseWriter, c call) {
			w.WriteHeader(404)
			io.WriteString(w, c.query.Get("hub.challenge"))
		}, false},
		{"500", func(w http.ResponseWriter, c call) {
			w.WriteHeader(500)
			io.WriteString(w, c.query.Get("hub.challenge"))
		}, false},
		{"a redirect to who would agree", func(w http.ResponseWriter, c call) {
			if c.path == "/in" {
				w.Header().Set("Location", "/elsewhere?"+c.raw)
				w.WriteHeader(302)
			}
			io.WriteString(w, c.query.Get("hub.challenge"))
		}, false},
		{"nothing", func(http.ResponseWriter, call) {}, false},
		{"another text", func(w http.ResponseWriter, c call) { io.WriteString(w, "ok") }, false},
		{"more than the challenge", func(w http.ResponseWriter, c call) { io.WriteString(w, c.query.Get("hub.challenge")+"\n") }, false},
		{"no end of text", func(w http.ResponseWriter, c call) {
			io.WriteString(w, c.query.Get("hub.challenge")+strings.Repeat("x", 1<<20))
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newHooks(t, hub.Config{}, nil)
				k.answers(func(w http.ResponseWriter, c call) bool {
					if c.method == "GET" {
						row.answer(w, c)
					}
					return c.method == "GET"
				})
				if status, body := k.ask(); status != 202 {
					t.Fatalf("%d %s", status, body)
				}
				if calls := k.got(); len(calls) != 1 {
					t.Errorf("calls: %+v", calls)
				}
				k.post("1", "Patient-open", patient("a"))
				if calls := k.got(); (len(calls) == 1) != row.agrees || (len(k.hub.Subscribers(k.topic)) == 1) != row.agrees {
					t.Errorf("%d calls, %d subscribers", len(calls), len(k.hub.Subscribers(k.topic)))
				}
			})
		})
	}
}

func TestWhichCallbacksAreCalled(t *testing.T) {
	// FC-WH-02 FC-WH-03 FC-SUB-16
	anywhere := func(*url.URL) bool { return true }
	rows := []struct {
		name   string
		allow  func(*url.URL) bool
		change []string
		status int
		text   string
	}{
		{"this machine", nil, []string{"hub.callback", "http://[::1]:8080/in"}, 202, ""},
		{"this machine by name", nil, []string{"hub.callback", "http://LOCALHOST/in"}, 202, ""},
		{"another machine", nil, []string{"hub.callback", "https://10.0.0.1/in"}, 403, "hub.callback"},
		{"the address of a cloud's secrets", nil, []string{"hub.callback", "http://169.254.169.254/latest"}, 403, "hub.callback"},
		{"a name that may be anything", nil, []string{"hub.callback", "http://localhost.example.test/in"}, 403, "hub.callback"},
		{"an address that only looks like one", nil, []string{"hub.callback", "http://127.0.0.1.example.test/in"}, 403, "hub.callback"},
		{"no address", nil, []string{"hub.callback", "http://0.0.0.0/in"}, 403, "hub.callback"},
		{"another machine, allowed", anywhere, []string{"hub.callback", "http://10.0.0.1/in"}, 202, ""},
		{"no callback", nil, []string{"hub.callback", ""}, 400, "hub.callback"},
		{"a path", nil, []string{"hub.callback", "/in"}, 400, "hub.callback"},
		{"something else than the web", anywhere, []string{"hub.callback", "ftp://127.0.0.1/in"}, 400, "hub.callback"},
		{"a file", anywhere, []string{"hub.callback", "file:///etc/passwd"}, 400, "hub.callback"},
		{"a user in it", nil, []string{"hub.callback", "http://me:secret@127.0.0.1/in"}, 400, "hub.callback"},
		{"a fragment in it", nil, []string{"hub.callback", "http://127.0.0.1/in#x"}, 400, "hub.callback"},
		{"an endless one", nil, []string{"hub.callback", "http://127.0.0.1/" + strings.Repeat("x", 2000)}, 400, "hub.callback"},
		{"a secret of 199 bytes", nil, []string{"hub.secret", strings.Repeat("x", 199)}, 202, ""},
		{"a secret of 200 bytes", nil, []string{"hub.secret", strings.Repeat("x", 200)}, 400, "hub.secret"},
		{"no secret", nil, []string{"hub.secret", ""}, 202, ""},
		{"no topic", nil, []string{"hub.topic", ""}, 400, "hub.topic"},
		{"a topic that is not there", nil, []string{"hub.topic", "T-7f3a"}, 404, "no such topic"},
		{"no events", nil, []string{"hub.events", ""}, 400, "hub.events"},
		{"events that the hub does not know", nil, []string{"hub.events", "Observation-update"}, 400, "eventsSupported"},
		{"no mode", nil, []string{"hub.mode", ""}, 400, "hub.mode"},
		{"a channel of another kind", nil, []string{"hub.channel.type", "carrier pigeon"}, 400, "hub.channel.type"},
		{"leaving without having come", nil, []string{"hub.mode", "unsubscribe"}, 404, "callback"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newHooks(t, hub.Config{}, row.allow)
				status, body := k.ask(row.change...)
				if status != row.status || !strings.Contains(body, row.text) {
					t.Errorf("%d %q, want %d with %q", status, body, row.status, row.text)
				}
				calls := k.got()
				if (len(calls) > 0) != (status == 202) {
					t.Errorf("calls: %+v", calls)
				}
			})
		})
	}
}

func TestAHubWithoutWebhooksRefusesThem(t *testing.T) {
	// FC-WH-01
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Config{})
		for _, kind := range []string{"webhook", ""} {
			if status, body := w.do("POST", "/fc", "all", formType, w.form("hub.channel.type", kind, "hub.callback", callbackURL)); status != 400 || !strings.Contains(body, "hub.channel.type") {
				t.Errorf("type %q: %d %s", kind, status, body)
			}
		}
		if _, body := w.do("GET", "/fc/.well-known/fhircast-configuration", "", "", ""); strings.Contains(body, "webhook") {
			t.Errorf("advertised: %s", body)
		}
		k := newHooks(t, hub.Config{}, nil)
		if _, body := k.do("GET", "/fc/.well-known/fhircast-configuration", "", "", ""); !strings.Contains(body, `"webhookSupport":true`) {
			t.Errorf("not advertised: %s", body)
		}
	})
}

func TestAnswersOfAWebhookAreAnswers(t *testing.T) {
	// FC-WH-01 FC-ERR-02
	for _, row := range []struct {
		status, calls int
		took          time.Duration
		why           string
	}{
		{200, 1, 0, ""}, {202, 1, 0, ""}, {204, 1, 0, ""},
		{409, 1, 0, "refused to follow (409)"}, {400, 1, 0, "refused to follow (400)"},
		{500, 1, 0, "could not process the event (500)"}, {302, 1, 0, "could not process the event (302)"},
		{503, 4, 10 * time.Second, "could not process the event (503)"},
		{429, 4, 10 * time.Second, "refused to follow (429)"},
	} {
		t.Run(http.StatusText(row.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newHooks(t, hub.Config{}, nil)
				other := k.join("all", "hub.events", "SyncError")
				k.hooked("subscriber.name", "Hooked")
				k.answers(status(row.status))
				start := time.Now()
				k.post("1", "Patient-open", patient("a"))
				if row.why != "" {
					other.failure("1", "Hooked", row.why)
					if took := time.Since(start); took != row.took {
						t.Errorf("after %v, want %v", took, row.took)
					}
				}
				other.nothing(time.Minute)
				if calls := k.got(); len(calls) != row.calls {
					t.Errorf("%d calls: %+v", len(calls), calls)
				}
				if s := k.hub.Subscribers(k.topic); len(s) != 2 || s[1].Last.Status != row.status {
					t.Errorf("subscribers: %+v", s)
				}
			})
		})
	}
}

func TestADeliveryIsTriedAgainUntilItIsTaken(t *testing.T) {
	// FC-WH-01
	synctest.Test(t, func(t *testing.T) {
		k := newHooks(t, hub.Config{}, nil)
		k.hooked()
		tries := 0
		k.answers(func(w http.ResponseWriter, c call) bool {
			if tries++; tries < 3 {
				panic(http.ErrAbortHandler) // the line breaks
			}
			return false
		})
		start := time.Now()
		k.post("1", "Patient-open", patient("a"))
		k.post("2", "Patient-close", patient("a"))
		time.Sleep(time.Minute)
		var got []string
		for _, c := range k.got() {
			m, err := fhircast.Decode([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.(*fhircast.Event).ID+" "+c.at.Sub(start).String())
		}
		if want := "1 0s, 1 1s, 1 3s, 2 3s"; strings.Join(got, ", ") != want {
			t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
		}
	})
}

func TestADeadWebhookIsGivenUpAndDelaysNobody(t *testing.T) {
	// FC-HGS-03 FC-WH-09
	synctest.Test(t, func(t *testing.T) {
		k := newHooks(t, hub.Config{Queue: 4}, nil)
		other := k.join("all", "hub.events", "Patient-open,SyncError")
		k.hooked("subscriber.name", "Dead")
		hang := make(chan struct{})
		k.answers(func(w http.ResponseWriter, c call) bool {
			if c.method == "POST" {
				<-hang
			}
			return c.method == "POST"
		})
		start := time.Now()
		for _, id := range []string{"1", "2", "3"} {
			k.post(id, "Patient-open", patient("a"))
			if e := other.event(); e.ID != id {
				t.Errorf("got %s", e)
			}
			other.say(`{"id":"` + id + `","status":200}`)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the socket waited %v", waited)
		}
		other.failure("1", "Dead", "no answer within 10 s")
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("given up after %v", took)
		}
		close(hang)
		other.nothing(time.Minute)
		calls := k.got()
		last := calls[len(calls)-1]
		if last.method != "GET" || last.query.Get("hub.mode") != "denied" || last.query.Get("hub.topic") != k.topic.Reveal() ||
			last.query.Get("hub.events") != "Patient-open,Patient-close,Home-open,SyncError" || last.query.Get("hub.reason") != "no answer within 10 s" || last.query.Get("id") != "7" {
			t.Errorf("told at last: %+v", last)
		}
		for _, c := range calls[:len(calls)-1] {
			if !strings.Contains(c.body, `"id":"1"`) {
				t.Errorf("delivered after the end: %+v", c)
			}
		}
		if n := len(k.hub.Subscribers(k.topic)); n != 1 {
			t.Errorf("%d subscribers", n)
		}
	})
}

func TestAWebhookThatDoesNotKeepUpIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newHooks(t, hub.Config{Queue: 4}, nil)
		other := k.join("all", "hub.events", "SyncError")
		k.hooked("subscriber.name", "Slow", "hub.events", "Patient-open")
		hang := make(chan struct{})
		k.answers(func(http.ResponseWriter, call) bool { <-hang; return true })
		for _, id := range []string{"under way", "1", "2", "3", "4"} {
			k.post(id, "Patient-open", patient("a"))
			synctest.Wait()
		}
		other.nothing(time.Second)
		k.post("too many", "Patient-open", patient("a"))
		other.failure("too many", "Slow", "does not keep up")
		close(hang)
		if n := len(k.hub.Subscribers(k.topic)); n != 1 {
			t.Errorf("%d subscribers", n)
		}
	})
}

func TestTheLeaseOfAWebhookEndsUnlessItIsRenewed(t *testing.T) {
	// FC-WH-09 FC-CNF-04 FC-CNF-05 FC-SUB-10 FC-SUB-14
	synctest.Test(t, func(t *testing.T) {
		k := newHooks(t, hub.Config{}, nil)
		k.hooked("hub.lease_seconds", "60")
		time.Sleep(50 * time.Second)
		again := k.hooked("hub.lease_seconds", "60", "hub.events", "Patient-close", "hub.secret", "other")
		if again.query.Get("hub.events") != "Patient-close" {
			t.Errorf("asked %+v", again)
		}
		k.post("1", "Patient-open", patient("a"))
		k.post("2", "Patient-close", patient("a"))
		calls := k.got()
		mac := hmac.New(sha256.New, []byte("other"))
		mac.Write([]byte(calls[0].body))
		if len(calls) != 1 || !strings.Contains(calls[0].body, `"id":"2"`) || calls[0].signature != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("calls: %+v", calls)
		}
		// A renewal that is not confirmed changes nothing: the lease is what it was.
		k.answers(func(w http.ResponseWriter, c call) bool {
			if c.query.Get("hub.mode") == "subscribe" {
				w.WriteHeader(404)
				return true
			}
			return false
		})
		if status, body := k.ask("hub.lease_seconds", "3600"); status != 202 {
			t.Errorf("%d %s", status, body)
		}
		time.Sleep(59 * time.Second)
		if s := k.hub.Subscribers(k.topic); len(s) != 1 || len(s[0].Events) != 1 {
			t.Errorf("subscribers: %+v", s)
		}
		k.got()
		time.Sleep(time.Second)
		calls = k.got()
		if len(calls) != 1 || calls[0].query.Get("hub.mode") != "denied" || calls[0].query.Get("hub.reason") != "the lease has ended" {
			t.Errorf("calls: %+v", calls)
		}
		if n := len(k.hub.Subscribers(k.topic)); n != 0 {
			t.Errorf("%d subscribers", n)
		}
	})
}

func TestUnsubscribingAWebhook(t *testing.T) {
	// FC-WH-10 FC-UNS-08
	for _, row := range []struct {
		name   string
		change []string
		agrees bool
		asked  bool
		left   bool
	}{
		{"of 2.0 is not asked", []string{"hub.mode", "unsubscribe"}, false, false, true},
		{"of 1.0 is asked and agrees", []string{"hub.mode", "unsubscribe", "hub.channel.type", ""}, true, true, true},
		{"of 1.0 is asked and does not", []string{"hub.mode", "unsubscribe", "hub.channel.type", ""}, false, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newHooks(t, hub.Config{}, nil)
				other := k.join("all")
				k.hooked("hub.channel.type", "") // as 1.0 does it
				k.answers(func(w http.ResponseWriter, c call) bool {
					if c.query.Get("hub.mode") == "unsubscribe" && !row.agrees {
						w.WriteHeader(404)
						return true
					}
					return false
				})
				if status, body := k.ask(row.change...); status != 202 {
					t.Fatalf("%d %s", status, body)
				}
				calls := k.got()
				if row.asked != (len(calls) == 1 && calls[0].query.Get("hub.mode") == "unsubscribe" && calls[0].query.Get("hub.topic") == k.topic.Reveal()) || len(calls) > 1 {
					t.Errorf("calls: %+v", calls)
				}
				k.post("1", "Patient-open", patient("a"))
				other.event()
				other.say(`{"id":"1","status":200}`)
				if calls := k.got(); (len(calls) == 0) != row.left {
					t.Errorf("calls: %+v", calls)
				}
				other.nothing(time.Minute) // leaving is no error
			})
		})
	}
}

func TestTheEndOfATopicAndOfTheHubEndsWebhooks(t *testing.T) {
	// FC-WH-09 FC-DEN-01
	synctest.Test(t, func(t *testing.T) {
		k := newHooks(t, hub.Config{}, nil)
		k.hooked()
		if err := k.hub.EndTopic(t.Context(), k.topic, "signed out"); err != nil {
			t.Fatal(err)
		}
		if calls := k.got(); len(calls) != 1 || calls[0].query.Get("hub.mode") != "denied" || calls[0].query.Get("hub.reason") != "signed out" {
			t.Errorf("calls: %+v", calls)
		}
		var err error
		if k.topic, err = k.hub.NewTopic(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		k.hooked()
		hang := make(chan struct{})
		k.answers(func(http.ResponseWriter, call) bool { <-hang; return true })
		k.post("1", "Patient-open", patient("a"))
		k.got()
		start := time.Now()
		k.hub.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close waited %v for a callback", took)
		}
		if calls := k.got(); len(calls) != 0 {
			t.Errorf("calls: %+v", calls)
		}
		close(hang)
		if status, _ := k.ask(); status != 503 {
			t.Errorf("after the end: %d", status)
		}
	})
}
