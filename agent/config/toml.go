package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A reader turns the TOML of one file into a document. The library checks the file as a whole; its tree of nodes then
// gives each key's place, which a decoded map would not.
type reader struct {
	*document
	index  *keyIndex
	name   string // the file
	folder string
	parser unstable.Parser
	skip   bool // inside a table that was complained about
}

// readTOML reads a file's content. It does no I/O.
func readTOML(index *keyIndex, l level, name string, data []byte) *document {
	r := &reader{document: newDocument(l), index: index, name: name, folder: filepath.Dir(name)}
	if what := notText(data); what != "" {
		r.problem(name, what)
		return r.document
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // Notepad and PowerShell put it there
	data = data[:len(data):len(data)]                     // the library computes places from capacities
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		r.problem(r.syntax(err))
		return r.document
	}
	r.parser.Reset(data)
	var table []string
	for r.parser.NextExpression() {
		switch node := r.parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, _ = r.path(nil, node)
			r.header(table, node)
		case unstable.KeyValue:
			if !r.skip {
				path, from := r.path(table, node)
				r.assign(path, from, node.Value())
			}
		}
	}
	return r.document
}

// notText says what to do about a file that another encoding has made unreadable.
func notText(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "is saved as UTF-16; save it as UTF-8"
	case !utf8.Valid(data):
		return "is not UTF-8; save it as UTF-8"
	}
	return ""
}

// path is the full name of what a node defines, and the place of that name.
func (r *reader) path(table []string, node *unstable.Node) (path []string, from string) {
	path = append(path, table...)
	for it := node.Key(); it.Next(); {
		if from == "" {
			from = r.place(it.Node())
		}
		path = append(path, string(it.Node().Data))
	}
	return path, from
}

func (r *reader) place(node *unstable.Node) string {
	start := r.parser.Shape(node.Raw).Start
	return fmt.Sprintf("%s:%d:%d", r.name, start.Line, start.Column)
}

// header enters [table] or [[table]].
func (r *reader) header(path []string, node *unstable.Node) {
	it := node.Key()
	it.Next()
	from := r.place(it.Node())
	name := strings.Join(path, ".")
	t := r.index.tables[name]
	r.skip = true
	switch {
	case t == nil && r.index.keys[name] != nil:
		r.problem(from, name+": is a key, not a table")
	case t == nil:
		r.problem(from, printable(path)+": unknown table; there are "+join(tableNames(), "and"))
	case t.list && node.Kind == unstable.Table:
		r.problem(from, fmt.Sprintf("%s: there may be several, so write [[%[1]s]]", name))
	case !t.list && node.Kind == unstable.ArrayTable:
		r.problem(from, fmt.Sprintf("%s: there is only one, so write [%[1]s]", name))
	case t.list:
		r.lists[name] = append(r.lists[name], element{from, map[string]setting{}})
		r.skip = false
	default:
		r.skip = r.settingsFor(path[0], from) == nil
	}
}

func tableNames() []string {
	var names []string
	for _, t := range tables {
		if t.list {
			names = append(names, "[["+t.name+"]]")
		} else {
			names = append(names, "["+t.name+"]")
		}
	}
	return names
}

// settingsFor is where keys of a table go: in a list of tables, its latest element.
func (r *reader) settingsFor(table, from string) map[string]setting {
	if t := r.index.tables[table]; t == nil || !t.list {
		return r.settings
	}
	elements := r.lists[table]
	if len(elements) == 0 {
		r.problem(from, fmt.Sprintf("%s: there may be several, so write [[%[1]s]] first", table))
		return nil
	}
	return elements[len(elements)-1].settings
}

// assign takes a key and its value; tables may also be written inline.
func (r *reader) assign(path []string, from string, value *unstable.Node) {
	name := strings.Join(path, ".")
	t, k := r.index.tables[name], r.index.keys[name]
	switch {
	case t != nil && t.list && value.Kind == unstable.Array:
		r.inlineList(path, from, value)
	case t != nil && t.list:
		r.problem(from, fmt.Sprintf("%s: there may be several, so write [[%[1]s]]", name))
	case t != nil && value.Kind == unstable.InlineTable:
		r.inlineTable(path, value)
	case t != nil:
		r.problem(from, fmt.Sprintf("%s: is a table, so write [%[1]s]", name))
	case k == nil:
		r.problem(from, printable(path)+": "+r.index.unknown(name))
	default:
		r.take(k, from, value)
	}
}

func (r *reader) inlineTable(path []string, value *unstable.Node) {
	for it := value.Children(); it.Next(); {
		inner, from := r.path(path, it.Node())
		r.assign(inner, from, it.Node().Value())
	}
}

func (r *reader) inlineList(path []string, from string, value *unstable.Node) {
	r.lists[path[0]] = []element{} // an empty list is a list: a policy may say that there is no site
	for it := value.Children(); it.Next(); {
		if it.Node().Kind != unstable.InlineTable {
			r.problem(from, fmt.Sprintf("%s: is a list of tables, so write [[%[1]s]]", path[0]))
			return
		}
		r.lists[path[0]] = append(r.lists[path[0]], element{from, map[string]setting{}})
		r.inlineTable(path, it.Node())
	}
}

// take checks the value of a known key and keeps it.
func (r *reader) take(k *key, from string, node *unstable.Node) {
	if r.level == byPolicy && k.sources&fromPolicy == 0 {
		r.problem(from, k.path+": may not come from policy, which everybody can read")
		return
	}
	into := r.settingsFor(strings.SplitN(k.path, ".", 2)[0], from)
	if into == nil {
		return
	}
	value, err := k.accept(raw(node))
	if err != nil {
		r.problem(from, k.path+": "+err.Error())
		return
	}
	r.set(into, k, from, k.under(r.folder, value))
}

// raw is a node as key.accept wants it.
func raw(node *unstable.Node) any {
	switch node.Kind {
	case unstable.String:
		return string(node.Data)
	case unstable.Bool:
		return string(node.Data) == "true"
	case unstable.Integer:
		if n, err := strconv.ParseInt(string(node.Data), 0, 64); err == nil {
			return n
		}
	case unstable.Array:
		entries := []string{}
		for it := node.Children(); it.Next(); {
			if it.Node().Kind != unstable.String {
				return nil
			}
			entries = append(entries, string(it.Node().Data))
		}
		return entries
	}
	return nil
}

// syntax says where a file stops being TOML. The library's text may hold what stands there, so only texts that do not
// are passed on.
func (r *reader) syntax(err error) (from, what string) {
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return r.name, "is not TOML"
	}
	line, column := de.Position()
	from = fmt.Sprintf("%s:%d:%d", r.name, line, column)
	message := strings.TrimPrefix(de.Error(), "toml: ")
	switch {
	case strings.Contains(message, "already"):
		return from, printable(de.Key()) + ": is there twice, or both as [table] and [[table]]"
	case strings.Contains(message, "escape"):
		return from, `in double quotes a backslash starts an escape; write a Windows path in single quotes`
	case strings.Contains(message, "expected keyword"), strings.Contains(message, "start of value"), strings.Contains(message, "must be quoted"):
		return from, `is no value; a text needs quotes`
	case strings.Contains(message, "parsing"):
		return from, "is no number"
	}
	return from, message
}
