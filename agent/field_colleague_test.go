package agent

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/subscriber"
)

// A colleague is another subscriber.
type colleague struct {
	*subscriber.Client
	w      *ward
	topic  fhircast.Secret
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	status  int
	refuses bool // it has refused something
	heard   []*fhircast.Event
}

func (w *ward) colleagueJoins(quirks ...string) {
	ctx, cancel := context.WithCancel(w.ctx)
	c := &colleague{w: w, topic: w.hub.Told(w.topic), cancel: cancel, ended: make(chan struct{}), status: 200}
	c.Client = w.subscriber(config.Hub{URL: w.hub.URL(), Topic: c.topic, Name: "Colleague", Quirks: quirks, Events: follows()}, c)
	w.colleague = c
	go func() {
		defer close(c.ended)
		_ = c.Run(ctx)
	}()
}

func (c *colleague) leave() {
	if c != nil {
		c.cancel()
		<-c.ended
	}
}

func (c *colleague) Subscribed(int, []fhircast.Name)   {}
func (c *colleague) Refused(int, *fhircast.FrameError) {}
func (c *colleague) Lost(int, string)                  {}
func (c *colleague) State(subscriber.State)            {}
func (c *colleague) Deliver(d *fhircast.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, d.Event)
	if d.Event.Name.Changes() {
		c.refuses = c.refuses || c.status >= 400
		d.Answer(c.status)
		return
	}
	d.Answer(200)
}

func (c *colleague) answers(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// hears tells whether the colleague has been sent such an event.
func (c *colleague) hears(name fhircast.Name) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.heard, func(e *fhircast.Event) bool { return e.Name.Is(name) })
}

func (c *colleague) refused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuses
}

// Contexts as they are published. A study and a report are of the patient of that letter.
func patientItem(id string) string {
	return `{"key":"patient","resource":{"resourceType":"Patient","id":"` + id + `","identifier":[{"system":"urn:oid:2.999.1","value":"` + id + `"}]}}`
}

func studyItem(id string) string {
	return `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s-` + id + `","identifier":[{"system":"urn:oid:2.999.2","value":"` + id + `"}],` +
		`"status":"unknown","subject":{"reference":"Patient/` + id + `"}}}`
}

func reportItem(id string) string {
	return `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r-` + id + `","identifier":[{"system":"urn:oid:2.999.3","value":"` + id + `"}],` +
		`"status":"unknown","code":{"text":"x"},"subject":{"reference":"Patient/` + id + `"}}}`
}

func list(items ...string) string { return "[" + strings.Join(items, ",") + "]" }

func updateOf(id, observation string) string {
	return `[{"key":"report","reference":{"reference":"DiagnosticReport/r-` + id + `"}},{"key":"patient","reference":{"reference":"Patient/` + id + `"}},` +
		`{"key":"updates","resource":{"resourceType":"Bundle","id":"b-` + observation + `","type":"transaction","entry":[{"fullUrl":"urn:x:` + observation + `",` +
		`"request":{"method":"PUT","url":"Observation/` + observation + `"},"resource":{"resourceType":"Observation","id":"` + observation + `",` +
		`"identifier":[{"system":"urn:x","value":"` + observation + `"}],"status":"preliminary","code":{"text":"y"},"subject":{"reference":"Patient/` + id + `"}}}]}}]`
}
