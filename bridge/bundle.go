package bridge

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// entry is what one entry of an update does to a resource.
type entry struct {
	shared
	remove bool
}

var errUpdate = errors.New("an update that cannot be read")

// about is the "Type/id" of the anchor of an update or a select, whichever way it is named: 3.0.0 has a reference, the
// ballots a resource. False where it is not there exactly once.
func about(e *fhircast.Event) (name string, ok bool) {
	item, ok := e.Anchor()
	if !ok {
		return "", false
	}
	if r, ok := item.Resource(); ok {
		return r.Type + "/" + r.ID, r.Type == e.Name.Resource() && r.ID != ""
	}
	var to struct{ Reference string }
	if item.Kind != "reference" || json.Unmarshal(item.Value, &to) != nil {
		return "", false
	}
	return tail(to.Reference), strings.HasPrefix(tail(to.Reference), e.Name.Resource()+"/")
}

// tail cuts an absolute reference to its "Type/id".
func tail(reference string) string {
	parts := strings.Split(reference, "/")
	if len(parts) < 2 {
		return ""
	}
	return strings.Join(parts[len(parts)-2:], "/")
}

// readUpdate is what an update does, to which context.
func readUpdate(e *fhircast.Event) (anchor string, changes []entry, err error) {
	anchor, ok := about(e)
	if !ok {
		return "", nil, errUpdate
	}
	item, ok := e.Item("updates")
	if !ok {
		return anchor, nil, errUpdate
	}
	changes, err = readBundle(item.Value, true)
	return anchor, changes, err
}

func readBundle(text json.RawMessage, update bool) ([]entry, error) {
	var b struct {
		ResourceType string
		Entry        []struct {
			FullURL  string
			Request  struct{ Method, URL string }
			Resource json.RawMessage
		}
	}
	if json.Unmarshal(text, &b) != nil || b.ResourceType != "Bundle" {
		return nil, errUpdate
	}
	var list []entry
	for _, e := range b.Entry {
		var r struct{ ResourceType, ID string }
		_ = json.Unmarshal(e.Resource, &r)
		one := entry{shared: shared{name: r.ResourceType + "/" + r.ID, address: e.FullURL, resource: e.Resource}, remove: update && e.Request.Method == "DELETE"}
		if one.remove && r.ID == "" {
			if one.name = tail(e.FullURL); one.name == "" {
				one.name = tail(e.Request.URL)
			}
		}
		if strings.HasPrefix(one.name, "/") || strings.HasSuffix(one.name, "/") || one.name == "" {
			return nil, errUpdate
		}
		list = append(list, one)
	}
	return list, nil
}
