package fhircast

import (
	"fmt"
	"slices"
	"strings"
)

// Encode is the event as we may send it to a hub of version 3.0.0: see [Dialect.Encode].
func Encode(e *Event) ([]byte, error) { return Dialect{}.Encode(e) }

// Encode is the event as we may send it to the hub. What version 3.0.0 demands of a sender is checked first, and the
// error says what is missing without repeating any of it (FHIRcast 3.0.0, 2.3, 2.10 and 3; requirement groups FC-EVT,
// FC-PRF, FC-CS). Then it is written in the dialect: its name, the shape of updates and selects, the reason of a logout,
// and what a report calls its studies. Updates and selects are taken in every shape and always written anew; apart from
// that, resources stay as they are. The result may be shared: do not change it.
func (d Dialect) Encode(e *Event) ([]byte, error) {
	if err := check(e); err != nil {
		return nil, fmt.Errorf("event not fit to be sent: %w", err)
	}
	edits := []edit{{e.name, quote(d.spell(e.Name))}}
	if context := d.context(e); context != nil {
		edits = append(edits, edit{e.context, context})
	}
	return spliced(e.raw, edits), nil
}

// context is the context of an event in the dialect, nil where it stays as it is.
func (d Dialect) context(e *Event) []byte {
	switch {
	case d.EmptyLogout && (e.Name.Is(UserLogout) || e.Name.Is(UserHibernate)):
		return []byte("[]")
	case e.Name.Verb() == Update:
		return writeArray(d.update(e))
	case e.Name.Verb() == Select:
		return writeArray(d.selection(e))
	}
	item, _ := e.Item("report")
	if resource, _, _ := item.pointer(); resource != "DiagnosticReport" || item.Kind != "resource" {
		return nil
	}
	report := d.report(item.Value)
	if string(report) == string(item.Value) {
		return nil
	}
	var list [][]byte
	for _, other := range e.Context {
		if other.Key == item.Key {
			other.Value = report
		}
		list = append(list, other.write())
	}
	return writeArray(list)
}

// write is the entry as it came.
func (i Item) write() []byte {
	if i.Key == "" {
		return object{{i.Kind, i.Value}}.write()
	}
	return object{{"key", quote(i.Key)}, {i.Kind, i.Value}}.write()
}

// update is the context of an update. 3.0.0 only names the anchor and the patient; before, the anchor was a resource, and
// a patient stood there if something of it was new, which checkCarried sends among the updates.
func (d Dialect) update(e *Event) [][]byte {
	var list [][]byte
	for _, item := range e.Context {
		if item.Key == "updates" {
			item.Value = d.bundle(item.Value)
			list = append(list, item.write())
			continue
		}
		if named := d.named(e, item); named != nil {
			list = append(list, named)
		}
	}
	return list
}

// named is an entry that names a resource, nil where the shape has no place for it.
func (d Dialect) named(e *Event, item Item) []byte {
	resource, id, _ := item.pointer()
	anchor := item.Key == Key(e.Name.Resource())
	switch {
	case d.Content == Shape3 && item.Key == "study" && !anchor && item.Kind == "resource": // it is among the updates
		return nil
	case d.Content == Shape3:
		if item.Kind == "resource" {
			item.Kind, item.Value = "reference", object{{"reference", quote(resource + "/" + id)}}.write()
		}
	case anchor && item.Kind == "reference":
		item.Kind, item.Value = "resource", stub(resource, id)
	case !anchor && item.Kind == "reference":
		return nil
	}
	return item.write()
}

// stub is a resource by its type and id alone.
func stub(resource, id string) []byte {
	return object{{"resourceType", quote(resource)}, {"id", quote(id)}}.write()
}

// bundle is the Bundle of an update: every entry says what is to happen to which resource, in the way of the shape. That
// 2022 adds by POST cannot be told from a PUT here: an app that means such a hub says POST itself.
func (d Dialect) bundle(value []byte) []byte {
	b, _ := readObject(value)
	list, _ := readArray(b.get("entry"))
	var entries [][]byte
	for _, raw := range list {
		entry, _ := readObject(raw)
		in, _ := readEntry(newScanner(raw))
		change, _ := in.change() // all of it was checked
		ref := change.Type + "/" + change.ID
		request, _ := readObject(entry.get("request"))
		method := change.Method
		if d.Content == Shape2022 && strings.EqualFold(in.Method, "POST") {
			method = "POST"
		}
		request = request.set("method", quote(method)).set("url", quote(ref))
		switch {
		case change.Method == "DELETE" && d.Content == Shape2022:
			entry = entry.set("resource", stub(change.Type, change.ID))
		case change.Method == "DELETE":
			entry = entry.without("resource")
			if in.FullURL == "" {
				entry = append(object{{"fullUrl", quote(ref)}}, entry...)
			}
		default:
			if change.Type == "DiagnosticReport" {
				entry = entry.set("resource", d.report(change.Resource))
			}
		}
		entries = append(entries, entry.set("request", request.write()).write())
	}
	return b.set("entry", writeArray(entries)).write()
}

// selection is the context of a selection: in 3.0.0 an entry for each resource, before that one for all.
func (d Dialect) selection(e *Event) [][]byte {
	var list [][]byte
	for _, item := range e.Context {
		if item.Key == "select" || item.Kind == "select" {
			continue
		}
		if named := d.named(e, item); named != nil {
			list = append(list, named)
		}
	}
	selected, _ := e.Selection()
	var stubs [][]byte
	for _, ref := range selected {
		if d.Content == Shape3 {
			list = append(list, Item{Key: "select", Kind: "reference", Value: object{{"reference", quote(ref)}}.write()}.write())
			continue
		}
		resource, id, _ := strings.Cut(ref, "/")
		stubs = append(stubs, stub(resource, id))
	}
	switch d.Content {
	case Shape2024:
		list = append(list, Item{Key: "select", Kind: "resources", Value: writeArray(stubs)}.write())
	case Shape2022:
		list = append(list, Item{Kind: "select", Value: writeArray(stubs)}.write())
	}
	return list
}

// report is a DiagnosticReport with its studies under the name that the hub's version of FHIR has for them: imagingStudy
// in R4, study in R5 (FHIRcast 3.0.0, 3.6.1).
func (d Dialect) report(value []byte) []byte {
	from, to := "study", "imagingStudy"
	if d.R5 {
		from, to = to, from
	}
	o, err := readObject(value)
	if err != nil || o.get(from) == nil || o.get(to) != nil {
		return value
	}
	o[slices.IndexFunc(o, func(m member) bool { return m.name == from })].name = to
	return o.write()
}

// An edit is what takes the place of a part of a text.
type edit struct {
	at   span
	text []byte
}

// spliced is the text with all of the edits. Without a difference it is the text itself.
func spliced(text []byte, edits []edit) []byte {
	edits = slices.DeleteFunc(edits, func(e edit) bool { return string(text[e.at.from:e.at.to]) == string(e.text) })
	if len(edits) == 0 {
		return text
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at.from - b.at.from })
	out := make([]byte, 0, len(text)+256)
	at := 0
	for _, e := range edits {
		out = append(append(out, text[at:e.at.from]...), e.text...)
		at = e.at.to
	}
	return append(out, text[at:]...)
}
