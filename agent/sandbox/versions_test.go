package sandbox

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/oauth"
)

// event is the next that is no heartbeat.
func (f *follower) event(t *testing.T) *fhircast.Delivery {
	t.Helper()
	for {
		if d := next(t, "event", f.events); !d.Event.Name.Is(fhircast.Heartbeat) {
			return d
		}
	}
}

// Subscriber and hub have learned the older versions each from the wire reference, not from each other: here they meet.
func TestASubscriberAndAHubOfTheSameTime(t *testing.T) {
	for _, version := range []string{"version-2019", "version-2020", "version-stu2", "version-2.1", "version-2024"} {
		t.Run(version, func(t *testing.T) {
			faults, err := ParseFaults(version)
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, Config{Misbehave: faults})
			topic := fhircast.Secret(s.Info().Topic)
			if _, err := s.Open(t.Context(), "", "Patient", "p04"); err != nil {
				t.Fatal(err)
			}
			f, stop := follow(t, s, s.Info().HubURL, topic, oauth.Static(oauth.NewSecret(s.Info().AdminToken), browser(t, s), s.Info().HubURL), version)
			next(t, "subscription", f.subscribed)
			initial := version == "version-2.1" || version == "version-2024"
			if initial {
				f.event(t).Answer(200)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			e, offered, err := f.client.Context(ctx, "now")
			if err != nil || offered != (initial || version == "version-2019") {
				t.Errorf("context: offered %t, %v", offered, err)
			}
			if offered && (e == nil || !strings.Contains(string(e.Wire()), `"p04"`)) {
				t.Errorf("context: %v", e)
			}

			id, err := s.Open(ctx, "", "ImagingStudy", "p01-s1")
			if err != nil {
				t.Fatal(err)
			}
			d := f.event(t)
			if d.Event.ID != id || d.Event.Topic != topic || !d.Event.Name.Is("ImagingStudy-open") && version != "version-2019" {
				t.Errorf("%v", d.Event)
			}
			d.Answer(200)
			if status, err := s.WaitAnswer(ctx, "", id); err != nil || status != 200 {
				t.Errorf("answer %d, %v", status, err)
			}

			sent, err := fhircast.NewEvent(fhircast.Draft{ID: rand.Text(), At: time.Now(), Topic: topic, Name: "Patient-open",
				Context: []byte(`[{"key":"patient","resource":{"resourceType":"Patient","id":"x","identifier":[{"system":"urn:x","value":"1"}]}}]`)})
			if err != nil {
				t.Fatal(err)
			}
			if status, err := f.client.Publish(ctx, sent); err != nil || status/100 != 2 {
				t.Errorf("publish: %d, %v", status, err)
			}
			if d := f.event(t); d.Event.ID != sent.ID || d.Event.Name.Canonical() != "Patient-open" {
				t.Errorf("%v", d.Event)
			}
			stop()
			if err := s.WaitSubscribers(ctx, "", 0); err != nil {
				t.Errorf("it has not left: %v", err)
			}
		})
	}
}
