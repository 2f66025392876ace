package scope

import (
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	// SM-SCOPE-01, SM-SCOPE-02, SM-SCOPE-04
	for s, want := range map[string]error{
		"patient/Patient.rs": nil, "user/*.cruds": nil, "system/Observation.r": nil, "patient/Observation.cud": nil,
		"patient/Observation.rs?category=a|b": nil, "user/Observation.rs?category=a&status=final": nil,
		"patient/Patient.read": nil, "user/*.write": nil, "user/*.*": nil,
		"openid": nil, "fhirUser": nil, "launch": nil, "fhircast/Patient-open.read": nil, "https://example.org/scope/a.dus": nil,
		"launch/patient": nil, "launch/imagingstudy": nil, "launch/practitioner?role=performer": nil,

		"patient/Patient.dus":                 errRights, // out of order
		"patient/Patient.rr":                  errRights,
		"patient/Patient.":                    errRights,
		"patient/Patient":                     errRights,
		"patient/Patient.rx":                  errRights,
		"patient/Patient.READ":                errRights,
		"patient/Patient.reads":               errRights, // a word is a word
		"patient/Patient.rea":                 errRights,
		"patient/patient.rs":                  errType,
		"patient/.rs":                         errType,
		"patient/Pat*.rs":                     errType,
		"patient/Observation.rs?":             errQuery,
		"patient/Observation.rs?category":     errQuery,
		"patient/Observation.rs?=a":           errQuery,
		"patient/Observation.rs?category=a&":  errQuery,
		"patient/Observation.rs?a=b?c=d":      errQuery,
		"patient/Observation.read?category=a": errQuery, // version 1 knows none
		"launch/Patient":                      errLaunch,
		"launch/":                             errLaunch,
		"launch/patient?role=a&role=b":        errLaunch,
		"launch/patient?role=":                errLaunch,
		"launch/patient?name=a":               errLaunch,
		"launch/imaging-study":                errLaunch,
	} {
		if got := Check(s); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}

func TestMissing(t *testing.T) {
	// SM-TOK-08, SM-SCOPE-02, SM-SCOPE-05
	for _, c := range []struct{ name, asked, granted, missing string }{
		{"the same, in another order and twice", "openid fhirUser", "fhirUser openid openid", ""},
		{"more than was asked", "openid", "openid patient/*.rs x", ""},
		{"an unknown one that is not there", "openid x", "openid", "x"},
		{"rs is r and s", "patient/Patient.rs", "patient/Patient.s patient/Patient.r", ""},
		{"rs is read", "patient/Patient.rs", "patient/Patient.read", ""},
		{"read is rs", "patient/Patient.read", "patient/Patient.rs", ""},
		{"read is more than r", "patient/Patient.read", "patient/Patient.r", "patient/Patient.read"},
		{"cud is write", "user/Patient.cud", "user/Patient.write", ""},
		{"cruds is *", "user/Patient.cruds", "user/Patient.*", ""},
		{"* is read and write", "user/Patient.*", "user/Patient.read user/Patient.write", ""},
		{"all resources hold for one", "user/Patient.rs", "user/*.rs", ""},
		{"one does not hold for all", "user/*.rs", "user/Patient.rs", "user/*.rs"},
		{"a user's are not a patient's", "patient/Patient.rs", "user/Patient.rs", "patient/Patient.rs"},
		{"a condition, to the letter", "user/Observation.rs?category=a", "user/Observation.rs?category=a", ""},
		{"a condition of another spelling", "user/Observation.rs?category=a&b=c", "user/Observation.rs?b=c&category=a", "user/Observation.rs?category=a&b=c"},
		{"less than all", "user/Observation.rs", "user/Observation.rs?category=a", "user/Observation.rs"},
		{"more than the condition", "user/Observation.rs?category=a", "user/Observation.rs", ""},
		{"with the condition for one letter only", "user/Observation.rs?category=a", "user/Observation.r?category=a user/Observation.s?category=b", "user/Observation.rs?category=a"},
		{"what is judged elsewhere", "offline_access online_access fhircast/Patient-open.read", "", ""},
		{"nothing", "openid launch/patient", "", "openid launch/patient"},
	} {
		if got := strings.Join(Missing(strings.Fields(c.asked), strings.Fields(c.granted)), " "); got != c.missing {
			t.Errorf("%s: %q, want %q", c.name, got, c.missing)
		}
	}
}

func TestRestyle(t *testing.T) {
	// SM-SCOPE-03: of other words nothing changes, FHIRcast's among them.
	same := "openid fhircast/Patient-open.read fhircast/SyncError.* launch/patient"
	for _, c := range []struct{ style, from, to string }{
		{"v2", "patient/Patient.read user/*.write user/*.* user/Group.r", "patient/Patient.rs user/*.cud user/*.cruds user/Group.r"},
		{"v1", "patient/Patient.rs user/*.cud user/*.cruds user/Group.read", "patient/Patient.read user/*.write user/*.* user/Group.read"},
		{"v1", "user/Observation.r user/Observation.rs?category=a", "user/Observation.r user/Observation.rs?category=a"}, // it has no words for these
		{"", "patient/Patient.read patient/Patient.rs", "patient/Patient.read patient/Patient.rs"},
	} {
		asked := strings.Fields(c.from + " " + same)
		if got := strings.Join(Restyle(asked, c.style), " "); got != c.to+" "+same {
			t.Errorf("%s of %s: %s", c.style, c.from, got)
		}
		if !slices.Equal(asked, strings.Fields(c.from+" "+same)) {
			t.Error("the caller's scopes were changed")
		}
	}
	if !Clinical([]string{"openid", "user/*.rs"}) || Clinical(strings.Fields(same)) {
		t.Error("Clinical")
	}
}

func FuzzScopes(f *testing.F) {
	for _, s := range []string{"patient/Patient.rs", "user/*.cruds?a=b|c&d=e", "user/*.read", "launch/patient?role=x", "openid", "system/.", "patient/Patient.*?"} {
		f.Add(s, "user/*.rs")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		// Whatever a server says: what is granted as it was asked for is not missing, and a style changes no meaning.
		if missing := Missing([]string{a}, []string{b, a}); missing != nil {
			t.Errorf("%q is missing from itself", missing)
		}
		for _, style := range []string{"v1", "v2"} {
			other := Restyle([]string{a}, style)
			if Missing([]string{a}, other) != nil || Missing(other, []string{a}) != nil {
				t.Errorf("%s of %q is another: %q", style, a, other)
			}
			if Check(a) == nil && Check(other[0]) != nil {
				t.Errorf("%s of %q is wrong: %q", style, a, other)
			}
		}
	})
}
