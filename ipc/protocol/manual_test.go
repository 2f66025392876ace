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

// A wireLine is a line of the manual as it crosses the pipe.
type wireLine struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
}

// TestManualShowsEveryMessage follows the lines of the manual as a conversation: → is the app's, ← the agent's. Every
// method is there with its answer, and what it carries is what the types write.
func TestManualShowsEveryMessage(t *testing.T) {
	missing := map[string]bool{"app.error": true, "agent.error": true}
	carried := map[string]method{}
	for _, m := range methods {
		carried[m.from+"."+m.name] = m
		missing[m.from+"."+m.name] = m.request
		missing[m.from+"."+m.name+".answer"] = m.request
		missing[m.from+"."+m.name+".notification"] = m.notification
	}
	asked := map[string]string{} // methods, by who asked and the id
	for _, text := range examples(t)["wire"] {
		arrow, text, _ := strings.Cut(text, " ")
		from := map[string]string{"→": "app", "←": "agent"}[arrow]
		asker := map[string]string{"app": "agent", "agent": "app"}[from]
		var line wireLine
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&line); err != nil || line.JSONRPC != "2.0" || from == "" {
			t.Errorf("%v in %s", err, text)
			continue
		}
		name := from + "." + line.Method
		switch {
		case line.Method != "":
			m, known := carried[name]
			if !known {
				t.Errorf("unknown method in %s", text)
				continue
			}
			if line.Params != nil {
				roundTrip(t, name, reflect.TypeOf(m.params), line.Params)
			}
			if line.ID == nil {
				name += ".notification"
			} else {
				asked[from+string(line.ID)] = name
			}
		case line.Error != nil:
			name = from + ".error"
			roundTrip(t, name, reflect.TypeFor[protocol.Error](), line.Error)
		default:
			method, known := asked[asker+string(line.ID)]
			if !known {
				t.Errorf("an answer to nothing: %s", text)
				continue
			}
			name = method + ".answer"
			roundTrip(t, name, reflect.TypeOf(carried[method].result), line.Result)
		}
		missing[name] = false
	}
	for name, is := range missing {
		if is {
			t.Errorf("the manual has no line that is %s", name)
		}
	}
}
