package fhircast

import (
	"bytes"
	"errors"
	"time"
)

// DecodeContext reads the answer to a request for the current context (FHIRcast 3.0.0, 2.9) as the open that it stands
// for: `<context.type>-open` with the given id, the time of reading and the topic it was asked for. It is nil when there
// is no current context. Besides the shape of 3.0.0 it takes a bare array (hubs of STU2's time), whose anchor is then
// the most specific resource in it, and a whole message with an "event" (drafts of 2019). The error is a *[FrameError].
func DecodeContext(body []byte, topic Secret, id string, read time.Time) (*Event, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	var w walk
	if err := w.read(body); err != nil {
		return nil, &FrameError{ID: id, Reason: err.Error()}
	}
	if w.resource == "" && len(w.items) == 0 {
		return nil, nil
	}
	if w.fault != "" {
		return nil, &FrameError{ID: id, Reason: w.fault}
	}
	if w.resource == "" {
		w.resource = mostSpecific(w.items)
	}
	if w.resource == "" {
		return nil, &FrameError{ID: id, Reason: "the current context has no type and no resource that tells it"}
	}
	return NewEvent(Draft{ID: id, At: read, Topic: topic, Name: Name(w.resource + "-" + string(Open)),
		Context: w.context, Version: w.version})
}

// walk gathers what an answer holds, in whichever of its shapes.
type walk struct {
	resource, version, fault string
	items                    []Item
	context                  []byte
}

func (w *walk) read(body []byte) error {
	s := newScanner(body)
	var err error
	switch s.kind() {
	case '[':
		err = w.readContext(s)
	case '{':
		err = s.object(func(name []byte) error { return w.member(s, name) })
	default:
		return errNotJSON
	}
	if err != nil {
		return err
	}
	if s.kind(); s.at < len(body) {
		return errNotJSON
	}
	if w.context == nil {
		return errNoContext
	}
	return nil
}

var errNoContext = errors.New("it has no context")

func (w *walk) member(s *scanner, name []byte) error {
	switch kind := s.kind(); {
	case string(name) == "event" && kind == '{':
		return s.object(func(name []byte) error { return w.member(s, name) })
	case string(name) == "context" && kind == '[':
		return w.readContext(s)
	}
	v, err := s.value()
	if err != nil {
		return err
	}
	switch string(name) {
	case "context.type":
		var ok bool
		if w.resource, ok = text(v); !ok {
			return errWrongType
		}
	case "context.versionId":
		w.version, _ = text(v)
	}
	return nil
}

func (w *walk) readContext(s *scanner) error {
	s.kind()
	from := s.at
	var err error
	w.items, w.fault, err = items(s)
	w.context = s.text[from:s.at]
	return err
}

// mostSpecific is the resource type that a context without a type is about.
func mostSpecific(list []Item) string {
	for i := len(anchors) - 1; i >= 0; i-- {
		probe := Event{Context: list}
		if _, ok := probe.Item(anchors[i].key); ok {
			return anchors[i].resource
		}
	}
	return ""
}
