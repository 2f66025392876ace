package fhircast

import (
	"slices"
	"strings"
)

// A Name is the name of an event, as the wire spells it. Names compare without regard to case (FHIRcast 3.0.0, 2.3.1), and
// those of 2018 and 2019 are names of the same events: use [Name.Is], never ==.
type Name string

// Events that are not about a resource (FHIRcast 3.0.0, 3.2), and the heartbeat of the ballots before 3.0.0.
const (
	HomeOpen      Name = "Home-open"
	SyncError     Name = "SyncError"
	UserLogout    Name = "UserLogout"
	UserHibernate Name = "UserHibernate"
	Heartbeat     Name = "heartbeat"
)

var infrastructure = []Name{HomeOpen, SyncError, UserLogout, UserHibernate, Heartbeat}

// A Verb is what an event about a resource does. Other events have none.
type Verb string

const (
	Open   Verb = "open"
	Close  Verb = "close"
	Update Verb = "update"
	Select Verb = "select"
)

// anchors are the resources whose usual spelling and context key are not simply each other (FHIRcast 3.0.0, 2.3.1):
// two keys are shorter than the lower-case resource, for they are older than the rule.
var anchors = []struct{ resource, key string }{
	{"Patient", "patient"}, {"Encounter", "encounter"}, {"ImagingStudy", "study"}, {"DiagnosticReport", "report"},
}

// Is tells whether both name the same event, in names of today or of 2019.
func (n Name) Is(other Name) bool {
	if strings.EqualFold(string(n), string(other)) {
		return true
	}
	today, otherToday := n.now(), other.now()
	if today == n && otherToday == other { // neither is old, as nearly always
		return false
	}
	return strings.EqualFold(string(today), string(otherToday))
}

// In tells whether the name is one of names.
func (n Name) In(names []Name) bool {
	for _, other := range names {
		if n.Is(other) {
			return true
		}
	}
	return false
}

// Verb is open, close, update or select for an event about a resource (or Home-open), else "".
func (n Name) Verb() Verb {
	_, verb, ok := strings.Cut(string(n.now()), "-")
	if !ok {
		return ""
	}
	switch v := Verb(strings.ToLower(verb)); v {
	case Open, Close, Update, Select:
		return v
	}
	return ""
}

// Resource is the FHIR resource that the event is about, in FHIR's spelling where it is one of the catalogue, and ""
// for an event that is about none.
func (n Name) Resource() string {
	resource, _, _ := strings.Cut(string(n.now()), "-")
	if n.Verb() == "" || n.Is(HomeOpen) {
		return ""
	}
	for _, a := range anchors {
		if strings.EqualFold(resource, a.resource) {
			return a.resource
		}
	}
	return resource
}

// Canonical is the name as version 3.0.0 spells it, for names that it knows; others stay as they are.
func (n Name) Canonical() Name {
	for _, known := range infrastructure {
		if n.Is(known) {
			return known
		}
	}
	if resource := n.Resource(); resource != "" {
		return Name(resource + "-" + string(n.Verb()))
	}
	return n
}

// standard tells whether the name is one of the specification's, not somebody's own.
func (n Name) standard() bool {
	return n.Resource() != "" || slices.ContainsFunc(infrastructure, n.Is)
}

// Changes tells whether the event changes the context: an open (of a resource or of home) or a close.
func (n Name) Changes() bool { v := n.Verb(); return v == Open || v == Close }

// Key is the context key under which an event carries a resource of this type (FHIRcast 3.0.0, 2.3.1).
func Key(resource string) string {
	for _, a := range anchors {
		if a.resource == resource {
			return a.key
		}
	}
	return strings.ToLower(resource)
}
