package hub

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"

	"github.com/castray/castray/bridge/fhircast"
)

// stamped is an event with the hub's versions in place of those that it came with (FHIRcast 3.0.0, 2.10): the new one,
// and on an update the one that it replaces. An empty version is left out. All else stays as it came, byte by byte.
func stamped(e *fhircast.Event, version, prior string) (*fhircast.Event, error) {
	var members []byte
	for _, m := range []struct{ name, value string }{{versionMember, version}, {priorMember, prior}} {
		if m.value != "" {
			value, err := json.Marshal(m.value)
			if err != nil {
				return nil, err
			}
			members = append(append(append(members, `"`+m.name+`":`...), value...), ',')
		}
	}
	if len(members) == 0 && e.Version == "" && e.PriorVersion == "" {
		return e, nil
	}
	return decodeEvent(rewritten(e.Wire(), members, versionMember, priorMember, "versionId", "priorVersionId"))
}

// withContext is an event with another context, a JSON array; all else stays as it came.
func withContext(e *fhircast.Event, context []byte) (*fhircast.Event, error) {
	return decodeEvent(rewritten(e.Wire(), append(append([]byte(`"context":`), context...), ','), "context"))
}

const versionMember, priorMember = "context.versionId", "context.priorVersionId"

// rewritten is a message whose "event" begins with members, each with a comma behind it, and has lost those named. The
// message was decoded, so it is JSON and has an "event", in which at least the topic is left to follow the last comma.
func rewritten(wire, members []byte, without ...string) []byte {
	out := make([]byte, 0, len(wire)+len(members))
	for top := range membersOf(wire, 0) {
		if top.name != "event" {
			continue
		}
		out = append(append(out, wire[:top.value]...), '{')
		out = append(out, members...)
		comma := ""
		for m := range membersOf(wire, top.value) {
			if !slices.Contains(without, m.name) {
				out = append(append(out, comma...), wire[m.from:m.to]...)
				comma = ","
			}
		}
		out = append(append(out, '}'), wire[top.to:]...)
	}
	return out
}

// A member of an object is where it stands in the text: its name, its value, and what is behind it.
type member struct {
	name            string
	from, value, to int
}

// membersOf walks over the members of the object that begins at or after i. The text must be JSON.
func membersOf(text []byte, i int) iter.Seq[member] {
	return func(yield func(member) bool) {
		i = blanks(text, i) + 1
		for {
			if i = blanks(text, i); text[i] == '}' {
				return
			}
			if text[i] == ',' {
				i = blanks(text, i+1)
			}
			m := member{from: i}
			end := pass(text, i)
			m.name = unquote(text[i:end])
			m.value = blanks(text, blanks(text, end)+1) // over the colon
			m.to = pass(text, m.value)
			i = m.to
			if !yield(m) {
				return
			}
		}
	}
}

// pass is the end of the value that begins at i.
func pass(text []byte, i int) int {
	if text[i] != '{' && text[i] != '[' && text[i] != '"' {
		if n := bytes.IndexAny(text[i:], ",]} \t\r\n"); n >= 0 {
			return i + n
		}
		return len(text)
	}
	for depth := 0; ; i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
}

func blanks(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n' {
		i++
	}
	return i
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // a name with an escape that is not text was refused by Decode
	return s
}
