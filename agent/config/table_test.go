package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/configuration.md and docs/castray.schema.json instead of comparing them")

func TestDocumentsTellWhatTheTableSays(t *testing.T) {
	for name, content := range map[string][]byte{"configuration.md": Reference(), "castray.schema.json": Schema()} {
		path := filepath.Join("..", "..", "docs", name)
		if *update {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		onDisk, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.ReplaceAll(string(onDisk), "\r\n", "\n"), string(content)); diff != "" {
			t.Errorf("docs/%s is stale; run go test ./agent/config -update and commit it (-on disk +now):\n%s", name, diff)
		}
	}
}

func TestTableKeepsItsRules(t *testing.T) {
	index := newIndex()
	variables := map[string]string{}
	for _, path := range index.paths {
		k := index.keys[path]
		if _, doubled := index.tables[path]; doubled {
			t.Errorf("%s is a table too", path)
		}
		if k.help == "" || !strings.HasSuffix(k.help, ".") {
			t.Errorf("%s has no sentence of help", path)
		}
		def, err := k.parse(k.def)
		if err != nil {
			t.Errorf("%s: its default: %v", path, err)
		} else if err := k.verify(def); err != nil || k.format(def) != k.def || k.unbuilt(def) {
			t.Errorf("%s: its default is not in force: %v, written %s", path, err, k.format(def))
		}
		inList := index.tables[strings.SplitN(path, ".", 2)[0]].list
		if (k.secret || inList) && k.sources&(fromEnv|fromFlags) != 0 {
			t.Errorf("%s: secrets and lists of tables come neither from the environment nor from flags", path)
		}
		if k.secret && k.sources != filesOnly {
			t.Errorf("%s: a secret comes from files only", path)
		}
		for _, word := range k.also {
			if !slices.Contains(append(k.words, "true", "false"), word) {
				t.Errorf("%s: %q is in force but not allowed", path, word)
			}
		}
		if other, taken := variables[variable(path)]; taken {
			t.Errorf("%s and %s have the same variable", path, other)
		}
		variables[variable(path)] = path
		if printable(strings.Split(path, ".")) != path {
			t.Errorf("%s would not be shown in an error", path)
		}
	}
}

// uncommented takes the # off the lines that are TOML.
func uncommented(example string) string {
	return regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(example, "$1")
}

func TestExampleLoads(t *testing.T) {
	c, err := loadText(t, string(Example()))
	if err != nil || len(c.Sites) != 1 || len(c.Warnings) != 0 {
		t.Fatalf("as it is: %+v, %v", c, err)
	}

	_, hub, found := strings.Cut(string(Example()), "\n# Or a hub")
	if !found {
		t.Fatal("no hub in it")
	}
	path := save(t, "castray.toml", uncommented("# Or a hub"+hub))
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "hub.token"), []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = mustLoad(t, Sources{File: path})
	if c.Hub.URL == "" || c.Hub.Topic == "" || c.Hub.TokenFile == "" {
		t.Errorf("the hub, with its # taken off: %+v", c.Hub)
	}
}

// The schema and the loader must agree on what a default looks like, or an editor would mark a good file.
func TestSchemaTellsEveryKey(t *testing.T) {
	type schema struct {
		Ref        string            `json:"$ref"`
		Type       string            `json:"type"`
		Items      *schema           `json:"items"`
		Properties map[string]schema `json:"properties"`
		Definition map[string]schema `json:"definitions"`
		Additional *bool             `json:"additionalProperties"`
		Default    any               `json:"default"`
		Pattern    string            `json:"pattern"`
	}
	var top schema
	if err := json.Unmarshal(Schema(), &top); err != nil {
		t.Fatal(err)
	}
	resolve := func(s schema) schema {
		if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
			return top.Definition[name]
		}
		return s
	}
	for _, path := range newIndex().paths {
		k := newIndex().keys[path]
		at := top
		for part := range strings.SplitSeq(path, ".") {
			if at.Items != nil {
				at = *at.Items
			}
			if at.Additional == nil || *at.Additional {
				t.Errorf("%s: unknown keys beside %s are not refused", path, part)
			}
			at = resolve(at.Properties[part])
		}
		want := map[kind]string{text: "string", file: "string", period: "string", yesNo: "boolean", number: "integer", list: "array"}[k.kind]
		if at.Type != want {
			t.Errorf("%s: type %q, want %q", path, at.Type, want)
		}
		def, err := k.parse(k.def)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(at.Default); at.Default != nil && got != fmt.Sprint(def) {
			t.Errorf("%s: default %s, want %v", path, got, def)
		}
		if at.Pattern != "" && !regexp.MustCompile(at.Pattern).MatchString(k.def) {
			t.Errorf("%s: default %s does not match %s", path, k.def, at.Pattern)
		}
	}
}
