package sandbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testFHIR(t *testing.T) http.Handler {
	f := &fhirServer{base: "https://127.0.0.1:1/fhir", hub: "https://127.0.0.1:1/hub", hospital: testHospital(t), started: day,
		grant: func(token string) ([]string, bool) {
			scopes, ok := map[string][]string{
				"reader": {"openid", "user/*.read"}, "v2": {"user/Patient.r", "user/ImagingStudy.rs"}, "agent": {"openid", "fhirUser", "fhircast/Patient-open.read"},
			}[token]
			return scopes, ok
		}}
	return f.handler()
}

func ask(h http.Handler, method, target, token string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func ids(t *testing.T, body []byte) []string {
	t.Helper()
	var b bundle
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	list := []string{}
	for _, e := range b.Entry {
		var r struct{ ID string }
		if err := json.Unmarshal(e.Resource, &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r.ID)
	}
	return list
}

func TestSearch(t *testing.T) {
	h := testFHIR(t)
	for name, row := range map[string]struct {
		query string
		want  []string
	}{
		"both patients of one name":             {"Patient?name=rossi", []string{"p01", "p02"}},
		"a name by its beginning, in capitals":  {"Patient?name=ROSS", []string{"p01", "p02"}},
		"name and birth date tell them apart":   {"Patient?name=rossi&birthdate=1987-11-02", []string{"p02"}},
		"a year is enough":                      {"Patient?family=rossi&birthdate=1961", []string{"p01"}},
		"part of a year is not":                 {"Patient?birthdate=196", []string{}},
		"a name without its marks":              {"Patient?name=goncalves", []string{"p03"}},
		"a name with its marks":                 {"Patient?name=Gon%C3%A7alves", []string{"p03"}},
		"the second part of a double name":      {"Patient?name=muller", []string{"p03"}},
		"ideographs":                            {"Patient?name=%E5%B1%B1%E7%94%B0", []string{"p04"}},
		"the usual name of the same":            {"Patient?name=taro", []string{"p04"}},
		"Arabic without the mark of a double":   {"Patient?name=%D8%A7%D9%84%D8%AD%D8%AF%D8%A7%D8%AF", []string{"p05"}},
		"an apostrophe of the other kind":       {"Patient?family=O'Neill", []string{"p10"}},
		"inside a name, when asked for":         {"Patient?family:contains=souza", []string{"p10"}},
		"the whole name, when asked for":        {"Patient?given:exact=mari", []string{}},
		"a record number with its system":       {"Patient?identifier=urn:oid:2.999.17.1%7CSB100007", []string{"p01"}},
		"a record number alone":                 {"Patient?identifier=SB100007", []string{"p01"}},
		"a record number in another system":     {"Patient?identifier=urn:oid:2.999.17.2%7CSB100007", []string{}},
		"one of two":                            {"Patient?_id=p03,p05", []string{"p03", "p05"}},
		"repeated means both":                   {"Patient?name=maria&name=bianchi", []string{}},
		"nobody":                                {"Patient?name=xyz", []string{}},
		"studies of a patient":                  {"ImagingStudy?patient=p04", []string{"p04-s1", "p04-s2"}},
		"studies by typed reference":            {"ImagingStudy?subject=Patient/p04", []string{"p04-s1", "p04-s2"}},
		"studies by address":                    {"ImagingStudy?patient=https://127.0.0.1:1/fhir/Patient/p04", []string{"p04-s1", "p04-s2"}},
		"studies of another server's patient":   {"ImagingStudy?patient=https://other/fhir/Patient/p04", []string{}},
		"the first accession of two":            {"ImagingStudy?identifier=urn:oid:2.999.17.2%7CA08001", []string{"p08-s1"}},
		"the second accession of the same":      {"ImagingStudy?identifier=A08002", []string{"p08-s1"}},
		"a study by its UID":                    {"ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:" + uidOf("p01-s2"), []string{"p01-s2"}},
		"visits that go on":                     {"Encounter?status=in-progress&patient=p01", []string{"p01-e1"}},
		"reports of a visit":                    {"DiagnosticReport?encounter=Encounter/p09-e1", []string{"p09-r1"}},
		"reports by status":                     {"DiagnosticReport?status=amended", []string{"p10-r1"}},
		"a format that we write":                {"Patient?name=suharti&_format=json", []string{"p11"}},
		"a page of a size":                      {"Patient?_count=2&_offset=1", []string{"p02", "p03"}},
		"how many there are and none of them":   {"Patient?_count=0", []string{}},
		"a page beyond the end":                 {"Patient?_offset=99", []string{}},
		"who can sign in":                       {"Practitioner?name=nakamura", []string{"reader3"}},
		"an identifier's system without values": {"Practitioner?identifier=urn:oid:2.999.17.5%7C", []string{"reader1", "reader2", "reader3", "reader4"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(h, "GET", "/fhir/"+row.query, "reader", nil)
			if w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(row.want, ids(t, w.Body.Bytes())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSearchPagesLeadToTheEnd(t *testing.T) {
	h := testFHIR(t)
	var seen []string
	target := "/fhir/Patient?_count=5"
	for pages := 0; target != ""; pages++ {
		if pages > 3 {
			t.Fatal("there is always a next page")
		}
		w := ask(h, "GET", target, "reader", nil)
		var b bundle
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || b.Total != 12 || b.Type != "searchset" {
			t.Fatalf("%v %+v", err, b)
		}
		seen = append(seen, ids(t, w.Body.Bytes())...)
		target = ""
		for _, l := range b.Link {
			if l.Relation == "next" {
				target = strings.TrimPrefix(l.URL, "https://127.0.0.1:1")
			}
		}
	}
	if len(seen) != 12 || !slices.IsSorted(seen) {
		t.Error(seen)
	}
}

func TestSearchByPost(t *testing.T) {
	w := ask(testFHIR(t), "POST", "/fhir/Patient/_search", "reader", url.Values{"name": {"rossi"}, "birthdate": {"1961-03-14"}})
	if diff := cmp.Diff([]string{"p01"}, ids(t, w.Body.Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestReadGivesWhatSearchGives(t *testing.T) {
	h := testFHIR(t)
	for key, r := range testHospital(t).records {
		w := ask(h, "GET", "/fhir/"+key, "reader", nil)
		if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != string(r.raw) {
			t.Errorf("%s: %d %s", key, w.Code, w.Body)
		}
		if ct := w.Header().Get("Content-Type"); ct != "application/fhir+json; charset=utf-8" {
			t.Error(ct)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := testFHIR(t)
	for name, row := range map[string]struct {
		method, target, token string
		status                int
		code                  string
	}{
		"unknown parameter":                {"GET", "/fhir/Patient?nmae=rossi", "reader", 400, "invalid"},
		"parameter of another resource":    {"GET", "/fhir/Patient?encounter=p01-e1", "reader", 400, "invalid"},
		"modifier that nobody knows":       {"GET", "/fhir/Patient?name:missing=true", "reader", 400, "invalid"},
		"modifier where none is":           {"GET", "/fhir/Patient?_id:exact=p01", "reader", 400, "invalid"},
		"empty value":                      {"GET", "/fhir/Patient?name=", "reader", 400, "invalid"},
		"count that is none":               {"GET", "/fhir/Patient?_count=-1", "reader", 400, "invalid"},
		"XML":                              {"GET", "/fhir/Patient?_format=xml", "reader", 400, "invalid"},
		"broken query":                     {"GET", "/fhir/Patient?name=%zz", "reader", 400, "invalid"},
		"no such patient":                  {"GET", "/fhir/Patient/p99", "reader", 404, "not-found"},
		"a study asked for as a patient":   {"GET", "/fhir/Patient/p01-s1", "reader", 404, "not-found"},
		"no such resource":                 {"GET", "/fhir/Medication/1", "reader", 404, "not-supported"},
		"no such resource to search":       {"GET", "/fhir/Medication?_id=1", "reader", 404, "not-supported"},
		"history is not offered":           {"GET", "/fhir/Patient/p01/_history", "reader", 404, "not-supported"},
		"nothing is written":               {"PUT", "/fhir/Patient/p01", "reader", 404, "not-supported"},
		"the base itself":                  {"GET", "/fhir/", "reader", 404, "not-supported"},
		"no token":                         {"GET", "/fhir/Patient/p01", "", 401, "login"},
		"a token nobody gave":              {"GET", "/fhir/Patient/p01", "guess", 401, "login"},
		"the agent's token reads no chart": {"GET", "/fhir/Patient/p01", "agent", 403, "forbidden"},
		"read is not search":               {"GET", "/fhir/Patient?name=rossi", "v2", 403, "forbidden"},
		"one type is not another":          {"GET", "/fhir/Encounter/p01-e1", "v2", 403, "forbidden"},
		"who I am is not who there is":     {"GET", "/fhir/Practitioner", "agent", 403, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(h, row.method, row.target, row.token, nil)
			var got struct {
				ResourceType string
				Issue        []struct{ Severity, Code, Diagnostics string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			if w.Code != row.status || got.ResourceType != "OperationOutcome" || len(got.Issue) != 1 || got.Issue[0].Code != row.code || got.Issue[0].Diagnostics == "" {
				t.Errorf("%d %+v", w.Code, got)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (row.status == 401 || row.status == 403) != strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("WWW-Authenticate: %q", challenge)
			}
		})
	}
}

func TestScopesOfBothVersions(t *testing.T) {
	h := testFHIR(t)
	for target, token := range map[string]string{
		"/fhir/Patient/p01": "v2", "/fhir/ImagingStudy?patient=p01": "v2", "/fhir/Practitioner/reader1": "agent",
	} {
		if w := ask(h, "GET", target, token, nil); w.Code != http.StatusOK {
			t.Errorf("%s with %s: %d", target, token, w.Code)
		}
	}
}

// FC-CONF-12: the capability statement says where the hub is.
func TestCapabilityStatement(t *testing.T) {
	w := ask(testFHIR(t), "GET", "/fhir/metadata", "", nil)
	var c capabilities
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	rest := c.Rest[0]
	if c.FHIRVersion != "4.0.1" || rest.Mode != "server" || rest.Extension[0].URL != fhircastExtension {
		t.Errorf("%+v", c)
	}
	if inner := rest.Extension[0].Extension[0]; inner.URL != "hub.url" || inner.ValueURL != "https://127.0.0.1:1/hub" {
		t.Errorf("%+v", inner)
	}
	if len(rest.Resource) != len(parameters) {
		t.Errorf("%d resources", len(rest.Resource))
	}
}
