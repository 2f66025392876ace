package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/castray/castray/bridge/fhircast"
)

func TestFaultsAreListed(t *testing.T) {
	list := KnownFaults()
	for _, name := range []string{"names-lower", "drop", "deny-others", "version-2019", "version-2024", "publish-at-topic-404"} {
		if !slices.ContainsFunc(list, func(f Fault) bool { return f.Name == name && strings.HasSuffix(f.Help, ".") }) {
			t.Errorf("no %s", name)
		}
	}
	for _, f := range list {
		if _, err := ParseFaults(f.Name); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if _, err := ParseFaults("names-lower,nonsense"); err == nil || !strings.Contains(err.Error(), `"nonsense"`) {
		t.Errorf("got %v", err)
	}
}

// What a subscriber meets is the hub with its faults; what the page does goes through them, too.
func TestHubOfTheSandboxMisbehaves(t *testing.T) {
	faults, err := ParseFaults("names-lower,derive-events,topic-is-url,context-html=1")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{AutoApprove: true, Misbehave: faults})
	c := browser(t, s)
	if topic := s.Info().Topic; topic != s.Info().HubURL+"/"+s.Topic("").Reveal() {
		t.Errorf("the topic is %s", topic)
	}
	if _, topic := s.launched(""); topic != s.Info().Topic {
		t.Errorf("a launch tells another: %s", topic)
	}
	if _, err := s.Open(t.Context(), "", "ImagingStudy", "p01-s1"); err != nil {
		t.Fatal(err)
	}
	var names []fhircast.Name
	for _, entry := range s.hub.Log(s.Topic(""), 0) {
		if entry.What == "published" {
			names = append(names, entry.EventName)
		}
	}
	if !slices.Equal(names, []fhircast.Name{"Patient-open", "Encounter-open", "ImagingStudy-open"}) {
		t.Errorf("the page opened %v", names)
	}
	for _, want := range []string{"<title>", `"context.type":"ImagingStudy"`} {
		answer, body := fetch(t, c, "GET", s.Info().HubURL+"/"+s.Topic("").Reveal(), nil, "Authorization", "Bearer "+s.Info().AdminToken)
		if answer.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("context: %s %s", answer.Status, body)
		}
	}
	if _, doc := fetch(t, c, "GET", s.Info().HubURL+"/.well-known/fhircast-configuration", nil); !strings.Contains(doc, `"patient-open"`) {
		t.Errorf("discovery: %s", doc)
	}
}
