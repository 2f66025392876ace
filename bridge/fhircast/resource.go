package fhircast

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// A Resource is what tells a resource in a context from others: no more is ever read of it. It is patient data. STU1 and
// STU2 print studies in the shape of DSTU2, with UID and Accession.
type Resource struct {
	Type        string
	ID          string
	Identifiers []Identifier
	UID         string
	Accession   Identifier
	BasedOn     []Identifier // of the orders that it is based on, as far as they are named by identifier
}

// An Identifier is FHIR's, as far as it can be compared. Codes are those of its type.
type Identifier struct {
	System, Value string
	Codes         []string
}

// Format prints the type alone.
func (r Resource) Format(f fmt.State, _ rune) { io.WriteString(f, r.Type) }

// Format prints the system alone.
func (i Identifier) Format(f fmt.State, _ rune) { io.WriteString(f, i.System) }

// telling are the members of a resource that become a Resource, nil where they are not there.
type telling struct{ resourceType, id, identifier, uid, accession, basedOn jsontext.Value }

// Resource reads the entry's resource. It fails when the entry holds none, or one without a type, or whose type, id or
// uid is no text. An identifier that has another shape than FHIR's identifies nothing.
func (i Item) Resource() (Resource, bool) {
	if i.Kind != "resource" || i.telling == nil && i.read(&scanner{text: i.Value}) != nil {
		return Resource{}, false
	}
	var r Resource
	t, ok := i.telling, true
	word := func(v jsontext.Value) (s string) {
		if v != nil && ok {
			s, ok = text(v)
		}
		return s
	}
	r.Type, r.ID, r.UID = word(t.resourceType), word(t.id), word(t.uid)
	if !ok || r.Type == "" {
		return Resource{}, false
	}
	r.Identifiers = identifiers(t.identifier, "")
	r.Accession, _ = readIdentifier(&scanner{text: t.accession})
	r.BasedOn = identifiers(t.basedOn, "identifier")
	return r, true
}

// read reads the entry's resource, an object that comes next, and cuts out what tells it from others: whoever asks for
// that later would have to read all of it again, and it may be long.
func (i *Item) read(s *scanner) error {
	t := &telling{}
	i.telling = t
	s.kind()
	from := s.at
	err := s.object(func(name []byte) error {
		v, err := s.value()
		switch string(name) {
		case "resourceType":
			t.resourceType = v
		case "id":
			t.id = v
		case "identifier":
			t.identifier = v
		case "uid":
			t.uid = v
		case "accession":
			t.accession = v
		case "basedOn":
			t.basedOn = v
		}
		return err
	})
	i.Value = json.RawMessage(s.text[from:s.at:s.at])
	return err
}

// identifiers reads a list of identifiers, or of objects that have one under that name.
func identifiers(list []byte, under string) (found []Identifier) {
	s := scanner{text: list}
	_ = s.array(func() error {
		if under == "" || s.kind() != '{' {
			i, err := readIdentifier(&s)
			if under == "" {
				found = append(found, i)
			}
			return err
		}
		return s.object(func(name []byte) error {
			if string(name) != under {
				_, err := s.value()
				return err
			}
			i, err := readIdentifier(&s)
			found = append(found, i)
			return err
		})
	})
	return found
}

// readIdentifier reads what comes next; what is no identifier is an empty one.
func readIdentifier(s *scanner) (i Identifier, err error) {
	return i, members(s, func(name []byte) error {
		switch string(name) {
		case "system":
			return readString(s, &i.System)
		case "value":
			return readString(s, &i.Value)
		case "type":
			return members(s, func(name []byte) error {
				if string(name) != "coding" || s.kind() != '[' {
					_, err := s.value()
					return err
				}
				return s.array(func() error { return readCode(s, &i) })
			})
		}
		_, err := s.value()
		return err
	})
}

func readCode(s *scanner, i *Identifier) error {
	return members(s, func(name []byte) error {
		if string(name) != "code" {
			_, err := s.value()
			return err
		}
		var code string
		err := readString(s, &code)
		i.Codes = append(i.Codes, code)
		return err
	})
}

// members is scanner.object for what need not be one.
func members(s *scanner, each func(name []byte) error) error {
	if s.kind() != '{' {
		_, err := s.value()
		return err
	}
	return s.object(each)
}

// readString reads what comes next into to, if it is a string.
func readString(s *scanner, to *string) error {
	v, err := s.value()
	if err != nil {
		return err
	}
	if word, ok := text(v); ok {
		*to = word
	}
	return nil
}

// readWord reads what comes next into to: a string, or null, which leaves it empty.
func readWord(s *scanner, to *string) error {
	v, err := s.value()
	if err != nil {
		return err
	}
	word, ok := text(v)
	if !ok && string(v) != "null" {
		return errWrongType
	}
	*to = word
	return nil
}

// readWords reads the object that comes next, and of its members one or two that are strings.
func readWords(s *scanner, first string, to *string, second string, too *string) error {
	return members(s, func(name []byte) error {
		switch {
		case string(name) == first:
			return readWord(s, to)
		case too != nil && string(name) == second:
			return readWord(s, too)
		}
		_, err := s.value()
		return err
	})
}

// readList reads what comes next: an array, or null, which is an empty one. Each has to read each element.
func readList(s *scanner, each func() error) error {
	if s.kind() == '[' {
		return s.array(each)
	}
	v, err := s.value()
	if err == nil && string(v) != "null" {
		err = errWrongType
	}
	return err
}
