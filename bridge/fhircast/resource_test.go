package fhircast

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is a context's one entry, as it comes in an event and as made by hand.
func entry(t *testing.T, value string) map[string]Item {
	t.Helper()
	came := event(t, "ImagingStudy-open", `[{"resource":`+value+` ,"key":"study"}]`).Context[0]
	if got := string(came.Value); got != strings.ReplaceAll(value, "\n", " ") {
		t.Errorf("the value is %s", got)
	}
	return map[string]Item{"came": came, "made": {Key: "study", Kind: "resource", Value: json.RawMessage(value)}}
}

func TestResourceIsWhatTellsItFromOthers(t *testing.T) {
	const value = `{ "note":[{"id":"inner","resourceType":"X"}], "resourceType" : "ImagingStudy", "id":"s\u0031","uid":"urn:oid:1.2",
		"identifier":[{"system":"a","value":"1","use":"usual"},7,{"value":2},{"system":"b","value":"\"x\"","type":{"coding":[{"code":"ACSN","system":"c"},{"code":"D"},1],"text":"t"}}],
		"accession":{"value":"A1"},"basedOn":[{"reference":"r"},{"identifier":{"value":"O1","type":{"coding":[{"code":"ACSN"}]}}},[],{"identifier":"x"}]}`
	want := Resource{Type: "ImagingStudy", ID: "s1", UID: "urn:oid:1.2",
		Identifiers: []Identifier{{System: "a", Value: "1"}, {}, {}, {System: "b", Value: `"x"`, Codes: []string{"ACSN", "D"}}},
		Accession:   Identifier{Value: "A1"}, BasedOn: []Identifier{{Value: "O1", Codes: []string{"ACSN"}}, {}}}
	for how, item := range entry(t, value) {
		got, ok := item.Resource()
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s (-want +got):\n%s", how, diff)
		}
	}
}

func TestResourceOfAnotherShapeIdentifiesNothing(t *testing.T) {
	const value = `{"resourceType":"Patient","identifier":{"value":"1"},"accession":"x","basedOn":"y"}`
	for how, item := range entry(t, value) {
		got, ok := item.Resource()
		if diff := cmp.Diff(Resource{Type: "Patient"}, got); !ok || diff != "" {
			t.Errorf("%s (-want +got):\n%s", how, diff)
		}
	}
}

func TestResourceThatCannotBeRead(t *testing.T) {
	for _, value := range []string{`{}`, `{"id":"1"}`, `{"resourceType":""}`, `{"resourceType":1}`, `{"resourceType":"Patient","id":1}`, `{"resourceType":"Patient","uid":{}}`} {
		for how, item := range entry(t, value) {
			if r, ok := item.Resource(); ok {
				t.Errorf("%s %s: %+v", how, value, r)
			}
		}
	}
	for _, item := range []Item{{}, {Kind: "reference", Value: json.RawMessage(`{"resourceType":"Patient"}`)}, {Kind: "resource", Value: json.RawMessage(`["id"]`)},
		{Kind: "resource", Value: json.RawMessage(`{"resourceType":"Patient"`)}, {Kind: "resource", Value: json.RawMessage(`null`)}} {
		if r, ok := item.Resource(); ok {
			t.Errorf("kind %q: %+v", item.Kind, r)
		}
	}
}
