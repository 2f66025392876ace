package castray_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// SM-CLI-01: a secret that is in every copy of a program is none, so there is none in what the program is made of: its
// texts, and the files that are embedded. Tests may hold some; they are not compiled in.
func TestNoSecretIsCompiledIn(t *testing.T) {
	for _, complaint := range compiledSecrets(t, readHouse(t), os.DirFS(".")) {
		t.Error(complaint)
	}
}

var (
	privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY|"kty" *:.*"d" *:`)
	// Words as generators of secrets write them: hex, base32, and letters of both cases with digits between them.
	randomHex, randomWord = regexp.MustCompile(`\b([0-9a-f]{32,}|[A-Z2-7]{26,})\b`), regexp.MustCompile(`[A-Za-z0-9+_-]{24,}`)
	alphabet              = strings.NewReplacer("abcdefghijklmnopqrstuvwxyz", "", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "", "0123456789", "")
	// A name that a secret would have.
	secretName = regexp.MustCompile(`(?i)(client|app)_?(secret|key)$|^(password|passphrase|secret)$`)
)

// looksSecret tells what a text looks like, "" for nothing.
func looksSecret(text string) string {
	if privateKey.MatchString(text) {
		return "a private key"
	}
	text = alphabet.Replace(text)
	for _, word := range append(randomHex.FindAllString(text, -1), randomWord.FindAllString(text, -1)...) {
		mixed := word != strings.ToLower(word) && word != strings.ToUpper(word)
		if strings.ContainsAny(word, "0123456789") && (mixed || randomHex.MatchString(word)) {
			return "a random word"
		}
	}
	return ""
}

func compiledSecrets(t *testing.T, h *house, files fs.FS) []string {
	t.Helper()
	var out []string
	for _, dir := range append(h.packages(), ".") {
		for _, s := range h.rooms[dir] {
			if s.test {
				continue
			}
			out = append(out, literalSecrets(h.fset, s.file)...)
			for _, name := range embedded(t, files, dir, s.file) {
				text, err := fs.ReadFile(files, name)
				if err != nil {
					t.Fatal(err)
				}
				if what := looksSecret(string(text)); what != "" && utf8.Valid(text) {
					out = append(out, fmt.Sprintf("%s is embedded, and holds what looks like %s", name, what))
				}
			}
		}
	}
	return out
}

// literalSecrets finds texts that look like a secret, and texts that are given a secret's name.
func literalSecrets(fset *token.FileSet, file *ast.File) []string {
	var out []string
	complain := func(n ast.Node, what string) {
		out = append(out, fmt.Sprintf("%s: a text looks like %s: nothing secret is compiled in", fset.Position(n.Pos()), what))
	}
	named := func(name, value ast.Expr) {
		id, isName := name.(*ast.Ident)
		text, isText := value.(*ast.BasicLit)
		if isName && isText && text.Kind == token.STRING && len(text.Value) > 2 && secretName.MatchString(id.Name) {
			complain(value, "the value of "+id.Name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && looksSecret(text) != "" {
				complain(n, looksSecret(text))
			}
		case *ast.KeyValueExpr:
			named(n.Key, n.Value)
		case *ast.ValueSpec:
			for i := range n.Values {
				named(n.Names[i], n.Values[i])
			}
		case *ast.AssignStmt:
			for i := range min(len(n.Lhs), len(n.Rhs)) {
				named(n.Lhs[i], n.Rhs[i])
			}
		}
		return true
	})
	return out
}

// embedded lists the files that a source embeds.
func embedded(t *testing.T, files fs.FS, dir string, file *ast.File) []string {
	t.Helper()
	var out []string
	for _, group := range file.Comments {
		for _, c := range group.List {
			patterns, ok := strings.CutPrefix(c.Text, "//go:embed ")
			if !ok {
				continue
			}
			for _, pattern := range strings.Fields(patterns) {
				found, err := fs.Glob(files, path.Join(dir, pattern))
				if err != nil || len(found) == 0 {
					t.Fatalf("%s embeds %s, and there is nothing: %v", dir, pattern, err)
				}
				for _, name := range found {
					err := fs.WalkDir(files, name, func(p string, d fs.DirEntry, err error) error {
						if err == nil && d.Type().IsRegular() {
							out = append(out, p)
						}
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	return out
}

// The search has to find what it is there for.
func TestCompiledSecretsAreFound(t *testing.T) {
	files := fstest.MapFS{
		"go.mod":      {Data: []byte("module m\n")},
		"a/a_test.go": {Data: []byte("package a\nconst test = \"gR7kQ2vXb9TzL4mN8pW1sY6dF3hJ5cA0\"\n")},
		"a/page.html": {Data: []byte("<p>-----BEGIN RSA PRIVATE KEY-----</p>")},
		"a/a.go": {Data: []byte(`package a
import _ "embed"
//go:embed *.html
var page string
const good = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer http://terminology.hl7.org/CodeSystem/v2-0203"
const random = "gR7kQ2vXb9TzL4mN8pW1sY6dF3hJ5cA0"
const hex = "0f8fad5bd9cb469fa16570867728950e"
const base32 = "ORSXG5BRGIZTINJWG44DSMBRGI"
const jwk = ` + "`{\"kty\":\"EC\",\"d\":\"x\"}`" + `
var clientSecret = "hunter2"
var empty struct{ Password string }
func f() { empty.Password = ""; password := "hunter2"; _ = password }
`)},
	}
	h, err := parseHouse(files, "m")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(compiledSecrets(t, h, files), "\n")
	for _, want := range []string{"a/a.go:6:16: a text looks like a random word", "a/a.go:7:13: a text looks like a random word",
		"a/a.go:8:16: a text looks like a random word", "a/a.go:9:13: a text looks like a private key", "a/a.go:10:20: a text looks like the value of clientSecret",
		"a/a.go:12:45: a text looks like the value of password", "a/page.html is embedded, and holds what looks like a private key"} {
		if !strings.Contains(got, want) {
			t.Errorf("not found: %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 7 {
		t.Errorf("%d complaints:\n%s", n, got)
	}
}
