package castray_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestCheckersCanFail builds a small house with one fault of each sort, and wants every fault named once.
func TestCheckersCanFail(t *testing.T) {
	files := map[string]string{
		"low/low.go":          "// Package low is low.\npackage low\nimport \"os\"\nvar table = map[string]int{}\nfunc set(table2 int) { table[\"a\"] = 1; table2 = 2 }\nvar _ = os.Args\n",
		"low/low_test.go":     "package low\nimport _ \"example.org/m/fake\"\nimport _ \"example.org/m/high\"\n",
		"high/high.go":        "// Package high is high.\npackage high\nimport _ \"example.org/m/low\"\nimport _ \"example.com/outside/sub\"\n",
		"high/high_plan9.go":  "package high\nimport _ \"example.org/m/fake\"\n",
		"fake/fake.go":        "// Package fake is a fake.\npackage fake\nimport _ \"example.com/outside\"\nimport _ \"example.com/unheard\"\nfunc init() {}\n",
		"low/utils/x.go":      "package utils\nvar n int\nfunc f() { n := 1; n++ }\nfunc g() { n++ }\nvar mu sync.Mutex\n",
		"low/testdata/bad.go": "this is not Go",
	}
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	h, err := parseHouse(fsys, "example.org/m")
	if err != nil {
		t.Fatal(err)
	}
	plan := map[string]row{
		"low":  {floor: 0, pure: true, tests: []string{"fake"}},
		"high": {floor: 1, imports: []string{"low"}},
		"fake": {floor: 1, imports: []string{"high"}},
	}
	libs := map[string]library{"example.com/outside": {packages: []string{"fake"}}}

	got := slices.Concat(checkArrows(h, plan), checkTable(plan), checkLibraries(h, libs), checkShape(h))
	want := []string{
		"high/high_plan9.go imports fake, an arrow",
		"low/low.go imports os, but low does no I/O",
		"low/low_test.go imports high, which the table",
		"low/utils is not in the table",
		"the plan lets fake (floor 1) import high (floor 1)",
		"fake/fake.go imports example.com/unheard, which is not in the library table",
		"high/high.go imports example.com/outside/sub, which is for fake only",
		"fake/fake.go:5:1 has an init function",
		"low/low.go:5:24 writes the package variable table",
		"low/utils is named for its kind",
		"low/utils has no package comment",
		"low/utils/x.go:5:5: the package variable mu is of a type",
		"low/utils/x.go:4:12 writes the package variable n",
	}
	if len(got) != len(want) {
		t.Errorf("%d complaints, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, w := range want {
		if i < len(got) && !strings.HasPrefix(got[i], w) {
			t.Errorf("complaint %d is %q, want %q", i, got[i], w)
		}
	}
}
