package fhircast

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// A Failure is what one issue of a SyncError says: who did not follow which event (FHIRcast 3.0.0, 3.2.1). Members are
// empty where the sender left them out.
type Failure struct {
	EventID     string
	EventName   Name
	Subscriber  string // its subscriber.name
	Diagnostics string // printable, at most 200 characters; untrusted
	TooLong     bool   // the event was larger than its receiver takes (FHIRcast 3.0.0, 2.10)
}

const (
	syncErrorSystem     = "https://fhircast.hl7.org/events/syncerror/"
	processing, tooLong = "processing", "too-long" // codes of an issue
)

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type issue struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics,omitempty"` // FHIR has no empty texts
	Details     struct {
		Coding []coding `json:"coding,omitempty"`
	} `json:"details,omitzero"`
}

type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// Failures reads a SyncError of any version. One that cannot be read is one failure about nobody knows what, never none.
// STU1 has no codings: its SyncError takes the id of the event that failed.
func (e *Event) Failures() []Failure {
	var outcome operationOutcome
	if item, ok := e.Item("operationoutcome"); ok {
		if json.Unmarshal(item.Value, &outcome) != nil {
			outcome.Issue = nil
		}
	}
	var list []Failure
	for _, i := range outcome.Issue {
		f := i.failure()
		if len(i.Details.Coding) == 0 {
			f.EventID = e.ID
		}
		// One event that was too large is told of in two issues.
		about := func(other Failure) bool {
			return other.EventID == f.EventID && other.Subscriber == f.Subscriber && other.TooLong != f.TooLong
		}
		if n := slices.IndexFunc(list, about); n >= 0 {
			list[n].TooLong = true
			continue
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		list = append(list, Failure{})
	}
	return list
}

// failure reads an issue. Its codings are found by their system; versions differ on the one that names the subscriber.
// IHE's IRA finds them by position: that counts where no system is one of FHIRcast's.
func (i issue) failure() Failure {
	f := Failure{Diagnostics: printable(i.Diagnostics), TooLong: i.Code == tooLong}
	name := ""
	fields := map[string]*string{"eventid": &f.EventID, "eventname": &name, "subscriber": &f.Subscriber, "subscribername": &f.Subscriber}
	for _, c := range i.Details.Coding {
		if what, ok := strings.CutPrefix(c.System, syncErrorSystem); ok && fields[what] != nil {
			*fields[what] = c.Code
		}
	}
	if !slices.ContainsFunc(i.Details.Coding, func(c coding) bool { return strings.HasPrefix(c.System, syncErrorSystem) }) {
		for n, what := range []string{"eventid", "eventname", "subscriber"} {
			if n < len(i.Details.Coding) {
				*fields[what] = i.Details.Coding[n].Code
			}
		}
	}
	f.EventName = Name(name)
	return f
}

// NewSyncError is the event that tells a hub of failures, each as a warning with both codings for the subscriber's name,
// and with codings in the order that IHE's IRA reads them by. An event that was too large has two issues: one for those
// who look for the code of any SyncError, one for the code that says so. id and at are the event's own.
func NewSyncError(id string, at time.Time, topic Secret, failures ...Failure) (*Event, error) {
	outcome := operationOutcome{ResourceType: "OperationOutcome"}
	for _, f := range failures {
		i := issue{Severity: "warning", Code: processing, Diagnostics: f.Diagnostics}
		for _, c := range []coding{
			{syncErrorSystem + "eventid", f.EventID},
			{syncErrorSystem + "eventname", string(f.EventName.Canonical())},
			{syncErrorSystem + "subscribername", f.Subscriber},
			{syncErrorSystem + "subscriber", f.Subscriber},
		} {
			if c.Code != "" {
				i.Details.Coding = append(i.Details.Coding, c)
			}
		}
		outcome.Issue = append(outcome.Issue, i)
		if f.TooLong {
			i.Code = tooLong
			outcome.Issue = append(outcome.Issue, i)
		}
	}
	context, err := json.Marshal([]struct {
		Key      string           `json:"key"`
		Resource operationOutcome `json:"resource"`
	}{{"operationoutcome", outcome}})
	if err != nil {
		return nil, err
	}
	return NewEvent(Draft{ID: id, At: at, Topic: topic, Name: SyncError, Context: context})
}
