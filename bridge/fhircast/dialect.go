package fhircast

import (
	"fmt"
	"slices"
	"strings"
)

// A Dialect is how one hub wants to be spoken to, and what can be expected of it: plain data, one field for each thing
// in which versions of the specification or known hubs differ. The zero value is version 3.0.0. Nothing that is read
// depends on it, for reading is generous to every version at once.
type Dialect struct {
	// How a message is written.
	Lower       bool   // event names in lower case, as was usual up to the 2022 ballot
	Names2019   bool   // event names of before STU1, as open-patient-chart
	Supported   []Name // eventsSupported of the hub's discovery document: its spelling goes before both of these
	Content     Shape  // of updates and selects
	EmptyLogout bool   // UserLogout and UserHibernate carry no reason
	R5          bool   // resources are FHIR R5, by the discovery document's fhirVersion: a report has "study", not "imagingStudy"
	StatusText  bool   // the status of an answer as a text, as all printed examples have it

	// How a hub is asked.
	FHIRMedia         bool // what is posted is application/fhir+json
	PublishToTopic    bool // events are posted to hub.url/topic, as older examples print it
	TopicURL          bool // the topic is an absolute URL, to which events are posted and from which the context is read
	NoChannelType     bool // hub.channel.type is left out of subscribe and unsubscribe
	JSONSubscribe     bool // subscribe and unsubscribe have a body of JSON
	UnsubscribeEvents bool // hub.events is sent with unsubscribe too
	LegacyNames       bool // the token response says cast-hub and cast-session
	OneScope          bool // the only scope is "fhircast"
	SuffixScopes      bool // a scope may name Patient-* or *-open

	// What a hub has and does.
	NoDiscovery    bool // there is no discovery document
	NoSocket       bool // there is no channel but the callback
	RebaseEndpoint bool // the socket is at the hub's own host, whatever host the answer names
	BearerOnSocket bool // the socket wants the access token
	GetContext     bool // the current context can be read, advertised or not
	Heartbeat      bool // heartbeats come to those who subscribe to them, advertised or not
}

// A Shape is how a version writes updates and selects (FHIRcast 3.0.0, 3.6.3 and 3.6.4).
type Shape int

const (
	Shape3    Shape = iota // of 3.0.0: the anchor and what is selected are references
	Shape2024              // of the 3.0.0 ballot: the anchor is a resource, and so is each of the "resources" of a select
	Shape2022              // of the 2.1.0 ballot: as 2024, but there is POST too, a DELETE has a resource, and "select" stands in place of a key
)

// DialectOf is what a version prescribes. Version is what a discovery document calls fhircastVersion: "STU1" to "STU3" in
// older ones, later the number of the guide, also of a ballot. For a version that is not known it is 3.0.0. "STU3" is
// 3.0.0 too: two ballots print it, and so does a hub in use today that speaks as 3.0.0 does.
func DialectOf(version string) Dialect {
	version = strings.ToLower(strings.TrimSpace(version))
	for _, v := range versions {
		if slices.Contains(v.words, version) {
			return v.dialect
		}
	}
	return Dialect{}
}

// A Quirk is a deviation of hubs, by the name under which a configuration switches it on. Help is one sentence.
type Quirk struct{ Name, Help string }

// Quirks is every quirk that there is, in the order in which to print them.
func Quirks() []Quirk {
	var list []Quirk
	for _, v := range versions {
		list = append(list, Quirk{versionPrefix + v.words[0], v.help})
	}
	for _, q := range quirks {
		list = append(list, q.Quirk)
	}
	return list
}

const versionPrefix = "version-"

// With is the dialect with quirks on top. One that names a version takes the place of the version so far, since it is
// configured for a hub that announces none, or the wrong one. The error names what is no quirk, or a second version.
func (d Dialect) With(names []string) (Dialect, error) {
	var version string
	for _, name := range names {
		word, ok := strings.CutPrefix(name, versionPrefix)
		if !ok {
			continue
		}
		if version != "" && version != word {
			return Dialect{}, fmt.Errorf("quirk %q: a hub has one version, and this is the second", name)
		}
		version = word
	}
	for _, v := range versions {
		if v.words[0] == version {
			v.dialect.Supported = d.Supported
			d = v.dialect
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(quirks, func(q quirk) bool { return q.Name == name })
		switch {
		case i >= 0:
			quirks[i].on(&d)
		case !slices.ContainsFunc(Quirks(), func(q Quirk) bool { return q.Name == name }):
			return Dialect{}, fmt.Errorf("quirk %q: there is none of that name", name)
		}
	}
	return d, nil
}
