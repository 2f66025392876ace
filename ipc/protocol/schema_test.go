package protocol_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

var update = flag.Bool("update", false, "write docs/local-protocol.schema.json instead of comparing it")

const schemaFile = "../../docs/local-protocol.schema.json"

// A method is what one side may call at the other.
type method struct {
	from, name            string
	params, result        any
	request, notification bool
}

// methods are all that there are; a test holds them against the constants.
var methods = []method{
	{"app", protocol.MethodHello, protocol.Hello{}, protocol.HelloResult{}, true, false},
	{"app", protocol.MethodContext, protocol.Empty{}, protocol.ContextResult{}, true, false},
	{"app", protocol.MethodSend, protocol.SendParams{}, protocol.SendResult{}, true, false},
	{"app", protocol.MethodSubscribe, protocol.SubscribeParams{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodStatus, protocol.Empty{}, protocol.Status{}, true, false},
	{"app", protocol.MethodLaunch, protocol.LaunchParams{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodLaunchAccept, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodLaunchDecline, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodSignin, protocol.SigninParams{}, protocol.SigninResult{}, true, false},
	{"app", protocol.MethodSignout, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodLock, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodUserSwitch, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodPause, protocol.PauseParams{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodResume, protocol.ResumeParams{}, protocol.ResumeResult{}, true, false},
	{"app", protocol.MethodResync, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodClear, protocol.Empty{}, protocol.Empty{}, true, false},
	{"app", protocol.MethodApps, protocol.Empty{}, protocol.AppsResult{}, true, false},
	{"app", protocol.MethodQuit, protocol.Empty{}, protocol.Empty{}, true, false},
	{"agent", protocol.MethodEvent, protocol.Event{}, protocol.EventAnswer{}, true, true},
	{"agent", protocol.MethodShown, protocol.Empty{}, protocol.ShownResult{}, true, false},
	{"agent", protocol.MethodClear, protocol.Clear{}, protocol.EventAnswer{}, true, true},
	{"agent", protocol.MethodStatus, protocol.Status{}, nil, false, true},
}

type object = map[string]any

// fhirEvent is the event of FHIRcast, which is relayed as it came.
var fhirEvent = object{"type": "object", "required": []string{"hub.topic", "hub.event"}, "additionalProperties": true, "properties": object{
	"hub.topic": object{"type": "string", "description": "an alias, the real one opens doors"},
	"hub.event": object{"type": "string", "description": "such as Patient-open, in any case"},
	"context":   object{"type": "array", "items": object{"type": "object"}},
}}

// known says of members what their Go type does not.
var known = map[string]object{
	"Hello.protocol":        {"const": protocol.Version},
	"Hello.name":            {"minLength": 1, "maxLength": 64, "pattern": "^[^#]*$"},
	"Hello.version":         {"maxLength": 64},
	"Hello.events":          {"maxItems": 256},
	"HelloResult.protocol":  {"const": protocol.Version},
	"HelloResult.context":   {"anyOf": []any{ref("ContextResult"), object{"type": "null"}}},
	"Event.event":           fhirEvent,
	"EventAnswer.status":    {"minimum": 200, "maximum": 599},
	"ContextResult.current": {"anyOf": []any{ref("Event"), object{"type": "null"}}},
	"ContextResult.open":    {"type": "array", "items": ref("Event")},
	"SendParams.context":    {"type": "array", "items": object{"type": "object"}},
	"AppRow.required":       {"enum": []string{protocol.RequiredConnected, protocol.RequiredAlways, protocol.RequiredNever}},
	"AppRow.can":            {"type": "array", "items": object{"enum": []string{protocol.CanAnswer, protocol.CanShow, protocol.CanClear}}},
	"Window.patient":        {"type": "array", "items": ref("Identifier")},
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

// sources are the comments and the words of the package, read from its source.
type sources struct {
	types  map[string]string              // doc comments by type
	fields map[string]string              // line comments by Type.Field
	words  map[string]map[string]string   // by type, each constant and its comment
	consts map[string]map[string]struct{} // values of the constants whose names begin with Method
}

func readSources(t *testing.T) sources {
	t.Helper()
	s := sources{types: map[string]string{}, fields: map[string]string{}, words: map[string]map[string]string{}, consts: map[string]map[string]struct{}{"Method": {}}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.GenDecl); ok {
				s.read(d)
			}
		}
	}
	return s
}

func (s sources) read(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			s.types[spec.Name.Name] = sentence(d.Doc)
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						s.fields[spec.Name.Name+"."+n.Name] = sentence(f.Comment)
					}
				}
			}
		case *ast.ValueSpec:
			lit, ok := spec.Values[0].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			value, _ := strconv.Unquote(lit.Value) // the compiler has read it
			if id, ok := spec.Type.(*ast.Ident); ok {
				if s.words[id.Name] == nil {
					s.words[id.Name] = map[string]string{}
				}
				s.words[id.Name][value] = sentence(spec.Comment)
			} else if strings.HasPrefix(spec.Names[0].Name, "Method") {
				s.consts["Method"][value] = struct{}{}
			}
		}
	}
}

func sentence(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// schema is docs/local-protocol.schema.json, made from the types.
func (s sources) schema() object {
	defs := object{"error": object{
		"description": "The answer to a request that failed; id is null when the line could not be read.",
		"type":        "object", "required": []string{"jsonrpc", "id", "error"},
		"properties": object{"jsonrpc": object{"const": "2.0"}, "id": object{"type": []string{"integer", "string", "null"}}, "error": ref("Error")},
	}}
	for name, shape := range shapes() {
		defs[name] = s.structure(name, shape)
	}
	lines := map[string][]any{}
	for _, m := range methods {
		name, answerer := m.from+"."+m.name, map[string]string{"app": "agent", "agent": "app"}[m.from]
		add := func(by, name string, def object) {
			defs[name] = def
			lines[by] = append(lines[by], ref(name))
		}
		if m.request {
			add(m.from, name, request(m, true))
			add(answerer, name+".answer", object{"type": "object", "required": []string{"jsonrpc", "id", "result"}, "properties": object{
				"jsonrpc": object{"const": "2.0"}, "id": object{"type": []string{"integer", "string"}}, "result": ref(reflect.TypeOf(m.result).Name())}})
		}
		if m.notification {
			add(m.from, name+".notification", request(m, false))
		}
	}
	for by, list := range lines {
		defs["from-"+by] = object{"anyOf": append(list, ref("error"))}
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "Castray's local protocol, version 1",
		"description": "One line, of the app or of the agent. The definition app.hello is the request hello of an app, app.hello.answer the " +
			"agent's answer to it, agent.event.notification the notification event of the agent; the definitions with a capital are what they carry. " +
			"Ignore members that are not here: they are added, never renamed. local-protocol.md tells what it all means.",
		"anyOf": []any{ref("from-app"), ref("from-agent")},
		"$defs": defs,
	}
}

func request(m method, withID bool) object {
	properties := object{"jsonrpc": object{"const": "2.0"}, "method": object{"const": m.name}, "params": ref(reflect.TypeOf(m.params).Name())}
	required := []string{"jsonrpc", "method"}
	if withID {
		properties["id"] = object{"type": []string{"integer", "string"}}
		required = append(required, "id")
	}
	o := object{"type": "object", "properties": properties}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(m.params)) {
		if _, optional := member(f); !optional {
			required = append(required, "params")
			break
		}
	}
	o["required"] = required
	if !withID {
		o["not"] = object{"required": []string{"id"}}
	}
	return o
}

// member is the name of a field on the wire, and whether it may be absent.
func member(f reflect.StructField) (name string, optional bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, strings.HasPrefix(options, "omit")
}

func (s sources) structure(name string, t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		m, optional := member(f)
		if !optional {
			required = append(required, m)
		}
		p := s.value(f.Type)
		maps.Copy(p, known[name+"."+m])
		if comment := s.fields[name+"."+f.Name]; comment != "" {
			p["description"] = comment
		}
		properties[m] = p
	}
	return object{"type": "object", "description": s.types[name], "required": required, "properties": properties}
}

func (s sources) value(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]() || t == reflect.TypeFor[[]json.RawMessage]():
		return object{} // known says what
	case t.Kind() == reflect.Pointer && t != reflect.TypeFor[*protocol.ContextResult]():
		return s.value(t.Elem())
	case t.Kind() == reflect.Pointer:
		return object{}
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": s.value(t.Elem())}
	case t.Kind() == reflect.Struct:
		return ref(t.Name())
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Int:
		return object{"type": "integer"}
	}
	words := s.words[t.Name()]
	if len(words) == 0 {
		return object{"type": "string"}
	}
	var list []any
	for _, w := range slices.Sorted(maps.Keys(words)) {
		list = append(list, object{"const": w, "description": words[w]})
	}
	return object{"type": "string", "oneOf": list}
}

func TestSchemaIsMadeFromTheTypes(t *testing.T) {
	text, err := json.MarshalIndent(readSources(t).schema(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(schemaFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	there, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(there, text) {
		t.Error("docs/local-protocol.schema.json no longer tells what the types say; run `make docs` and commit it")
	}
}

func TestSchemaHasEveryMethodAndWord(t *testing.T) {
	s := readSources(t)
	for _, m := range methods {
		delete(s.consts["Method"], m.name)
	}
	for name := range s.consts["Method"] {
		t.Errorf("the schema does not know the method %s", name)
	}
	for name, n := range map[string]int{"Phase": 14, "Outcome": 10, "Reason": 8} {
		if len(s.words[name]) < n {
			t.Errorf("the schema knows %d words of %s, at least %d are there", len(s.words[name]), name, n)
		}
	}
	for name := range known {
		kind, m, _ := strings.Cut(name, ".")
		shape, found := shapes()[kind]
		if !found || !slices.ContainsFunc(reflect.VisibleFields(shape), func(f reflect.StructField) bool { n, _ := member(f); return n == m }) {
			t.Errorf("%s is said to be known, and is not there", name)
		}
	}
}
