package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// logoutSystem holds the reasons of UserLogout and UserHibernate.
const logoutSystem = "http://hl7.org/fhir/uv/fhircast/CodeSystem/fhircast-codesystem"

// An item is one entry of a context that we write.
type item struct {
	Key      string          `json:"key"`
	Resource json.RawMessage `json:"resource"`
}

// newEvent is the event that opens or closes a record in the session of that topic, with a fresh id and the time of
// now. A close carries what its open carried (FHIRcast 3.0.0, 3; requirement FC-PRF-02).
func newEvent(topic fhircast.Secret, r *record, verb fhircast.Verb) (*fhircast.Event, error) {
	return event(topic, fhircast.Name(r.kind+"-"+string(verb)), contextOf(r))
}

// contextOf lists what belongs to a record's events: the record itself first, then what it is part of.
func contextOf(r *record) []item {
	entries := []item{{fhircast.Key(r.kind), r.raw}}
	for _, study := range r.studies {
		entries = append(entries, item{fhircast.Key(study.kind), study.raw})
	}
	for _, of := range []*record{r.patient, r.encounter} {
		if of != nil {
			entries = append(entries, item{fhircast.Key(of.kind), of.raw})
		}
	}
	return entries
}

// closing is the close of what an event opened, whoever sent it: what was in its context, under the same ids.
func closing(open *fhircast.Event) (*fhircast.Event, error) {
	entries := []item{}
	for _, i := range open.Context {
		if i.Kind == "resource" {
			entries = append(entries, item{i.Key, i.Value})
		}
	}
	return event(open.Topic, fhircast.Name(open.Name.Resource()+"-"+string(fhircast.Close)), entries)
}

// referenceOf is the resource that an event is about, as "Patient/id"; "" when it names none.
func referenceOf(e *fhircast.Event) string {
	var r struct{ ID string }
	anchor, ok := e.Anchor()
	if !ok || json.Unmarshal(anchor.Value, &r) != nil || r.ID == "" {
		return ""
	}
	return e.Name.Resource() + "/" + r.ID
}

// newHome is the event that leaves every context.
func newHome(topic fhircast.Secret) (*fhircast.Event, error) {
	return event(topic, fhircast.HomeOpen, []item{})
}

// newLogout is the event by which a user who leaves takes everybody along.
func newLogout(topic fhircast.Secret) (*fhircast.Event, error) {
	type parameter struct {
		Name        string `json:"name"`
		ValueCoding coding `json:"valueCoding"`
	}
	raw, err := json.Marshal(struct {
		ResourceType string      `json:"resourceType"`
		Parameter    []parameter `json:"parameter"`
	}{"Parameters", []parameter{{"code", coding{System: logoutSystem, Code: "user-initiated"}}}})
	if err != nil {
		return nil, err
	}
	return event(topic, fhircast.UserLogout, []item{{"parameters", raw}})
}

func event(topic fhircast.Secret, name fhircast.Name, entries []item) (*fhircast.Event, error) {
	raw, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	e, err := fhircast.NewEvent(fhircast.Draft{ID: rand.Text(), At: time.Now(), Topic: topic, Name: name, Context: raw})
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	if _, err := fhircast.Encode(e); err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return e, nil
}
