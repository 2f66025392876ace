package config

// A setting is one value and where it was said.
type setting struct {
	value any
	level level
	from  string // "castray.toml:3:1", "CASTRAY_HUB_URL"
}

// A level is the strength of a source.
type level int

const (
	byDefault level = iota
	byPreset
	byMachine
	byUser
	byEnv
	byFlag
	byPolicy
)

// An element is one table of a list of tables.
type element struct {
	from     string
	settings map[string]setting // by path, "site.name"
}

// A document is what one source says.
type document struct {
	level    level
	settings map[string]setting   // by path, "hub.url"
	lists    map[string][]element // by table, "site"
	secret   bool                 // a value in it opens doors
	problems []string
}

func newDocument(l level) *document {
	return &document{level: l, settings: map[string]setting{}, lists: map[string][]element{}}
}

func (d *document) problem(from, what string) {
	d.problems = append(d.problems, from+": "+what)
}

// set checks a value and keeps it.
func (d *document) set(into map[string]setting, k *key, from string, value any) {
	if err := k.verify(value); err != nil {
		d.problem(from, k.path+": "+err.Error())
		return
	}
	d.secret = d.secret || k.secret && value != ""
	into[k.path] = setting{value, d.level, from}
}
