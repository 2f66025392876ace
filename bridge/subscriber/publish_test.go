package subscriber

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/bridge/fhircast"
)

// publishing plays a world whose hub answers the nth POST of an event by script, and keeps what it was sent.
func publishing(t *testing.T, script func(n int, rw http.ResponseWriter, r *http.Request), act func(w *world, seen func() []string)) {
	var mu sync.Mutex
	var seen []string
	note := func(line string) int {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, line)
		return len(seen)
	}
	read := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
	play(t, func(w *world) {
		w.onEvent = func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			m, bad := fhircast.Decode(body)
			id := "?"
			if e, ok := m.(*fhircast.Event); ok && err == nil && bad == nil {
				id = e.ID
			}
			script(note(fmt.Sprintf("%s %s %s %s", r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), id)), rw, r)
		}
	}, func(w *world) {
		w.after(time.Second)
		act(w, read)
	})
}

const (
	toHub   = "/fc?tenant=7 "
	toTopic = "/fc/topic%2F" + canary + "=+%25?tenant=7 "
	asJSON  = "application/json Bearer " + token + " "
	asFHIR  = "application/fhir+json Bearer " + token + " "
)

// FC-REQ-01 FC-REQ-04 FC-REQ-14 FC-SUB-13 FC-GEN-01: the hub's answer is the result, whatever it is, its body is not needed.
func TestPublish(t *testing.T) {
	for _, body := range []string{"", canary, `{"id":"another","status":409}`, `{"event":{"hub.event":"Patient-open","context.versionId":"v1"}}`} {
		for _, status := range []int{200, 201, 202, 206, 302, 400, 403, 409, 413, 500, 503} {
			publishing(t, func(_ int, rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "https://elsewhere.test/")
				rw.WriteHeader(status)
				fmt.Fprint(rw, body)
			}, func(w *world, seen func() []string) {
				got, err := w.client.Publish(w.Context(), patientOpen(t, "p1"))
				if got != status || err != nil {
					t.Errorf("got %d, %v, want %d", got, err, status)
				}
				if diff := cmp.Diff([]string{toHub + asJSON + "p1"}, seen()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// FC-REQ-02 FC-REQ-03
func TestS12_PublishIsRepeatedOnlyWhereItWasNotTaken(t *testing.T) {
	for _, tt := range []struct {
		name     string
		statuses []int // of the hub, one after the other
		first    int   // result of the first Publish
		seen     []string
		second   []string // where the second goes
	}{
		{"404 from the hub, taken at the topic", []int{404, 202, 202}, 202,
			[]string{toHub + asJSON + "p1", toTopic + asJSON + "p1"}, []string{toTopic + asJSON + "p2"}},
		{"405 from the hub, taken at the topic", []int{405, 200, 200}, 200,
			[]string{toHub + asJSON + "p1", toTopic + asJSON + "p1"}, []string{toTopic + asJSON + "p2"}},
		{"405 from the hub, refused at the topic", []int{405, 409, 200}, 409,
			[]string{toHub + asJSON + "p1", toTopic + asJSON + "p1"}, []string{toTopic + asJSON + "p2"}},
		{"404 from the hub, out of order at the topic", []int{404, 503, 202}, 503,
			[]string{toHub + asJSON + "p1", toTopic + asJSON + "p1"}, []string{toHub + asJSON + "p2"}},
		{"404 from both", []int{404, 405, 200}, 404,
			[]string{toHub + asJSON + "p1", toTopic + asJSON + "p1"}, []string{toHub + asJSON + "p2"}},
		{"415 and then taken", []int{415, 202, 202}, 202,
			[]string{toHub + asJSON + "p1", toHub + asFHIR + "p1"}, []string{toHub + asFHIR + "p2"}},
		{"415 twice", []int{415, 415, 202}, 415,
			[]string{toHub + asJSON + "p1", toHub + asFHIR + "p1"}, []string{toHub + asJSON + "p2"}},
		{"500 is not repeated", []int{500, 202}, 500, []string{toHub + asJSON + "p1"}, []string{toHub + asJSON + "p2"}},
		{"503 is not repeated", []int{503, 202}, 503, []string{toHub + asJSON + "p1"}, []string{toHub + asJSON + "p2"}},
		{"409 is not repeated", []int{409, 202}, 409, []string{toHub + asJSON + "p1"}, []string{toHub + asJSON + "p2"}},
		{"429 is not repeated", []int{429, 202}, 429, []string{toHub + asJSON + "p1"}, []string{toHub + asJSON + "p2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			publishing(t, func(n int, rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(tt.statuses[n-1])
			}, func(w *world, seen func() []string) {
				if got, err := w.client.Publish(w.Context(), patientOpen(t, "p1")); got != tt.first || err != nil {
					t.Errorf("got %d, %v, want %d", got, err, tt.first)
				}
				if diff := cmp.Diff(tt.seen, seen()); diff != "" {
					t.Error(diff)
				}
				before := len(seen())
				if got, err := w.client.Publish(w.Context(), patientOpen(t, "p2")); got/100 != 2 || err != nil {
					t.Errorf("the second: %d, %v", got, err)
				}
				if diff := cmp.Diff(tt.second, seen()[before:]); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// FC-REQ-02 FC-REQ-03: a way that was learnt is forgotten when the hub does not take that one any more.
func TestS12_AWayThatWasLearntIsNotForEver(t *testing.T) {
	for _, tt := range []struct {
		name     string
		statuses []int
		seen     []string
	}{
		{"404 while the hub was replaced", []int{404, 202, 202, 404, 202, 202}, []string{toHub + asJSON + "p", toTopic + asJSON + "p",
			toTopic + asJSON + "p", toTopic + asJSON + "p", toHub + asJSON + "p", toHub + asJSON + "p"}},
		{"415 by the one before", []int{415, 202, 202, 415, 202, 202}, []string{toHub + asJSON + "p", toHub + asFHIR + "p",
			toHub + asFHIR + "p", toHub + asFHIR + "p", toHub + asJSON + "p", toHub + asJSON + "p"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			publishing(t, func(n int, rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(tt.statuses[n-1])
			}, func(w *world, seen func() []string) {
				for range 4 {
					if got, err := w.client.Publish(w.Context(), patientOpen(t, "p")); got != 202 || err != nil {
						t.Errorf("%d, %v", got, err)
					}
				}
				if diff := cmp.Diff(tt.seen, seen()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// FC-REQ-08 FC-REQ-13 FC-EVT-22: without an answer the caller learns whether the hub can have it.
func TestS12_PublishWithoutAnswer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   func(w *world, rw http.ResponseWriter, r *http.Request)
		prepare func(w *world)
		event   func(w *world) *fhircast.Event
		want    string
		notSent bool
	}{
		{name: "no answer in time", fault: func(w *world, rw http.ResponseWriter, r *http.Request) { time.Sleep(11 * time.Second) },
			want: "publish: no answer within 10s"},
		{name: "the answer is lost", fault: func(w *world, rw http.ResponseWriter, r *http.Request) { w.net.Cut() },
			want: "publish: the connection broke"},
		{name: "nobody listens", prepare: func(w *world) { w.net.Cut(); w.net.Refuse(true) },
			want: "publish: not subscribed", notSent: true},
		{name: "new connections are refused", prepare: func(w *world) {
			w.net.Refuse(true)
			w.config.HTTP.CloseIdleConnections()
		}, want: "publish: the hub cannot be reached", notSent: true},
		{name: "the event is not fit to be sent", event: func(w *world) *fhircast.Event {
			e, err := fhircast.NewEvent(fhircast.Draft{ID: "p1", At: time.Now(), Topic: topic, Name: "Patient-open", Context: json.RawMessage(`[]`)})
			if err != nil {
				w.Fatal(err)
			}
			return e
		}, want: "publish: event not fit to be sent: the resource it is about is not there exactly once", notSent: true},
		{name: "the event is of another session", event: func(w *world) *fhircast.Event {
			e := *patientOpen(w.T, "p1")
			e.Topic = "other"
			return &e
		}, want: "publish: the event is for another topic", notSent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var in *world
			publishing(t, func(n int, rw http.ResponseWriter, r *http.Request) { tt.fault(in, rw, r) }, func(w *world, seen func() []string) {
				in = w
				if tt.prepare != nil {
					tt.prepare(w)
					w.after(1001 * time.Millisecond)
				}
				e := patientOpen(w.T, "p1")
				if tt.event != nil {
					e = tt.event(w)
				}
				status, err := w.client.Publish(w.Context(), e)
				if status != 0 || err == nil || err.Error() != tt.want || notSent(err) != tt.notSent {
					t.Errorf("got %d, %v (not sent: %v), want %s", status, err, notSent(err), tt.want)
				}
				if len(seen()) > 1 || tt.notSent && len(seen()) > 0 {
					t.Errorf("the hub saw %q", seen())
				}
			})
		})
	}
}

// A request that breaks while its body is on the way cannot have been taken.
func TestS12_PublishBrokenHalfway(t *testing.T) {
	play(t, nil, func(w *world) {
		w.after(time.Second)
		big, err := fhircast.NewEvent(fhircast.Draft{ID: "p1", At: time.Now(), Topic: topic, Name: "Patient-open", Context: json.RawMessage(
			`[{"key":"patient","resource":{"resourceType":"Patient","id":"1","text":"` + strings.Repeat("x", 1<<20) + `"}}]`)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.Context(), 2*time.Second)
		defer cancel()
		w.onEvent = func(rw http.ResponseWriter, r *http.Request) { time.Sleep(3 * time.Second) } // reads nothing: the rest waits here
		if status, err := w.client.Publish(ctx, big); status != 0 || !notSent(err) {
			t.Errorf("got %d, %v (not sent: %v)", status, err, notSent(err))
		}
		w.after(20 * time.Second)
	})
}

// FC-GCC-01 FC-GCC-02 FC-GCC-03 FC-GCC-04 FC-CONF-05 FC-CONF-06 FC-CONF-10: what a hub advertises in the old member or in
// the new one, it offers.
func TestContext(t *testing.T) {
	const current = `{"context.type":"Patient","context.versionId":"v1","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"1"}}]}`
	for _, tt := range []struct {
		name       string
		advertised string // discovery
		status     int
		body       string
		event      string // "" means none
		offered    bool
		err        string
	}{
		{"a context", "", 200, current, "Patient-open", true, ""},
		{"no context", "", 200, `{"context.type":"","context":[]}`, "", true, ""},
		{"no context, as STU2 says it", "", 200, `[]`, "", true, ""},
		{"no context, as 204", "", 204, "", "", true, ""},
		{"404 where it is not advertised", "", 404, "x", "", false, ""},
		{"405 where it is not advertised", "", 405, "x", "", false, ""},
		{"501 where it is not advertised", "", 501, "x", "", false, ""},
		{"404 where it is advertised", `{"getCurrentSupport":true}`, 404, "x", "", true, ""},
		{"404 where it is advertised the new way", `{"capabilities":{"supportsGetCurrentContext":true}}`, 404, "x", "", true, ""},
		{"501 where it is advertised", `{"getCurrentSupport":true}`, 501, "x", "", true, "read the current context: the hub answered 501"},
		{"404 where it is denied", `{"getCurrentSupport":false,"capabilities":{"supportsGetCurrentContext":false}}`, 404, "x", "", false, ""},
		{"404 where only the old member says yes", `{"getCurrentSupport":true,"capabilities":{"supportsGetCurrentContext":false}}`, 404, "x", "", true, ""},
		{"404 where only the new member says yes", `{"getCurrentSupport":false,"capabilities":{"supportsGetCurrentContext":true}}`, 404, "x", "", true, ""},
		{"404 where it is advertised by a hub whose other members are nonsense", `{"getCurrentSupport":true,"capabilities":"x","eventsSupported":{}}`, 404, "x", "", true, ""},
		{"403", "", 403, canary, "", true, "read the current context: the hub answered 403"},
		{"500", "", 500, canary, "", true, "read the current context: the hub answered 500"},
		{"a page", "", 200, "<html>" + canary, "", true, "read the current context: a web page answered in the hub's place"},
		{"nothing", "", 200, "", "", true, "read the current context: frame refused: it is not a JSON object in UTF-8 without duplicate names"},
		{"too much", "", 200, `{"context.type":"","context":[],"x":"` + strings.Repeat("x", 4<<20) + `"}`, "", true, "read the current context: it is larger than 4 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(w *world) {
				w.onWellKnown = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, tt.advertised) }
				w.onContext = func(rw http.ResponseWriter, r *http.Request) {
					if r.RequestURI+" " != toTopic || r.Header.Get("Authorization") != "Bearer "+token {
						t.Errorf("GET %s", r.RequestURI)
					}
					rw.WriteHeader(tt.status)
					if tt.status != 204 {
						fmt.Fprint(rw, tt.body)
					}
				}
			}, func(w *world) {
				w.after(time.Second)
				e, offered, err := w.client.Context(w.Context(), "snapshot-1")
				if offered != tt.offered || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
					t.Errorf("offered %v, %v", offered, err)
				}
				switch {
				case (e == nil) != (tt.event == ""):
					t.Errorf("event %v", e)
				case e != nil && (!e.Name.Is(fhircast.Name(tt.event)) || e.ID != "snapshot-1" || e.Topic != topic || !e.Timestamp.At.Equal(time.Now())):
					t.Errorf("event %v at %v", e, e.Timestamp.At)
				}
			})
		})
	}
}

func TestContextWithoutAnswer(t *testing.T) {
	play(t, func(w *world) {
		w.onContext = func(http.ResponseWriter, *http.Request) { time.Sleep(11 * time.Second) }
	}, func(w *world) {
		w.after(time.Second)
		if _, _, err := w.client.Context(w.Context(), "s1"); err == nil || err.Error() != "read the current context: no answer within 10s" || time.Since(w.start) != 11*time.Second {
			t.Errorf("after %v: %v", time.Since(w.start), err)
		}
		w.net.Refuse(true)
		w.config.HTTP.CloseIdleConnections()
		if _, _, err := w.client.Context(w.Context(), "s1"); err == nil || err.Error() != "read the current context: the hub cannot be reached" {
			t.Errorf("got %v", err)
		}
	})
}

// FC-SUB-21: a token and a topic stay at the hub.
func TestRedirectsStayAtTheHub(t *testing.T) {
	foreign := 0
	for _, tt := range []struct {
		to   string
		want int
	}{
		{"https://elsewhere.example.test/fc2", 307},
		{"http://hub.example.test/fc2", 307},
		{"/fc2", 202},
	} {
		publishing(t, func(n int, rw http.ResponseWriter, r *http.Request) {
			if r.Host != "hub.example.test" {
				foreign++
			}
			if r.URL.Path == "/fc2" {
				rw.WriteHeader(202)
				return
			}
			rw.Header().Set("Location", tt.to)
			rw.WriteHeader(307)
		}, func(w *world, seen func() []string) {
			if got, err := w.client.Publish(w.Context(), patientOpen(t, "p1")); got != tt.want || err != nil {
				t.Errorf("to %s: %d, %v, want %d", tt.to, got, err, tt.want)
			}
		})
	}
	if foreign > 0 {
		t.Error("another host was asked")
	}
}
