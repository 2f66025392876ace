package protocol_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/castray/castray/ipc/protocol"
	"github.com/google/go-cmp/cmp"
)

// shapes are the types that the manual must show.
func shapes() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for _, v := range []any{
		protocol.Empty{}, protocol.Hello{}, protocol.HelloResult{}, protocol.Event{}, protocol.Mark{},
		protocol.EventAnswer{}, protocol.ShownResult{}, protocol.Window{}, protocol.Identifier{}, protocol.Clear{},
		protocol.ContextResult{}, protocol.SendParams{}, protocol.SendResult{}, protocol.SubscribeParams{},
		protocol.LaunchParams{}, protocol.SigninParams{}, protocol.SigninResult{}, protocol.PauseParams{},
		protocol.ResumeParams{}, protocol.ResumeResult{}, protocol.AppsResult{}, protocol.Status{}, protocol.User{},
		protocol.LastEvent{}, protocol.AppRow{}, protocol.Problem{}, protocol.Counters{}, protocol.Error{},
		protocol.ErrorData{}, protocol.Keys{},
	} {
		all[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
	return all
}

// examples are the fenced blocks of local-protocol.md whose info string is "json <word>", by that word.
func examples(t *testing.T) map[string][]string {
	t.Helper()
	f, err := os.Open("../../docs/local-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]string{}
	word := ""
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "```json "):
			word = strings.TrimPrefix(line, "```json ")
		case strings.HasPrefix(line, "```"):
			word = ""
		case word != "":
			all[word] = append(all[word], line)
		}
	}
	return all
}

func TestManualShowsEveryShapeAsItIsWritten(t *testing.T) {
	found := examples(t)
	delete(found, "wire")
	for name, shape := range shapes() {
		if len(found[name]) == 0 {
			t.Errorf("local-protocol.md has no example of %s", name)
		}
		for _, example := range found[name] {
			roundTrip(t, name, shape, []byte(example))
		}
		delete(found, name)
	}
	for name := range found {
		t.Errorf("local-protocol.md has an example of %s, which is no shape of this package", name)
	}
}

// roundTrip decodes strictly, encodes, and compares as JSON values.
func roundTrip(t *testing.T, name string, shape reflect.Type, example []byte) {
	t.Helper()
	v := reflect.New(shape).Interface()
	dec := json.NewDecoder(bytes.NewReader(example))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Errorf("%s: %v\n%s", name, err, example)
		return
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if diff := cmp.Diff(value(t, example), value(t, out)); diff != "" {
		t.Errorf("%s is not written as the manual shows it (-manual +written):\n%s", name, diff)
	}
}

func value(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func TestManualWireLinesAreJSONRPC(t *testing.T) {
	params := map[string]reflect.Type{
		protocol.MethodHello:   reflect.TypeFor[protocol.Hello](),
		protocol.MethodClear:   reflect.TypeFor[protocol.Clear](),
		protocol.MethodEvent:   reflect.TypeFor[protocol.Event](),
		protocol.MethodContext: nil,
	}
	lines := examples(t)["wire"]
	if len(lines) < 8 {
		t.Fatalf("local-protocol.md has %d wire lines", len(lines))
	}
	for _, line := range lines {
		var m struct {
			JSONRPC string          `json:"jsonrpc"`
			ID      int             `json:"id"`
			Method  string          `json:"method"`
			Params  json.RawMessage `json:"params"`
			Result  json.RawMessage `json:"result"`
			Error   *protocol.Error `json:"error"`
		}
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&m); err != nil || m.JSONRPC != "2.0" || m.ID == 0 {
			t.Errorf("%v in %s", err, line)
			continue
		}
		shape, known := params[m.Method]
		switch {
		case m.Method == "" && (m.Result == nil) == (m.Error == nil):
			t.Errorf("neither request nor answer: %s", line)
		case m.Method != "" && !known:
			t.Errorf("unknown method in %s", line)
		case shape != nil:
			roundTrip(t, m.Method, shape, m.Params)
		}
	}
}
