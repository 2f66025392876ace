package ipc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/castray/castray/ipc/protocol"
	"github.com/go-json-experiment/json/jsontext"
)

// maxID is the most bytes an id may have, since every answer repeats it.
const maxID = 128

// message is one line, cut into its members. They share the memory of the line.
type message struct {
	id, params, result, err json.RawMessage // nil: absent
	version, method         json.RawMessage
}

// isAnswer tells an answer to one of our requests from a request or a notification.
func (m *message) isAnswer() bool { return m.method == nil && (m.result != nil || m.err != nil) }

// parser reads lines with one strict pass each (UTF-8, no duplicate names). Its decoder is kept, since a new one costs
// more than the small answers it mostly reads.
type parser struct {
	dec *jsontext.Decoder
	buf bytes.Buffer
}

func newParser() *parser {
	p := &parser{}
	p.dec = jsontext.NewDecoder(&p.buf)
	return p
}

// parse cuts a line. An error is what to answer; the message then holds the id if that was good.
func (p *parser) parse(line []byte) (message, *protocol.Error) {
	p.buf = *bytes.NewBuffer(line)
	p.dec.Reset(&p.buf)
	m, err := p.members(line)
	p.buf = bytes.Buffer{} // else a line of 6 MiB would stay for as long as the connection idles
	p.dec.Reset(&p.buf)
	if err != nil {
		return message{}, err
	}
	return m.checked()
}

func (p *parser) members(line []byte) (m message, _ *protocol.Error) {
	notJSON := &protocol.Error{Code: protocol.CodeParse, Message: "the line is not valid JSON: one object a line, UTF-8, no name twice"}
	first, err := p.dec.ReadToken()
	switch {
	case err != nil:
		return m, notJSON
	case first.Kind() == '[':
		return m, invalid("batches are not supported: send one object a line")
	case first.Kind() != '{':
		return m, invalid("a message is an object")
	}
	if cut(p.dec, line, m.member) != nil {
		return m, notJSON
	}
	if _, err := p.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return m, notJSON
	}
	return m, nil
}

// cut reads the members of an object, whose brace is read, up to its end. Each value is put where member says, if it
// says, in the memory of the line.
func cut(dec *jsontext.Decoder, line []byte, member func(name []byte) *json.RawMessage) error {
	for dec.PeekKind() == '"' {
		quoted, err := dec.ReadValue() // a token would cost an allocation
		if err != nil {
			return err
		}
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			if name, err = jsontext.AppendUnquote(nil, quoted); err != nil {
				return err
			}
		}
		to := member(name)
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if to != nil {
			end := dec.InputOffset()
			*to = line[end-int64(len(value)) : end : end]
		}
	}
	_, err := dec.ReadToken()
	return err
}

// member is where a value goes; those that JSON-RPC does not know go nowhere.
func (m *message) member(name []byte) *json.RawMessage {
	switch string(name) {
	case "jsonrpc":
		return &m.version
	case "id":
		return &m.id
	case "method":
		return &m.method
	case "params":
		return &m.params
	case "result":
		return &m.result
	case "error":
		return &m.err
	}
	return nil
}

// checked judges the members of a message by JSON-RPC 2.0, 4 and 5. A null error beside a result, as JSON-RPC 1.0
// wrote it, is no error.
func (m message) checked() (message, *protocol.Error) {
	if string(m.err) == "null" && m.result != nil {
		m.err = nil
	}
	if m.id != nil && !goodID(m.id) {
		if m.isAnswer() && string(m.id) == "null" {
			return m, nil // the peer could not read a line of ours; nothing waits for it
		}
		return message{}, invalid("id must be a number or a string of at most 126 bytes")
	}
	switch {
	case string(m.version) != `"2.0"`:
		return message{id: m.id}, invalid(`"jsonrpc" must be "2.0"`)
	case m.isAnswer() && m.id == nil:
		return message{}, invalid("an answer needs the id of its request")
	case m.isAnswer():
		return m, nil
	case m.method == nil || m.method[0] != '"':
		return message{id: m.id}, invalid(`a message needs a "method", or a "result" or "error"`)
	case m.params != nil && m.params[0] != '{' && m.params[0] != '[':
		return message{id: m.id}, invalid("params must be an object")
	}
	return m, nil
}

func goodID(id json.RawMessage) bool {
	return len(id) <= maxID && (id[0] == '"' || id[0] == '-' || id[0] >= '0' && id[0] <= '9')
}

func invalid(sentence string) *protocol.Error {
	return &protocol.Error{Code: protocol.CodeInvalidRequest, Message: sentence}
}

// head is what stands before the params, result or error of a line.
type head struct {
	method string          // a request or notification
	id     uint64          // of a request; 0: none
	answer json.RawMessage // the id that is answered, when method is empty
	failed bool            // the answer is an error
}

func (h head) append(b []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0"`...)
	switch {
	case h.method == "":
		b = append(append(b, `,"id":`...), h.answer...)
	case h.id != 0:
		b = strconv.AppendUint(append(b, `,"id":`...), h.id, 10)
	}
	switch {
	case h.method != "":
		b = strconv.AppendQuote(append(b, `,"method":`...), h.method)
		b = append(b, `,"params":`...)
	case h.failed:
		b = append(b, `,"error":`...)
	default:
		b = append(b, `,"result":`...)
	}
	return b
}
