package config

import "strings"

// keyIndex finds tables and keys by path. The keys of [hub] stand there twice: as "hub.url" and as "site.hub.url".
type keyIndex struct {
	tables map[string]*table // "hub", "site", "site.hub"
	keys   map[string]*key   // "hub.url"
	paths  []string          // of the keys, in the order of the table
}

// subHub is the table within each [[site]].
const subHub = "site.hub"

func newIndex() *keyIndex {
	x := &keyIndex{tables: map[string]*table{}, keys: map[string]*key{}}
	for i := range tables {
		t := &tables[i]
		x.add(t.name, t)
		if t.name == "site" {
			x.add(subHub, findTable("hub"))
		}
	}
	return x
}

func (x *keyIndex) add(name string, t *table) {
	x.tables[name] = t
	for _, k := range t.keys {
		k.path = name + "." + k.name
		if name == subHub {
			k.sources &= filesOrPolicy // part of a list of tables, which only files can hold
		}
		x.keys[k.path] = &k
		x.paths = append(x.paths, k.path)
	}
}

func findTable(name string) *table {
	for i := range tables {
		if tables[i].name == name {
			return &tables[i]
		}
	}
	return nil
}

// key finds a key of the table by its name alone; it is a mistake in our source if there is none.
func (t *table) key(name string) *key {
	for i := range t.keys {
		if t.keys[i].name == name {
			return &t.keys[i]
		}
	}
	panic("config: [" + t.name + "] has no key " + name)
}

// variable is the name under which the environment sets a key.
func variable(path string) string {
	return "CASTRAY_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// unknown says what is wrong with a path that names no key, and which key may have been meant.
func (x *keyIndex) unknown(path string) string {
	if near := x.nearest(path); near != "" {
		return "unknown key; did you mean " + near + "?"
	}
	return "unknown key"
}

// nearest finds the key whose path differs least, "" if none is near. The same name in another table is near.
func (x *keyIndex) nearest(path string) string {
	best, least := "", 3+len(path)/8
	leaf := path[strings.LastIndexByte(path, '.')+1:]
	farthest := 0
	for _, candidate := range x.paths {
		d := letters(path, candidate)
		far := d
		if strings.HasSuffix(candidate, "."+leaf) {
			d = min(d, 1)
		}
		if d < least || d == least && best != "" && far < farthest {
			best, least, farthest = candidate, d, far
		}
	}
	return best
}

// letters counts the single-letter changes between two words (Levenshtein).
func letters(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// printable is a key's path as an error may show it. A topic pasted where a key belongs must not be repeated, so only
// what looks like a key's name is.
func printable(path []string) string {
	const longest = 24 // a topic or token is longer, a key's name is not
	for _, part := range path {
		if part == "" || len(part) > longest || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return "(not shown)"
		}
	}
	if len(path) > 4 {
		path = path[:4]
	}
	return strings.Join(path, ".")
}
