package fhircast

import (
	"strings"
	"testing"
)

// A checkRow is an event and part of the error with which it is refused, "" when it is fit to be sent.
type checkRow struct {
	name    string
	event   Name
	context string
	version string
	want    string
}

func checkAll(t *testing.T, rows []checkRow) {
	t.Helper()
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			_, err := Encode(draft(t, c.event, c.context, c.version))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// FC-CS-16, FC-CS-17, FC-CS-18, FC-CS-19, FC-CS-20, FC-CS-21, FC-CS-23, FC-CS-24, FC-CAT-09
func TestOnlyUpdatesOfVersion3AreSent(t *testing.T) {
	const put = `{"request":{"method":"PUT","url":"Observation/o1"},"resource":{"resourceType":"Observation","id":"o1"}}`
	in := func(old, new string) string { return strings.Replace(updating(put), old, new, 1) }
	update := Name("DiagnosticReport-update")
	checkAll(t, []checkRow{
		{"fit", update, updating(put), "v1", ""},
		{"on which version it builds", update, updating(put), "", "versionId"}, // FC-CS-02, FC-EVT-05
		{"no anchor", update, in(anchorRef+`,`, ``), "v1", "not named exactly once"},
		{"no updates", update, `[` + anchorRef + `]`, "v1", "updates"},
		{"a collection", update, in(`"transaction"`, `"collection"`), "v1", "transaction"},
		{"no type", update, in(`"type":"transaction",`, ``), "v1", "transaction"},
		{"a link", update, in(`"type":"transaction"`, `"type":"transaction","link":[{"relation":"self","url":"x"}]`), "v1", "links"},
		{"no entry at all", update, in(`,"entry":[`+put+`]`, ``), "v1", "no entry"},
		{"a search", update, in(`"request"`, `"search":{"mode":"match"},"request"`), "v1", "search"},
		{"a response", update, in(`"request"`, `"response":{"status":"200"},"request"`), "v1", "response"},
		{"a PATCH", update, in(`PUT`, `PATCH`), "v1", "neither put nor deleted"},
		{"a POST of a resource with an id", update, in(`"method":"PUT","url":"Observation/o1"`, `"method":"POST"`), "v1", ""},
		{"a resource without an id", update, in(`,"id":"o1"`, ``), "v1", "type and the id"},
		{"the address of another", update, in(`"url":"Observation/o1"`, `"url":"Observation/o2"`), "v1", "request.url"},
		{"no address", update, in(`,"url":"Observation/o1"`, ``), "v1", ""},
		{"put without a resource", update, updating(`{"fullUrl":"Observation/o1","request":{"method":"PUT","url":"Observation/o1"}}`), "v1", "not there"},
		{"deleted", update, updating(deleteO1), "v1", ""},
		{"deleted without its fullUrl", update, updating(`{"request":{"method":"DELETE","url":"Observation/o1"}}`), "v1", "fullUrl"},
		{"the same twice", update, updating(put + `,` + put), "v1", "twice"},
		{"put and deleted", update, updating(put + `,` + deleteO1), "v1", "twice"},
		{"the report is deleted", update, updating(`{"fullUrl":"DiagnosticReport/r1","request":{"method":"DELETE"}}`), "v1", "only a close ends"},
		{"its patient is deleted", update, strings.Replace(updating(`{"fullUrl":"Patient/p1","request":{"method":"DELETE"}}`), anchorRef, anchorRef+`,`+patientRef, 1), "v1", "only a close ends"},
		{"a new name of the patient in the wrong place", update, in(anchorRef, anchorRef+`,{"key":"patient","resource":{"resourceType":"Patient","id":"p1","name":[{"family":"X"}]}}`), "v1", "among the updates"},
		{"a study in the wrong place", update, in(anchorRef, anchorRef+`,{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s1","status":"available"}}`), "v1", "among the updates"},
		{"a patient who is a person", update, in(anchorRef, anchorRef+`,{"key":"patient","reference":{"reference":"Person/p1"}}`), "v1", "names another"},
		{"an encounter", update, in(anchorRef, anchorRef+`,{"key":"encounter","reference":{"reference":"Encounter/e1"}}`), "v1", "does not belong"},
		{"another anchor", "Observation-update", strings.Replace(updating(put), anchorRef, `{"key":"observation","reference":{"reference":"Observation/o9"}}`, 1), "v1", ""}, // FC-CAT-16
	})
}

// FC-CAT-10, FC-CAT-16
func TestOnlySelectionsOfVersion3AreSent(t *testing.T) {
	const o1 = `{"key":"select","reference":{"reference":"Observation/o1"}}`
	sel := Name("DiagnosticReport-select")
	checkAll(t, []checkRow{
		{"one", sel, `[` + anchorRef + `,` + o1 + `]`, "", ""},
		{"with the patient", sel, `[` + anchorRef + `,` + patientRef + `,` + o1 + `]`, "", ""},
		{"nothing", sel, `[` + anchorRef + `]`, "", ""},
		{"no anchor", sel, `[` + o1 + `]`, "", "not named"},
		{"an address that is none", sel, `[` + anchorRef + `,{"key":"select","reference":{"reference":"#o1"}}]`, "", "type and id"},
		{"an encounter", sel, `[` + anchorRef + `,{"key":"encounter","reference":{"reference":"Encounter/e1"}}]`, "", "does not belong"},
		{"another anchor", "ImagingStudy-select", `[{"key":"study","reference":{"reference":"ImagingStudy/s1"}},` + o1 + `]`, "", ""},
	})
}

// FC-CAT-01, FC-CAT-02, FC-CAT-03, FC-CAT-04, FC-CAT-05, FC-CAT-06, FC-CAT-07, FC-CAT-08, FC-CAT-11, FC-CAT-12, FC-CAT-13, FC-CAT-14, FC-CAT-16
// FC-EVT-20: what of the profiles an event alone can tell.
func TestEventsOfTheCatalogue(t *testing.T) {
	const (
		encounter = `{"key":"encounter","resource":{"resourceType":"Encounter","id":"e1","subject":{"reference":"Patient/p1"}}}`
		study2    = `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s2","subject":{"reference":"Patient/p1"}}}`
		reason    = `{"key":"parameters","resource":{"resourceType":"Parameters","parameter":[{"name":"code","valueCoding":{"code":"system-timeout"}},{"name":"hub","valueBoolean":true}]}}`
		other     = `{"key":"observation","resource":{"resourceType":"Observation","id":"o1"}}`
	)
	list := func(items ...string) string { return `[` + strings.Join(items, ",") + `]` }
	var rows []checkRow
	for _, verb := range []string{"-open", "-close"} {
		rows = append(rows, []checkRow{
			{"patient", Name("Patient" + verb), list(patient), "", ""},
			{"patient with an encounter", Name("Patient" + verb), list(patient, encounter), "", "does not belong"},
			{"encounter", Name("Encounter" + verb), list(encounter, patient), "", ""},
			{"encounter without a patient", Name("Encounter" + verb), list(encounter), "", `no entry "patient"`},
			{"study of an encounter", Name("ImagingStudy" + verb), list(study, encounter, patient), "", ""},
			{"two studies", Name("ImagingStudy" + verb), list(study, study2, patient), "", "exactly once"},
			{"study that does not name its subject", Name("ImagingStudy" + verb), list(strings.Replace(study, `,"subject":{"reference":"Patient/p1"}`, ``, 1), patient), "", "does not name its subject"}, // FC-PRF-11
			{"report on two studies", Name("DiagnosticReport" + verb), list(report, patient, encounter, study, study2), "", ""},
			{"study without the patient it is of", Name("ImagingStudy" + verb), list(study), "", "not in the event"},
			{"report without a patient", Name("DiagnosticReport" + verb), list(report, study), "", `no entry "patient"`},
			{"report that does not name its subject", Name("DiagnosticReport" + verb), list(`{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r1"}}`, patient), "", "does not name its subject"}, // FC-PRF-14
			{"report on another's study", Name("DiagnosticReport" + verb), list(report, patient, strings.Replace(study2, "p1", "p2", 1)), "", "another patient"},
			{"anything else", Name("Observation" + verb), list(other), "", ""},
			{"anything else under its own name", Name("Observation" + verb), list(strings.Replace(other, `"observation"`, `"finding"`, 1)), "", "exactly once"},
		}...)
	}
	checkAll(t, append(rows, []checkRow{
		{"home", HomeOpen, `[]`, "", ""},
		{"home with a patient", HomeOpen, list(patient), "", "no context"},
		{"logout", UserLogout, list(reason), "", ""},
		{"hibernation", UserHibernate, list(reason), "", ""},
		{"logout without a reason", UserLogout, `[]`, "", "no Parameters"},
		{"logout with an empty reason", UserLogout, list(strings.Replace(reason, `"name":"code"`, `"name":"cod"`, 1)), "", "one reason"},
		{"SyncError without an outcome", SyncError, `[]`, "", "OperationOutcome"},
		{"SyncError of another kind", SyncError, `[{"key":"operationoutcome","resource":{"resourceType":"OperationOutcome","issue":[{"code":"invalid"}]}}]`, "", "processing"},
		{"SyncError about nothing", SyncError, `[{"key":"operationoutcome","resource":{"resourceType":"OperationOutcome","issue":[{"code":"processing","diagnostics":"x"}]}}]`, "", "who failed"},
	}...))
}

// FC-EVT-13, FC-EVT-14, FC-EVT-16, FC-EVT-17, FC-EVT-24, FC-GEN-04
func TestEntriesOfAContextAreChecked(t *testing.T) {
	own := func(name, entry, want string) checkRow {
		return checkRow{name, "org.example.thing", `[` + entry + `]`, "", want}
	}
	checkAll(t, []checkRow{
		own("a text", `{"key":"x","string":"y"}`, ""),
		own("a number", `{"key":"x","decimal":1.50}`, ""),
		own("a coding", `{"key":"x","coding":{"code":"y"}}`, ""),
		own("two values", `{"key":"x","string":"y","decimal":1}`, "more than one value"),
		own("a resource and its address", `{"key":"x","resource":{"resourceType":"Basic"},"reference":{"reference":"Basic/1"}}`, "more than one value"),
		own("a type in mixed case", `{"key":"x","dateTime":"2026"}`, "lower case"),
		own("what its makers agreed on", `{"key":"extension","data":{"x":[],"y":null,"z":""}}`, ""),
		own("a resource under its name", `{"key":"observation","resource":{"resourceType":"Observation","id":"o1"}}`, ""),
		own("a resource under another's name", `{"key":"condition","resource":{"resourceType":"Observation","id":"o1"}}`, "another resource"),
		own("a study under its type", `{"key":"imagingstudy","resource":{"resourceType":"ImagingStudy","id":"s1"}}`, "another resource"),
		own("a resource under a word of its owner", `{"key":"prior","resource":{"resourceType":"ImagingStudy","id":"s1"}}`, ""),
		own("a resource without a type", `{"key":"x","resource":{"id":"o1"}}`, "no resource"),
		own("no resource", `{"key":"x","resource":["o1"]}`, "no resource"),
		own("an empty text", `{"key":"x","resource":{"resourceType":"Basic","id":""}}`, "FHIR JSON"),
		own("an empty array", `{"key":"x","resource":{"resourceType":"Basic","identifier":[]}}`, "FHIR JSON"),
		own("an empty object", `{"key":"x","resource":{"resourceType":"Basic","code":{}}}`, "FHIR JSON"),
		own("null", `{"key":"x","resource":{"resourceType":"Basic","code":null}}`, "FHIR JSON"),
		own("null deep down", `{"key":"x","resource":{"resourceType":"Basic","extension":[{"url":"u","valueString":null}]}}`, "FHIR JSON"),
		own("null in the place of an element that has only an extension", `{"key":"x","resource":{"resourceType":"Basic","given":["A",null],"_given":[null,{"id":"1"}]}}`, ""),
	})
}

// FC-PRF-05, FC-PRF-15: what an app says of its resources is sent as it is, whatever else is in it.
func TestResourcesAreSentAsTheyAre(t *testing.T) {
	const whole = `{"key":"patient","resource":{"resourceType":"Patient", "id":"p1" ,"identifier":[{"system":"urn:x","value":"1"}],"name":[{"family":"Sample","given":["Ada"]}],"gender":"female","birthDate":"1970-01-01","multipleBirthInteger":2,"extension":[{"url":"u","valueDecimal":1.50}]}}`
	for _, name := range []Name{"Patient-open", "Patient-close"} {
		if got := written(t, Dialect{}, draft(t, name, `[`+whole+`]`, "")); got != `[`+whole+`]` {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// FC-EVT-18, FC-CONF-13: a resource of two members, and one of 200 KB, are the same to a reader.
func TestTinyAndHugeResourcesAreRead(t *testing.T) {
	tiny := `{"resourceType":"Patient","id":"p1"}`
	huge := `{"resourceType":"Patient","photo":[{"data":"` + strings.Repeat("QUJD", 50_000) + `"}],"id":"p1"}`
	for _, value := range []string{tiny, huge} {
		e := event(t, "Patient-open", `[{"key":"patient","resource":`+value+`}]`)
		item, ok := e.Anchor()
		r, read := item.Resource()
		if !ok || !read || r.ID != "p1" || r.Identifiers != nil || string(item.Value) != value || !strings.Contains(string(e.Relay("here", "")), value) {
			t.Errorf("%d bytes: %v %v %v", len(value), ok, read, r)
		}
	}
}

// FC-EVT-17: what an entry holds is named by any member, and is passed on.
func TestAnyValueOfAnEntryIsRead(t *testing.T) {
	const context = `[{"key":"a","string":"s"},{"valueQuantity":{"value":1.50},"key":"b"},{"key":"c","reference":{"reference":"Patient/p1"}},{"key":"d"},{"key":"e","x":1,"resource":{"resourceType":"Basic"}}]`
	e := event(t, "org.example.thing", context)
	var got []string
	for _, item := range e.Context {
		got = append(got, item.Key+" "+item.Kind+" "+string(item.Value))
	}
	if want := `a string "s"|b valueQuantity {"value":1.50}|c reference {"reference":"Patient/p1"}|d  |e resource {"resourceType":"Basic"}`; strings.Join(got, "|") != want {
		t.Errorf("read %s", strings.Join(got, "|"))
	}
	if !strings.Contains(string(e.Relay("here", "")), context) {
		t.Error("relayed another context")
	}
}

// FC-EVT-14: a key in another case, as a ballot printed it, is taken; beside the right one nobody guesses which is meant.
func TestKeysInAnotherCaseAreReadAndNeverGuessedAt(t *testing.T) {
	const other = `{"key":"Report","resource":{"resourceType":"DiagnosticReport","id":"r2"}}`
	e := event(t, "DiagnosticReport-open", `[`+patient+`,`+other+`]`)
	item, ok := e.Anchor()
	if r, read := item.Resource(); !ok || !read || r.ID != "r2" || !strings.Contains(string(e.Relay("here", "")), other) {
		t.Errorf("read %v, %v", r, ok)
	}
	if item, ok := event(t, "DiagnosticReport-open", `[`+report+`,`+other+`]`).Anchor(); ok {
		t.Errorf("took %s", item.Value)
	}
}

// FC-EVT-11: the catalogue has no name that belongs to an owner.
func TestStandardNamesAreNobodysOwn(t *testing.T) {
	for _, n := range []Name{"Patient-open", "Observation-select", HomeOpen, SyncError, UserLogout, UserHibernate, Heartbeat, "user-logoff"} {
		if !n.standard() || strings.Contains(string(n.Canonical()), ".") {
			t.Errorf("%s is somebody's own", n)
		}
	}
	for _, n := range []Name{"org.example.thing_done", "org.example.patient-transmogrify", "com.example.Patient"} {
		if n.standard() || n.Canonical() != n {
			t.Errorf("%s is of the catalogue", n)
		}
	}
}
