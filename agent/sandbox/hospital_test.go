package sandbox

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/google/go-cmp/cmp"
)

var day = time.Date(2026, 3, 4, 2, 30, 0, 0, time.UTC)

func testHospital(t *testing.T, people ...person) *hospital {
	t.Helper()
	if len(people) == 0 {
		people = persons
	}
	h, err := newHospital(people, readers, day)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// references finds every literal reference in a resource.
func references(v any) (list []string) {
	switch v := v.(type) {
	case map[string]any:
		if s, ok := v["reference"].(string); ok {
			list = append(list, s)
		}
		for _, member := range v {
			list = append(list, references(member)...)
		}
	case []any:
		for _, element := range v {
			list = append(list, references(element)...)
		}
	}
	return list
}

func decode(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

func TestEveryReferenceLeadsToARecordOfTheSamePatient(t *testing.T) {
	h := testHospital(t)
	for from, r := range h.records {
		v := decode(t, r.raw)
		if v["resourceType"] != r.kind || v["id"] != r.id {
			t.Errorf("%s is filed as %s", from, r.reference())
		}
		for _, to := range references(v) {
			target, ok := h.records[to]
			switch {
			case !ok:
				t.Errorf("%s refers to %s, which is not there", from, to)
			case target != r.patient && target.patient != r.patient:
				t.Errorf("%s refers to %s of another patient", from, to)
			}
		}
	}
}

func TestIdentifiersAreUniqueAndWellFormed(t *testing.T) {
	h := testHospital(t)
	uid := regexp.MustCompile(`^urn:oid:2\.25\.[1-9][0-9]{0,38}$`)
	id := regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)
	seen := map[string]string{}
	for from, r := range h.records {
		if !id.MatchString(r.id) {
			t.Errorf("%q is no id of FHIR", r.id)
		}
		var v struct{ Identifier []identifier }
		if err := json.Unmarshal(r.raw, &v); err != nil {
			t.Fatal(err)
		}
		if len(v.Identifier) == 0 {
			t.Errorf("%s has no identifier", from)
		}
		for _, i := range v.Identifier {
			if other, twice := seen[i.token()]; twice {
				t.Errorf("%s and %s share %s", from, other, i.token())
			}
			seen[i.token()] = from
			// FC-PRF-09
			if i.System == studySystem && (!uid.MatchString(i.Value) || len(i.Value) > len("urn:oid:")+64) {
				t.Errorf("%s: %s is no study UID", from, i.Value)
			}
			// FC-PRF-10
			if i.System == accessionSystem && i.Type.Coding[0].Code != "ACSN" {
				t.Errorf("%s: the accession is not typed", from)
			}
			if i.System == mrnSystem && i.Type.Coding[0].Code != "MR" {
				t.Errorf("%s: the record number is not typed", from)
			}
		}
	}
}

func TestThePatientsAreWhatGoesWrong(t *testing.T) {
	h := testHospital(t)
	if n := len(h.kinds["Patient"]); n != 12 {
		t.Errorf("%d patients", n)
	}
	any := func(kind string, is func(*record) bool) bool { return slices.ContainsFunc(h.kinds[kind], is) }
	if !any("Patient", func(a *record) bool {
		return any("Patient", func(b *record) bool {
			return a != b && a.title == b.title && a.index["birthdate"][0] != b.index["birthdate"][0] && a.index["identifier"][0] != b.index["identifier"][0]
		})
	}) {
		t.Error("no two patients of the same name with different birth dates and record numbers")
	}
	if !any("ImagingStudy", func(r *record) bool {
		return len(slices.DeleteFunc(slices.Clone(r.index["identifier"]), func(s string) bool { return !strings.HasPrefix(s, accessionSystem) })) == 2
	}) {
		t.Error("no study with two accessions")
	}
	if !any("DiagnosticReport", func(r *record) bool { return len(r.studies) == 2 }) {
		t.Error("no report about two studies")
	}
	for script, table := range map[string]*unicode.RangeTable{"CJK": unicode.Han, "right-to-left": unicode.Arabic} {
		if !any("Patient", func(r *record) bool {
			return strings.ContainsFunc(r.title, func(c rune) bool { return unicode.Is(table, c) })
		}) {
			t.Errorf("no name in %s", script)
		}
	}
	if !any("Patient", func(r *record) bool { return slices.Contains(r.index["birthdate"], "2026-03-03") }) {
		t.Error("no newborn")
	}
	if !any("Patient", func(r *record) bool { return len(r.index["birthdate"]) == 0 }) {
		t.Error("nobody whose birth date is not known")
	}
	if !any("Patient", func(r *record) bool { return utf8.RuneCountInString(r.title) > 100 }) {
		t.Error("no very long name")
	}
	if !any("Patient", func(r *record) bool {
		return !any("ImagingStudy", func(study *record) bool { return study.patient == r })
	}) {
		t.Error("nobody without images")
	}
}

func TestNothingHappensBeforeBirthOrInTheFuture(t *testing.T) {
	h := testHospital(t)
	for from, r := range h.records {
		if r.at.After(day) {
			t.Errorf("%s began at %v", from, r.at)
		}
		if r.patient != nil && !r.at.IsZero() && len(r.patient.index["birthdate"]) > 0 && r.at.Format(time.DateOnly) < r.patient.index["birthdate"][0] {
			t.Errorf("%s began at %v, before its patient was born", from, r.at)
		}
	}
}

func TestTwoSandboxesHaveTheSameRecords(t *testing.T) {
	one, other := testHospital(t), testHospital(t)
	for key, r := range one.records {
		if diff := cmp.Diff(string(r.raw), string(other.records[key].raw)); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
}

// FC-EVT-02, FC-EVT-13, FC-EVT-15, FC-EVT-19, FC-EVT-25: what Encode asks for is there in every event we can make.
func TestEveryRecordOpensAndClosesStrictly(t *testing.T) {
	h := testHospital(t)
	want := map[string][]string{
		"Patient": {"patient"}, "Encounter": {"encounter", "patient"},
		"ImagingStudy": {"study", "patient", "encounter"}, "DiagnosticReport": {"report", "study", "patient", "encounter"},
	}
	for kind, keys := range want {
		for _, r := range h.kinds[kind] {
			opened, err := newEvent("topic", r, fhircast.Open)
			if err != nil {
				t.Errorf("open %s: %v", r.reference(), err)
				continue
			}
			closed, err := newEvent("topic", r, fhircast.Close)
			if err != nil {
				t.Errorf("close %s: %v", r.reference(), err)
				continue
			}
			if !opened.Name.Is(fhircast.Name(kind+"-open")) || !closed.Name.Is(fhircast.Name(kind+"-close")) || opened.ID == closed.ID {
				t.Errorf("%s: %v, %v", r.reference(), opened, closed)
			}
			var have []string
			for _, i := range opened.Context {
				have = append(have, i.Key)
			}
			if diff := cmp.Diff(keys, slices.Compact(have)); diff != "" {
				t.Errorf("%s: keys: %s", r.reference(), diff)
			}
			// FC-PRF-02: a close carries the resources of its open.
			before, after := decode(t, opened.Wire()), decode(t, closed.Wire())
			if diff := cmp.Diff(before["event"].(map[string]any)["context"], after["event"].(map[string]any)["context"]); diff != "" {
				t.Errorf("%s: the close differs: %s", r.reference(), diff)
			}
		}
	}
}

// FC-EVT-20: what the profiles want of a resource is in every open (FC-PRF-04, FC-PRF-07, FC-PRF-08, FC-PRF-12) and in
// every close (FC-PRF-06, FC-PRF-11, FC-PRF-14).
func TestWhatTheProfilesWantIsInEveryEvent(t *testing.T) {
	h := testHospital(t)
	wants := map[string][]string{
		"Patient": {"id", "identifier"}, "Encounter": {"id", "identifier", "status", "class.code", "subject.reference"},
		"ImagingStudy": {"id", "identifier", "status", "subject.reference"}, "DiagnosticReport": {"id", "identifier", "status", "subject.reference"},
	}
	for kind := range wants {
		for _, r := range h.kinds[kind] {
			for _, verb := range []fhircast.Verb{fhircast.Open, fhircast.Close} {
				e, err := newEvent("topic", r, verb)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range e.Context {
					resource := decode(t, i.Value)
					for _, path := range wants[resource["resourceType"].(string)] {
						if at(resource, path) == nil {
							t.Errorf("%v: %s has no %s", e, i.Key, path)
						}
					}
				}
			}
		}
	}
}

// at is a member of a member; one that is empty is none.
func at(v map[string]any, path string) any {
	head, rest, deeper := strings.Cut(path, ".")
	switch v := v[head].(type) {
	case map[string]any:
		if deeper {
			return at(v, rest)
		}
		return v
	case []any:
		if len(v) > 0 {
			return v
		}
	case string:
		if v != "" {
			return v
		}
	}
	return nil
}

// FC-PRF-02, FC-PRF-06: what somebody else opened is closed under the ids, subjects and identifiers of that open.
func TestACloseIsMadeOfItsOpen(t *testing.T) {
	const context = `[{"key":"study","resource":{"resourceType":"ImagingStudy","id":"theirs","identifier":[{"system":"urn:dicom:uid","value":"urn:oid:2.999.3"}],"status":"available","subject":{"reference":"Patient/them"}}},` +
		`{"key":"patient","resource":{"resourceType":"Patient","id":"them","identifier":[{"system":"urn:x","value":"7"}]}}]`
	open, err := fhircast.NewEvent(fhircast.Draft{ID: "theirs", At: day, Topic: "topic", Name: "ImagingStudy-open", Context: json.RawMessage(context)})
	if err != nil {
		t.Fatal(err)
	}
	closed, err := closing(open)
	if err != nil {
		t.Fatal(err)
	}
	if !closed.Name.Is("ImagingStudy-close") || closed.ID == open.ID || closed.Topic != open.Topic || !strings.Contains(string(closed.Wire()), `"context":`+context) {
		t.Errorf("%s", closed.Wire())
	}
}

// FC-EVT-20, FC-PRF-01, FC-PRF-03, FC-PRF-04, FC-PRF-07, FC-PRF-08: in every notification each resource has what the profile
// of its event asks for, and is about the patient who is there.
func TestEveryNotificationHasWhatItsProfilesAskFor(t *testing.T) {
	h := testHospital(t)
	type object struct {
		ResourceType, ID, Status string
		Identifier, BasedOn      []map[string]any
		Class                    struct{ Code string }
		Subject                  struct{ Reference string }
	}
	seen := map[string]int{}
	for _, kind := range []string{"Patient", "Encounter", "ImagingStudy", "DiagnosticReport"} {
		for _, r := range h.kinds[kind] {
			for _, verb := range []fhircast.Verb{fhircast.Open, fhircast.Close} {
				e, err := newEvent("topic", r, verb)
				if err != nil {
					t.Fatal(err)
				}
				patient := ""
				if item, ok := e.Item("patient"); ok {
					p, _ := item.Resource()
					patient = "Patient/" + p.ID
				}
				for _, item := range e.Context {
					var o object
					if err := json.Unmarshal(item.Value, &o); err != nil {
						t.Fatal(err)
					}
					has := o.ID != "" && len(o.Identifier) > 0
					switch o.ResourceType {
					case "Encounter":
						has = has && o.Class.Code != ""
						fallthrough
					case "ImagingStudy", "DiagnosticReport":
						has = has && o.Status != "" && o.Subject.Reference == patient
					}
					if seen[o.ResourceType]++; !has {
						t.Errorf("%s: %s in %v has not all of its profile", r.reference(), o.ResourceType, e.Name)
					}
				}
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("seen %v", seen)
	}
}

// FC-PRF-12, FC-PRF-13
func TestAReportNamesItsOrdersAndTheStudiesOfItsEvent(t *testing.T) {
	h := testHospital(t)
	for _, r := range h.kinds["DiagnosticReport"] {
		var report reportResource
		if err := json.Unmarshal(r.raw, &report); err != nil {
			t.Fatal(err)
		}
		var orders, named []string
		for _, study := range r.studies {
			named = append(named, study.reference())
			for _, token := range study.index["identifier"] {
				if strings.HasPrefix(token, accessionSystem) {
					orders = append(orders, token)
				}
			}
		}
		for i, on := range report.BasedOn {
			if i >= len(orders) || on.Identifier.token() != orders[i] || on.Type != "ServiceRequest" {
				t.Errorf("%s: basedOn %d is %+v", r.reference(), i, on)
			}
		}
		for i, study := range report.ImagingStudy {
			if i >= len(named) || study.Reference != named[i] {
				t.Errorf("%s: imagingStudy %d is %q", r.reference(), i, study.Reference)
			}
		}
		if len(report.BasedOn) != len(orders) || len(report.ImagingStudy) != len(named) {
			t.Errorf("%s: %d orders, %d studies", r.reference(), len(report.BasedOn), len(report.ImagingStudy))
		}
	}
}

// FC-CAT-11, FC-CAT-13
func TestEventsAboutNoRecord(t *testing.T) {
	home, err := newHome("topic")
	if err != nil {
		t.Fatal(err)
	}
	if !home.Name.Is(fhircast.HomeOpen) || len(home.Context) != 0 {
		t.Error(home)
	}
	out, err := newLogout("topic")
	if err != nil {
		t.Fatal(err)
	}
	parameters, ok := out.Item("parameters")
	if !ok || !strings.Contains(string(parameters.Value), `"user-initiated"`) {
		t.Error(out)
	}
}
