package oauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// SM-DISC-08: what a server lists is a hint; one that lists nothing, or has no CapabilityStatement, is described all the
// same. FC-CONF-12: the hub's address in the CapabilityStatement is found.
func TestDiscover(t *testing.T) {
	const hubAt = `{"software":{"name":"Chart"},"rest":[{"extension":[{"url":"http://hl7.org/fhir/uv/fhircast/StructureDefinition/fhircast-configuration-extension",
		"extension":[{"url":"hub.version","valueString":"3"},{"url":"hub.url","valueUrl":"https://hub.example.org"}]}]}]}`
	for _, c := range []struct {
		name, metadata string
		listed         bool
		software, hub  string
	}{
		{"with a hub", hubAt, true, "Chart", "https://hub.example.org"},
		{"without", `{"software":{"name":"Chart"},"rest":[{"mode":"server"}]}`, true, "Chart", ""},
		{"a page instead", "<html>", true, "", ""},
		{"no CapabilityStatement, nothing listed", "", false, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if !c.listed {
				w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"capabilities": nil, "scopes_supported": nil}})
			}
			ts := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if c.metadata != "" && r.URL.Path == "/fhir/metadata" {
					_, _ = io.WriteString(rw, c.metadata)
					return
				}
				w.as.ServeHTTP(rw, r)
			}))
			defer ts.Close()
			w.l.Site.FHIRURL, w.l.HTTP = ts.URL+"/fhir/", ts.Client()
			d, err := w.l.Discover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d.Name != c.software || d.HubURL != c.hub || d.Authorize != ts.URL+"/auth/authorize" || d.Token != ts.URL+"/auth/token" {
				t.Errorf("%+v", d)
			}
			if slices.Contains(d.Capabilities, "launch-standalone") != c.listed || slices.Contains(d.Scopes, "fhircast/*.read") != c.listed {
				t.Errorf("capabilities %q, scopes %q", d.Capabilities, d.Scopes)
			}
		})
	}
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{ConfigurationHTML: true})
	if _, err := w.l.Discover(t.Context()); err == nil || !strings.Contains(oauth.Sentence(err), "fhir_url") && !strings.Contains(oauth.Sentence(err), "network") {
		t.Errorf("%v", err)
	}
}
