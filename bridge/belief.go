package bridge

import (
	"slices"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// named is what an event or a belief names: an identity per context key.
type named struct {
	anchor string // the key of what the event itself is about
	by     map[string]identity
}

type clinicalKey struct{ key, resource string }

// clinical are the keys that apps can be brought to, most specific first.
var clinical = []clinicalKey{
	{"report", "DiagnosticReport"}, {"study", "ImagingStudy"}, {"encounter", "Encounter"}, {"patient", "Patient"},
}

// name reads what an open or close names. It fails when what the event is about is not there exactly once, or cannot be
// read: then nobody may act on it (S3).
func name(e *fhircast.Event) (named, bool) {
	n := named{by: make(map[string]identity)}
	resource := e.Name.Resource()
	if resource == "" {
		return n, e.Name.Is(fhircast.HomeOpen)
	}
	n.anchor = fhircast.Key(resource)
	item, ok := e.Anchor()
	if !ok {
		return n, false
	}
	who, ok := identify(item)
	if !ok || !strings.EqualFold(who.resource, resource) || who.blank() { // a name may be in any case, a resource not
		return n, false
	}
	n.by[n.anchor] = who
	for _, c := range clinical {
		if c.key == n.anchor {
			continue
		}
		if item, ok := e.Item(c.key); ok {
			if who, ok := identify(item); ok && who.resource == c.resource && !who.blank() {
				n.by[c.key] = who
			}
		}
	}
	return n, true
}

// compareKey compares one key of two; what only one of them has is unclear.
func (n named) compareKey(key string, m named) verdict {
	a, ok := n.by[key]
	b, also := m.by[key]
	if !ok || !also {
		return unclear
	}
	return compare(a, b)
}

// is tells whether both are surely the same context: the same resource, and not in another study, encounter or patient;
// or nothing.
func (n named) is(m named) bool {
	if n.anchor == "" || m.anchor == "" {
		return n.anchor == m.anchor
	}
	return n.anchor == m.anchor && n.compareKey(m.anchor, m) == same && !n.conflicts(m, func(string) bool { return true })
}

// conflicts tells whether both name something that is surely not the same, of the resources that count or the patient.
func (n named) conflicts(m named, counts func(resource string) bool) bool {
	return slices.ContainsFunc(clinical, func(c clinicalKey) bool {
		return (counts(c.resource) || c.key == "patient") && n.compareKey(c.key, m) == different
	})
}

// differs tells whether both are surely not the same context.
func (n named) differs(m named) bool {
	return n.anchor != m.anchor || n.anchor != "" && (n.compareKey(m.anchor, m) == different || n.compareKey("patient", m) == different)
}

// samePatient is true only where both surely name one patient.
func (n named) samePatient(m named) bool { return n.compareKey("patient", m) == same }

// specific is the most specific key of n that asks accepts.
func (n named) specific(asks func(resource string) bool) (key string, ok bool) {
	if own, there := n.by[n.anchor]; there && asks(own.resource) {
		return n.anchor, true
	}
	for _, c := range clinical {
		if _, there := n.by[c.key]; there && asks(c.resource) {
			return c.key, true
		}
	}
	return "", false
}

// A belief is what an app was last told.
type belief struct {
	known bool  // false: nobody can say, as at hello
	sure  bool  // the app said that it follows, or cannot say
	what  named // nothing, when the app was last told that no patient is current
}

var noPatient = belief{known: true}

func (b belief) empty() bool { return b.known && len(b.what.by) == 0 }

// names tells whether the belief surely holds the anchor of a close.
func (b belief) names(closed named) bool {
	return b.known && b.what.compareKey(closed.anchor, closed) == same
}

// agrees is the rule of DESIGN 1: for the most specific anchor that the app asks for and the context names, the belief is
// that resource, and nothing else that it asks for is another one; where there is none, it is empty or of the same patient;
// where nothing is current, it is empty.
func (b belief) agrees(current named, asks func(resource string) bool, asksAny bool) bool {
	if !asksAny {
		return true
	}
	if !b.known {
		return false
	}
	if len(current.by) == 0 {
		return b.empty()
	}
	if b.what.is(current) {
		return true
	}
	if key, ok := current.specific(asks); ok {
		return b.what.compareKey(key, current) == same && !b.what.conflicts(current, asks)
	}
	return b.empty() || b.what.samePatient(current)
}
