package agent_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// A sign-in server of 2019: it knows one scope, and calls hub and session by other names (FC-DISC-09, FC-SCOPE-07,
// SM-FC-03). Its session is joined where the configuration says so, and is no session elsewhere.
func TestALaunchOf2019IsJoinedWhereItIsSwitchedOn(t *testing.T) {
	for quirks, want := range map[string]bool{`["legacy-names", "one-scope"]`: true, `["one-scope"]`: false} {
		h := newHospital(t)
		h.write(h.file, append(h.config, "[hub]\nquirks = "+quirks+"\n"...))
		h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": nil, "hub.topic": nil,
			"cast-hub": h.server.URL + "/hub", "cast-session": h.topic.Reveal()}})
		h.starts()
		v := h.viewer("viewer", client.Options{})
		h.do("signin", `{}`)
		if !want {
			h.until("no session", func(s protocol.Status) bool { return has(s, "no_fhircast_session") })
			h.end()
			continue
		}
		h.phase(protocol.PhaseNoContext)
		if asked := h.asked(); asked != "openid fhirUser offline_access fhircast" {
			t.Errorf("asked for %q", asked)
		}
		h.opensPatient("p1")
		h.sees(v, "Patient-open")
		h.phase(protocol.PhaseInSync)
		h.keepsSecrets()
	}
}

// FC-SCOPE-02, FC-SCOPE-03: a scope of all events of a resource, as the versions before 3.0.0 have it, decides what the hub is
// asked for; where 3.0.0 is spoken there is no such scope, and the hub decides.
func TestAScopeOfAnOlderVersionDecidesWhatIsAskedFor(t *testing.T) {
	for quirks, want := range map[string]string{`["version-stu2"]`: "patient-open,patient-close,syncerror,heartbeat", `[]`: ""} {
		h := newHospital(t)
		h.write(h.file, append(h.config, "[hub]\nquirks = "+quirks+"\n"...))
		h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": "openid fhircast/Patient-*.read"}})
		h.starts()
		h.do("signin", `{}`)
		h.phase(protocol.PhaseNoContext)
		events := strings.ToLower(h.forms(hubtest.Subscribe)[0]["hub.events"])
		if want != "" && events != want || want == "" && !contains(events, "encounter-open") {
			t.Errorf("%s: asked for %q", quirks, events)
		}
	}
}

// FC-DISC-10, FC-SCOPE-08: the hub is asked for those of the configured events that the sign-in granted to read; where it says
// nothing of FHIRcast, for all of them, and the hub decides.
func TestTheHubIsAskedForWhatTheSignInGranted(t *testing.T) {
	for _, c := range []struct {
		scope any
		want  string
	}{
		{"openid fhircast/Patient-open.read fhircast/HOME-open.* fhircast/Patient-close.write fhircast/Encounter-open.read", "Patient-open,Home-open,SyncError,heartbeat"},
		{"openid fhircast/*.read", "Patient-open,Patient-close,Home-open,SyncError,heartbeat"},
		{"openid fhirUser", "Patient-open,Patient-close,Home-open,SyncError,heartbeat"},
		{nil, "Patient-open,Patient-close,Home-open,SyncError,heartbeat"},
	} {
		h := newHospital(t)
		h.write(h.file, append(h.config, "[hub]\nevents = [\"Patient-open\", \"Patient-close\", \"Home-open\"]\n"...))
		h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": c.scope}})
		h.starts()
		h.do("signin", `{}`)
		h.phase(protocol.PhaseNoContext)
		if asked := h.forms(hubtest.Subscribe)[0]["hub.events"]; asked != c.want {
			t.Errorf("granted %v: asked for %q, want %q", c.scope, asked, c.want)
		}
		h.end()
	}
}

// FC-DISC-02: without a hub or without a topic there is no session to join: that is said, and no hub is asked for anything.
func TestWithoutAHubOrATopicNothingIsAsked(t *testing.T) {
	for _, missing := range []string{"hub.url", "hub.topic"} {
		h := newHospital(t)
		h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{missing: nil}})
		h.starts()
		h.do("signin", `{}`)
		h.until("no session", func(s protocol.Status) bool { return has(s, "no_fhircast_session") })
		h.rest()
		if asked := h.hub.Requests(""); len(asked) != 0 {
			t.Errorf("without %s: %d requests to the hub", missing, len(asked))
		}
		h.end()
	}
}

// FC-DISC-04: the sign-in asks for the scopes of the events that are configured, and for no others.
func TestTheSignInAsksForTheScopesOfTheConfiguredEvents(t *testing.T) {
	h := newHospital(t)
	h.write(h.file, append(h.config, "[hub]\nevents = [\"patient-open\", \"Home-open\"]\nsend = [\"Patient-open\"]\n"...))
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	const want = "openid fhirUser offline_access fhircast/Patient-open.read fhircast/Home-open.read fhircast/SyncError.* fhircast/Patient-open.write"
	if asked := h.asked(); asked != want {
		t.Errorf("asked for %q", asked)
	}
}

// asked is the scope parameter of the authorize request, the last one.
func (h *hospital) asked() string {
	h.Helper()
	asked := ""
	for _, r := range h.auth.Requests() {
		if strings.HasSuffix(r.Path, "/authorize") {
			asked = r.Form.Get("scope")
		}
	}
	return asked
}

// The quirks of the configuration reach the hub: what it needs said in another way is said so.
func TestTheQuirksOfTheConfigurationReachTheHub(t *testing.T) {
	h := newHospital(t)
	h.write(h.file, append(h.config, "[hub]\nquirks = [\"no-discovery\", \"lower-case-names\", \"fhir-json\"]\n"...))
	v := h.reports("viewer")
	if events := h.forms(hubtest.Subscribe)[0]["hub.events"]; !contains(events, "patient-open,patient-close") {
		t.Errorf("asked for %q", events)
	}
	h.sends(v, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}}]`)}, 202)
	posted := h.hub.Requests(hubtest.Publish)[0]
	if kind := posted.Header.Get("Content-Type"); kind != "application/fhir+json" || !contains(string(posted.Body), `"patient-open"`) {
		t.Errorf("posted as %s: %s", kind, posted.Body)
	}
	h.phase(protocol.PhaseInSync)
}
