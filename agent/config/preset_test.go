package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/bridge/fhircast"
)

// RAD-146: the five events are asked for, and the name is neither empty nor that of another run.
func TestThePresetOfIRASetsWhatItRequires(t *testing.T) {
	h := mustLoad(t, Sources{File: save(t, "castray.toml", "[hub]\nurl = \"https://hub.example.org\"\ntopic = \"t\"\npreset = \"ihe-ira\"\n")}).Hub
	for _, n := range []fhircast.Name{"diagnosticreport-open", "diagnosticreport-close", "diagnosticreport-update", "diagnosticreport-select", "syncerror"} {
		if !n.In(h.Events) {
			t.Errorf("%s is not asked for", n)
		}
	}
	for _, n := range []fhircast.Name{"DiagnosticReport-open", "DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select"} {
		if !n.In(h.Send) {
			t.Errorf("%s cannot be sent", n)
		}
	}
	if !h.Dialect().GetContext {
		t.Error("the context is read only where the hub says that it can be")
	}
	name := h.SubscriberName("desk", "ada", "1f")
	for _, other := range []string{h.SubscriberName("desk", "ada", "2f"), h.SubscriberName("table", "ada", "1f"), ""} {
		if name == other {
			t.Errorf("the name %q is not unique", name)
		}
	}
	if name != h.SubscriberName("desk", "ada", "1f") {
		t.Error("the name is another one each time")
	}
}

// Where a value comes from decides: a source, then the preset, then the default.
func TestAPresetGoesBeforeDefaultsAndAfterEverythingWritten(t *testing.T) {
	const join = "[hub]\nurl = \"https://hub.example.org\"\ntopic = \"t\"\n"
	policy := save(t, "policy.toml", "[hub]\npreset = \"ihe-ira\"\n")
	machine := save(t, "machine.toml", "[hub]\nsend = [\"DiagnosticReport-open\"]\n")
	user := save(t, "user.toml", join)
	c := mustLoad(t, Sources{Paths: Paths{Machine: machine, User: user, Policy: policy}, Environ: []string{"CASTRAY_HUB_NAME=Desk {host}"}})
	got := map[string]string{}
	for _, key := range []string{"hub.preset", "hub.events", "hub.quirks", "hub.send", "hub.name", "hub.test"} {
		got[key] = strings.NewReplacer(policy, "POLICY", machine, "MACHINE").Replace(origin(t, c, key).From)
	}
	want := map[string]string{"hub.preset": "policy POLICY:2:1", "hub.events": "preset", "hub.quirks": "preset", "hub.send": "MACHINE:2:1",
		"hub.name": "CASTRAY_HUB_NAME", "hub.test": "default"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Hub.Name != "Desk {host}" || len(c.Hub.Send) != 1 || len(c.Hub.Quirks) != 2 || len(c.Warnings) != 0 {
		t.Errorf("hub %+v, warnings %v", c.Hub, c.Warnings)
	}
}

func TestAPresetOfOneSite(t *testing.T) {
	const second = "[[site]]\nfhir_url = \"https://second.example.org\"\nclient_id = \"c\"\n"
	c := mustLoad(t, Sources{File: save(t, "castray.toml", oneSite+"hub.preset = \"ihe-ira\"\nhub.send = []\n"+second+"[hub]\nname = \"of all\"\n")})
	ira, other := c.Sites[0].Hub, c.Sites[1].Hub
	if !ira.Dialect().GetContext || ira.Name != "of all" || ira.Send != nil || other.Dialect().GetContext || len(other.Send) == 0 {
		t.Errorf("%+v, the other %+v", ira, other)
	}
	if o := origin(t, c, "site[0].hub.quirks"); o.From != "preset" || o.Value != `["get-context", "fhir-r5"]` {
		t.Errorf("origin %v", o)
	}
	for _, o := range c.Origins() {
		if o.Key == "site[0].hub.name" || strings.HasPrefix(o.Key, "site[1].hub.") {
			t.Errorf("%s is listed and was not set there", o.Key)
		}
	}

	c = mustLoad(t, Sources{File: save(t, "castray.toml", oneSite+"hub.preset = \"\"\n"+second+"[hub]\npreset = \"ihe-ira\"\n")})
	if plain, ira := c.Sites[0].Hub, c.Sites[1].Hub; plain.Dialect().GetContext || !ira.Dialect().GetContext {
		t.Error("a site takes itself out of the preset of all")
	}
}

// A key of one's own wins, and what it takes away is said (RAD-146).
func TestWhatAPresetNeedsAndSomebodyTookAway(t *testing.T) {
	path := save(t, "castray.toml", oneSite+"[hub]\npreset = \"ihe-ira\"\nname = \"Desk\"\nevents = [\"diagnosticreport-open\", \"DiagnosticReport-close\", \"DiagnosticReport-select\"]\n")
	c := mustLoad(t, Sources{File: path})
	if len(c.Sites[0].Hub.Events) != 3 || c.Sites[0].Hub.Name != "Desk" {
		t.Errorf("hub %+v", c.Sites[0].Hub)
	}
	want := `FILE:7:1: hub.name: preset "ihe-ira" needs a name that nobody else in the session has (RAD-146); {host}, {user} or {run} makes it so` + "\n" +
		`FILE:8:1: hub.events: preset "ihe-ira" needs DiagnosticReport-update among them (RAD-146)`
	if got := strings.NewReplacer(path, "FILE", "site.hub.", "hub.").Replace(strings.Join(c.Warnings, "\n")); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPresetsKeepTheRulesOfTheTable(t *testing.T) {
	for i := range presets {
		p := &presets[i]
		for _, v := range p.values {
			k := findTable("hub").key(v.key)
			s, _ := p.setting(k)
			if err := k.verify(s.value); err != nil || k.format(s.value) != v.value || k.secret || k.unbuilt(s.value) {
				t.Errorf("%s: %s is not in force: %v", p.name, v.key, err)
			}
			if !strings.HasSuffix(v.why, ".") {
				t.Errorf("%s: %s has no sentence", p.name, v.key)
			}
		}
	}
}

// Every quirk that there is can be switched on, and the reference and the schema name it with its sentence.
func TestEveryQuirkIsConfiguredAndDocumented(t *testing.T) {
	for _, q := range fhircast.Quirks() {
		c, err := loadText(t, oneSite+"hub.quirks = [\""+q.Name+"\"]\n")
		if err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		if want, _ := (fhircast.Dialect{}).With([]string{q.Name}); cmp.Diff(want, c.Sites[0].Hub.Dialect()) != "" {
			t.Errorf("%s: another dialect", q.Name)
		}
		if !strings.Contains(string(Reference()), "| `"+q.Name+"` | "+q.Help+" |") || !strings.Contains(string(Schema()), `"`+q.Name+`"`) {
			t.Errorf("%s is not documented", q.Name)
		}
	}
}

// A version that knows callbacks only is of no use without them, and the warning says what to write.
func TestAVersionWithoutASocketWantsTheWebhook(t *testing.T) {
	for quirks, want := range map[string]int{`"version-2019"`: 1, `"version-stu1"`: 1, `"version-2020"`: 0, `"names-2019", "one-scope"`: 0} {
		c, err := loadText(t, oneSite+"hub.quirks = ["+quirks+"]\n")
		if err != nil || len(c.Warnings) != want || want > 0 && !strings.Contains(c.Warnings[0], `set channel = "webhook"`) || c.Sites[0].Hub.Channel != "websocket" {
			t.Errorf("%s: warnings %v, %v", quirks, c.Warnings, err)
		}
		c, err = loadText(t, oneSite+"hub.quirks = ["+quirks+"]\n[hub]\nchannel = \"webhook\"\n")
		if err != nil || len(c.Warnings) != 0 || c.Sites[0].Hub.Channel != "webhook" {
			t.Errorf("%s: warnings %v, %v", quirks, c.Warnings, err)
		}
	}
	c, err := loadText(t, "[hub]\nurl = \"https://localhost/hub\"\ntopic = \"T\"\nchannel = \"webhook\"\n")
	if err != nil || c.Hub.Channel != "webhook" {
		t.Errorf("a hub without sign-in: %q, %v", c.Hub.Channel, err)
	}
}

// FC-SCOPE-07, FC-OLD-03: a server of 2019 is asked for its one scope, and only such a server.
func TestTheOneScopeOf2019(t *testing.T) {
	for quirk, want := range map[string]bool{"version-2019": true, "one-scope": true, "version-stu1": false, "legacy-names": false} {
		c, err := loadText(t, oneSite+"scopes = [\"openid\"]\nhub.quirks = [\""+quirk+"\"]\n")
		if err != nil {
			t.Fatal(err)
		}
		scopes := strings.Join(Scopes(c.Sites[0]), " ")
		if (scopes == "openid fhircast") != want || !want && strings.Contains(scopes+" ", "fhircast ") {
			t.Errorf("%s: asks for %s", quirk, scopes)
		}
	}
}

// FC-SCOPE-04, FC-DISC-04: what is only to be followed is asked for with read alone.
func TestWhoOnlyFollowsAsksForNoWrite(t *testing.T) {
	c, err := loadText(t, oneSite+"[hub]\nsend = []\nevents = [\"Patient-open\", \"Home-open\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	asked := Scopes(c.Sites[0])
	want := []string{"openid", "fhirUser", "offline_access", "fhircast/Patient-open.read", "fhircast/Home-open.read", "fhircast/SyncError.*"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
