package hub

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// What follows reads updates and selections as far as a hub has to, and by itself: the agent is tested against this hub,
// and a fault of a reading that both shared would not show. Read generously: the anchor as a reference or, as in the
// ballots of 2022 and 2024, as a resource; entries without request.url, as the examples have them; POST, which the ballot
// of 2022 adds with. Whether a resource is what its profile wants is not asked (FHIRcast 3.0.0, 2.10).

// sharedAnchor is the resource whose content an update or a selection is about.
func sharedAnchor(e *fhircast.Event) (string, error) {
	item, ok := e.Anchor()
	if ok {
		if ref := itemRef(item); strings.HasPrefix(ref, strings.ToLower(e.Name.Resource())+"/") {
			return ref, nil
		}
	}
	return "", refuse(400, "the context does not name the %s that the event is about exactly once", e.Name.Resource())
}

// itemRef is the resource that an entry holds or refers to.
func itemRef(item fhircast.Item) string {
	switch item.Kind {
	case "resource":
		return resourceRef(item.Value)
	case "reference":
		var r struct{ Reference string }
		if json.Unmarshal(item.Value, &r) == nil {
			return parseRef(r.Reference)
		}
	}
	return ""
}

func resourceRef(resource json.RawMessage) string {
	var r struct{ ResourceType, ID string }
	if json.Unmarshal(resource, &r) != nil || r.ResourceType == "" || r.ID == "" {
		return ""
	}
	return reference(r.ResourceType, r.ID)
}

// parseRef reads Type/id, also behind the address of a server; "" for anything else, an urn included.
func parseRef(text string) string {
	parts := strings.Split(text, "/")
	if len(parts) < 2 {
		return ""
	}
	resource, id := parts[len(parts)-2], parts[len(parts)-1]
	if resource == "" || id == "" {
		return ""
	}
	return reference(resource, id)
}

type bundle struct {
	ResourceType string
	Type         string
	Link         json.RawMessage
	Entry        []struct {
		FullURL          string
		Resource         json.RawMessage
		Request          struct{ Method, URL string }
		Search, Response json.RawMessage
	}
}

// changesOf reads the Bundle of an update: each resource once (FHIRcast 3.0.0, 2.10).
func changesOf(e *fhircast.Event) ([]change, error) {
	item, ok := e.Item("updates")
	var b bundle
	if !ok || item.Kind != "resource" || json.Unmarshal(item.Value, &b) != nil || b.ResourceType != "Bundle" {
		return nil, refuse(400, "the context does not hold exactly one Bundle of updates")
	}
	if b.Type != "transaction" || b.Link != nil {
		return nil, refuse(400, "the Bundle of updates is not of type transaction, or has links")
	}
	var list []change
	seen := map[string]bool{}
	for i, entry := range b.Entry {
		if entry.Search != nil || entry.Response != nil {
			return nil, refuse(400, "entry %d of the updates has a search or a response", i)
		}
		c := change{FullURL: entry.FullURL}
		switch strings.ToUpper(entry.Request.Method) {
		case "PUT", "POST":
			c.Ref, c.Body = resourceRef(entry.Resource), entry.Resource
			if url := parseRef(entry.Request.URL); url != "" && url != c.Ref {
				c.Ref = ""
			}
		case "DELETE":
			if c.Ref = parseRef(entry.Request.URL); c.Ref == "" {
				c.Ref = parseRef(entry.FullURL)
			}
			switch {
			case c.Ref == "": // the ballot of 2022 deletes by a resource
				c.Ref = resourceRef(entry.Resource)
			case entry.Resource != nil:
				c.Ref = ""
			}
		default:
			return nil, refuse(400, "entry %d of the updates is neither a PUT nor a DELETE", i)
		}
		if c.Ref == "" {
			return nil, refuse(400, "entry %d of the updates does not say which resource it is about: a PUT has one with type and id, a DELETE has an address and none", i)
		}
		if seen[c.Ref] {
			return nil, refuse(400, "entry %d of the updates is about a resource of another entry", i)
		}
		seen[c.Ref] = true
		list = append(list, c)
	}
	return list, nil
}

// selectionOf is what is selected: references (3.0.0), resources in one entry (ballot of 2024), or an entry that has a
// list and no key (ballot of 2022). None at all selects nothing (FHIRcast 3.0.0, 2.10).
func selectionOf(e *fhircast.Event) ([]string, error) {
	var list []string
	for _, item := range e.Context {
		switch {
		case item.Key == "select" && item.Kind == "reference":
			list = append(list, itemRef(item))
		case item.Key == "select" && item.Kind == "resources", item.Key == "" && item.Kind == "select":
			var resources []json.RawMessage
			if json.Unmarshal(item.Value, &resources) != nil {
				return nil, refuse(400, "what is selected is no list of resources")
			}
			for _, r := range resources {
				list = append(list, resourceRef(r))
			}
		case item.Key == "select":
			return nil, refuse(400, "what is selected is neither a reference nor a list of resources")
		}
	}
	for _, ref := range list {
		if ref == "" {
			return nil, refuse(400, "something that is selected has no type and id")
		}
	}
	return list, nil
}

// selecting is a selection with only those of its resources, in the shape in which it came.
func selecting(e *fhircast.Event, refs []string) (*fhircast.Event, error) {
	var m struct {
		Event struct{ Context []map[string]json.RawMessage }
	}
	if err := json.Unmarshal(e.Wire(), &m); err != nil {
		return nil, err
	}
	kept := []map[string]json.RawMessage{}
	for i, entry := range m.Event.Context {
		switch item := e.Context[i]; {
		case item.Key == "select" && item.Kind == "reference":
			if !slices.Contains(refs, itemRef(item)) {
				continue
			}
		case item.Key == "select" || item.Key == "" && item.Kind == "select":
			var list []json.RawMessage
			if err := json.Unmarshal(item.Value, &list); err != nil {
				return nil, err
			}
			list = slices.DeleteFunc(list, func(r json.RawMessage) bool { return !slices.Contains(refs, resourceRef(r)) })
			b, err := json.Marshal(list)
			if err != nil {
				return nil, err
			}
			entry[item.Kind] = b
		}
		kept = append(kept, entry)
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	return withContext(e, b)
}
