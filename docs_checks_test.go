package castray_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// A check is one test function, fuzz target, example or script, with what it says it shows.
type check struct {
	name  string
	file  string
	ids   []string // requirement ids, in order, once each
	rules []int    // safety rules S1.. in its name
}

// requirementID is FC-SUB-09 or SM-REDIR-07, FM-09 (a row of the fault matrix) or RAD-146 (a transaction of IHE).
var requirementID = regexp.MustCompile(`\b(?:(?:FC|SM)-[A-Z]+-\d+|FM-\d{2}|RAD-\d{3})\b`)

// goChecks finds the checks in every test file below the top. An id counts where it stands in the comment above a
// check, or in a comment or string inside it; helpers and loose comments quote nothing.
func goChecks(h *house) []check {
	var out []check
	for _, dir := range h.packages() {
		for _, s := range h.rooms[dir] {
			if !s.test {
				continue
			}
			for _, d := range s.file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if ok && f.Recv == nil && f.Body != nil && isCheckName(f.Name.Name) {
					out = append(out, check{f.Name.Name, s.path, findIDs(textOf(s.file, f)), rulesIn(f.Name.Name)})
				}
			}
		}
	}
	return out
}

// scriptCheck reads the comments of a testscript up to its first file.
func scriptCheck(file, text string) check {
	script, _, _ := strings.Cut(text, "\n-- ")
	var comments strings.Builder
	for line := range strings.Lines(script) {
		if _, comment, ok := strings.Cut(line, "#"); ok {
			comments.WriteString(comment)
		}
	}
	name := path.Base(file)
	return check{name: name, file: file, ids: findIDs(comments.String())}
}

func isCheckName(name string) bool {
	for _, prefix := range []string{"Test", "Fuzz", "Example"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && name != "TestMain" && (rest == "" || !isLower(rest[0])) {
			return true
		}
	}
	return false
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// textOf returns the comments above and inside a function, and its strings.
func textOf(file *ast.File, f *ast.FuncDecl) string {
	var text strings.Builder
	text.WriteString(f.Doc.Text() + "\n")
	for _, group := range file.Comments {
		if f.Pos() <= group.Pos() && group.End() <= f.End() {
			text.WriteString(group.Text() + "\n")
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text.WriteString(lit.Value + "\n")
		}
		return true
	})
	return text.String()
}

func findIDs(text string) []string {
	ids := requirementID.FindAllString(text, -1)
	slices.Sort(ids)
	return slices.Compact(ids)
}

var rulesInName = regexp.MustCompile(`(?:^(?:Test|Fuzz|Example)|[a-z_])((?:S\d+)+)(?:_|$)`)

// rulesIn returns the safety rules that a test name names: TestS4_OlderOpen, TestS4_S6_Close, TestRelayS10_HungApp.
func rulesIn(name string) []int {
	var out []int
	for _, m := range rulesInName.FindAllStringSubmatch(strings.ReplaceAll(name, "_", "__"), -1) {
		for digits := range strings.SplitSeq(m[1][1:], "S") {
			n, err := strconv.Atoi(digits)
			if err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// link names a check and points to its file, as seen from docs/.
func (c check) link() string { return fmt.Sprintf("[`%s`](../%s)", c.name, c.file) }

// links joins the links of checks, or says instead that there are none.
func links(checks []check, instead string) string {
	if len(checks) == 0 {
		return instead
	}
	var out []string
	for _, c := range checks {
		out = append(out, c.link())
	}
	return strings.Join(out, ", ")
}

func TestChecksAreFound(t *testing.T) {
	fsys := fstest.MapFS{"a/a_test.go": {Data: []byte(`package a
// FC-SUB-09 stands over a helper and counts for nothing.
func helper() {}

// TestOne shows FC-SUB-01, and again FC-SUB-01.
func TestOne(t *testing.T) {
	// SM-REDIR-07: state first.
	run("FC-EVT-03 no zone", "xFC-EVT-04", "FC-evt-05", "FM-09 and RAD-146", "FM-9", "FM-100", "FM-FC-1", "GRAD-147")
}

func TestS4_S6_Close(t *testing.T) {}
func TestRelayS10_HungApp(t *testing.T) {}
func TestS1S2_Both(t *testing.T) {}
func TestTLS1_2(t *testing.T) {}
func TestMain(m *testing.M) { _ = "FC-SUB-02" }
func Testimony() { _ = "FC-SUB-03" }
func FuzzS3_X(f *testing.F) {}
`)}}
	h, err := parseHouse(fsys, "example.org/m")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range append(goChecks(h), scriptCheck("x/demo.txtar", "exec a # FC-GEN-01\n# FC-GEN-02\nFC-GEN-03\n-- file --\n# FC-GEN-04\n")) {
		got = append(got, fmt.Sprintf("%s %v %v", c.name, c.ids, c.rules))
	}
	want := []string{
		"TestOne [FC-EVT-03 FC-SUB-01 FM-09 RAD-146 SM-REDIR-07] []",
		"TestS4_S6_Close [] [4 6]",
		"TestRelayS10_HungApp [] [10]",
		"TestS1S2_Both [] [1 2]",
		"TestTLS1_2 [] []",
		"FuzzS3_X [] [3]",
		"demo.txtar [FC-GEN-01 FC-GEN-02] []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
