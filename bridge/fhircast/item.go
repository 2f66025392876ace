package fhircast

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// An Item is one entry of a context: its key and its value, whose kind is the name of the member that holds it
// ("resource", "reference", "decimal", ...; FHIRcast 3.0.0, 2.3.1).
type Item struct {
	Key   string
	Kind  string
	Value json.RawMessage

	telling *[len(telling)]json.RawMessage // of a resource that came in an event
}

// telling are the members by which one resource is told from another.
var telling = [...]string{"resourceType", "id", "identifier", "uid", "accession", "basedOn", "subject"}

// Member is a member of the entry's resource, nil when the resource has none of that name. The names are those by which
// one resource is told from another: resourceType, id, identifier, uid, accession, basedOn and subject. They are cut out
// while the event is read, since a resource may be long and they are asked for with every event.
func (i Item) Member(name string) json.RawMessage {
	n := slices.Index(telling[:], name)
	if n < 0 || i.Kind != "resource" {
		return nil
	}
	if i.telling == nil && i.read(&scanner{text: i.Value}) != nil {
		return nil
	}
	return i.telling[n]
}

// member takes a member of the entry, other than its key, as the value where it is the one that counts.
func (i *Item) member(s *scanner, name []byte) error {
	if string(name) == "resource" && s.kind() == '{' {
		i.Kind = "resource"
		return i.read(s)
	}
	v, err := s.value()
	if err != nil {
		return err
	}
	if kind := string(name); i.Kind == "" || kind == "resource" || (kind == "reference" && i.Kind != "resource") {
		i.Kind, i.Value = kind, json.RawMessage(v)
	}
	return nil
}

// read reads the entry's resource, an object that comes next.
func (i *Item) read(s *scanner) error {
	i.telling = new([len(telling)]json.RawMessage)
	s.kind()
	from := s.at
	err := s.object(func(name []byte) error {
		v, err := s.value()
		if err != nil {
			return err
		}
		if n := slices.Index(telling[:], string(name)); n >= 0 {
			i.telling[n] = json.RawMessage(v)
		}
		return nil
	})
	i.Value = s.text[from:s.at:s.at]
	return err
}

// Format keeps resources out of everything that prints an entry.
func (i Item) Format(f fmt.State, _ rune) { io.WriteString(f, i.Key) }

// MarshalJSON is the key alone.
func (i Item) MarshalJSON() ([]byte, error) { return json.Marshal(i.Key) }
