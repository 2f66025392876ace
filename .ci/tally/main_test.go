package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	for _, row := range []struct {
		name, in string
		want     counts
		shown    string
		fails    bool
	}{
		{"all pass", pass + `{"Action":"pass","Package":"p","Elapsed":1.5}`, counts{1, 0, 0}, "ok   p 1.5s", false},
		{"a failing test and its package count once", `{"Action":"output","Package":"p","Test":"TestB","Output":"because\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}`, counts{0, 1, 0}, "because", true},
		{"a package that dies is a failure", pass + `{"Action":"output","Package":"p","Output":"panic\n"}
{"Action":"fail","Package":"p"}`, counts{1, 1, 0}, "panic", true},
		{"a package that does not build is a failure", `{"ImportPath":"p","Action":"build-output","Output":"no such name\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`, counts{0, 1, 0}, "no such name", true},
		{"a skip shows its reason", pass + `{"Action":"output","Package":"p","Test":"TestC","Output":"no display\n"}
{"Action":"skip","Package":"p","Test":"TestC"}`, counts{1, 0, 1}, "no display", false},
		{"nothing ran", "go: no such package\n", counts{}, "no such package", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			got, err := read(strings.NewReader(row.in), &out)
			if err != nil || got != row.want || !strings.Contains(out.String(), row.shown) {
				t.Errorf("%v, %v, %q; want %v and %q", got, err, out.String(), row.want, row.shown)
			}
			err = run(strings.NewReader(row.in), &out, filepath.Join(t.TempDir(), "counts"))
			if (err != nil) != row.fails {
				t.Errorf("run: %v, want an error: %v", err, row.fails)
			}
		})
	}
}
