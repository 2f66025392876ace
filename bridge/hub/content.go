package hub

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/castray/castray/bridge/fhircast"
)

// Content is what has been shared about one resource that is open (FHIRcast 3.0.0, 2.10). Like its [Session] it is never
// changed, only replaced, and it prints nothing of what it holds.
type Content struct {
	Anchor    string     // the open resource: its type in lower case, a slash, its id
	Version   string     // the latest, context.versionId; unique and random
	Resources []Resource // each once, in the order in which they first came
}

// A Resource is one piece of Content.
type Resource struct {
	Ref     string // as Content.Anchor
	FullURL string // of the entry that brought it, if it had one
	Body    json.RawMessage
}

// Format keeps resources out of everything that prints.
func (c Content) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d resources", len(c.Resources)) }

// MarshalJSON is what prints, too: a [Store] that writes sessions down takes the members.
func (c Content) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(c)) }

// Format keeps the resource out of everything that prints.
func (r Resource) Format(f fmt.State, _ rune) { io.WriteString(f, "a resource") }

// MarshalJSON is what prints, too.
func (r Resource) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(r)) }

// with is the content once one update has happened, all of it (FHIRcast 3.0.0, 2.10).
func (c Content) with(changes []change, version string) Content {
	c.Version, c.Resources = version, slices.Clone(c.Resources)
	for _, ch := range changes {
		i := slices.IndexFunc(c.Resources, func(r Resource) bool { return r.Ref == ch.Ref })
		switch {
		case ch.Body == nil && i >= 0:
			c.Resources = slices.Delete(c.Resources, i, i+1)
		case ch.Body == nil:
		case i >= 0:
			c.Resources[i] = ch
		default:
			c.Resources = append(c.Resources, ch)
		}
	}
	return c
}

// A change is an entry of an update: the resource as it shall be, or no body to delete it.
type change = Resource

func (c Content) size() int64 {
	var n int64
	for _, r := range c.Resources {
		n += int64(len(r.Body))
	}
	return n
}

func (c Content) has(ref string) bool {
	return slices.ContainsFunc(c.Resources, func(r Resource) bool { return r.Ref == ref })
}

// entry is the content as Get Current Context gives it: one Bundle of type collection, whose entries are not requests
// (FHIRcast 3.0.0, 2.9).
func (c Content) entry() json.RawMessage {
	type entry struct {
		FullURL  string          `json:"fullUrl,omitempty"`
		Resource json.RawMessage `json:"resource"`
	}
	bundle := struct {
		ResourceType string  `json:"resourceType"`
		ID           string  `json:"id"`
		Type         string  `json:"type"`
		Entry        []entry `json:"entry,omitempty"` // FHIR has no empty arrays
	}{ResourceType: "Bundle", ID: c.Version, Type: "collection"}
	for _, r := range c.Resources {
		bundle.Entry = append(bundle.Entry, entry{r.FullURL, r.Body})
	}
	b, err := json.Marshal(struct {
		Key      string `json:"key"`
		Resource any    `json:"resource"`
	}{"content", bundle})
	if err != nil {
		panic("hub: a resource that was decoded cannot be written again") // Decode has seen that it is JSON
	}
	return b
}

// content is what has been shared about a resource, as long as that is open.
func (s Session) content(anchor string) (Content, bool) {
	i := s.shared(anchor)
	if i < 0 {
		return Content{}, false
	}
	return s.Shared[i], true
}

func (s Session) shared(anchor string) int {
	return slices.IndexFunc(s.Shared, func(c Content) bool { return c.Anchor == anchor })
}

// withContent is the session with that content in place of what there was about the same resource.
func (s Session) withContent(c Content) Session {
	s.Shared = slices.Clone(s.Shared)
	if i := s.shared(c.Anchor); i >= 0 {
		s.Shared[i] = c
	} else {
		s.Shared = append(s.Shared, c)
	}
	return s
}

// open is the latest open of a resource that is not closed.
func (s Session) open(anchor string) *fhircast.Event {
	for _, o := range s.Open {
		if anchorRef(o) == anchor {
			return o
		}
	}
	return nil
}

func (s Session) isCurrent(open *fhircast.Event) bool {
	return s.Current != nil && aboutSame(s.Current, open)
}
