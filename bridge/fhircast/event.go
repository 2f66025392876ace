package fhircast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An Event is one notification (FHIRcast 3.0.0, 2.5.1). It prints its id, its name and how many entries it has, and
// nothing else, under everything but its wire encoding.
type Event struct {
	ID           string
	Timestamp    Time
	Topic        Secret
	Name         Name   // as the wire spelt it
	Context      []Item // in the order of the wire
	Version      string // context.versionId, "" when the hub does not share content
	PriorVersion string // context.priorVersionId

	raw                  []byte // the message on one line; Context points into it
	topic, name, context span   // where raw holds them, quotes and brackets included
	mark                 bool   // raw has a member "castray" of its own, which is ours to write
}

type span struct{ from, to int }

// Item is the entry of that key, if there is exactly one. Two are not resolved by taking the first (safety rule S7).
// Keys are lower case; another case is accepted because a ballot printed "Report".
func (e *Event) Item(key string) (Item, bool) {
	var found Item
	n := 0
	for _, item := range e.Context {
		if strings.EqualFold(item.Key, key) {
			found = item
			n++
		}
	}
	return found, n == 1
}

// Anchor is the entry that the event is about: the resource in its name.
func (e *Event) Anchor() (Item, bool) {
	resource := e.Name.Resource()
	if resource == "" {
		return Item{}, false
	}
	return e.Item(Key(resource))
}

// Period is how often a heartbeat says that the next one comes, 0 when it does not say. Hubs write the number of
// seconds as a number or, as the specification's example does, as a string.
func (e *Event) Period() time.Duration {
	item, ok := e.Item("period")
	if !ok || !e.Name.Is(Heartbeat) {
		return 0
	}
	return seconds(jsontext.Value(item.Value))
}

func (e *Event) summary() string {
	return fmt.Sprintf("%s %q with %d entries", e.Name.Canonical(), e.ID, len(e.Context))
}

func (e *Event) String() string             { return e.summary() }
func (e *Event) Format(f fmt.State, _ rune) { io.WriteString(f, e.summary()) }

// LogValue gives the log what an administrator may see.
func (e *Event) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", e.ID), slog.String("name", string(e.Name)), slog.Int("entries", len(e.Context)))
}

// MarshalJSON is the summary, so that an event inside something printed as JSON spills nothing. For the wire there is
// [Encode].
func (e *Event) MarshalJSON() ([]byte, error) { return json.Marshal(e.summary()) }

// Relay is the event as apps on this workstation get it: as it came, but with another name for the topic, since the
// real one opens doors, with the name of today for an event that the hub calls by one of 2018 or 2019, and with mark as
// its member "castray" when mark (a JSON object) is not empty. The result is one line without its end, and is the
// caller's.
func (e *Event) Relay(alias string, mark string) []byte {
	if e.mark {
		return e.withoutMark().Relay(alias, mark)
	}
	body := bytes.TrimRight(e.raw, " \t")
	out := make([]byte, 0, len(body)+len(alias)+len(mark)+32)
	at := 0
	replace := func(part span, text string) {
		out = append(out, body[at:part.from]...)
		out, _ = jsontext.AppendQuote(out, text)
		at = part.to
	}
	today := e.Name.now()
	if today != e.Name && e.name.from < e.topic.from {
		replace(e.name, string(today))
	}
	replace(e.topic, alias)
	if today != e.Name && e.name.from >= at {
		replace(e.name, string(today))
	}
	out = append(out, body[at:]...)
	if mark != "" {
		out = append(out[:len(out)-1], `,"castray":`...)
		out = append(append(out, mark...), '}')
	}
	return out
}

// withoutMark drops a top-level member "castray" that came from the hub: only we say "replay" or "derived".
func (e *Event) withoutMark() *Event {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(e.raw, &members); err != nil {
		panic("fhircast: an event that was decoded cannot be read again: " + err.Error())
	}
	delete(members, "castray")
	raw, err := json.Marshal(members)
	if err != nil {
		panic("fhircast: an event that was decoded cannot be written again: " + err.Error())
	}
	m, err := Decode(raw)
	if err != nil {
		panic("fhircast: an event that was decoded cannot be decoded again")
	}
	return m.(*Event)
}
