package castray_test

import (
	"fmt"
	"maps"
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
