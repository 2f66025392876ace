package fhircast

import (
	"encoding/json"
	"fmt"
	"io"
)

// An Item is one entry of a context: its key and its value, whose kind is the name of the member that holds it
// ("resource", "reference", "decimal", ...; FHIRcast 3.0.0, 2.3.1).
type Item struct {
	Key   string
	Kind  string
	Value json.RawMessage

	telling *telling // of a resource that came in an event: see Resource
	values  int      // how many members it had besides the key; one is allowed
}

// member takes a member of the entry, other than its key, as the value where it is the one that counts.
func (i *Item) member(s *scanner, name []byte) error {
	i.values++
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

// Format keeps resources out of everything that prints an entry.
func (i Item) Format(f fmt.State, _ rune) { io.WriteString(f, i.Key) }

// MarshalJSON is the key alone.
func (i Item) MarshalJSON() ([]byte, error) { return json.Marshal(i.Key) }
