package config

import (
	"fmt"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// A preset is a set of values of [hub] under one name. It is stronger than the defaults and weaker than anything that
// somebody wrote.
type preset struct {
	name, help string
	values     []presetValue
}

// A presetValue is written as for a flag.
type presetValue struct{ key, value, why string }

// presets is every preset, "" apart.
var presets = []preset{
	{name: "ihe-ira", help: "For a hub of IHE Radiology, Integrated Reporting Applications (IRA): reports are the anchor, and what is found is shared as content.",
		values: []presetValue{
			{"name", "Castray on {host} ({run})", "A name is required there, and has to be unique in the session: `{run}` is another one in every run of Castray."},
			{"events", strings.Join(iraEvents, ",") + ",Patient-open,Patient-close,Encounter-open,Encounter-close,ImagingStudy-open,ImagingStudy-close," +
				"Home-open,UserLogout,UserHibernate",
				"The first five are required there (RAD-146). The others are allowed, and who did not hear of a logout or of another patient would show a wrong one."},
			{"send", "DiagnosticReport-open,DiagnosticReport-close,DiagnosticReport-update,DiagnosticReport-select",
				"RAD-148 to RAD-151. SyncError (RAD-156) is ours to send."},
			{"quirks", "get-context,fhir-r5", "Every hub of IRA gives the current context (RAD-153) and has resources of FHIR R5, whether it says so or not."},
		}},
}

// iraEvents are those that RAD-146 requires a Subscriber to ask for.
var iraEvents = []string{"DiagnosticReport-open", "DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select", "SyncError"}

func findPreset(name string) *preset {
	for i := range presets {
		if presets[i].name == name {
			return &presets[i]
		}
	}
	return nil
}

func presetNames() []string {
	names := []string{""}
	for _, p := range presets {
		names = append(names, p.name)
	}
	return names
}

// setting is what the preset says of a key of [hub].
func (p *preset) setting(k *key) (setting, bool) {
	for _, v := range p.values {
		if v.key == k.name {
			value, err := k.parse(v.value)
			if err != nil {
				panic("config: preset " + p.name + ", " + k.name + ": " + err.Error())
			}
			return setting{value: value, level: byPreset, from: fromPreset}, true
		}
	}
	return setting{}, false
}

// fromPreset is what an Origin says of a preset's value.
const fromPreset = "preset"

// checkPreset tells what the preset needs and a key of one's own has taken away.
func (b *builder) checkPreset(s scope, at string, h Hub) {
	if s.text(at+"preset") != "ihe-ira" {
		return
	}
	if strings.TrimSpace(h.SubscriberName("x", "x", "x")) == "" {
		b.problem(s.where(at+"name"), at+"name", `preset "ihe-ira" needs a name that is not empty (RAD-146)`)
	} else if !strings.Contains(h.Name, "{") {
		b.warn(s.where(at+"name"), at+"name", `preset "ihe-ira" needs a name that nobody else in the session has (RAD-146); {host}, {user} or {run} makes it so`)
	}
	for _, entry := range iraEvents {
		if n := fhircast.Name(entry); !n.Is(fhircast.SyncError) && !n.In(h.Events) {
			b.warn(s.where(at+"events"), at+"events", fmt.Sprintf(`preset "ihe-ira" needs %s among them (RAD-146)`, n))
		}
	}
}

func quirkNames() []string {
	var names []string
	for _, q := range fhircast.Quirks() {
		names = append(names, q.Name)
	}
	return names
}
