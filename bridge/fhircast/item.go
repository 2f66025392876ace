package fhircast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
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
	if i.telling == nil && i.read(jsontext.NewDecoder(bytes.NewBuffer(i.Value)), i.Value) != nil {
		return nil
	}
	return i.telling[n]
}

// read reads the entry's resource, an object that stands next in frame.
func (i *Item) read(dec *jsontext.Decoder, frame []byte) error {
	i.telling = new([len(telling)]json.RawMessage)
	from := dec.InputOffset()
	err := members(dec, func(name string) error {
		v, err := dec.ReadValue()
		if err != nil {
			return errNotJSON
		}
		if n := slices.Index(telling[:], name); n >= 0 {
			i.telling[n] = json.RawMessage(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	value := frame[from:dec.InputOffset()]
	i.Value = value[bytes.IndexByte(value, '{'):] // what stands before it is a colon and blanks
	return nil
}

// Format keeps resources out of everything that prints an entry.
func (i Item) Format(f fmt.State, _ rune) { io.WriteString(f, i.Key) }

// MarshalJSON is the key alone.
func (i Item) MarshalJSON() ([]byte, error) { return json.Marshal(i.Key) }
