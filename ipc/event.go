package ipc

import (
	"bytes"
	"encoding/json"

	"github.com/castray/castray/ipc/protocol"
	"github.com/go-json-experiment/json/jsontext"
)

// ReadEvent reads the params of an event as protocol.Decode would, but in one pass and without a copy: the event
// shares the memory of params. An app spends most of its time with us here, and encoding/json takes some ten times
// as long over 10 KB.
func ReadEvent(params json.RawMessage) (protocol.Event, error) {
	wrong := &protocol.Error{Code: protocol.CodeInvalidParams, Message: "params are no event: an object with timestamp, id and event"}
	var e protocol.Event
	var id, timestamp, mark json.RawMessage
	dec := jsontext.NewDecoder(bytes.NewBuffer(params))
	if first, err := dec.ReadToken(); err != nil || first.Kind() != '{' {
		return e, wrong
	}
	err := cut(dec, params, func(name []byte) *json.RawMessage {
		switch string(name) {
		case "id":
			return &id
		case "timestamp":
			return &timestamp
		case "event":
			return &e.Event
		case "castray":
			return &mark
		}
		return nil
	})
	if err != nil || len(e.Event) == 0 || e.Event[0] != '{' ||
		json.Unmarshal(id, &e.ID) != nil || json.Unmarshal(timestamp, &e.Timestamp) != nil ||
		mark != nil && json.Unmarshal(mark, &e.Castray) != nil {
		return protocol.Event{}, wrong
	}
	return e, nil
}
