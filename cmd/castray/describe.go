package main

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/castray/castray/ipc/protocol"
)

// describe tells a person what an event is about, in a line with patient data: only for what was asked for on purpose.
func describe(raw json.RawMessage) string {
	var e protocol.Event
	if json.Unmarshal(raw, &e) != nil {
		return "an event that cannot be read"
	}
	return describeEvent(e)
}

func describeEvent(e protocol.Event) string {
	var body struct {
		Name    string `json:"hub.event"`
		Context []struct {
			Key      string          `json:"key"`
			Resource json.RawMessage `json:"resource"`
		} `json:"context"`
	}
	if json.Unmarshal(e.Event, &body) != nil {
		return "an event that cannot be read"
	}
	words := []string{body.Name}
	for _, entry := range body.Context {
		words = append(words, entry.Key+": "+describeResource(entry.Resource))
	}
	return strings.Join(words, "  ") + marks(e.Castray)
}

// describeResource takes the name of a person or the title of a study, or else says only what it is.
func describeResource(raw json.RawMessage) string {
	var r struct {
		ResourceType string `json:"resourceType"`
		ID           string `json:"id"`
		Name         []struct {
			Text   string   `json:"text"`
			Family string   `json:"family"`
			Given  []string `json:"given"`
		} `json:"name"`
		BirthDate   string `json:"birthDate"`
		Description string `json:"description"`
	}
	if json.Unmarshal(raw, &r) != nil {
		return "?"
	}
	words := r.Description
	if len(r.Name) > 0 {
		n := r.Name[0]
		words = cmp.Or(n.Text, strings.TrimSpace(strings.Join(n.Given, " ")+" "+n.Family))
	}
	if words != "" && r.BirthDate != "" {
		words += ", born " + r.BirthDate
	}
	return cmp.Or(words, r.ResourceType+"/"+r.ID)
}

// marks says what is special about an event.
func marks(m *protocol.Mark) string {
	if m == nil {
		return ""
	}
	var words []string
	for _, mark := range []struct {
		word  string
		holds bool
	}{{"replay", m.Replay}, {"snapshot", m.Snapshot}, {"derived", m.Derived}} {
		if mark.holds {
			words = append(words, mark.word)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "  (" + strings.Join(words, ", ") + ")"
}
