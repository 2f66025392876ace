package fhircast

import (
	"encoding/json"
	"testing"
)

func TestMemberIsWhatTheResourceSays(t *testing.T) {
	const resource = "{ \"resourceType\" : \"ImagingStudy\",\n \"note\":[{\"id\":\"inner\"}], \"id\":\"s\\u0031\", \"identifier\":[{\"value\":\"1\"}], \"subject\":{\"reference\":\"Patient/p\"}}"
	m, err := Decode([]byte(`{"timestamp":"2026-01-02T03:04:05Z","id":"e","event":{"hub.topic":"t","hub.event":"ImagingStudy-open","context":[` +
		`{"resource":` + resource + `,"key":"study"},{"key":"patient","resource":null},{"key":"x","reference":{"id":"r"}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	context := m.(*Event).Context
	for name, item := range map[string]Item{"read with its event": context[0], "made by hand": {Key: "study", Kind: "resource", Value: json.RawMessage(resource)}} {
		for member, want := range map[string]string{"resourceType": `"ImagingStudy"`, "id": `"s\u0031"`, "identifier": `[{"value":"1"}]`,
			"subject": `{"reference":"Patient/p"}`, "uid": "", "note": ""} {
			if got := string(item.Member(member)); got != want {
				t.Errorf("%s: %s is %q, want %q", name, member, got, want)
			}
		}
	}
	if got := len(context[0].Value); got != len(resource) {
		t.Errorf("the value has %d bytes, want %d", got, len(resource))
	}
	for _, item := range []Item{context[1], context[2], {}, {Kind: "resource", Value: json.RawMessage(`["id","1"]`)}, {Kind: "resource", Value: json.RawMessage(`{"id":`)}} {
		if got := item.Member("id"); got != nil {
			t.Errorf("an entry of kind %q has the id %s", item.Kind, got)
		}
	}
}
