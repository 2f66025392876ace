package sandbox

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A style is how the values of a search parameter are compared (FHIR R4, 3.1.1.4).
type style int

const (
	byToken     style = iota // code, or system|value, |value, system|, value
	byString                 // begins with, without regard to case and marks
	byReference              // Type/id, id, or an absolute address on this server
	byDate                   // the day, month or year
)

// parameters are what each resource can be searched by. Anything else is refused: an answer that ignores half of the
// question is how the wrong patient comes to the screen.
var parameters = map[string]map[string]style{
	"Patient":          {"_id": byToken, "identifier": byToken, "name": byString, "family": byString, "given": byString, "birthdate": byDate, "gender": byToken},
	"Practitioner":     {"_id": byToken, "identifier": byToken, "name": byString},
	"Encounter":        {"_id": byToken, "identifier": byToken, "patient": byReference, "subject": byReference, "status": byToken},
	"ImagingStudy":     {"_id": byToken, "identifier": byToken, "patient": byReference, "subject": byReference, "encounter": byReference, "status": byToken},
	"DiagnosticReport": {"_id": byToken, "identifier": byToken, "patient": byReference, "subject": byReference, "encounter": byReference, "status": byToken},
}

// A query is a search that was understood.
type query struct {
	kind          string
	tests         []func(*record) bool
	count, offset int
}

const pageSize = 50

// newQuery reads the parameters of a search. Repeated parameters must all match, of values separated by commas one
// (FHIR R4, 3.1.1.4.4). base is the address of this server. The error is a sentence for the caller.
func newQuery(kind, base string, values url.Values) (*query, error) {
	q := &query{kind: kind, count: pageSize}
	for key, list := range values {
		name, modifier, _ := strings.Cut(key, ":")
		for _, value := range list {
			if err := q.add(name, modifier, base, value); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

func (q *query) add(name, modifier, base, value string) error {
	switch name {
	case "_format":
		if !slices.Contains([]string{"json", "application/json", "application/fhir+json"}, value) {
			return fmt.Errorf("_format: this server writes JSON only")
		}
		return nil
	case "_count", "_offset":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%s is not a number", name)
		}
		if name == "_offset" {
			q.offset = n
		} else {
			q.count = min(n, pageSize)
		}
		return nil
	}
	how, known := parameters[q.kind][name]
	if !known {
		return fmt.Errorf("%s cannot be searched by %q", q.kind, name)
	}
	if modifier != "" && (how != byString || modifier != "exact" && modifier != "contains") {
		return fmt.Errorf("the modifier of %s is not supported", name)
	}
	if value == "" {
		return fmt.Errorf("%s has no value", name)
	}
	alternatives := strings.Split(value, ",")
	q.tests = append(q.tests, func(r *record) bool {
		return slices.ContainsFunc(r.index[name], func(have string) bool {
			return slices.ContainsFunc(alternatives, func(want string) bool { return how.match(have, want, modifier, base) })
		})
	})
	return nil
}

func (s style) match(have, want, modifier, base string) bool {
	switch s {
	case byString:
		switch want = fold(want); modifier {
		case "exact":
			return have == want
		case "contains":
			return strings.Contains(have, want)
		}
		return strings.HasPrefix(have, want)
	case byReference:
		want = strings.TrimPrefix(want, base+"/")
		_, id, _ := strings.Cut(have, "/")
		return want == have || want == id
	case byDate:
		want = strings.TrimPrefix(want, "eq")
		return have == want || strings.HasPrefix(have, want+"-")
	}
	return matchToken(have, want)
}

// matchToken compares "system|value" (or a bare code) with what a searcher wrote (FHIR R4, 3.1.1.4.10).
func matchToken(have, want string) bool {
	haveSystem, haveValue, typed := strings.Cut(have, "|")
	if !typed {
		haveSystem, haveValue = "", have
	}
	wantSystem, wantValue, both := strings.Cut(want, "|")
	switch {
	case !both:
		return haveValue == want
	case wantValue == "":
		return haveSystem == wantSystem
	}
	return haveSystem == wantSystem && haveValue == wantValue
}

// run is the page of records that match, and how many match in all.
func (q *query) run(h *hospital) (page []*record, total int) {
	for _, r := range h.kinds[q.kind] {
		if slices.ContainsFunc(q.tests, func(test func(*record) bool) bool { return !test(r) }) {
			continue
		}
		if total >= q.offset && len(page) < q.count {
			page = append(page, r)
		}
		total++
	}
	return page, total
}

// nameParts are the texts by which a name is found: each part, and each word of it.
func nameParts(names []humanName) []string {
	var parts []string
	for _, n := range names {
		for _, part := range append([]string{n.Text, n.Family}, n.Given...) {
			part = fold(part)
			parts = append(parts, part)
			parts = append(parts, strings.FieldsFunc(part, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
		}
	}
	slices.Sort(parts)
	return slices.DeleteFunc(slices.Compact(parts), func(s string) bool { return s == "" })
}

// plain holds the Latin letters with marks of European names; marks that stand alone are dropped by fold.
var plain = strings.NewReplacer("á", "a", "à", "a", "â", "a", "ä", "a", "ã", "a", "å", "a", "ā", "a", "æ", "ae", "ç", "c", "ć", "c", "č", "c",
	"đ", "d", "é", "e", "è", "e", "ê", "e", "ë", "e", "ē", "e", "í", "i", "ì", "i", "î", "i", "ï", "i", "ī", "i", "ł", "l", "ñ", "n", "ń", "n",
	"ó", "o", "ò", "o", "ô", "o", "ö", "o", "õ", "o", "ø", "o", "ō", "o", "œ", "oe", "š", "s", "ś", "s", "ß", "ss", "ú", "u", "ù", "u",
	"û", "u", "ü", "u", "ū", "u", "ý", "y", "ÿ", "y", "ž", "z", "ź", "z", "ż", "z", "’", "'")

// fold is a text as names are compared: lower case, without marks.
func fold(s string) string {
	s = plain.Replace(strings.ToLower(s))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, s)
}
