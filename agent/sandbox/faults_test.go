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
	for _, name := range []string{"names-lower", "drop", "deny-others", "version-2019", "version-2024", "publish-at-topic-404", "signin-life-float"} {
		if !slices.ContainsFunc(list, func(f Fault) bool { return f.Name == name && strings.HasSuffix(f.Help, ".") }) {
			t.Errorf("no %s", name)
		}
	}
	for _, f := range list {
		if _, err := ParseFaults(f.Name); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	for _, list := range []string{"names-lower,nonsense", "signin-slow,nonsense", "nonsense", "signin-slow=1,names-lower"} {
		if _, err := ParseFaults(list); err == nil || !strings.Contains(err.Error(), "there is no fault") {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestSignInOfTheSandboxMisbehaves(t *testing.T) {
	faults, err := ParseFaults("names-lower, signin-smart1,signin-life-string")
	if err != nil || len(faults.hub) != 1 || !faults.signIn.SMART1 || faults.signIn.Body["expires_in"] != "3600" {
		t.Fatalf("%+v, %v", faults, err)
	}
	s := start(t, Config{Misbehave: faults})
	c := browser(t, s)
	if answer, _ := fetch(t, c, "GET", s.Info().FHIRURL+"/.well-known/smart-configuration", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("as a server of SMART 2: %s", answer.Status)
	}
	if _, body := fetch(t, c, "GET", s.Info().FHIRURL+"/metadata", nil); !strings.Contains(body, `"valueUri":"`+strings.TrimSuffix(s.Info().FHIRURL, "/fhir")+`/auth/token"`) {
		t.Errorf("as one of SMART 1: %s", body)
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
