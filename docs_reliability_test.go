package castray_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var soakLines = flag.String("soak", "", "with TestDocsReliability: write the table of the last soak from this output of its tests")

// A part of a page is between two marks and written by a program; the rest is written by people.
type part struct{ begin, end string }

var (
	matrixPart = part{"<!-- the matrix: written by make docs -->\n", "<!-- end of the matrix -->\n"}
	soakPart   = part{"<!-- measured: written by make soak -->\n", "<!-- end of measured -->\n"}
)

// in gives the page with another text in this part.
func (p part) in(page, text string) (string, error) {
	before, rest, begins := strings.Cut(page, p.begin)
	_, after, ends := strings.Cut(rest, p.end)
	if !begins || !ends {
		return "", fmt.Errorf("the page has not the two marks %q and %q", p.begin, p.end)
	}
	return before + p.begin + "\n" + text + "\n" + p.end + after, nil
}

// TestDocsReliability keeps the fault matrix of docs/reliability.md: what we promise, and the tests that quote the row.
func TestDocsReliability(t *testing.T) {
	const file = "docs/reliability.md"
	known, err := readRequirements("docs/requirements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := matrixPart.in(string(page), faultMatrix(known, readChecks(t)))
	if err != nil {
		t.Fatal(err)
	}
	if *soakLines != "" {
		lines, err := os.ReadFile(*soakLines)
		if err != nil {
			t.Fatal(err)
		}
		table, err := soakTable(string(lines))
		if err != nil {
			t.Fatal(err)
		}
		if text, err = soakPart.in(text, table); err != nil {
			t.Fatal(err)
		}
	}
	comparePage(t, file, text)
}

// faultMatrix is a line for each FM row.
func faultMatrix(known []requirement, checks []check) string {
	var b strings.Builder
	b.WriteString("| | what we promise | tests |\n|---|---|---|\n")
	tests := testsByID(checks)
	for _, r := range known {
		if group(r.id) == "FM" {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.id, r.phrase, links(tests[r.id], r.without()))
		}
	}
	return b.String()
}

// A soakLine is what a test of the soak prints, after the word soak.
type soakLine struct {
	Test     string
	What     string
	HowMuch  string `json:"how_much"`
	Result   string
	Measured []string
	Percent  int
	Race     bool
	Date     string
	Commit   string
	Machine  string
}

// soakTable is the table of the results in the output of go test -v. A soak that was cut short is none.
func soakTable(output string) (string, error) {
	var b strings.Builder
	var first soakLine
	for line := range strings.Lines(output) {
		text, ok := strings.CutPrefix(line, "soak ")
		if !ok {
			continue
		}
		var r soakLine
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return "", fmt.Errorf("a line of the soak: %w", err)
		}
		if first.Test == "" {
			first = r
			fmt.Fprintf(&b, "%s, commit %s, %s.\n\n| | how much | result | measured |\n|---|---|---|---|\n", r.Date, r.Commit, r.Machine)
		}
		if r.Percent != 100 || r.Race || r.Commit != first.Commit {
			return "", fmt.Errorf("%s ran at %d %%, race %v, commit %s: the page holds a whole soak of one commit", r.Test, r.Percent, r.Race, r.Commit)
		}
		fmt.Fprintf(&b, "| %s (`%s`) | %s | %s | %s |\n", r.What, r.Test, r.HowMuch, r.Result, strings.Join(r.Measured, "; "))
	}
	if first.Test == "" {
		return "", fmt.Errorf("no test of the soak told a result")
	}
	return b.String(), nil
}

func TestFaultMatrix(t *testing.T) {
	known := []requirement{
		{"FC-SUB-01", "SHALL", "subscriber", "post there", ""},
		{"FM-01", "OURS", "subscriber", "told at once", ""},
		{"FM-02", "OURS", "subscriber", "found in time", ""},
		{"FM-03", "OURS", "subscriber", "never waits", "nobody can"},
	}
	got := faultMatrix(known, []check{{name: "TestA", file: "a/a_test.go", ids: []string{"FC-SUB-01", "FM-01"}}})
	want := "| | what we promise | tests |\n|---|---|---|\n| FM-01 | told at once | [`TestA`](../a/a_test.go) |\n" +
		"| FM-02 | found in time | not yet covered |\n| FM-03 | never waits | nobody can |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	page, err := matrixPart.in("above\n"+matrixPart.begin+"old\n"+matrixPart.end+"below\n", "new\n")
	if want := "above\n" + matrixPart.begin + "\nnew\n\n" + matrixPart.end + "below\n"; page != want || err != nil {
		t.Errorf("got %q, %v", page, err)
	}
	if _, err := matrixPart.in("no marks", "new"); err == nil {
		t.Error("a page without marks is written")
	}
}

func TestSoakTable(t *testing.T) {
	line := func(percent int, race bool, commit string) string {
		return fmt.Sprintf(`soak {"test":"TestSoakA","what":"kills","how_much":"100","result":"all back","measured":["a","b"],"percent":%d,"race":%v,`+
			`"date":"2026-01-02","commit":%q,"machine":"a desk"}`+"\n", percent, race, commit)
	}
	got, err := soakTable("=== RUN\n" + line(100, false, "c1") + "ok\n")
	want := "2026-01-02, commit c1, a desk.\n\n| | how much | result | measured |\n|---|---|---|---|\n| kills (`TestSoakA`) | 100 | all back | a; b |\n"
	if got != want || err != nil {
		t.Errorf("got\n%s, %v\nwant\n%s", got, err, want)
	}
	for name, output := range map[string]string{
		"a part":      line(10, false, "c1"),
		"with race":   line(100, true, "c1"),
		"two commits": line(100, false, "c1") + line(100, false, "c2"),
		"nothing":     "ok\n",
		"no JSON":     "soak {\n",
	} {
		if table, err := soakTable(output); err == nil {
			t.Errorf("%s: made a table of it:\n%s", name, table)
		}
	}
}

// TestSoakTellsWhatThePageReads wants the names of a soak's line and those the page reads to be the same.
func TestSoakTellsWhatThePageReads(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("cmd", "castray", "soak_result_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"test", "what", "how_much", "result", "measured", "percent", "race", "date", "commit", "machine"} {
		if !strings.Contains(string(text), "`json:\""+name+"\"`") {
			t.Errorf("the soak's result has no %s", name)
		}
	}
}
