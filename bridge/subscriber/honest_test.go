package subscriber

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// A ward is a Client at an honest hub, or one with faults.
type ward struct {
	*testing.T
	hub    *hubtest.Server
	net    *hubtest.Network
	client *Client
	topic  fhircast.Secret
	ended  chan error

	mu    sync.Mutex
	heard []string
}

func (w *ward) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, fmt.Sprintf(format, args...))
}

func (w *ward) has(line string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.heard, line)
}

func (w *ward) Subscribed(n int, granted []fhircast.Name) { w.note("subscribed %d", n) }
func (w *ward) Deliver(d *fhircast.Delivery) {
	w.note("event %s", d.Event.ID)
	d.Answer(200)
}
func (w *ward) Refused(n int, e *fhircast.FrameError) { w.note("refused %s", e.ID) }
func (w *ward) Lost(n int, why string)                { w.note("lost %d: %s", n, why) }
func (w *ward) State(State)                           {}

type bearer struct{ http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+hubtest.Token)
	return b.RoundTripper.RoundTrip(r)
}

// inWard runs act in a bubble with a Client that runs from when prepare has ended until act has.
func inWard(t *testing.T, prepare, act func(w *ward)) {
	synctest.Test(t, func(t *testing.T) {
		w := &ward{T: t, ended: make(chan error, 1)}
		var err error
		if w.hub, err = hubtest.New(hub.Config{}); err != nil {
			t.Fatal(err)
		}
		w.net = hubtest.Pipe(w.hub)
		defer w.net.Close()
		defer w.hub.Close()
		if w.topic, err = w.hub.Hub().NewTopic(t.Context(), hubtest.User); err != nil {
			t.Fatal(err)
		}
		var logs bytes.Buffer
		config := w.config("Ward 7", w)
		config.Log = slog.New(slog.NewTextHandler(&logs, nil))
		w.client = New(config)
		if prepare != nil {
			prepare(w)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { w.ended <- w.client.Run(ctx) }()
		synctest.Wait()
		act(w)
		stopped := time.Now()
		cancel()
		err = <-w.ended
		if took := time.Since(stopped); took > leaveLimit+2*time.Second {
			t.Errorf("leaving took %v", took)
		}
		for _, secret := range []string{w.topic.Reveal(), hubtest.Token, "example.test", "/ws/"} {
			if strings.Contains(logs.String()+fmt.Sprint(w.heard, err), secret) {
				t.Errorf("%q is told:\n%s\n%v", secret, logs.String(), w.heard)
			}
		}
	})
}

// config is for a client of that name at the ward's hub.
func (w *ward) config(name string, h Handler) Config {
	return Config{HubURL: w.hub.URL(), Topic: w.topic, Events: hub.Catalogue(), Name: name,
		HTTP: &http.Client{Transport: bearer{w.net.Client().Transport}}, TLS: w.net.TLS(), Dial: w.net.Dial, Handler: h}
}

func patientOf(w *ward, id string) *fhircast.Event {
	w.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: w.topic, Name: "Patient-open",
		Context: []byte(`[{"key":"patient","resource":{"resourceType":"Patient","id":"1","identifier":[{"value":"1"}]}}]`)})
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *ward) publish(id string) {
	w.Helper()
	if status, err := w.client.Publish(w.Context(), patientOf(w, id)); err != nil || status/100 != 2 {
		w.Errorf("publish %s: %d, %v", id, status, err)
	}
	synctest.Wait()
}

// FC-REQ-05 FC-REQ-06 FC-REQ-07: with a hub as it should be, and as an app sees it.
func TestAtAnHonestHub(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	inWard(t, nil, func(w *ward) {
		w.publish("p1")
		if !w.has("event p1") {
			t.Errorf("no echo: %q", w.heard)
		}
		if got := w.hub.Answers("p1"); len(got) != 1 || got[0].Status != 200 {
			t.Errorf("answers %v", got)
		}
		e, offered, err := w.client.Context(w.Context(), "s1")
		if err != nil || !offered || e == nil || !e.Name.Is("Patient-open") {
			t.Errorf("context: %v, %v, %v", e, offered, err)
		}
		time.Sleep(25 * time.Hour) // leases of two hours, renewed
		w.publish("p2")
		if !w.has("event p2") || w.has("lost 1: the lease could not be renewed") || w.client.State() != subscribed {
			t.Errorf("after a day: %q", w.heard)
		}
		if err := w.hub.Restart(w.Context(), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.publish("p3")
		if !w.has("subscribed 2") || !w.has("event p3") {
			t.Errorf("after a restart: %q", w.heard)
		}
	})
}

// Whatever the hub does wrong once, two minutes later there is a subscription that works, or Run has said why not.
func TestEveryFaultIsSurvived(t *testing.T) {
	final := map[hubtest.Fault]string{
		hubtest.EndpointPlain:   "subscribe: the hub names a socket that is not wss on its own host or one of hub.socket_hosts",
		hubtest.EndpointForeign: "subscribe: the hub names a socket that is not wss on its own host or one of hub.socket_hosts",
	}
	for _, fault := range hubtest.Faults() {
		t.Run(string(fault), func(t *testing.T) {
			inWard(t, func(w *ward) { w.hub.Fault(fault, 1) }, func(w *ward) {
				if want := final[fault]; want != "" {
					err := <-w.ended
					if err == nil || err.Error() != want {
						t.Errorf("ended with %v, want %s", err, want)
					}
					w.ended <- err
					return
				}
				time.Sleep(time.Minute)
				w.publish("p1") // the event that it happens to
				time.Sleep(2 * time.Minute)
				w.publish("p2")
				if !w.has("event p2") || !w.client.State().Subscribed() {
					t.Errorf("%v: %q", w.client.State(), w.heard)
				}
				if got := w.hub.Answers("p2"); len(got) != 1 || got[0].Status != 200 {
					t.Errorf("answers %v", got)
				}
			})
		})
	}
}

// Constructors start nothing, and a Client that never ran leaves nothing behind.
func TestNewStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{HubURL: base, Topic: topic, Handler: &world{}})
		c.Reconnect("nobody hears this")
		c.Reconnect("nor this")
		if c.State() != idle || c.Trouble() != "" {
			t.Errorf("%v %q", c.State(), c.Trouble())
		}
	})
}

// Closes win against everything: ended at any instant of a difficult life, it ends within seconds and leaves nothing.
func TestStopAtAnyTime(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	for tenths := range 60 {
		inWard(t, func(w *ward) {
			for _, on := range []hubtest.On{hubtest.Discovery, hubtest.Subscribe, hubtest.Connect} {
				w.hub.Reply(on, hubtest.Reply{Late: 1100 * time.Millisecond}, -1)
			}
			w.hub.Fault(hubtest.NeverConfirm, -1)
		}, func(w *ward) { time.Sleep(time.Duration(tenths) * 100 * time.Millisecond) })
	}
}
