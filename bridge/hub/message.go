package hub

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// control is what a hub says on a socket besides events (FHIRcast 3.0.0, 2.4).
type control struct {
	Mode   string `json:"hub.mode"`
	Topic  string `json:"hub.topic"`
	Events string `json:"hub.events"` // comma-separated
	Lease  int    `json:"hub.lease_seconds,omitempty"`
	Reason string `json:"hub.reason,omitempty"`
}

func (c control) encode() []byte {
	b, _ := json.Marshal(c) // strings and a number
	return b
}

func confirmation(topic fhircast.Secret, events []fhircast.Name, lease time.Duration) []byte {
	return control{Mode: "subscribe", Topic: topic.Reveal(), Events: join(events), Lease: int(lease / time.Second)}.encode()
}

func denial(topic fhircast.Secret, events []fhircast.Name, reason string) []byte {
	return control{Mode: "denied", Topic: topic.Reveal(), Events: join(events), Reason: reason}.encode()
}

func join(names []fhircast.Name) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return strings.Join(words, ",")
}

// configuration is the document of discovery (FHIRcast 3.0.0, 2.7).
type configuration struct {
	EventsSupported   []fhircast.Name `json:"eventsSupported"`
	WebsocketSupport  bool            `json:"websocketSupport"`         // deprecated, but a required field
	WebhookSupport    bool            `json:"webhookSupport,omitempty"` // of versions before 3.0.0, which has others ignore it
	FHIRcastVersion   string          `json:"fhircastVersion"`
	FHIRVersion       string          `json:"fhirVersion"`
	GetCurrentSupport bool            `json:"getCurrentSupport"` // deprecated; some look nowhere else
	Capabilities      struct {
		GetCurrentContext        bool `json:"supportsGetCurrentContext"`
		NonCurrentContextUpdates bool `json:"supportsNonCurrentContextUpdates"`
	} `json:"capabilities"`
}

func (h *Hub) configuration() configuration {
	c := configuration{EventsSupported: h.config.Events, WebsocketSupport: true, FHIRcastVersion: "3.0.0", FHIRVersion: "R4", GetCurrentSupport: true}
	c.WebhookSupport = h.config.Webhooks.Client != nil
	c.Capabilities.GetCurrentContext = true
	c.Capabilities.NonCurrentContextUpdates = h.config.Rules.NonCurrentUpdates && h.shares()
	return c
}

// currentContext is the answer to Get Current Context (FHIRcast 3.0.0, 2.9): the context as it stood in the open, and what
// has been shared about it since. With no context the first two members are empty and there is no other.
type currentContext struct {
	Type    string            `json:"context.type"`
	Version string            `json:"context.versionId,omitempty"`
	Context []json.RawMessage `json:"context"`
}

func (s Session) context() (currentContext, error) {
	c := currentContext{Context: []json.RawMessage{}}
	if s.Current == nil || s.Current.Name.Is(fhircast.HomeOpen) {
		return c, nil
	}
	var m struct {
		Event struct{ Context []json.RawMessage }
	}
	if err := json.Unmarshal(s.Current.Wire(), &m); err != nil {
		return currentContext{}, err
	}
	c.Type, c.Context = s.Current.Name.Resource(), m.Event.Context
	if content, ok := s.content(anchorRef(s.Current)); ok {
		c.Version, c.Context = content.Version, append(c.Context, content.entry())
	}
	return c, nil
}
