package fhircast

import (
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Skim reads a frame that is too large to be relayed, without keeping it, for the id with which to refuse it (413) and
// the name of the event. Both are "" where they could not be read. It reads up to the end or the first fault.
func Skim(r io.Reader) (id string, name Name) {
	dec := jsontext.NewDecoder(r)
	if dec.PeekKind() != '{' {
		return "", ""
	}
	_ = stream(dec, func(member string) error {
		switch {
		case member == "event" && dec.PeekKind() == '{':
			return stream(dec, func(member string) error {
				if member == "hub.event" && dec.PeekKind() == '"' {
					word, err := readText(dec)
					name = Name(word)
					return err
				}
				return dec.SkipValue()
			})
		case member == "id" && dec.PeekKind() == '"':
			var err error
			id, err = readText(dec)
			return err
		}
		return dec.SkipValue()
	})
	return id, name
}

func readText(dec *jsontext.Decoder) (string, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	return tok.String(), nil
}

// stream walks one object: each is called with the decoder before the member's value, which it must consume.
func stream(dec *jsontext.Decoder, each func(name string) error) error {
	if _, err := dec.ReadToken(); err != nil {
		return errNotJSON
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return errNotJSON
		}
		if err := each(name.String()); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return errNotJSON
	}
	return nil
}
