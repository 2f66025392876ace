package castray_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
)

// kindNames are folder names that say what kind of thing is inside, but not what for.
var kindNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "model", "models", "service", "services",
	"type", "types", "interface", "interfaces", "shared", "base"}

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
