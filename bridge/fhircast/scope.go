package fhircast

import (
	"errors"
	"strings"
)

// A Scope is one FHIRcast scope (FHIRcast 3.0.0, 2.2): `fhircast/<event or *>.<read, write or *>`.
type Scope struct {
	Event       Name // "*" means every event
	Read, Write bool
}

const scopePrefix = "fhircast/"

var errScope = errors.New("not a FHIRcast scope")

// ParseScope reads one scope. Anything else, other applications' scopes included, is an error.
func ParseScope(s string) (Scope, error) {
	rest, ok := strings.CutPrefix(s, scopePrefix)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot <= 0 {
		return Scope{}, errScope
	}
	scope := Scope{Event: Name(rest[:dot])}
	if scope.Event != "*" && scope.Event.check() != nil {
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
func (s Scope) Covers(n Name) bool { return s.Event == "*" || s.Event.Is(n) }

// Scopes is what a list of granted scopes allows.
type Scopes []Scope

// ParseScopes picks the FHIRcast scopes out of a token's scopes and leaves the others.
func ParseScopes(words []string) Scopes {
	var list Scopes
	for _, w := range words {
		if s, err := ParseScope(w); err == nil {
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
