package hubtest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// An address is a subscriber's callback, which agrees to everything and keeps what came.
type address struct {
	mu   sync.Mutex
	said []string // queries of GET, bodies of POST
	bad  int      // signatures that are wrong
}

func (a *address) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte("hush"))
	mac.Write(body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method == http.MethodGet {
		a.said = append(a.said, r.URL.RawQuery)
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
		return
	}
	if r.Header.Get("X-Hub-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
		a.bad++
	}
	a.said = append(a.said, string(body))
}

func (a *address) next() string {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.said) == 0 {
		return "nothing"
	}
	first := a.said[0]
	a.said = a.said[1:]
	return first
}

func TestVersionSTU1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &address{}
		there := hubtest.Pipe(a)
		client := there.Client()
		s, err := hubtest.New(hub.Config{Webhooks: hub.Webhooks{Client: client, Allow: func(*url.URL) bool { return true }}})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldOf(t, s)
		t.Cleanup(func() {
			w.Hub().Close()
			client.CloseIdleConnections()
			there.Close()
		})
		w.publish("0")
		w.Fault(hubtest.VersionSTU1, -1)
		if status, _ := w.subscribe(); status != 400 {
			t.Errorf("a socket: %d", status)
		}
		if status, _, _, _ := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", ""); status != 404 {
			t.Errorf("discovery: %d", status)
		}
		if status, _ := w.get(); status != 501 {
			t.Errorf("context: %d", status)
		}
		ask := func(mode string, change ...string) (int, string) {
			form := url.Values{"hub.mode": {mode}, "hub.topic": {w.topic.Reveal()}, "hub.events": {"patient-open,userlogout,syncerror"},
				"hub.callback": {"https://viewer.example.test/back?x=1"}, "hub.secret": {"hush"}}
			for _, name := range change {
				form.Del(name)
			}
			status, body, _, err := w.do("POST", w.URL(), "application/x-www-form-urlencoded", form.Encode())
			if err != nil {
				t.Fatal(err)
			}
			return status, body
		}
		if status, body := ask("subscribe"); status != 202 || body != "" {
			t.Fatalf("subscribe: %d %s", status, body)
		}
		if q, _ := url.ParseQuery(a.next()); q.Get("hub.mode") != "subscribe" || q.Get("hub.events") != "patient-open,userlogout,syncerror" || q.Get("x") != "1" || q.Get("hub.challenge") == "" {
			t.Errorf("asked %v", q)
		}
		if f := a.next(); f != "nothing" {
			t.Errorf("who joins is told %s", f)
		}
		w.publish("1")
		if f := a.next(); !strings.Contains(f, `"hub.event":"patient-open"`) || strings.Contains(f, "versionId") {
			t.Errorf("got %s", f)
		}
		if status, _ := w.post(w.made("2", "UserLogout", patient)); status != 202 {
			t.Errorf("publish: %d", status)
		}
		if f := a.next(); !strings.Contains(f, `"hub.event":"userlogout"`) || !strings.Contains(f, `"context":[]`) {
			t.Errorf("got %s", f)
		}
		if status, _, _, _ := w.do("POST", w.URL(), "application/fhir+json", string(w.event("3").Wire())); status != 415 {
			t.Errorf("a media type of 3.0.0: %d", status)
		}
		failed, err := fhircast.NewSyncError("4", time.Now(), w.topic, fhircast.Failure{EventID: "1", EventName: "Patient-open", Subscriber: "Viewer"})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Hub().Publish(t.Context(), w.topic, failed); err != nil {
			t.Fatal(err)
		}
		if f := a.next(); !strings.Contains(f, `"id":"1"`) || !strings.Contains(f, `"hub.event":"syncerror"`) || strings.Contains(f, "coding") {
			t.Errorf("got %s", f)
		}
		if a.bad > 0 {
			t.Errorf("%d wrong signatures", a.bad)
		}
		if status, _ := ask("unsubscribe", "hub.events"); status != 400 {
			t.Errorf("unsubscribe without events: %d", status)
		}
		if status, _ := ask("unsubscribe"); status != 202 {
			t.Errorf("unsubscribe: %d", status)
		}
		if q, _ := url.ParseQuery(a.next()); q.Get("hub.mode") != "unsubscribe" || q.Get("hub.challenge") == "" {
			t.Errorf("asked %v", q)
		}
		if list := w.Hub().Subscribers(w.topic); len(list) != 0 {
			t.Errorf("still there: %+v", list)
		}
	})
}
