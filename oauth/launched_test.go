package oauth

import (
	"slices"
	"strings"
	"testing"
)

// plain is a launch context in the clear, a line each.
func (l Launch) plain() []string {
	var lines []string
	for _, x := range []struct {
		name string
		s    Secret
	}{{"patient", l.Patient}, {"encounter", l.Encounter}, {"intent", l.Intent}, {"tenant", l.Tenant}, {"style", l.StyleURL}} {
		if !x.s.IsZero() {
			lines = append(lines, x.name+"="+x.s.Reveal())
		}
	}
	if l.BannerSaid {
		lines = append(lines, map[bool]string{true: "banner", false: "no banner"}[l.Banner])
	}
	for _, i := range l.Items {
		lines = append(lines, strings.Join([]string{i.Reference.Reveal(), i.Canonical.Reveal(), i.Identifier.Reveal(), i.Type, i.Role}, "|"))
	}
	return lines
}

func TestLaunchContext(t *testing.T) {
	for _, c := range []struct {
		name, members string
		want          string // lines of plain, by blanks
		odd           string
	}{
		// SM-CTX-01
		{"none", ``, "", ""},
		{"all", `"patient":"p","encounter":"e","intent":"order-review","need_patient_banner":true,"smart_style_url":"https://s/x.json","tenant":"t",
			"fhirContext":[{"reference":"ImagingStudy/1"}]`, "patient=p encounter=e intent=order-review tenant=t style=https://s/x.json banner ImagingStudy/1||||launch", ""},
		{"null is not there", `"patient":null,"need_patient_banner":null,"fhirContext":null`, "", ""},
		{"a banner that is a string", `"need_patient_banner":"false"`, "no_banner", ""},
		{"each mistyped", `"patient":{"x":1},"encounter":[1],"intent":true,"need_patient_banner":"maybe","smart_style_url":false,"tenant":{},"fhirContext":"ImagingStudy/1"`,
			"", "encounter fhirContext intent need_patient_banner patient smart_style_url tenant"},
		{"one mistyped costs that one", `"patient":["p"],"encounter":"e"`, "encounter=e", "patient"},
		// SM-CTX-02
		{"by canonical and by identifier", `"fhirContext":[{"canonical":"http://q|1"},{"identifier":{"value":"7"},"type":"Questionnaire"}]`,
			`|http://q|1|||launch ||{"value":"7"}|Questionnaire|launch`, ""},
		{"another role", `"fhirContext":[{"reference":"Patient/9","role":"https://r/twin"},{"reference":"https://h/fhir/Encounter/8","role":"x"}]`,
			"Patient/9||||https://r/twin https://h/fhir/Encounter/8||||x", ""},
		{"items that are not valid", `"fhirContext":[{},{"type":"Patient"},{"reference":""},{"reference":"A/1","role":""},{"reference":"Patient/1"},
			{"reference":"x","type":"Encounter"},{"reference":"https://h/fhir/Patient/1","role":"launch"},{"reference":7},{"identifier":"7"},7,null,[],{"reference":"B/2"}]`,
			"B/2||||launch", "fhirContext"},
		// SM-CTX-03
		{"bare strings", `"fhirContext":["ImagingStudy/1","Patient/2"]`, "ImagingStudy/1||||launch", "fhirContext"},
		{"a resource under its own name", `"imagingstudy":"789"`, "ImagingStudy/789|||ImagingStudy|launch", ""},
		{"as a reference", `"diagnosticreport":"DiagnosticReport/4"`, "DiagnosticReport/4|||DiagnosticReport|launch", ""},
		{"mistyped", `"imagingstudy":[1]`, "", "imagingstudy"},
		// SM-CTX-04
		{"an intent that nobody has heard of", `"intent":"https://x.example/dance"`, "intent=https://x.example/dance", ""},
		{"an empty intent", `"intent":""`, "", "intent"},
	} {
		body := `{"access_token":"a"`
		if c.members != "" {
			body += "," + c.members
		}
		a, err := parse(body + "}")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := a.launch.plain()
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], " ", "_")
		}
		if !slices.Equal(got, strings.Fields(c.want)) || strings.Join(a.odd, " ") != c.odd || len(a.launch.Extra) != 0 {
			t.Errorf("%s: %q, odd %q, extra %d", c.name, got, a.odd, len(a.launch.Extra))
		}
	}
}
