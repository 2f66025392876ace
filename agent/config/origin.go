package config

import "fmt"

// An Origin is the value of one key and where it was said, for `castray config show --origin`.
type Origin struct {
	Key   string `json:"key"`   // "hub.url"; in a list of tables "site[0].fhir_url"
	Value string `json:"value"` // as a file would say it; secrets show as "[secret]"
	From  string `json:"from"`  // "FILE:LINE:COLUMN", "policy FILE:LINE:COLUMN", "CASTRAY_HUB_URL", "flag", "preset" or "default"
}

// Origins lists every key in the order of the reference; of a [site.hub] only what it, or a preset that
// it names, sets itself.
func (c *Config) Origins() []Origin { return append([]Origin(nil), c.origins...) }

func (b *builder) listOrigins() {
	for i := range tables {
		t := &tables[i]
		if !t.list {
			for _, k := range t.keys {
				path := t.name + "." + k.name
				b.origin(path, path, scope{b: b}.get(path))
			}
			continue
		}
		for j := range b.lists[t.name] {
			b.elementOrigins(t, j)
		}
	}
}

func (b *builder) elementOrigins(t *table, j int) {
	e := &b.lists[t.name][j]
	s := scope{b: b, element: e}
	for _, k := range t.keys {
		b.origin(fmt.Sprintf("%s[%d].%s", t.name, j, k.name), t.name+"."+k.name, s.get(t.name+"."+k.name))
	}
	if t.name != "site" {
		return
	}
	for _, k := range findTable("hub").keys {
		path := subHub + "." + k.name
		_, said := e.settings[path]
		if said || e.settings[subHub+".preset"].value != nil && s.get(path).level == byPreset {
			b.origin(fmt.Sprintf("site[%d].hub.%s", j, k.name), path, s.get(path))
		}
	}
}

func (b *builder) origin(shown, path string, s setting) {
	from := s.from
	if s.level == byPolicy {
		from = "policy " + from
	}
	b.out.origins = append(b.out.origins, Origin{shown, b.index.keys[path].show(s.value), from})
}
