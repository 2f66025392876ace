package bridge

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/castray/castray/bridge/fhircast"
)

// contentLimit is how much of what is shared in one context is kept. More would not fit a line to an app.
const contentLimit = 4 << 20

// content is what was shared in one context: resources by "Type/id". It is patient data, and it goes when the context is
// closed (FHIRcast 3.0.0, 2.10). A copy of it is the same content.
type content struct {
	entries map[string]shared
	last    int // numbers them in the order in which they came
	bytes   int
	over    bool // it grew beyond what we keep
}

// shared is one resource. The address under which it came is kept: others may refer to it (FC-CS-29).
type shared struct {
	address  string // fullUrl, "" = it had none
	resource json.RawMessage
	number   int
}

func (s shared) size(name string) int { return len(name) + len(s.address) + len(s.resource) }

// put adds a resource, or replaces it where it is. It is copied: the message that it came in may be many times as long.
func (k *content) put(name, address string, resource json.RawMessage) {
	if k.over {
		return
	}
	was, there := k.entries[name]
	s := shared{address, bytes.Clone(resource), was.number}
	switch {
	case !there:
		k.last++
		s.number = k.last
	case address == "":
		s.address = was.address
	}
	k.remove(name)
	if k.entries == nil {
		k.entries = make(map[string]shared)
	}
	k.entries[name] = s
	if k.bytes += s.size(name); k.bytes > contentLimit {
		*k = content{over: true}
	}
}

func (k *content) remove(name string) {
	if s, there := k.entries[name]; there {
		k.bytes -= s.size(name)
		delete(k.entries, name)
	}
}

// is tells whether both are the same resources.
func (k *content) is(other *content) bool {
	return k.over == other.over && maps.EqualFunc(k.entries, other.entries, func(a, b shared) bool { return bytes.Equal(a.resource, b.resource) })
}

// take applies an update, or what was read, in the order of its entries, and tells whether it is more by now than we keep.
func (k *content) take(entries []fhircast.Entry) (over bool) {
	for _, e := range entries {
		name := e.Type + "/" + e.ID
		if e.Method == "DELETE" {
			k.remove(name)
		} else {
			k.put(name, e.FullURL, e.Resource)
		}
	}
	return k.over
}

// item is the entry `content` of a context as it is read (FHIRcast 3.0.0, 2.9).
func (k *content) item() json.RawMessage {
	type one struct {
		FullURL  string          `json:"fullUrl,omitempty"`
		Resource json.RawMessage `json:"resource,omitempty"` // not there where an update only said where it is
	}
	type bundle struct {
		ResourceType string `json:"resourceType"`
		Type         string `json:"type"`
		Entry        []one  `json:"entry,omitempty"`
	}
	b := bundle{ResourceType: "Bundle", Type: "collection"}
	inOrder := slices.SortedFunc(maps.Values(k.entries), func(a, b shared) int { return a.number - b.number })
	for _, s := range inOrder {
		b.Entry = append(b.Entry, one{s.address, s.resource})
	}
	text, err := json.Marshal(struct {
		Key      string `json:"key"`
		Resource bundle `json:"resource"`
	}{contentKey, b})
	if err != nil {
		return nil // every resource was read as JSON
	}
	return text
}

const contentKey = "content"

// with is the open e as it would be read now: its version is the newest, and its content what k holds. It keeps its
// timestamp, and gets an id that no app has seen. Nil when it cannot be made.
func (k *content) with(e *fhircast.Event, id, version string) *fhircast.Event {
	var list []json.RawMessage
	for _, item := range e.Context {
		if item.Key == contentKey {
			continue
		}
		text, err := json.Marshal(map[string]any{"key": item.Key, item.Kind: item.Value})
		if err != nil {
			return nil
		}
		list = append(list, text)
	}
	list = append(list, k.item())
	context, err := json.Marshal(list)
	if err != nil {
		return nil
	}
	whole, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: e.Timestamp.At, Topic: e.Topic, Name: e.Name, Context: context, Version: version})
	if err != nil {
		return nil
	}
	return whole
}
