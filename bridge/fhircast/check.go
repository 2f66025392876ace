package fhircast

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A spec is which entries an open or close of a resource carries (FHIRcast 3.0.0, 3.3 to 3.6).
type spec struct{ required, optional []string }

func (s spec) allows(key string) bool {
	key = strings.ToLower(key)
	return slices.Contains(s.required, key) || slices.Contains(s.optional, key)
}

var catalogue = map[string]spec{
	"Patient":          {required: []string{"patient"}},
	"Encounter":        {required: []string{"encounter", "patient"}},
	"ImagingStudy":     {required: []string{"study"}, optional: []string{"patient", "encounter"}},
	"DiagnosticReport": {required: []string{"report", "patient"}, optional: []string{"study", "encounter"}},
}

// check is what version 3.0.0 demands of who sends an event, as far as the event alone can tell.
func check(e *Event) error {
	switch {
	case e.ID == "":
		return errors.New("no id")
	case !e.Timestamp.Known() || !strings.HasSuffix(e.Timestamp.Raw, "Z"):
		return errors.New("timestamp is not UTC")
	case e.Topic == "":
		return errors.New("no topic")
	}
	if err := e.Name.check(); err != nil {
		return err
	}
	for _, item := range e.Context {
		if err := item.check(); err != nil {
			return err
		}
	}
	switch {
	case e.Name.Is(HomeOpen):
		if len(e.Context) > 0 {
			return errors.New("home has no context")
		}
	case e.Name.Changes():
		return e.checkAnchors()
	case e.Name.Verb() == Update:
		return e.checkUpdate()
	case e.Name.Verb() == Select:
		return e.checkSelect()
	case e.Name.Is(SyncError):
		return e.checkSyncError()
	case e.Name.Is(UserLogout), e.Name.Is(UserHibernate):
		return e.checkReason()
	}
	return nil
}

// check refuses names that only the documentation uses, or nobody may make.
func (n Name) check() error {
	s := string(n)
	switch {
	case s == "" || strings.ContainsAny(s, "* ,\t\r\n"):
		return errors.New("the event name holds a blank, a comma or an asterisk")
	case strings.Contains(s, ".") && strings.Contains(s, "-"):
		return errors.New("an event name in reverse domain notation holds a dash")
	}
	return nil
}

// check is for one entry: a key in lower case, one value named by its type in lower case, in FHIR's JSON (FHIRcast 3.0.0,
// 2.3.1). The two shapes of a selection before 3.0.0 are taken too, for they are written again; and what is under
// "extension" is whatever its makers agreed on.
func (i Item) check() error {
	switch {
	case i.Key == "" && i.Kind == "select" || i.Key == "select" && i.Kind == "resources":
		return nil
	case i.Key == "" || i.Key != strings.ToLower(i.Key):
		return errors.New("a context key is not lower case")
	case i.values == 0:
		return errors.New("a context entry has no value")
	case i.values > 1:
		return errors.New("a context entry has more than one value")
	case i.Kind != strings.ToLower(i.Kind):
		return errors.New("the value of a context entry is not named by a type in lower case")
	case i.Key == "extension":
		return nil
	}
	if err := checkFHIR(i.Value); err != nil {
		return err
	}
	if i.Kind != "resource" {
		return nil
	}
	r, ok := i.Resource()
	if !ok {
		return errors.New("a context entry holds no resource with a type")
	}
	if isResourceType(i.Key) && i.Key != Key(r.Type) {
		return fmt.Errorf("the key %q is the name of another resource than the one that it holds", i.Key)
	}
	return nil
}

// checkAnchors is for an open or close (FHIRcast 3.0.0, 3.3 to 3.6).
func (e *Event) checkAnchors() error {
	anchor, ok := e.Anchor()
	if !ok {
		return errors.New("the resource it is about is not there exactly once")
	}
	if _, err := resourceID(anchor, e.Name.Resource()); err != nil {
		return err
	}
	spec, known := catalogue[e.Name.Resource()]
	for _, key := range spec.required {
		if _, ok := e.Item(key); !ok {
			return fmt.Errorf("no entry %q", key)
		}
	}
	var patient string
	var err error
	if item, ok := e.Item("patient"); ok {
		if patient, err = resourceID(item, "Patient"); err != nil {
			return err
		}
	}
	for _, item := range e.Context {
		subject := subject(item)
		switch {
		case known && !spec.allows(item.Key):
			return fmt.Errorf("an entry %q does not belong to it", item.Key)
		case subject != "" && patient == "":
			return fmt.Errorf("the subject of %q is a patient who is not in the event", item.Key)
		case subject != "" && subject != "Patient/"+patient:
			return fmt.Errorf("the subject of %q is another patient than the one in the event", item.Key)
		case subject == "" && patient != "" && (item.Key == "study" || item.Key == "report"):
			return fmt.Errorf("%q does not name its subject", item.Key)
		}
	}
	return nil
}

// resourceID is the id of the resource in an entry, which must be of that type.
func resourceID(item Item, resource string) (string, error) {
	found, id, ok := item.pointer()
	if item.Kind != "resource" || !ok || found != resource {
		return "", fmt.Errorf("entry %q holds no %s with an id", item.Key, resource)
	}
	return id, nil
}

// subject is the patient that a resource says it is about, as "Patient/id", "" when it says none of that form.
func subject(item Item) string {
	var r struct{ Subject struct{ Reference string } }
	if json.Unmarshal(item.Value, &r) != nil || !strings.HasPrefix(r.Subject.Reference, "Patient/") {
		return ""
	}
	return r.Subject.Reference
}

// checkSyncError is for the OperationOutcome of a SyncError (FHIRcast 3.0.0, 3.2.1).
func (e *Event) checkSyncError() error {
	item, ok := e.Item("operationoutcome")
	var o operationOutcome
	if !ok || len(e.Context) != 1 || item.Kind != "resource" || json.Unmarshal(item.Value, &o) != nil || o.ResourceType != "OperationOutcome" {
		return errors.New("there is not one OperationOutcome")
	}
	for _, i := range o.Issue {
		if i.Code != processing {
			continue
		}
		f := i.failure()
		if f.EventID == "" || f.EventName == "" || f.Subscriber == "" || f.Diagnostics == "" {
			return errors.New("an issue does not say who failed to follow which event, and why")
		}
		return nil
	}
	return errors.New("no issue is about processing")
}

// checkReason is for a logout or a hibernation (FHIRcast 3.0.0, 3.2.2 and 3.2.3).
func (e *Event) checkReason() error {
	item, ok := e.Item("parameters")
	var p struct {
		ResourceType string
		Parameter    []struct {
			Name        string
			ValueCoding coding
		}
	}
	if !ok || len(e.Context) != 1 || item.Kind != "resource" || json.Unmarshal(item.Value, &p) != nil || p.ResourceType != "Parameters" {
		return errors.New("there are no Parameters")
	}
	codes := 0
	for _, one := range p.Parameter {
		if one.Name == "code" && one.ValueCoding.Code != "" {
			codes++
		}
	}
	if codes != 1 {
		return errors.New("there is not one reason")
	}
	return nil
}
