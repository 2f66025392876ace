package fhircast

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Message is what a frame can be: *[Event], *[Confirmation], *[Denial] or *[Answer].
type Message interface{ message() }

func (*Event) message()        {}
func (*Confirmation) message() {}
func (*Denial) message()       {}
func (*Answer) message()       {}

// A FrameError says why a frame is no message. ID and Name are what could be read of it before the fault: with an ID
// the frame can be answered 400. Its text never repeats what the frame held.
type FrameError struct {
	ID     string
	Name   Name
	Reason string
}

func (e *FrameError) Error() string { return "frame refused: " + e.Reason }

// envelope is what the walk over a frame gathers, of all kinds of message at once: they are told apart by what they
// have, not by when they come (FHIRcast 3.0.0, 2.4 and 2.5).
type envelope struct {
	Event
	hasEvent, hasID, hasStamp, hasTopic, hasContext bool

	contextFault string

	mode, modeTopic, reason string // members of a confirmation or a denial
	events                  []Name
	lease                   time.Duration
	status                  int // of an answer
}

// Decode reads one text frame of a socket and keeps it: the caller must not change frame afterwards. The whole text is
// checked to be JSON in UTF-8 without duplicate names. Unknown members are ignored (and relayed). Line breaks between
// JSON tokens become spaces. The error is always a *[FrameError].
func Decode(frame []byte) (Message, error) {
	var env envelope
	if err := env.read(frame); err != nil {
		return nil, &FrameError{ID: env.ID, Name: env.Name, Reason: err.Error()}
	}
	fault := func(reason string) (Message, error) {
		return nil, &FrameError{ID: env.ID, Name: env.Name, Reason: reason}
	}
	switch {
	case env.hasEvent:
		if lacks := env.eventFault(); lacks != "" {
			return fault(lacks)
		}
		e := env.Event
		return &e, nil
	case strings.EqualFold(env.mode, "subscribe"):
		return &Confirmation{Topic: Secret(env.modeTopic), Events: env.events, Lease: env.lease}, nil
	case strings.EqualFold(env.mode, "denied"):
		return &Denial{Topic: Secret(env.modeTopic), Events: env.events, Reason: printable(env.reason)}, nil
	case env.hasID && env.mode == "":
		return &Answer{ID: env.ID, Status: env.status}, nil
	}
	return fault("it is no message that FHIRcast knows")
}

func (env *envelope) eventFault() string {
	switch {
	case !env.hasID || env.ID == "":
		return "it has no id"
	case !env.hasStamp:
		return "it has no timestamp"
	case !env.hasTopic:
		return "it has no hub.topic"
	case env.Name == "":
		return "it has no hub.event"
	case !env.hasContext:
		return "it has no context"
	}
	return env.contextFault
}

var errWrongType = errors.New("a member has the wrong type")

func (env *envelope) read(frame []byte) error {
	s := newScanner(frame)
	if err := s.object(func(name []byte) error { return env.member(s, name) }); err != nil {
		return err
	}
	if s.kind(); s.at < len(frame) {
		return errNotJSON
	}
	blank(frame, '\n')
	blank(frame, '\r')
	env.raw = frame
	return nil
}

// blank makes a line break a space. In JSON it stands only between tokens. Few messages have one, and bytes.IndexByte
// finds out ten times as fast as a loop.
func blank(text []byte, lineBreak byte) {
	for {
		i := bytes.IndexByte(text, lineBreak)
		if i < 0 {
			return
		}
		text[i] = ' '
		text = text[i+1:]
	}
}

func (env *envelope) member(s *scanner, name []byte) error {
	if string(name) == "event" && s.kind() == '{' {
		env.hasEvent = true
		return s.object(func(name []byte) error { return env.eventMember(s, name) })
	}
	v, err := s.value()
	if err != nil {
		return err
	}
	ok := true
	switch string(name) {
	case "id":
		env.ID, ok = text(v)
		env.hasID = ok
	case "timestamp":
		var raw string
		raw, ok = text(v)
		env.Timestamp, env.hasStamp = parseTime(raw), ok
	case "event":
		ok = false
	case "status":
		env.status = number(v)
	case "castray":
		env.mark = true
	case "hub.mode":
		env.mode, ok = text(v)
	case "hub.topic":
		env.modeTopic, ok = text(v)
	case "hub.reason":
		env.reason, _ = text(v)
	case "hub.events":
		env.events = list(v)
	case "hub.lease_seconds", "hub.lease-seconds": // the second is printed in the February 2020 ballot
		env.lease = seconds(v)
	}
	if !ok {
		return errWrongType
	}
	return nil
}

func (env *envelope) eventMember(s *scanner, name []byte) error {
	if string(name) == "context" && s.kind() == '[' {
		env.hasContext = true
		from := s.at
		var err error
		env.Context, env.contextFault, err = items(s)
		env.context = span{from, s.at}
		return err
	}
	v, err := s.value()
	if err != nil {
		return err
	}
	ok := true
	switch string(name) {
	case "hub.topic":
		var topic string
		topic, ok = text(v)
		env.Topic, env.hasTopic = Secret(topic), ok
		env.topic = span{s.at - len(v), s.at}
	case "hub.event":
		var event string
		event, ok = text(v)
		env.Name = Name(event)
		env.name = span{s.at - len(v), s.at}
	case "context":
		ok = false
	case "context.versionId", "versionId": // the table of 3.0.0 says versionId, its examples and pages the other
		env.Version, _ = text(v)
	case "context.priorVersionId", "priorVersionId":
		env.PriorVersion, _ = text(v)
	}
	if !ok {
		return errWrongType
	}
	return nil
}

// items reads a context. An entry that is no object, or whose key is no text, is a fault of the content: the walk goes
// on, so that the id can still be read wherever it stands.
func items(s *scanner) (list []Item, fault string, err error) {
	err = s.array(func() error {
		if s.kind() != '{' {
			fault = "an entry of its context is no object"
			_, err := s.value()
			return err
		}
		var item Item
		if err := s.object(func(name []byte) error {
			if string(name) != "key" {
				return item.member(s, name)
			}
			v, err := s.value()
			if err != nil {
				return err
			}
			var ok bool
			if item.Key, ok = text(v); !ok {
				fault = "a key of its context is no text"
			}
			return nil
		}); err != nil {
			return err
		}
		list = append(list, item)
		return nil
	})
	return list, fault, err
}

func text(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1]), true
	}
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err == nil
}

// number reads a whole number that may stand in quotes ("200" in every printed example of an answer).
func number(v jsontext.Value) int {
	s, ok := text(v)
	if !ok {
		s = string(v)
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0
	}
	return n
}

// seconds reads a positive number of seconds, also with a fraction or in quotes; 0 for anything else. It is cut to a
// year, which is longer than any lease or heartbeat that makes sense.
func seconds(v jsontext.Value) time.Duration {
	s, ok := text(v)
	if !ok {
		s = string(v)
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	const year = 365 * 24 * 3600
	return time.Duration(min(f, year) * float64(time.Second))
}

// list reads event names from a comma-separated string or, as some hubs write it, an array.
func list(v jsontext.Value) []Name {
	var words []string
	if s, ok := text(v); ok {
		words = strings.Split(s, ",")
	} else if v.Kind() == '[' {
		if err := json.Unmarshal(v, &words); err != nil {
			return nil
		}
	}
	return Names(words)
}

// Names makes a list of event names: trimmed, without blanks and without repeats, which are the same name in any case.
func Names(words []string) []Name {
	var names []Name
	for _, w := range words {
		if n := Name(strings.TrimSpace(w)); n != "" && !n.In(names) {
			names = append(names, n)
		}
	}
	return names
}
