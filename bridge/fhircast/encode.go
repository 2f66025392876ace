package fhircast

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// A spec is which entries an open or close of a resource carries (FHIRcast 3.0.0, 3.3 to 3.6).
type spec struct{ required, optional []string }

func (s spec) allows(key string) bool {
	key = strings.ToLower(key)
	return slices.Contains(s.required, key) || slices.Contains(s.optional, key)
}

var catalogue = map[string]spec{
	"Patient":          {required: []string{"patient"}},
	"Encounter":        {required: []string{"encounter", "patient"}},
	"ImagingStudy":     {required: []string{"study"}, optional: []string{"patient", "encounter"}},
	"DiagnosticReport": {required: []string{"report", "patient"}, optional: []string{"study", "encounter"}},
}

// Encode is the event as we may send it to a hub of version 3.0.0: see [Dialect.Encode].
func Encode(e *Event) ([]byte, error) { return Dialect{}.Encode(e) }

// Encode is the event as we may send it to the hub. What version 3.0.0 demands of a sender is checked first, and the
// error says what is missing without repeating any of it (FHIRcast 3.0.0, 2.3 and 3; requirement groups FC-EVT, FC-PRF,
// FC-CS). Then it is written with the names of the dialect. The result may be shared: do not change it.
func (d Dialect) Encode(e *Event) ([]byte, error) {
	if err := check(e); err != nil {
		return nil, fmt.Errorf("event not fit to be sent: %w", err)
	}
	return e.named(d.spell(e.Name)), nil
}

// named is the message with its event called so.
func (e *Event) named(name string) []byte {
	if name == string(e.Name) {
		return e.raw
	}
	out := append(make([]byte, 0, len(e.raw)+len(name)), e.raw[:e.name.from]...)
	out, _ = jsontext.AppendQuote(out, name)
	return append(out, e.raw[e.name.to:]...)
}

func check(e *Event) error {
	switch {
	case e.ID == "":
		return errors.New("no id")
	case !e.Timestamp.Known() || !strings.HasSuffix(e.Timestamp.Raw, "Z"):
		return errors.New("timestamp is not UTC")
	case e.Topic == "":
		return errors.New("no topic")
	}
	if err := e.Name.check(); err != nil {
		return err
	}
	for _, item := range e.Context {
		if item.Key == "" || item.Key != strings.ToLower(item.Key) {
			return errors.New("a context key is not lower case")
		}
		if item.Kind == "" {
			return errors.New("a context entry has no value")
		}
	}
	if e.Name.Changes() && !e.Name.Is(HomeOpen) {
		return e.checkAnchors()
	}
	return nil
}

// check refuses names that only the documentation uses, or nobody may make.
func (n Name) check() error {
	s := string(n)
	switch {
	case s == "" || strings.ContainsAny(s, "* ,\t\r\n"):
		return errors.New("the event name holds a blank, a comma or an asterisk")
	case strings.Contains(s, ".") && strings.Contains(s, "-"):
		return errors.New("an event name in reverse domain notation holds a dash")
	}
	return nil
}

func (e *Event) checkAnchors() error {
	anchor, ok := e.Anchor()
	if !ok {
		return errors.New("the resource it is about is not there exactly once")
	}
	if _, err := resourceID(anchor, e.Name.Resource()); err != nil {
		return err
	}
	spec, known := catalogue[e.Name.Resource()]
	if !known {
		return nil
	}
	for _, key := range spec.required {
		if _, ok := e.Item(key); !ok {
			return fmt.Errorf("no entry %q", key)
		}
	}
	var patient string
	var err error
	if item, ok := e.Item("patient"); ok {
		if patient, err = resourceID(item, "Patient"); err != nil {
			return err
		}
	}
	for _, item := range e.Context {
		if !spec.allows(item.Key) {
			return fmt.Errorf("an entry %q does not belong to it", item.Key)
		}
		if subject := subject(item); patient != "" && subject != "" && subject != "Patient/"+patient {
			return fmt.Errorf("the subject of %q is another patient than the one in the event", item.Key)
		}
	}
	return nil
}

// resourceID is the id of the resource in an entry, which must be of that type.
func resourceID(item Item, resource string) (string, error) {
	var r struct{ ResourceType, ID string }
	if item.Kind != "resource" || json.Unmarshal(item.Value, &r) != nil || r.ResourceType != resource || r.ID == "" {
		return "", fmt.Errorf("entry %q holds no %s with an id", item.Key, resource)
	}
	return r.ID, nil
}

// subject is the patient that a resource says it is about, as "Patient/id", "" when it says none of that form.
func subject(item Item) string {
	var r struct{ Subject struct{ Reference string } }
	if json.Unmarshal(item.Value, &r) != nil || !strings.HasPrefix(r.Subject.Reference, "Patient/") {
		return ""
	}
	return r.Subject.Reference
}
