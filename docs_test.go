package castray_test

import (
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated pages in docs/ instead of comparing them")

func TestDocsConformance(t *testing.T) {
	known, err := readRequirements("docs/requirements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	page, complaints := conformancePage(known, readChecks(t))
	for _, c := range complaints {
		t.Error(c)
	}
	comparePage(t, "docs/conformance.md", page)
}

func TestDocsHazards(t *testing.T) {
	page, complaints := hazardsPage(readChecks(t))
	for _, c := range complaints {
		t.Error(c)
	}
	comparePage(t, "docs/hazards.md", page)
}

// readChecks returns every test of the product, in the order of their files.
func readChecks(t *testing.T) []check {
	t.Helper()
	checks := goChecks(readHouse(t))
	scripts, err := scriptChecks(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	return append(checks, scripts...)
}

// comparePage fails if the file is not the page, or writes it when asked to.
func comparePage(t *testing.T, file, page string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	onDisk, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if string(onDisk) != page {
		was, is := firstDifference(string(onDisk), page)
		t.Errorf("%s no longer tells what the tests say; run `make docs` and commit it. First difference, on disk and now:\n\t%s\n\t%s", file, was, is)
	}
}

// firstDifference returns the first lines in which two texts differ.
func firstDifference(a, b string) (string, string) {
	for {
		lineA, restA, _ := strings.Cut(a, "\n")
		lineB, restB, _ := strings.Cut(b, "\n")
		if lineA != lineB || restA == restB {
			return lineA, lineB
		}
		a, b = restA, restB
	}
}

// scriptChecks returns the testscript files: what their comments quote counts as the test functions' comments do.
func scriptChecks(fsys fs.FS) ([]check, error) {
	names, err := fs.Glob(fsys, "cmd/castray/testdata/*.txtar")
	if err != nil {
		return nil, err
	}
	var out []check
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		out = append(out, scriptCheck(name, string(text)))
	}
	return out, nil
}
