package castray_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	pageLink  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")
)

// TestPages wants every relative link in a page for people to lead somewhere, and every JSON example to be JSON: one
// value, or a value a line as the commands print it.
func TestPages(t *testing.T) {
	root := os.DirFS(".")
	pages, err := fs.Glob(root, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := fs.Glob(root, "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, more...) {
		text, err := fs.ReadFile(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pageLink.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := fs.Stat(root, path.Join(path.Dir(page), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
		for _, m := range jsonBlock.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(m[1]) {
				if !json.Valid([]byte(m[1])) && !json.Valid([]byte(line)) {
					t.Errorf("%s: not a JSON value: %s", page, line)
				}
			}
		}
	}
}
