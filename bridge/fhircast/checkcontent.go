package fhircast

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkUpdate is for an update, also in a shape of before 3.0.0, for it is written again (FHIRcast 3.0.0, 2.10 and 3.6.3).
// That a resource of the open is not deleted can be told of those that the update itself names.
func (e *Event) checkUpdate() error {
	if e.Version == "" {
		return errors.New("no context.versionId, so nobody knows on what it builds")
	}
	c, err := e.Update()
	if err != nil {
		return err
	}
	updates, _ := e.Item("updates")
	if err := checkTransaction(updates.Value); err != nil {
		return err
	}
	var held []string // of the context
	for _, item := range e.Context {
		if item.Key == "updates" {
			continue
		}
		if err := e.checkNamed(item); err != nil {
			return err
		}
		if resource, id, ok := item.pointer(); ok {
			held = append(held, resource+"/"+id)
		}
	}
	var seen []string
	for _, entry := range c.Entries {
		ref := entry.Type + "/" + entry.ID
		switch {
		case entry.Method == "DELETE" && slices.Contains(held, ref):
			return errors.New("it deletes a resource of the context, which only a close ends")
		case slices.Contains(seen, ref):
			return errors.New("it has the same resource twice")
		case entry.Method == "PUT" && entry.Resource == nil:
			return errors.New("an entry puts a resource that is not there")
		}
		seen = append(seen, ref)
	}
	return checkCarried(e, c)
}

// checkSelect is for a selection, likewise (FHIRcast 3.0.0, 3.6.4).
func (e *Event) checkSelect() error {
	if _, err := e.Selection(); err != nil {
		return err
	}
	for _, item := range e.Context {
		if item.Key == "select" || item.Kind == "select" {
			continue
		}
		if err := e.checkNamed(item); err != nil {
			return err
		}
	}
	return nil
}

// checkNamed is for an entry that only names a resource: the anchor, or the patient.
func (e *Event) checkNamed(item Item) error {
	resource, _, ok := item.pointer()
	switch {
	case !ok:
		return fmt.Errorf("entry %q names no resource by type and id", item.Key)
	case item.Key == Key(e.Name.Resource()):
		return nil // Update and Selection have seen its type
	case item.Key == "patient" && resource != "Patient":
		return errors.New(`entry "patient" names another resource`)
	case item.Key == "patient" || e.Name.Resource() != "DiagnosticReport":
		return nil
	case item.Key == "study" && item.Kind == "resource": // of the 2.1.0 ballot: checkCarried sees to it
		return nil
	}
	return fmt.Errorf("an entry %q does not belong to it", item.Key)
}

// checkCarried refuses a change that only the 2.1.0 ballot could write: attributes of a context's resource in the entry
// that names it. 3.0.0 wants them among the updates, and what is written in its shape would lose them. The anchor of the
// 3.0.0 ballot repeats what is known, so for an anchor nothing is lost.
func checkCarried(e *Event, c Change) error {
	for _, item := range e.Context {
		if item.Kind != "resource" || item.Key == "updates" || item.Key == Key(e.Name.Resource()) {
			continue
		}
		resource, id, _ := item.pointer()
		carried := slices.ContainsFunc(c.Entries, func(entry Entry) bool { return entry.Type == resource && entry.ID == id })
		if o, err := readObject(item.Value); err != nil || len(o) > 2 && !carried {
			return fmt.Errorf("what %q says of its resource belongs among the updates", item.Key)
		}
	}
	return nil
}

// checkTransaction is for what the Bundle of an update must be, and must not have.
func checkTransaction(value []byte) error {
	b, err := readObject(value)
	if err != nil {
		return errUpdates
	}
	if kind, _ := text(b.get("type")); kind != "transaction" || b.get("link") != nil {
		return errors.New(`the Bundle of updates is no "transaction", or has links`)
	}
	list, err := readArray(b.get("entry"))
	if err != nil || len(list) == 0 {
		return errors.New("the Bundle of updates has no entry")
	}
	for _, value := range list {
		if err := checkTransactionEntry(value); err != nil {
			return err
		}
	}
	return nil
}

func checkTransactionEntry(value json.RawMessage) error {
	entry, err := readObject(value)
	if err != nil {
		return errUpdates
	}
	if entry.get("search") != nil || entry.get("response") != nil {
		return errors.New("an entry of the updates has search or response")
	}
	in, err := readEntry(newScanner(value))
	if err != nil {
		return errUpdates
	}
	change, err := in.change()
	if err != nil {
		return err
	}
	ref := change.Type + "/" + change.ID
	switch {
	case in.URL != "" && in.URL != ref && !(strings.EqualFold(in.Method, "POST") && in.URL == change.Type):
		return errors.New("request.url names another resource than its entry")
	case change.Method == "DELETE" && in.FullURL == "" && in.Resource == nil:
		return errors.New("a DELETE has no fullUrl")
	}
	return nil
}
