package castray_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// A row is one package in the plan.
type row struct {
	floor   int
	imports []string // packages of ours that it may import, all on lower floors
	tests   []string // packages of ours that only its tests may import besides
	pure    bool     // no I/O: neither network nor files nor processes
	why     string   // where it is not obvious
}

// A library is one third-party module and the packages that may import it; "*" is every package.
type library struct {
	packages []string
	tests    []string // only in test files
	why      string
}

// impure are the standard packages that a pure package does without.
var impure = []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "log", "golang.org/x/sys"}

// kindNames are folder names that say what kind of thing is inside, but not what for.
var kindNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "model", "models", "service", "services",
	"type", "types", "interface", "interfaces", "shared", "base"}

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

// checkArrows complains about packages that are not in the plan and imports that the plan does not have.
func checkArrows(h *house, plan map[string]row) []string {
	var out []string
	for _, dir := range h.packages() {
		r, known := plan[dir]
		if !known {
			out = append(out, fmt.Sprintf("%s is not in the table of arrows_test.go: add a row with its floor and what it may import, and say in the commit what the package is for", dir))
			continue
		}
		h.eachImport(dir, func(s *source, imported string) {
			to, ours := h.inside(imported)
			switch {
			case ours && to == dir && s.test: // an external test imports its own package
			case ours && slices.Contains(r.imports, to):
			case ours && s.test && slices.Contains(r.tests, to):
			case ours && s.test:
				out = append(out, fmt.Sprintf("%s imports %s, which the table of arrows_test.go does not let tests of %s import", s.path, to, dir))
			case ours:
				out = append(out, fmt.Sprintf("%s imports %s, an arrow that the table of arrows_test.go does not have; turn it round, or add it there and say why in the commit", s.path, to))
			case r.pure && !s.test && isOneOf(imported, impure):
				out = append(out, fmt.Sprintf("%s imports %s, but %s does no I/O", s.path, imported, dir))
			}
		})
	}
	return out
}

// checkTable complains about arrows in the plan that do not go down, or to nowhere.
func checkTable(plan map[string]row) []string {
	var out []string
	for _, from := range slices.Sorted(maps.Keys(plan)) {
		for _, to := range plan[from].imports {
			target, known := plan[to]
			switch {
			case !known:
				out = append(out, fmt.Sprintf("the plan lets %s import %s, which has no row", from, to))
			case target.floor >= plan[from].floor:
				out = append(out, fmt.Sprintf("the plan lets %s (floor %d) import %s (floor %d): arrows only go down", from, plan[from].floor, to, target.floor))
			}
		}
		for _, to := range plan[from].tests {
			if _, known := plan[to]; !known {
				out = append(out, fmt.Sprintf("the plan lets tests of %s import %s, which has no row", from, to))
			}
		}
	}
	return out
}

// checkLibraries complains about third-party imports where the table does not have them.
func checkLibraries(h *house, table map[string]library) []string {
	var out []string
	for _, dir := range append(h.packages(), ".") {
		h.eachImport(dir, func(s *source, imported string) {
			first, _, _ := strings.Cut(imported, "/")
			if _, ours := h.inside(imported); ours || !strings.Contains(first, ".") {
				return
			}
			name, ok := findLibrary(table, imported)
			if !ok {
				out = append(out, fmt.Sprintf("%s imports %s, which is not in the library table of arrows_test.go: a new dependency needs a row there, and a sentence in the commit on what it saves us", s.path, imported))
				return
			}
			allowed := table[name].packages
			if s.test {
				allowed = slices.Concat(allowed, table[name].tests)
			}
			if !slices.Contains(allowed, dir) && !slices.Contains(allowed, "*") {
				out = append(out, fmt.Sprintf("%s imports %s, which is for %s only: what you need is a method there", s.path, imported, strings.Join(slices.Concat(table[name].packages, table[name].tests), ", ")))
			}
		})
	}
	return out
}

func findLibrary(table map[string]library, imported string) (string, bool) {
	for name := range table {
		if isOneOf(imported, []string{name}) {
			return name, true
		}
	}
	return "", false
}

// isOneOf reports whether an import path is one of names or lies below a third-party one.
func isOneOf(imported string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return imported == name || strings.Contains(name, ".") && strings.HasPrefix(imported, name+"/")
	})
}

// checkShape complains about names of a kind, missing package comments, init functions and package variables that change.
func checkShape(h *house) []string {
	var out []string
	for _, dir := range h.packages() {
		if slices.Contains(kindNames, path.Base(dir)) {
			out = append(out, fmt.Sprintf("%s is named for its kind: name a package for what it gives", dir))
		}
		var product []*ast.File
		documented := false
		for _, s := range h.rooms[dir] {
			if s.test {
				continue
			}
			product = append(product, s.file)
			documented = documented || s.file.Doc != nil
			for _, d := range s.file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					out = append(out, fmt.Sprintf("%s has an init function: let main call what has to happen", h.fset.Position(f.Pos())))
				}
			}
		}
		if len(product) > 0 && !documented {
			out = append(out, fmt.Sprintf("%s has no package comment: say what it is for, what it leaves to others, who owns its state", dir))
		}
		out = append(out, changedVariables(h.fset, product)...)
	}
	return out
}

// changedVariables finds statements that write a package variable, directly or through an element or a field, and
// package variables of a type that is there to change (a lock, an atomic). It does not see other methods that change
// their receiver, nor a write through a pointer taken elsewhere.
func changedVariables(fset *token.FileSet, files []*ast.File) []string {
	// Imports are not resolved and platform files redeclare each other; all that is wanted is which identifier is which.
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Error: func(error) {}, Importer: noImporter{}}
	pkg, _ := conf.Check("p", fset, files, info)
	if pkg == nil {
		return nil
	}
	var out []string
	written := func(e ast.Expr) {
		if id := rootOf(e); id != nil {
			if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == pkg.Scope() {
				out = append(out, fmt.Sprintf("%s writes the package variable %s: give it an owner", fset.Position(e.Pos()), id.Name))
			}
		}
	}
	for _, f := range files {
		for _, id := range lockVariables(f) {
			out = append(out, fmt.Sprintf("%s: the package variable %s is of a type that is there to change: give it an owner", fset.Position(id.Pos()), id.Name))
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					written(e)
				}
			case *ast.IncDecStmt:
				written(n.X)
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
					written(n.Args[0])
				}
			}
			return true
		})
	}
	return out
}

// lockVariables returns the package variables declared with a type of sync or sync/atomic.
func lockVariables(f *ast.File) []*ast.Ident {
	var out []*ast.Ident
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if sel, ok := v.Type.(*ast.SelectorExpr); ok {
				if from, ok := sel.X.(*ast.Ident); ok && (from.Name == "sync" || from.Name == "atomic") {
					out = append(out, v.Names...)
				}
			}
		}
	}
	return out
}

// rootOf returns the variable that an assignable expression starts from.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

type noImporter struct{}

func (noImporter) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }
