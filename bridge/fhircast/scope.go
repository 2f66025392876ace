package fhircast

import (
	"errors"
	"strings"
)

// A Scope is one FHIRcast scope (FHIRcast 3.0.0, 2.2): `fhircast/<event or *>.<read, write or *>`.
type Scope struct {
	Event       Name // "*" means every event; see [Dialect.ParseScope] for Patient-* and *-open
	Read, Write bool
}

const (
	oneScope    = "fhircast"
	scopePrefix = oneScope + "/"
)

var errScope = errors.New("not a FHIRcast scope")

// ParseScope reads one scope of 3.0.0. Anything else, other applications' scopes included, is an error.
func ParseScope(s string) (Scope, error) { return Dialect{}.ParseScope(s) }

// ParseScope reads one scope in the dialect: of a hub of 2019 also the only one there was, which allows everything, and
// of STU1 to the 2022 ballot also those of all events about a resource (Patient-*) or of one kind (*-open).
func (d Dialect) ParseScope(s string) (Scope, error) {
	if d.OneScope && s == oneScope {
		return Scope{Event: "*", Read: true, Write: true}, nil
	}
	rest, ok := strings.CutPrefix(s, scopePrefix)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot <= 0 {
		return Scope{}, errScope
	}
	scope := Scope{Event: Name(rest[:dot])}
	name := scope.Event
	if resource, verb, ok := strings.Cut(string(name), "-"); ok && d.SuffixScopes && (resource == "*") != (verb == "*") {
		name = Name(strings.Replace(string(name), "*", "x", 1))
	}
	if name != "*" && name.check() != nil {
		return Scope{}, errScope
	}
	switch rest[dot+1:] {
	case "read":
		scope.Read = true
	case "write":
		scope.Write = true
	case "*":
		scope.Read, scope.Write = true, true
	default:
		return Scope{}, errScope
	}
	return scope, nil
}

func (s Scope) String() string {
	may := "read"
	switch {
	case s.Read && s.Write:
		may = "*"
	case s.Write:
		may = "write"
	}
	return scopePrefix + string(s.Event) + "." + may
}

// Covers tells whether the scope is about that event. Names compare without regard to case.
func (s Scope) Covers(n Name) bool {
	resource, verb, _ := strings.Cut(string(s.Event), "-")
	switch {
	case s.Event == "*" || s.Event.Is(n):
		return true
	case verb == "*":
		return n.Resource() != "" && strings.EqualFold(resource, n.Resource())
	case resource == "*":
		return n.Verb() != "" && strings.EqualFold(verb, string(n.Verb()))
	}
	return false
}

// Scopes is what a list of granted scopes allows.
type Scopes []Scope

// ParseScopes picks the FHIRcast scopes of 3.0.0 out of a token's scopes and leaves the others.
func ParseScopes(words []string) Scopes { return Dialect{}.ParseScopes(words) }

// ParseScopes picks the FHIRcast scopes out of a token's scopes, as [Dialect.ParseScope] reads them.
func (d Dialect) ParseScopes(words []string) Scopes {
	var list Scopes
	for _, w := range words {
		if s, err := d.ParseScope(w); err == nil {
			list = append(list, s)
		}
	}
	return list
}

// Read tells whether events of that name may be received.
func (l Scopes) Read(n Name) bool {
	for _, s := range l {
		if s.Read && s.Covers(n) {
			return true
		}
	}
	return false
}

// Write tells whether events of that name may be requested.
func (l Scopes) Write(n Name) bool {
	for _, s := range l {
		if s.Write && s.Covers(n) {
			return true
		}
	}
	return false
}
