package fhircast

import (
	"encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// object is the members of a JSON object in their order, with their values as they were written: for the few places in
// which a message is written again.
type object []member

type member struct {
	name  string
	value []byte
}

func readObject(text []byte) (object, error) {
	var o object
	s := newScanner(text)
	err := s.object(func(name []byte) error {
		v, err := s.value()
		o = append(o, member{string(name), v})
		return err
	})
	return o, err
}

// get is the value of a member, nil where there is none.
func (o object) get(name string) []byte {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// set replaces a member's value, or adds the member.
func (o object) set(name string, value []byte) object {
	for i, m := range o {
		if m.name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

func (o object) without(names ...string) object {
	return slices.DeleteFunc(o, func(m member) bool { return slices.Contains(names, m.name) })
}

func (o object) write() []byte {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, m.name)
		out = append(append(out, ':'), m.value...)
	}
	return append(out, '}')
}

func readArray(text []byte) ([]json.RawMessage, error) {
	var list []json.RawMessage
	s := newScanner(text)
	err := s.array(func() error {
		v, err := s.value()
		list = append(list, json.RawMessage(v))
		return err
	})
	return list, err
}

func writeArray(list [][]byte) []byte {
	out := []byte{'['}
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

func quote(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s)
	return b
}
