package config

import "strings"

// checkUnbuilt stops at rules that this version does not enforce, and tells of wishes that it does not fulfil.
func (b *builder) checkUnbuilt() {
	for i := range tables {
		t := &tables[i]
		if t.state == refused && len(b.lists[t.name]) > 0 {
			b.problem(b.lists[t.name][0].from, t.name, "not in this version; take it out, so that nobody relies on it")
		}
		scopes := []scope{{b: b}}
		if t.list {
			scopes = nil
			for j := range b.lists[t.name] {
				scopes = append(scopes, scope{b: b, element: &b.lists[t.name][j]})
			}
		}
		for _, s := range scopes {
			b.checkUnbuiltIn(s, t, t.name)
			if t.name == "site" {
				b.checkUnbuiltIn(s, findTable("hub"), subHub)
			}
		}
	}
}

func (b *builder) checkUnbuiltIn(s scope, t *table, name string) {
	for i := range t.keys {
		path := name + "." + t.keys[i].name
		k := b.index.keys[path]
		found := s.get(path)
		inherited := name == subHub && found.from != s.element.settings[path].from
		if !k.unbuilt(found.value) || inherited { // what is inherited was told once, for [hub]
			continue
		}
		if k.state == refused {
			b.problem(found.from, path, k.asks()+" is not in this version; take it out, so that nobody relies on it")
		} else {
			b.warn(found.from, path, "not in this version, without effect")
		}
	}
}

// asks names what a refused value would have asked for. Values are not repeated, but where the table lists the words
// that are in force, these can be.
func (k *key) asks() string {
	if k.words == nil {
		return "this"
	}
	return `anything but "` + strings.Join(append([]string{k.def}, k.also...), `" or "`) + `"`
}
