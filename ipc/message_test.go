package ipc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/castray/castray/ipc/protocol"
)

func TestParse(t *testing.T) {
	for _, row := range []struct {
		name, line string
		code       int
		id         string
	}{
		{"a request", `{"jsonrpc":"2.0","id":1,"method":"status"}`, 0, "1"},
		{"a request with a text id", `{"jsonrpc":"2.0","id":"a","method":"status","params":{}}`, 0, `"a"`},
		{"a name with an escape", `{"jsonrpc":"2.0","i\u0064":1,"method":"x"}`, 0, "1"},
		{"a notification", `{"jsonrpc":"2.0","method":"x","params":{}}`, 0, ""},
		{"an unknown member is ignored", `{"jsonrpc":"2.0","id":1,"method":"x","trace":[1]}`, 0, "1"},
		{"an answer", `{"jsonrpc":"2.0","id":1,"result":null}`, 0, "1"},
		{"an answer with a null error beside, as 1.0 has it", `{"jsonrpc":"2.0","id":1,"result":{},"error":null}`, 0, "1"},
		{"an error", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}`, 0, "1"},
		{"an error about a line that could not be read", `{"jsonrpc":"2.0","id":null,"error":{}}`, 0, "null"},
		{"no JSON", `hello`, protocol.CodeParse, ""},
		{"half an object", `{"jsonrpc":"2.0","id":1`, protocol.CodeParse, ""},
		{"broken params", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a"}}`, protocol.CodeParse, ""},
		{"two objects", `{"jsonrpc":"2.0","id":1,"method":"x"}{}`, protocol.CodeParse, ""},
		{"a member twice", `{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}`, protocol.CodeParse, ""},
		{"bad UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", protocol.CodeParse, ""},
		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"x"}]`, protocol.CodeInvalidRequest, ""},
		{"a scalar", `1`, protocol.CodeInvalidRequest, ""},
		{"no version", `{"id":1,"method":"x"}`, protocol.CodeInvalidRequest, "1"},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"x"}`, protocol.CodeInvalidRequest, "1"},
		{"neither method nor result", `{"jsonrpc":"2.0","id":1}`, protocol.CodeInvalidRequest, "1"},
		{"a method that is no text", `{"jsonrpc":"2.0","id":1,"method":1}`, protocol.CodeInvalidRequest, "1"},
		{"params that are a scalar", `{"jsonrpc":"2.0","id":1,"method":"x","params":1}`, protocol.CodeInvalidRequest, "1"},
		{"a null id", `{"jsonrpc":"2.0","id":null,"method":"x"}`, protocol.CodeInvalidRequest, ""},
		{"an id that is an object", `{"jsonrpc":"2.0","id":{},"method":"x"}`, protocol.CodeInvalidRequest, ""},
		{"an id that is too long", `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 200) + `","method":"x"}`, protocol.CodeInvalidRequest, ""},
		{"an answer without id", `{"jsonrpc":"2.0","result":{}}`, protocol.CodeInvalidRequest, ""},
		{"a deep nest", strings.Repeat("[", 100000), protocol.CodeInvalidRequest, ""},
		{"a deep nest in params", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":` + strings.Repeat("[", 100000), protocol.CodeParse, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, bad := newParser().parse([]byte(row.line))
			code := 0
			if bad != nil {
				code = bad.Code
			}
			if code != row.code || string(m.id) != row.id {
				t.Errorf("code %d id %q, want %d and %q (%v)", code, m.id, row.code, row.id, bad)
			}
		})
	}
}

func TestParserKeepsNothingOfTheLineBefore(t *testing.T) {
	p := newParser()
	if _, bad := p.parse([]byte(`{"jsonrpc":"2.0","id":7,"method":"x","params":{`)); bad == nil {
		t.Fatal("half a line passed")
	}
	m, bad := p.parse([]byte(`{"jsonrpc":"2.0","method":"y"}`))
	if bad != nil || m.id != nil || string(m.method) != `"y"` {
		t.Errorf("%v %+v", bad, m)
	}
}

func TestHeadIsValidJSON(t *testing.T) {
	for want, h := range map[string]head{
		`{"jsonrpc":"2.0","id":7,"method":"event","params":{}}`: {method: "event", id: 7},
		`{"jsonrpc":"2.0","method":"status","params":{}}`:       {method: "status"},
		`{"jsonrpc":"2.0","id":"a","result":{}}`:                {answer: json.RawMessage(`"a"`)},
		`{"jsonrpc":"2.0","id":null,"error":{}}`:                {answer: json.RawMessage(`null`), failed: true},
	} {
		if got := string(h.append(nil)) + "{}}"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
