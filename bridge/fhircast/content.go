package fhircast

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Change is what an update does to the content that is shared about a resource, its anchor (FHIRcast 3.0.0, 2.10).
// It is patient data and prints nothing of it.
type Change struct {
	Type, ID string // of the anchor
	Entries  []Entry
}

// An Entry is one resource in a Change, or in the content of a context that was read.
type Entry struct {
	Method   string // of a Change: "PUT", which adds or replaces it, or "DELETE"
	Type, ID string
	FullURL  string
	Resource json.RawMessage // nil with DELETE, and with a PUT that only says where the resource is; not to be changed
}

// Format prints how many entries there are.
func (c Change) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d entries", len(c.Entries)) }

// MarshalJSON is what Format prints.
func (c Change) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(c)) }

// Format prints the method and the type.
func (e Entry) Format(f fmt.State, _ rune) { io.WriteString(f, strings.TrimSpace(e.Method+" "+e.Type)) }

// MarshalJSON is what Format prints.
func (e Entry) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(e)) }

var (
	errAnchor    = errors.New("the resource it is about is not named exactly once")
	errUpdates   = errors.New(`there is not one entry "updates" with a Bundle`)
	errSelection = errors.New("what is selected is not named by type and id")
)

// Update reads an event that updates content, in the shape of 3.0.0 or of either ballot before it. A POST, by which the
// older of them adds, is a PUT. The error says what cannot be read, without repeating any of it.
func (e *Event) Update() (Change, error) {
	var c Change
	var err error
	if c.Type, c.ID, err = e.about(Update); err != nil {
		return Change{}, err
	}
	item, ok := e.Item("updates")
	if !ok {
		return Change{}, errUpdates
	}
	list, err := bundle(item)
	if err != nil {
		return Change{}, errUpdates
	}
	for _, in := range list {
		entry, err := in.change()
		if err != nil {
			return Change{}, err
		}
		c.Entries = append(c.Entries, entry)
	}
	return c, nil
}

// Selection reads an event that selects content, in the shape of 3.0.0 or of either ballot before it: each resource as
// "Type/id". An empty list says that nothing is selected any more.
func (e *Event) Selection() ([]string, error) {
	if _, _, err := e.about(Select); err != nil {
		return nil, err
	}
	list := []string{}
	for _, item := range e.Context {
		if !strings.EqualFold(item.Key, "select") && item.Kind != "select" {
			continue
		}
		found, err := item.selected()
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// Content reads what is shared about the current context, of an event that [DecodeContext] made: nothing where the hub
// says nothing of it.
func (e *Event) Content() ([]Entry, error) {
	var list []bundleEntry
	for _, item := range e.Context {
		if !strings.EqualFold(item.Key, "content") {
			continue
		}
		more, err := bundle(item)
		if err != nil || list != nil {
			return nil, errors.New("the content is not one Bundle")
		}
		list = append([]bundleEntry{}, more...)
	}
	var content []Entry
	for _, in := range list {
		entry := Entry{FullURL: in.FullURL, Resource: in.Resource}
		var ok bool
		if entry.Type, entry.ID, ok = in.identity(); !ok {
			return nil, errors.New("an entry of the content is no resource with a type and an id")
		}
		content = append(content, entry)
	}
	return content, nil
}

// about is the anchor of an event of that verb.
func (e *Event) about(verb Verb) (resource, id string, err error) {
	if e.Name.Verb() != verb {
		return "", "", fmt.Errorf("it is no %s", verb)
	}
	item, ok := e.Anchor()
	if ok {
		resource, id, ok = item.pointer()
	}
	if !ok || !strings.EqualFold(resource, e.Name.Resource()) {
		return "", "", errAnchor
	}
	return resource, id, nil
}

// bundleEntry is an entry as it stands in a Bundle. It shares the memory of the event.
type bundleEntry struct {
	FullURL     string
	Resource    json.RawMessage // nil = there is none
	Type, ID    string          // of Resource
	Method, URL string          // of request
}

func bundle(item Item) (list []bundleEntry, err error) {
	s := newScanner(item.Value)
	kind := ""
	err = members(s, func(name []byte) error {
		switch string(name) {
		case "resourceType":
			return readWord(s, &kind)
		case "entry":
			return readList(s, func() error {
				in, err := readEntry(s)
				list = append(list, in)
				return err
			})
		}
		_, err := s.value()
		return err
	})
	if item.Kind != "resource" || err != nil || kind != "Bundle" {
		return nil, errors.New("no Bundle")
	}
	return list, nil
}

// readEntry reads an entry of a Bundle, which comes next. Updates may come by the thousand: they are read in one pass,
// resources and all, and nothing of them is copied.
func readEntry(s *scanner) (bundleEntry, error) {
	var in bundleEntry
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "fullUrl":
			return readWord(s, &in.FullURL)
		case "resource":
			s.kind()
			from := s.at
			err := readWords(s, "resourceType", &in.Type, "id", &in.ID)
			in.Resource = json.RawMessage(s.text[from:s.at:s.at])
			return err
		case "request":
			return readWords(s, "method", &in.Method, "url", &in.URL)
		}
		_, err := s.value()
		return err
	})
	return in, err
}

// identity is the type and the id of the entry's resource.
func (in bundleEntry) identity() (resource, id string, ok bool) {
	return in.Type, in.ID, in.Type != "" && in.ID != ""
}

// change reads an entry of an update. The examples of 3.0.0 leave out request.url, which its profile demands, and the
// 2.1.0 ballot deletes by naming the resource instead of its address.
func (in bundleEntry) change() (Entry, error) {
	e := Entry{FullURL: in.FullURL}
	switch method := strings.ToUpper(in.Method); method {
	case "PUT", "DELETE":
		e.Method = method
	case "POST":
		e.Method = "PUT"
	default:
		return Entry{}, errors.New("an entry is neither put nor deleted")
	}
	ok := false
	if in.Resource != nil {
		e.Type, e.ID, ok = in.identity()
		if e.Method == "PUT" {
			e.Resource = in.Resource
		}
	} else {
		for _, ref := range []string{in.FullURL, in.URL} {
			if e.Type, e.ID, ok = splitReference(ref); ok {
				break
			}
		}
	}
	if !ok {
		return Entry{}, errors.New("an entry does not tell the type and the id of its resource")
	}
	return e, nil
}

// selected are the resources that an entry of a selection names, in whichever of its shapes.
func (i Item) selected() ([]string, error) {
	var list []Item
	if i.Kind == "resource" || i.Kind == "reference" && !strings.HasPrefix(string(i.Value), "[") {
		list = append(list, i)
	} else {
		var values []json.RawMessage
		if json.Unmarshal(i.Value, &values) != nil {
			return nil, errSelection
		}
		kind := "resource"
		if i.Kind == "reference" {
			kind = "reference"
		}
		for _, v := range values {
			list = append(list, Item{Kind: kind, Value: v})
		}
	}
	var found []string
	for _, one := range list {
		resource, id, ok := one.pointer()
		if !ok {
			return nil, errSelection
		}
		found = append(found, resource+"/"+id)
	}
	return found, nil
}
