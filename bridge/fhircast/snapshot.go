package fhircast

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	var err error
	switch dec.PeekKind() {
	case '[':
		err = w.readContext(dec, body)
	case '{':
		err = members(dec, func(name string) error { return w.member(dec, body, name) })
	default:
		return errNotJSON
	}
	if err != nil {
		return err
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return errNotJSON
	}
	if w.context == nil {
		return errNoContext
	}
	return nil
}

var errNoContext = errors.New("it has no context")

func (w *walk) member(dec *jsontext.Decoder, body []byte, name string) error {
	switch {
	case name == "event" && dec.PeekKind() == '{':
		return members(dec, func(name string) error { return w.member(dec, body, name) })
	case name == "context" && dec.PeekKind() == '[':
		return w.readContext(dec, body)
	}
	v, err := dec.ReadValue()
	if err != nil {
		return errNotJSON
	}
	switch name {
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

func (w *walk) readContext(dec *jsontext.Decoder, body []byte) error {
	from := int(dec.InputOffset())
	var err error
	if w.items, w.fault, err = items(dec, body); err != nil {
		return err
	}
	raw := body[from:dec.InputOffset()]
	w.context = raw[bytes.IndexByte(raw, '['):]
	return nil
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
