package hub

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/castray/castray/bridge/fhircast"
)

const topicAndName = `"hub.topic":"t","hub.event":"Patient-open"`

func TestOnlyTheVersionsOfAnEventAreReplaced(t *testing.T) {
	// FC-EVT-05 FC-EVT-06
	message := func(event string) string {
		return `{"timestamp":"2000-01-01T00:00:00Z","id":"1","event":` + event + `}`
	}
	for _, row := range []struct{ name, event, version, prior, want string }{
		{"none before", `{` + topicAndName + `,"context":[]}`, "v", "", `{"context.versionId":"v",` + topicAndName + `,"context":[]}`},
		{"in the middle", `{"hub.topic":"t","context.versionId":"u","hub.event":"Patient-open","context":[]}`, "v", "u",
			`{"context.versionId":"v","context.priorVersionId":"u",` + topicAndName + `,"context":[]}`},
		{"at both ends", `{"context.priorVersionId":"q",` + topicAndName + `,"context":[],"context.versionId":"u"}`, "v", "", `{"context.versionId":"v",` + topicAndName + `,"context":[]}`},
		{"under the names of the table", `{"versionId":"u","priorVersionId":"q",` + topicAndName + `,"context":[]}`, "v", "", `{"context.versionId":"v",` + topicAndName + `,"context":[]}`},
		{"under a name with an escape", `{"context\u002eversionId":"u",` + topicAndName + `,"context":[]}`, "v", "", `{"context.versionId":"v",` + topicAndName + `,"context":[]}`},
		{"taken out", `{"context.versionId":"u",` + topicAndName + `,"context":[]}`, "", "", `{` + topicAndName + `,"context":[]}`},
		{"no version", `{` + topicAndName + ` , "context" : [ ] }`, "", "", `{` + topicAndName + ` , "context" : [ ] }`},
		{"a text that looks like the end", `{` + topicAndName + `,"a":"\"}]","context":[{"key":"x","string":"{\\"}],"n":-1.50e3 , "z" : [true,null,{}]}`, "v\"1", "",
			`{"context.versionId":"v\"1",` + topicAndName + `,"a":"\"}]","context":[{"key":"x","string":"{\\"}],"n":-1.50e3,"z" : [true,null,{}]}`},
		{"a version inside", `{` + topicAndName + `,"context":[{"key":"x","resource":{"context.versionId":"u"}}]}`, "v", "", `{"context.versionId":"v",` + topicAndName + `,"context":[{"key":"x","resource":{"context.versionId":"u"}}]}`},
	} {
		e, err := decodeEvent([]byte(message(row.event)))
		if err != nil {
			t.Fatal(row.name, err)
		}
		got, err := stamped(e, row.version, row.prior)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if string(got.Wire()) != message(row.want) || got.Version != row.version || got.PriorVersion != row.prior {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got.Wire(), message(row.want))
		}
	}
}

// Whatever can be decoded can be stamped, and nothing else changes.
func FuzzStamped(f *testing.F) {
	for _, seed := range []string{
		`{"timestamp":"2000-01-01T00:00:00Z","id":"1","event":{` + topicAndName + `,"context":[]}}`,
		" {\n\"event\" :\t{\"versionId\":\"u\", \"context\":[{\"key\":\"\\u0061\",\"decimal\":1e2}],\"hub.event\":\"x\",\"hub.topic\":\"\\\"\"} ,\"id\":\"1\",\"timestamp\":\"x\"} ",
	} {
		f.Add([]byte(seed), "v", "p")
	}
	f.Fuzz(func(t *testing.T, text []byte, version, prior string) {
		e, err := decodeEvent(text)
		if err != nil || version == "" {
			return
		}
		s, err := stamped(e, version, prior)
		if err != nil {
			t.Fatalf("%v: %s", err, e.Wire())
		}
		was, is := membersIn(t, e), membersIn(t, s)
		if !reflect.DeepEqual(was, is) {
			t.Fatalf("got  %s\nfrom %s", s.Wire(), e.Wire())
		}
	})
}

// membersIn is a message without its versions.
func membersIn(t *testing.T, e *fhircast.Event) map[string]any {
	var all map[string]any
	if err := json.Unmarshal(e.Wire(), &all); err != nil {
		t.Skip(err) // deeper than encoding/json goes
	}
	maps.DeleteFunc(all["event"].(map[string]any), func(name string, _ any) bool {
		switch name {
		case versionMember, priorMember, "versionId", "priorVersionId":
			return true
		}
		return false
	})
	return all
}
