package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSiteProfiles(t *testing.T) {
	// SM-CLI-07, SM-CLI-01, SM-SCOPE-03: what a registration consists of stands in one [[site]], and each has its own. A
	// site that says nothing of it is a public client.
	c, err := loadText(t, `
[[site]]
fhir_url = "https://plain.example.org/fhir"
client_id = "castray"

[[site]]
fhir_url = "https://odd.example.org/fhir"
client_id = "castray 2"
auth = "secret"
secret_encoding = "plain"
redirect = "loopback:17321"
scopes = ["openid", "user/*.read", "user/Observation.rs?category=a|b"]
scope_style = "v2"
authorize = ["prompt=consent"]

[[site]]
fhir_url = "https://old.example.org/fhir"
client_id = "castray-3"
auth = "private_key_jwt"
scopes = ["openid", "user/*.rs", "user/Group.r"]
scope_style = "v1"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Site{
		{Name: "plain.example.org", FHIRURL: "https://plain.example.org/fhir", ClientID: "castray", Auth: "public",
			Scopes: []string{"openid", "fhirUser", "offline_access"}, Redirect: "loopback"},
		{Name: "odd.example.org", FHIRURL: "https://odd.example.org/fhir", ClientID: "castray 2", Auth: "secret", PlainBasic: true,
			Scopes: []string{"openid", "user/*.rs", "user/Observation.rs?category=a|b"}, Authorize: []string{"prompt=consent"}, Redirect: "loopback:17321"},
		{Name: "old.example.org", FHIRURL: "https://old.example.org/fhir", ClientID: "castray-3", Auth: "private_key_jwt",
			Scopes: []string{"openid", "user/*.read", "user/Group.r"}, Redirect: "loopback"},
	}
	for i := range c.Sites {
		c.Sites[i].Hub = Hub{} // the same for all
	}
	if diff := cmp.Diff(want, c.Sites); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDefaultScopesAreFew(t *testing.T) {
	// SM-AUTH-08, SM-REF-01: who is there, a refresh token, and each event by its name. SyncError alone is asked for with
	// both rights in one word, which is FHIRcast's own.
	c, err := loadText(t, oneSite)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"openid", "fhirUser", "offline_access",
		"fhircast/Patient-open.read", "fhircast/Patient-close.read", "fhircast/Encounter-open.read", "fhircast/Encounter-close.read",
		"fhircast/ImagingStudy-open.read", "fhircast/ImagingStudy-close.read", "fhircast/DiagnosticReport-open.read",
		"fhircast/DiagnosticReport-close.read", "fhircast/Home-open.read", "fhircast/UserLogout.read", "fhircast/UserHibernate.read",
		"fhircast/SyncError.*",
		"fhircast/Patient-open.write", "fhircast/Patient-close.write", "fhircast/ImagingStudy-open.write", "fhircast/ImagingStudy-close.write"}
	if diff := cmp.Diff(want, Scopes(c.Sites[0])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
