package fhircast

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The versions by the word that names their quirk, in the order of the wire reference's version switchboard.
var everyVersion = []string{"2019", "stu1", "2020", "stu2", "2.1", "2024", "3"}

// FC-CONF-04: each row is one behaviour, each column one version. FC-ERR-03: the name of a SyncError is one of them.
func TestEveryVersionHasEachOfItsBehaviours(t *testing.T) {
	yes := func(on func(Dialect) bool) func(Dialect) string {
		return func(d Dialect) string {
			if on(d) {
				return "y"
			}
			return "n"
		}
	}
	for _, row := range []struct {
		behaviour string
		of        func(Dialect) string
		want      string // 2019, STU1, 2020, STU2, 2.1.0 ballot, 3.0.0 ballot, 3.0.0
	}{
		{"socket", yes(func(d Dialect) bool { return !d.NoSocket }), "n n y y y y y"},
		{"channel type is sent", yes(func(d Dialect) bool { return !d.NoChannelType }), "n n y y y y y"},
		{"Patient-open", func(d Dialect) string { return d.spell("Patient-open") }, "open-patient-chart patient-open patient-open patient-open patient-open Patient-open Patient-open"},
		{"SyncError", func(d Dialect) string { return d.spell("SyncError") }, "sync-error syncerror syncerror syncerror syncerror SyncError SyncError"},
		{"heartbeat", yes(func(d Dialect) bool { return d.Heartbeat }), "n n n n y y n"},
		{"current context at a topic URL", yes(func(d Dialect) bool { return d.GetContext && d.TopicURL }), "y n n n n n n"},
		{"its shape", func(d Dialect) string {
			return map[Shape]string{Shape3: "3", Shape2024: "2024", Shape2022: "2022"}[d.Content]
		}, "3 3 3 3 2022 2024 3"},
		{"discovery document", yes(func(d Dialect) bool { return !d.NoDiscovery }), "n n n y y y y"},
		{"events in unsubscribe", yes(func(d Dialect) bool { return d.UnsubscribeEvents }), "y y y n n n n"},
		{"logout without a reason", yes(func(d Dialect) bool { return d.EmptyLogout }), "y y y y y n n"},
		{"one scope", yes(func(d Dialect) bool { return d.OneScope }), "y n n n n n n"},
		{"suffix scopes", yes(func(d Dialect) bool { return d.SuffixScopes }), "n y y y y n n"},
		{"names of 2019 in the token response", yes(func(d Dialect) bool { return d.LegacyNames }), "y n n n n n n"},
	} {
		var got []string
		for _, version := range everyVersion {
			got = append(got, row.of(DialectOf(version)))
		}
		if diff := cmp.Diff(row.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", row.behaviour, diff)
		}
	}
}

// FC-CONF-04: labels and numbers are one, and what is not known is the newest.
func TestWhatADiscoveryDocumentCallsItsVersion(t *testing.T) {
	for said, want := range map[string]string{
		"STU1": "stu1", "1.0.0": "stu1", "STU2": "stu2", "2.0.0": "stu2", " stu2 ": "stu2", "2.1.0-ballot": "2.1", "3.0.0-ballot": "2024",
		"STU3": "3", "3.0.0": "3", "": "3", "4.0.0": "3", "R4": "3",
	} {
		if diff := cmp.Diff(DialectOf(want), DialectOf(said)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", said, diff)
		}
	}
	if diff := cmp.Diff(Dialect{}, DialectOf("3.0.0")); diff != "" {
		t.Errorf("3.0.0 is not the zero value: %s", diff)
	}
}

func TestEveryQuirkChangesTheDialectAndHasASentence(t *testing.T) {
	names := make(map[string]bool)
	for _, q := range Quirks() {
		if names[q.Name] || !strings.HasSuffix(q.Help, ".") || strings.ToLower(q.Name) != q.Name {
			t.Errorf("quirk %q, help %q", q.Name, q.Help)
		}
		names[q.Name] = true
		from := Dialect{}
		if q.Name == "version-3" {
			from = DialectOf("STU1")
		}
		d, err := from.With([]string{q.Name})
		if err != nil || cmp.Equal(d, from) {
			t.Errorf("quirk %q: %+v, %v", q.Name, d, err)
		}
	}
}

func TestQuirksAreLaidOverTheVersion(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   string
		quirks []string
		want   func(*Dialect)
		fault  string
	}{
		{"none", "STU2", nil, func(d *Dialect) { *d = DialectOf("STU2") }, ""},
		{"on top of the version announced", "STU2", []string{"get-context", "bearer-on-socket"}, func(d *Dialect) { *d = DialectOf("STU2"); d.GetContext, d.BearerOnSocket = true, true }, ""},
		{"a configured version in place of the one announced", "STU2", []string{"version-2024"}, func(d *Dialect) { *d = DialectOf("3.0.0-ballot") }, ""},
		{"before or after its other quirks", "STU2", []string{"status-text", "version-3"}, func(d *Dialect) { d.StatusText = true }, ""},
		{"the same twice", "3.0.0", []string{"version-2019", "version-2019", "fhir-json", "fhir-json"}, func(d *Dialect) { *d = DialectOf("2019"); d.FHIRMedia = true }, ""},
		{"an unknown one", "3.0.0", []string{"status-text", "status-txt"}, nil, `"status-txt"`},
		{"an unknown version", "3.0.0", []string{"version-stu9"}, nil, `"version-stu9"`},
		{"two versions", "3.0.0", []string{"version-stu1", "version-stu2"}, nil, `"version-stu2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := DialectOf(c.from).With(c.quirks)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("error %v", err)
				}
				return
			}
			var want Dialect
			c.want(&want)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	d := Dialect{Supported: []Name{"patient-OPEN"}}
	if d, err := d.With([]string{"version-2019"}); err != nil || d.spell("Patient-open") != "patient-OPEN" {
		t.Errorf("the hub's own spelling is lost: %v, %v", d.Supported, err)
	}
}

// FC-REQ-11
func TestNamesAreSpelledAsTheHubSpellsThem(t *testing.T) {
	ask := []Name{"patient-open", "ImagingStudy-Open", "Patient-OPEN", "syncerror", "heartbeat", "Observation-select", "org.example.Thing_Done", "switch-patient-chart", ""}
	old := DialectOf("2019")
	claimsSTU2 := DialectOf("STU2")
	claimsSTU2.Supported = []Name{"Patient-open", "IMAGINGSTUDY-open", "Patient-close"}
	prototype := Dialect{Supported: []Name{"switch-imaging-study", "user-logoff"}}
	for _, c := range []struct {
		name string
		d    Dialect
		want string
	}{
		{"3.0.0", Dialect{}, "Patient-open ImagingStudy-open SyncError heartbeat Observation-select org.example.Thing_Done"},
		{"STU2", DialectOf("STU2"), "patient-open imagingstudy-open syncerror heartbeat observation-select org.example.Thing_Done"},
		{"STU2 by its own word, as its discovery document spells them", claimsSTU2, "Patient-open IMAGINGSTUDY-open syncerror heartbeat observation-select org.example.Thing_Done"},
		{"2019", old, "open-patient-chart switch-patient-chart open-imaging-study switch-imaging-study sync-error heartbeat Observation-select org.example.Thing_Done"},
		{"a hub that lists an old name", prototype, "Patient-open switch-imaging-study SyncError heartbeat Observation-select org.example.Thing_Done"},
	} {
		if diff := cmp.Diff(c.want, strings.Join(c.d.Spell(ask), " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if got := old.Spell([]Name{UserLogout, UserHibernate, "Patient-close", "ImagingStudy-close"}); !slices.Equal(got, []string{"user-logout", "user-hibernate", "close-patient-chart", "close-imaging-study"}) {
		t.Errorf("2019: %v", got)
	}
}

// FC-REQ-11: an event that is sent has the hub's name, and is the same otherwise.
func TestEncodeWritesTheNameOfTheDialect(t *testing.T) {
	e, err := NewEvent(Draft{ID: "e1", At: time.Unix(1, 0), Topic: "T", Name: "Patient-open", Context: json.RawMessage(`[` + patient + `]`)})
	if err != nil {
		t.Fatal(err)
	}
	for version, name := range map[string]string{"2019": "open-patient-chart", "STU1": "patient-open", "STU2": "patient-open", "3.0.0-ballot": "Patient-open", "3.0.0": "Patient-open"} {
		want := `{"timestamp":"1970-01-01T00:00:01.000Z","id":"e1","event":{"hub.topic":"T","hub.event":"` + name + `","context":[` + patient + `]}}`
		if got, err := DialectOf(version).Encode(e); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", version, got, err)
		}
	}
	own, err := Encode(event(t, "PATIENT-open", `[`+patient+`]`))
	if err != nil || !strings.Contains(string(own), `"hub.event":"Patient-open"`) {
		t.Errorf("the name is not canonical: %s, %v", own, err)
	}
}

// FC-ACK-02: a number, or a text for a hub that wants one.
func TestAnswerInTheDialect(t *testing.T) {
	a := Answer{ID: "e\"1", Status: 409}
	for want, d := range map[string]Dialect{`{"id":"e\"1","status":409}`: {}, `{"id":"e\"1","status":"409"}`: {StatusText: true}} {
		if got := d.EncodeAnswer(a); string(got) != want {
			t.Errorf("wrote %s, want %s", got, want)
		}
		if m, err := Decode(d.EncodeAnswer(a)); err != nil || *m.(*Answer) != a {
			t.Errorf("read back %v, %v", m, err)
		}
	}
}

// FC-OLD-04, FC-OLD-05, FC-OLD-06, FC-OLD-07, FC-OLD-08, FC-ERR-03
func TestOldNamesAreUnderstood(t *testing.T) {
	for old, want := range map[Name]Name{
		"open-patient-chart": "Patient-open", "patient-open-chart": "Patient-open", "switch-patient-chart": "Patient-open", "Switch-Patient-Chart": "Patient-open",
		"close-patient-chart": "Patient-close", "patient-close-chart": "Patient-close",
		"open-imaging-study": "ImagingStudy-open", "switch-imaging-study": "ImagingStudy-open", "close-imaging-study": "ImagingStudy-close",
		"user-logout": "UserLogout", "user-logoff": "UserLogout", "USER-LOGOFF": "UserLogout", "user-hibernate": "UserHibernate", "sync-error": "SyncError", "syncerror": "SyncError",
	} {
		if got := old.Canonical(); got != want || !old.Is(want) || !want.Is(old) || !old.In([]Name{"x", want}) {
			t.Errorf("%s: canonical %s, is %v", old, got, old.Is(want))
		}
		if old.Verb() != want.Verb() || old.Resource() != want.Resource() || old.Changes() != want.Changes() {
			t.Errorf("%s: %s of %q", old, old.Verb(), old.Resource())
		}
		if old.Is("Encounter-open") || Name("Encounter-open").Is(old) {
			t.Errorf("%s is an encounter's", old)
		}
	}
	if got := Names([]string{"open-patient-chart", "switch-patient-chart", "Patient-open", "user-logoff"}); len(got) != 2 {
		t.Errorf("names %v", got)
	}
	for _, n := range []Name{"open-patient-charts", "open-patient", "user-logins", "patient-opens"} {
		if n.Canonical() != n || n.Is("Patient-open") || n.Is(UserLogout) {
			t.Errorf("%s is taken for %s", n, n.Canonical())
		}
	}
}

func BenchmarkNameIs(b *testing.B) {
	names := []Name{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close", "DiagnosticReport-update"}
	b.ReportAllocs()
	for b.Loop() {
		if !Name("diagnosticreport-update").In(names) {
			b.Fatal("not found")
		}
	}
}
