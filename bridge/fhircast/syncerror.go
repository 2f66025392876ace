package fhircast

import (
	"encoding/json"
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
}

const syncErrorSystem = "https://fhircast.hl7.org/events/syncerror/"

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type issue struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics"`
	Details     struct {
		Coding []coding `json:"coding"`
	} `json:"details"`
}

type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// Failures reads a SyncError. A SyncError that cannot be read is one failure about nobody knows what, never none.
// Codings are found by their system, never by position; versions differ on the one that names the subscriber.
func (e *Event) Failures() []Failure {
	var outcome operationOutcome
	if item, ok := e.Item("operationoutcome"); ok {
		if json.Unmarshal(item.Value, &outcome) != nil {
			outcome.Issue = nil
		}
	}
	var list []Failure
	for _, i := range outcome.Issue {
		f := Failure{Diagnostics: printable(i.Diagnostics)}
		for _, c := range i.Details.Coding {
			switch what, _ := strings.CutPrefix(c.System, syncErrorSystem); what {
			case "eventid":
				f.EventID = c.Code
			case "eventname":
				f.EventName = Name(c.Code)
			case "subscriber", "subscribername":
				f.Subscriber = c.Code
			}
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		list = append(list, Failure{})
	}
	return list
}

// NewSyncError is the event that tells a hub of failures, each as a warning with both codings for the subscriber's name.
// id and at are the event's own.
func NewSyncError(id string, at time.Time, topic Secret, failures ...Failure) (*Event, error) {
	outcome := operationOutcome{ResourceType: "OperationOutcome"}
	for _, f := range failures {
		i := issue{Severity: "warning", Code: "processing", Diagnostics: f.Diagnostics}
		i.Details.Coding = []coding{
			{syncErrorSystem + "eventid", f.EventID},
			{syncErrorSystem + "eventname", string(f.EventName.Canonical())},
			{syncErrorSystem + "subscribername", f.Subscriber},
			{syncErrorSystem + "subscriber", f.Subscriber},
		}
		outcome.Issue = append(outcome.Issue, i)
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
