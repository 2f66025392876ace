package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A grammar is docs/local-protocol.schema.json with every object closed: a reader has to ignore members that it does not
// know, but we must not send one that the schema does not tell.
type grammar struct {
	*testing.T
	compiler *jsonschema.Compiler
	names    []string          // of what a line may be
	asked    map[string]string // names of requests, by who asked and the id
	seen     map[string]bool   // names of lines
}

func newGrammar(t *testing.T) *grammar {
	t.Helper()
	text, err := os.ReadFile("../../docs/local-protocol.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	g := &grammar{T: t, compiler: jsonschema.NewCompiler(), asked: map[string]string{}, seen: map[string]bool{}}
	for name := range schema.(map[string]any)["$defs"].(map[string]any) {
		if strings.HasPrefix(name, "app.") || strings.HasPrefix(name, "agent.") {
			g.names = append(g.names, name)
		}
	}
	shut(schema)
	g.compiler.AssertFormat()
	if err := g.compiler.AddResource("castray.json", schema); err != nil {
		t.Fatal(err)
	}
	return g
}

// shut closes every object that has members and does not say that it is open.
func shut(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			shut(v)
		}
	case map[string]any:
		for _, v := range s {
			shut(v)
		}
		_, members := s["properties"].(map[string]any)
		if _, said := s["additionalProperties"]; members && !said {
			s["additionalProperties"] = false
		}
	}
}

// judge says what a line is, by whose it is and what it answers, and why it is not.
func (g *grammar) judge(from, line string) (name string, err error) {
	var m struct {
		ID     json.RawMessage
		Method *string
		Error  json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return "", err
	}
	switch {
	case m.Method != nil && m.ID == nil:
		name = from + "." + *m.Method + ".notification"
	case m.Method != nil:
		name = from + "." + *m.Method
		g.asked[from+string(m.ID)] = name
	case m.Error != nil:
		name = "error"
	default:
		name = g.asked[map[string]string{"app": "agent", "agent": "app"}[from]+string(m.ID)] + ".answer"
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		return name, err
	}
	for _, definition := range []string{name, "from-" + from} {
		schema, err := g.compiler.Compile("castray.json#/$defs/" + definition)
		if err != nil {
			return name, err
		}
		if err := schema.Validate(value); err != nil {
			return name, err
		}
	}
	return name, nil
}

// check wants a line to be as the schema says.
func (g *grammar) check(from, line string) {
	g.Helper()
	name, err := g.judge(from, line)
	if err != nil {
		g.Errorf("the %s wrote %s\nwhich is no %s: %v", from, line, name, err)
	}
	g.seen[name] = true
}

// The examples of docs/local-protocol.md are as the schema says, and without any member that it requires they are not.
func TestTheSchemaHoldsForTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/local-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	g := newGrammar(t)
	n := 0
	for line := range strings.Lines(string(manual)) {
		arrow, line, _ := strings.Cut(strings.TrimSpace(line), " ")
		from := map[string]string{"→": "app", "←": "agent"}[arrow]
		if from == "" {
			continue
		}
		n++
		g.check(from, line)
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			// A request without its id may be a notification; params may be left out where none is needed.
			if name == "id" || name == "params" && members["method"] != nil {
				continue
			}
			less := maps.Clone(members)
			delete(less, name)
			text, err := json.Marshal(less)
			if err != nil {
				t.Fatal(err)
			}
			if what, err := g.judge(from, string(text)); err == nil {
				t.Errorf("without %s the schema takes %s as %s", name, line, what)
			}
		}
	}
	if n < 50 {
		t.Errorf("the manual has %d lines", n)
	}
}

// What the schema is there for: it refuses what is wrong.
func TestTheSchemaRefuses(t *testing.T) {
	g := newGrammar(t)
	for _, row := range [][3]string{
		{"another version", "app", `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":2,"name":"viewer"}}`},
		{"no name", "app", `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1}}`},
		{"a name that looks like an id", "app", `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":"viewer#2"}}`},
		{"a hello that wants no answer", "app", `{"jsonrpc":"2.0","method":"hello","params":{"protocol":1,"name":"viewer"}}`},
		{"no params where some are needed", "app", `{"jsonrpc":"2.0","id":1,"method":"send"}`},
		{"an unknown method", "app", `{"jsonrpc":"2.0","id":1,"method":"dance"}`},
		{"a method of the other side", "app", `{"jsonrpc":"2.0","id":1,"method":"shown"}`},
		{"another JSON-RPC", "app", `{"jsonrpc":"1.0","id":1,"method":"context"}`},
		{"an id that is an object", "app", `{"jsonrpc":"2.0","id":{},"method":"context"}`},
		{"a member that nobody knows", "app", `{"jsonrpc":"2.0","id":1,"method":"context","colour":"red"}`},
		{"a reason that is none", "agent", `{"jsonrpc":"2.0","id":1,"method":"clear","params":{"reason":"boredom"}}`},
		{"an event without a name", "agent", `{"jsonrpc":"2.0","id":1,"method":"event","params":{"timestamp":"","id":"e","event":{"hub.topic":"castray"}}}`},
	} {
		if name, err := g.judge(row[1], row[2]); err == nil {
			t.Errorf("%s is taken as %s", row[0], name)
		}
	}
	g.check("agent", `{"jsonrpc":"2.0","id":"x","method":"clear","params":{"reason":"closed"}}`)
	for _, answer := range []string{`{"status":"200"}`, `{"status":99}`, `{}`, `null`} {
		if _, err := g.judge("app", `{"jsonrpc":"2.0","id":"x","result":`+answer+`}`); err == nil {
			t.Errorf("%s is taken as an answer to a clear", answer)
		}
	}
}

// A talker is an app that knows nothing of our client. Every line that it writes and reads is checked.
type talker struct {
	*grammar
	pipe  io.ReadWriteCloser
	lines chan string
	last  int
	shows string // what it answers to shown
}

func talk(g *grammar, address string) *talker {
	g.Helper()
	pipe, err := dialRaw(address)
	if err != nil {
		g.Fatal(err)
	}
	// A schema of its own: two connections may use the same id.
	k := &talker{grammar: &grammar{T: g.T, compiler: g.compiler, asked: map[string]string{}, seen: g.seen}, pipe: pipe,
		lines: make(chan string, 256), shows: `{"windows":[]}`}
	go func() { // ends with the connection
		defer close(k.lines)
		in := bufio.NewScanner(pipe)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			k.lines <- in.Text()
		}
	}()
	return k
}

func (k *talker) writes(line string) {
	k.Helper()
	if _, err := io.WriteString(k.pipe, line+"\n"); err != nil {
		k.Fatal(err)
	}
}

// says writes a line that is as the schema says.
func (k *talker) says(line string) {
	k.Helper()
	k.check("app", line)
	k.writes(line)
}

// hears reads until a line has those words, and answers what is asked meanwhile.
func (k *talker) hears(words string) string {
	k.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case line, open := <-k.lines:
			if !open {
				k.Fatalf("the agent hung up before it said %s", words)
			}
			k.check("agent", line)
			k.answer(line)
			if strings.Contains(line, words) {
				return line
			}
		case <-late:
			k.Fatalf("the agent never said %s", words)
		}
	}
}

func (k *talker) answer(line string) {
	k.Helper()
	var m struct {
		ID     json.RawMessage
		Method string
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		k.Fatal(err)
	}
	if m.ID == nil || m.Method == "" {
		return
	}
	result := `{"status":200}`
	if m.Method == "shown" {
		result = k.shows
	}
	k.says(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result))
}

// asks calls a method and returns the answer.
func (k *talker) asks(method, params string) string {
	k.Helper()
	k.last++
	k.says(fmt.Sprintf(`{"jsonrpc":"2.0","id":"q%d","method":%q,"params":%s}`, k.last, method, params))
	return k.hears(fmt.Sprintf(`"id":"q%d",`, k.last))
}

// insists asks until it is not refused: a question counts once it was there for a second.
func (k *talker) insists(method string) {
	k.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for late := time.After(10 * time.Second); strings.Contains(k.asks(method, `{}`), `"error":`); {
		select {
		case <-late:
			k.Fatalf("%s is refused", method)
		case <-again.C:
		}
	}
}

// A day of two apps at the running agent: every line either way is as docs/local-protocol.schema.json says, and every
// kind of line is among them.
func TestRealTrafficIsAsTheSchemaSays(t *testing.T) {
	v := newAviary(t)
	running, keys := v.runsAgent()
	v.run("", exitDone, "login")
	v.said.waits(t, "is=no_context")

	g := newGrammar(t)
	viewer, listener := talk(g, v.address), talk(g, v.address)
	viewer.says(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":"viewer","version":"7","answers":true,"shows":true,"key":%q}}`, keys.Key))
	viewer.hears(`"method":"clear"`)
	listener.says(`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":"listener","events":["Patient-open"]}}`)
	listener.hears(`"method":"clear"`)

	const patient = `"context":[{"key":"patient","resource":{"resourceType":"Patient","id":"%s","identifier":[{"system":"urn:test:mrn","value":"%[1]s"}]}}]`
	viewer.asks("context", `{}`)
	viewer.asks("status", `{}`)
	viewer.asks("send", `{"id":"a","event":"Patient-open",`+fmt.Sprintf(patient, "p1")+`}`)
	listener.hears(`"method":"event"`)
	viewer.asks("context", `{}`)
	viewer.shows = `{"windows":[{"patient":[{"system":"urn:test:mrn","value":"p1"}]}]}`
	viewer.hears(`"method":"shown"`)
	viewer.hears(`"outcome":"verified"`)
	v.run("", exitDone, "send", "Patient-open", "--patient", "urn:test:mrn|4711")
	viewer.hears(`"method":"event"`)

	listener.asks("send", `{"event":"Patient-open",`+fmt.Sprintf(patient, "p2")+`}`)
	for _, wrong := range []string{`{"jsonrpc":"2.0","id":7,"method":"dance"}`, `{"jsonrpc":"2.0","id":7,"method":"send","params":{"event":7}}`, `rubbish`, `[]`} {
		listener.writes(wrong)
		listener.hears(`"error":`)
	}
	listener.says(`{"jsonrpc":"2.0","id":8,"method":"subscribe","params":{"events":[]}}`)
	listener.hears(`"id":8,`)

	viewer.asks("subscribe", `{}`)
	viewer.asks("apps", `{}`)
	viewer.asks("pause", `{"app":"listener","for":"15m"}`)
	viewer.asks("resume", `{"app":"listener"}`)
	viewer.asks("pause", `{}`)
	viewer.asks("resume", `{}`)
	viewer.asks("resync", `{}`)
	viewer.asks("clear", `{}`)
	viewer.asks("lock", `{}`)
	viewer.asks("resume", `{}`)
	viewer.asks("launch", `{"url":"castray://launch?iss=https%3A%2F%2Felsewhere.example&launch=x"}`) // no site of ours
	for n, answer := range []string{"launch_decline", "launch_accept"} {                             // somebody is signed in, so there is a question
		viewer.asks("launch", fmt.Sprintf(`{"url":"castray://launch?iss=%s&launch=x%d"}`, url.QueryEscape(v.box.Info().FHIRURL), n))
		viewer.insists(answer)
	}
	viewer.asks("user_switch", `{}`)
	viewer.asks("signout", `{}`)
	viewer.asks("context", `{}`)
	viewer.asks("signin", `{"browser":false}`)
	viewer.asks("quit", `{}`)
	for _, k := range []*talker{viewer, listener} {
		for line := range k.lines {
			k.check("agent", line)
		}
		k.pipe.Close()
	}
	if err := running.end(); err != nil {
		t.Error(err)
	}
	for _, name := range g.names {
		if !g.seen[name] {
			t.Errorf("nobody said %s", name)
		}
	}
}
