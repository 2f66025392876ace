package fhircast

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Draft is what an event is made of. Context is a JSON array of entries.
type Draft struct {
	ID      string
	At      time.Time
	Topic   Secret
	Name    Name
	Context json.RawMessage
	Version string // "" leaves context.versionId out
}

// NewEvent writes a draft as a message with the name in its canonical spelling and the time in UTC with milliseconds,
// and reads it back. The error is a *[FrameError].
func NewEvent(d Draft) (*Event, error) {
	if len(d.Context) == 0 {
		d.Context = json.RawMessage("[]")
	}
	raw := make([]byte, 0, len(d.Context)+256)
	member := func(name, value string) {
		raw = append(raw, name...)
		raw, _ = jsontext.AppendQuote(raw, strings.ToValidUTF8(value, "\ufffd"))
	}
	member(`{"timestamp":`, At(d.At).Raw)
	member(`,"id":`, d.ID)
	member(`,"event":{"hub.topic":`, d.Topic.Reveal())
	member(`,"hub.event":`, string(d.Name.Canonical()))
	if d.Version != "" {
		member(`,"context.versionId":`, d.Version)
	}
	raw = append(raw, `,"context":`...)
	raw = append(append(raw, d.Context...), "}}"...)
	m, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	return m.(*Event), nil
}

// Wire is the message as it came or was made, on one line, whatever it holds. It is shared: do not change it.
func (e *Event) Wire() []byte { return e.raw }

// Derive is the open of the resource that entry key holds, made from this event: it keeps its id and timestamp, and of
// its context the entries that such an open may carry (safety rule S13). It is for apps on this workstation, never for
// a hub. Nil when the entry is not there exactly once.
func (e *Event) Derive(key string) *Event {
	for _, a := range anchors {
		if _, ok := e.Item(key); !ok || a.key != key {
			continue
		}
		spec := catalogue[a.resource]
		var context []byte
		for _, item := range e.Context {
			if !spec.allows(item.Key) {
				continue
			}
			context = append(context, `,{"key":`...)
			context, _ = jsontext.AppendQuote(context, strings.ToLower(item.Key))
			context = append(context, ',')
			context, _ = jsontext.AppendQuote(context, item.Kind)
			context = append(append(append(context, ':'), item.Value...), '}')
		}
		context = append([]byte("["), append(context[1:], ']')...)
		derived, err := NewEvent(Draft{ID: e.ID, Topic: e.Topic, Name: Name(a.resource + "-" + string(Open)), Context: context, Version: e.Version})
		if err != nil {
			return nil
		}
		return derived.stamped(e.Timestamp)
	}
	return nil
}

// stamped is the event with another timestamp, kept in the other's own spelling.
func (e *Event) stamped(t Time) *Event {
	quoted, _ := jsontext.AppendQuote(nil, t.Raw)
	old, _ := jsontext.AppendQuote(nil, e.Timestamp.Raw)
	raw := []byte(strings.Replace(string(e.raw), string(old), string(quoted), 1))
	m, err := Decode(raw)
	if err != nil {
		return nil
	}
	return m.(*Event)
}
