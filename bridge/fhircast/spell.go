package fhircast

import (
	"encoding/json"
	"slices"
	"strings"
)

// Spell is how a list of events is written for the hub, as in hub.events: in the hub's own spelling where it is known,
// else in the dialect's. A name of 2019 comes with its other, which says that an open is one again (switch-...). No name
// is there twice.
func (d Dialect) Spell(names []Name) []string {
	var words []string
	add := func(word string) {
		if word != "" && !slices.ContainsFunc(words, func(other string) bool { return strings.EqualFold(word, other) }) {
			words = append(words, word)
		}
	}
	for _, n := range names {
		word := d.spell(n)
		add(word)
		if again, ok := strings.CutPrefix(word, "open-"); ok && d.Names2019 {
			add("switch-" + again)
		}
	}
	return words
}

// spell is one name as the hub wants it. A name that the specification does not know is its owner's, who knows best.
func (d Dialect) spell(n Name) string {
	for _, s := range d.Supported {
		if n.Is(s) {
			return string(s)
		}
	}
	n = n.Canonical()
	if d.Names2019 {
		for _, old := range names2019 {
			if n == old.now {
				return string(old.then)
			}
		}
	}
	if d.Lower && n.standard() {
		return strings.ToLower(string(n))
	}
	return string(n)
}

// EncodeAnswer is an answer as the hub wants it: with the status as a number, as the field table says, or as a text, as
// the printed examples have it. [Decode] reads both.
func (d Dialect) EncodeAnswer(a Answer) []byte {
	if d.StatusText {
		b, _ := json.Marshal(struct {
			ID     string `json:"id"`
			Status int    `json:"status,string"`
		}{a.ID, a.Status})
		return b
	}
	return a.Encode()
}
