package hub

import (
	"bytes"
	"encoding/json"

	"github.com/castray/castray/bridge/fhircast"
)

// derivable are the keys under which an open may refer to resources that have opens of their own, least specific first,
// so that who gets several ends with the one that is meant (FHIRcast 3.0.0, 2.5 and 3.3 to 3.6).
var derivable = [...]string{"patient", "encounter", "study"}

// derive is what an open implies: the opens of the resources that it refers to, one for each type. Two studies of a report
// imply none, for nothing says which of them is meant. Each has an id of its own, by which it is answered, and the time
// of what it is derived from.
func derive(e *fhircast.Event) []*fhircast.Event {
	plain, err := stamped(e, "", "") // the version is that of another resource
	if err != nil {
		return nil
	}
	var list []*fhircast.Event
	for _, key := range derivable {
		if key == fhircast.Key(e.Name.Resource()) {
			continue
		}
		d := plain.Derive(key)
		if d == nil || anchorID(d) == "" {
			continue
		}
		if d, err := renamed(d, newID()); err == nil {
			list = append(list, d)
		}
	}
	return list
}

// renamed is an event with another id.
func renamed(e *fhircast.Event, id string) (*fhircast.Event, error) {
	for m := range membersOf(e.Wire(), 0) {
		if m.name == "id" {
			quoted, err := json.Marshal(id)
			if err != nil {
				return nil, err
			}
			return decodeEvent(bytes.Join([][]byte{e.Wire()[:m.value], quoted, e.Wire()[m.to:]}, nil))
		}
	}
	return e, nil
}

// sendDerived sends what the subscriber wants of what source implies, unless that is what it was told last of the kind
// (FHIRcast 3.0.0, 2.5). If it does not follow, the others are told that it did not follow the source, which they know.
func (h *Hub) sendDerived(s *subscription, source *fhircast.Event, derived []*fhircast.Event) {
	for _, d := range derived {
		if s.wants(d.Name) && s.told[d.Name.Resource()] != anchorID(d) {
			h.sendEvent(s, d, source)
		}
	}
}

// forget notes that a resource was closed, or everything by a logout: its open can be derived anew.
func (s *subscription) forget(e *fhircast.Event) {
	switch {
	case e.Name.Is(fhircast.UserLogout):
		clear(s.told)
	case e.Name.Verb() == fhircast.Close && s.told[e.Name.Resource()] == anchorID(e):
		delete(s.told, e.Name.Resource())
	}
}
