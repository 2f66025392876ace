package castray_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// A house is every Go package of a module as parsed, build constraints ignored, so that all platforms are seen on one.
type house struct {
	module string
	fset   *token.FileSet
	rooms  map[string][]*source // by folder, "." is the top
}

// A source is one parsed file.
type source struct {
	path string
	test bool
	file *ast.File
}

func parseHouse(fsys fs.FS, module string) (*house, error) {
	h := &house{module: module, fset: token.NewFileSet(), rooms: map[string][]*source{}}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(h.fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		h.rooms[dir] = append(h.rooms[dir], &source{path: p, test: strings.HasSuffix(name, "_test.go"), file: f})
		return nil
	})
	return h, err
}

// packages returns the folders that hold packages, without the top, in order.
func (h *house) packages() []string {
	var dirs []string
	for dir := range maps.Keys(h.rooms) {
		if dir != "." {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// eachImport calls f with every import path in a folder.
func (h *house) eachImport(dir string, f func(s *source, imported string)) {
	for _, s := range h.rooms[dir] {
		for _, spec := range s.file.Imports {
			f(s, strings.Trim(spec.Path.Value, `"`))
		}
	}
}

// inside returns the folder of a package of this module, or false for any other import.
func (h *house) inside(imported string) (string, bool) {
	if imported == h.module {
		return ".", true
	}
	return strings.CutPrefix(imported, h.module+"/")
}
