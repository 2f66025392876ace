package config

import "testing"

func TestForSiteSaysWhatItWasTold(t *testing.T) {
	for _, want := range []Site{
		{Name: "General Hospital", FHIRURL: "https://ehr.example.org/fhir/", ClientID: "castray"},
		{Name: `"Ward" <3> \ ä`, FHIRURL: "https://ehr.example.org/a&b", ClientID: `c"1`},
		{Name: "w", FHIRURL: "https://ehr.example.org", ClientID: "c", CAFile: "the authorities"},
	} {
		if want.CAFile != "" {
			want.CAFile = save(t, want.CAFile+".pem", "")
		}
		path := save(t, "castray.toml", string(ForSite(want)))
		c, err := Load(Sources{File: path})
		if want.CAFile != "" { // that file is empty, and nothing else is wrong
			if err == nil || err.Error() != path+":8:1: site.ca_file: "+want.CAFile+": holds no PEM certificate" {
				t.Errorf("%s: %v", want.Name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Sites[0]; got.Name != want.Name || got.FHIRURL != want.FHIRURL || got.ClientID != want.ClientID || c.Session.Shared || got.Hub.Test {
			t.Errorf("%+v", got)
		}
	}
}
