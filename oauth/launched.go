package oauth

import (
	"encoding/json"
	"slices"
	"strings"
)

// Launch is the launch context (SMART 2.2, scopes and launch context). What a
// server mistyped is left out; unknown values, such as an intent that nobody
// has heard of, mean what none means.
type Launch struct {
	Patient, Encounter Secret // ids
	Intent, Tenant     Secret
	StyleURL           Secret // of smart_style_url; nothing here fetches it
	// Banner, if BannerSaid, is need_patient_banner: whether an app has to show
	// who the patient is. It is a hint for apps.
	Banner, BannerSaid bool
	Items              []LaunchItem // fhirContext, and resources under their own names
	// Extra holds every other member of the token response as raw JSON.
	Extra map[string]Secret
}

// LaunchItem is one resource of the launch context. At least one of Reference,
// Canonical and Identifier (raw JSON) is there. Role is "launch" unless the
// server said another one.
type LaunchItem struct {
	Reference, Canonical, Identifier Secret
	Type, Role                       string
}

// ownNames are resources that stand in a token response under their own names
// in lower case, as `imagingstudy: "789"` does in FHIRcast's example of a
// launch.
var ownNames = map[string]string{"imagingstudy": "ImagingStudy", "diagnosticreport": "DiagnosticReport"}

// launchOf takes the launch context out of a token response, and what is then
// left of it as extra. odd names the members that were not used, or not whole.
func launchOf(m map[string]json.RawMessage) (l Launch, odd []string) {
	take := func(name string) json.RawMessage {
		raw := m[name]
		delete(m, name)
		if string(raw) == "null" {
			return nil
		}
		return raw
	}
	word := func(name string) Secret {
		raw := take(name)
		s := text(raw)
		if raw != nil && s == "" {
			odd = append(odd, name)
		}
		return NewSecret(s)
	}
	l.Patient, l.Encounter = word("patient"), word("encounter")
	l.Intent, l.Tenant, l.StyleURL = word("intent"), word("tenant"), word("smart_style_url")
	if raw := take("need_patient_banner"); raw != nil {
		if l.Banner, l.BannerSaid = truth(raw); !l.BannerSaid {
			odd = append(odd, "need_patient_banner")
		}
	}
	if raw := take("fhirContext"); raw != nil {
		var whole bool
		if l.Items, whole = launchItems(raw); !whole {
			odd = append(odd, "fhirContext")
		}
	}
	for name, kind := range ownNames {
		if id := word(name).Reveal(); id != "" {
			if !strings.Contains(id, "/") {
				id = kind + "/" + id
			}
			l.Items = append(l.Items, LaunchItem{Reference: NewSecret(id), Type: kind, Role: "launch"})
		}
	}
	l.Extra = secrets(m)
	slices.Sort(odd)
	return l, odd
}

// truth reads a boolean, also one that was sent as a string.
func truth(raw json.RawMessage) (value, said bool) {
	switch strings.Trim(string(raw), `"`) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// launchItems reads fhirContext. An item that is not valid costs that item.
func launchItems(raw json.RawMessage) (items []LaunchItem, whole bool) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	for _, raw := range list {
		if item, ok := launchItem(raw); ok {
			items = append(items, item)
		}
	}
	return items, len(items) == len(list)
}

func launchItem(raw json.RawMessage) (LaunchItem, bool) {
	var reference string
	var object struct {
		Reference, Canonical, Type, Role *string
		Identifier                       json.RawMessage
	}
	if json.Unmarshal(raw, &reference) == nil { // as SMART 2.0 has it
		object.Reference = &reference
	} else if json.Unmarshal(raw, &object) != nil {
		return LaunchItem{}, false
	}
	or := func(s *string, otherwise string) string {
		if s == nil {
			return otherwise
		}
		return *s
	}
	i := LaunchItem{Reference: NewSecret(or(object.Reference, "")), Canonical: NewSecret(or(object.Canonical, "")),
		Type: or(object.Type, ""), Role: or(object.Role, "launch")}
	if strings.HasPrefix(string(object.Identifier), "{") {
		i.Identifier = NewSecret(string(object.Identifier))
	}
	kind := i.Type
	if parts := strings.Split(i.Reference.Reveal(), "/"); kind == "" && len(parts) > 1 {
		kind = parts[len(parts)-2]
	}
	switch {
	case i.Reference.IsZero() && i.Canonical.IsZero() && i.Identifier.IsZero(), i.Role == "":
		return LaunchItem{}, false
	case i.Role == "launch" && (kind == "Patient" || kind == "Encounter"): // they have members of their own
		return LaunchItem{}, false
	}
	return i, true
}
