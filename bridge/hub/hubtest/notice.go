package hubtest

import (
	"bytes"
	"encoding/json"
)

// An object is the members of a JSON object, values as they came.
type object map[string]json.RawMessage

// text is a member that is a string, "" where it is none.
func (o object) text(name string) string {
	var s string
	_ = json.Unmarshal(o[name], &s)
	return s
}

func (o object) set(name string, v any) { o[name] = raw(v) }

func raw(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("hubtest: not written: " + err.Error()) // strings, numbers and what was read
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// A notice is one message of the hub's that a fault may change: a confirmation or a denial, whose members are at the
// top, or an event. Nothing of the client's vocabulary is used to read or to write it.
type notice struct {
	top     object
	event   object   // nil for a confirmation and a denial
	context []object // of an event
}

func readNotice(text []byte) (n *notice, ok bool) {
	n = &notice{}
	if json.Unmarshal(text, &n.top) != nil || n.top == nil {
		return nil, false
	}
	if n.top["event"] == nil {
		return n, true
	}
	return n, json.Unmarshal(n.top["event"], &n.event) == nil && json.Unmarshal(n.event["context"], &n.context) == nil
}

func (n *notice) write() []byte {
	if n.event != nil {
		if n.context == nil {
			n.context = []object{}
		}
		n.event.set("context", n.context)
		n.top.set("event", n.event)
	}
	return raw(n.top)
}

func (n *notice) confirms() bool { return n.event == nil && n.top.text("hub.mode") == "subscribe" }

// name is the event's, "" for what is no event.
func (n *notice) name() string { return n.event.text("hub.event") }

// item is the entry of that key, nil when there is none.
func (n *notice) item(key string) object {
	for _, o := range n.context {
		if o.text("key") == key {
			return o
		}
	}
	return nil
}

// resource is the type and id of what an entry holds, as a resource or as a reference to one.
func (o object) resource() (kind, id string) {
	var r struct{ ResourceType, ID, Reference string }
	if o["resource"] != nil {
		_ = json.Unmarshal(o["resource"], &r)
		return r.ResourceType, r.ID
	}
	_ = json.Unmarshal(o["reference"], &r)
	kind, id, _ = cutLast(r.Reference)
	return kind, id
}

// cutLast splits "https://h/Patient/1" into "Patient" and "1".
func cutLast(reference string) (kind, id string, ok bool) {
	parts := bytes.Split([]byte(reference), []byte("/"))
	if len(parts) < 2 {
		return "", "", false
	}
	return string(parts[len(parts)-2]), string(parts[len(parts)-1]), true
}
