package fhircast

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	deepest   = 10_000 // objects and arrays within each other
	manyNames = 16     // of an object; up to so many are compared one by one, which is faster than a map
)

// A scanner walks a JSON text in memory and checks what it passes: the grammar of RFC 8259, UTF-8, no name twice in an
// object (RFC 7493, 2.3), no half of a surrogate pair. It takes what jsontext.Decoder takes, and is here because an event
// is read while a person waits. What it returns points into the text.
type scanner struct {
	text  []byte
	at    int // the next byte
	depth int
	names [][]byte // of the objects that are open, the innermost last
}

// newScanner makes room for the names of a message of the usual depth.
func newScanner(text []byte) *scanner { return &scanner{text: text, names: make([][]byte, 0, 32)} }

// kind is the byte with which the next value begins, or what stands in its place; 0 at the end.
func (s *scanner) kind() byte {
	s.at = blanks(s.text, s.at)
	return at(s.text, s.at)
}

// value reads whatever comes next.
func (s *scanner) value() (jsontext.Value, error) {
	from := blanks(s.text, s.at)
	end := s.pass(from)
	if end < 0 {
		return nil, errNotJSON
	}
	s.at = end
	return s.text[from:end:end], nil
}

// object reads an object. Each is called before the value of each member and has to read it.
func (s *scanner) object(each func(name []byte) error) error {
	var err error
	end := s.members(blanks(s.text, s.at), func(name []byte, i int) int {
		s.at = i
		if err = each(name); err != nil {
			return -1
		}
		return s.at
	})
	if err == nil && end < 0 {
		err = errNotJSON
	}
	s.at = max(end, s.at)
	return err
}

// array reads an array. Each is called before each element and has to read it.
func (s *scanner) array(each func() error) error {
	var err error
	end := s.elements(blanks(s.text, s.at), func(i int) int {
		s.at = i
		if err = each(); err != nil {
			return -1
		}
		return s.at
	})
	if err == nil && end < 0 {
		err = errNotJSON
	}
	s.at = max(end, s.at)
	return err
}

// What follows goes from index to index, in registers, and knows no other fault than -1.

// pass is the end of the value that begins at i.
func (s *scanner) pass(i int) int {
	switch at(s.text, i) {
	case '{':
		return s.members(i, nil)
	case '[':
		return s.elements(i, nil)
	case '"':
		end, _ := quoted(s.text, i)
		return end
	case 't':
		return word(s.text, i, "true")
	case 'f':
		return word(s.text, i, "false")
	case 'n':
		return word(s.text, i, "null")
	}
	return numeral(s.text, i)
}

// members is the end of the object that begins at i. Each is told the name of each member and where its value begins, and
// returns where that ends; nil passes over it.
func (s *scanner) members(i int, each func(name []byte, i int) int) int {
	text, own := s.text, len(s.names)
	if s.depth++; s.depth > deepest || at(text, i) != '{' {
		return -1
	}
	var seen map[string]bool
	i = blanks(text, i+1)
	for more := at(text, i) != '}'; more; {
		if at(text, i) != '"' {
			return -1
		}
		end, escaped := quoted(text, i)
		if end < 0 {
			return -1
		}
		name := text[i+1 : end-1]
		if escaped {
			name, _ = jsontext.AppendUnquote(nil, text[i:end])
		}
		var twice bool
		if seen, twice = s.twice(own, seen, name); twice {
			return -1
		}
		if i = blanks(text, end); at(text, i) != ':' {
			return -1
		}
		if i = blanks(text, i+1); each == nil {
			i = s.pass(i)
		} else {
			i = each(name, i)
		}
		if i < 0 {
			return -1
		}
		i = blanks(text, i)
		switch at(text, i) {
		case ',':
			i = blanks(text, i+1)
		case '}':
			more = false
		default:
			return -1
		}
	}
	s.names = s.names[:own]
	s.depth--
	return i + 1
}

// elements is the end of the array that begins at i; see members.
func (s *scanner) elements(i int, each func(i int) int) int {
	text := s.text
	if s.depth++; s.depth > deepest || at(text, i) != '[' {
		return -1
	}
	i = blanks(text, i+1)
	for more := at(text, i) != ']'; more; {
		if each == nil {
			i = s.pass(i)
		} else {
			i = each(i)
		}
		if i < 0 {
			return -1
		}
		i = blanks(text, i)
		switch at(text, i) {
		case ',':
			i = blanks(text, i+1)
		case ']':
			more = false
		default:
			return -1
		}
	}
	s.depth--
	return i + 1
}

// twice tells whether its object has a name already; the object's own names begin at own. Seen holds them once they are
// many.
func (s *scanner) twice(own int, seen map[string]bool, name []byte) (map[string]bool, bool) {
	if seen == nil && len(s.names)-own < manyNames {
		for _, other := range s.names[own:] {
			if string(name) == string(other) {
				return nil, true
			}
		}
		s.names = append(s.names, name)
		return nil, false
	}
	if seen == nil {
		seen = make(map[string]bool)
		for _, other := range s.names[own:] {
			seen[string(other)] = true
		}
	}
	if seen[string(name)] {
		return seen, true
	}
	seen[string(name)] = true
	return seen, false
}

var errNotJSON = errors.New("it is not a JSON object in UTF-8 without duplicate names")
