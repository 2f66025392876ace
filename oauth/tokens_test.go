package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(body string) (*tokenAnswer, error) {
	return parseTokens(&reply{status: 200, header: http.Header{}, body: []byte(body)}, false)
}

func TestExpiresIn(t *testing.T) {
	// SM-TOK-06
	for raw, want := range map[string]time.Duration{
		`3600`: 3590 * time.Second, `"3600"`: 3590 * time.Second, `3600.0`: 3590 * time.Second, `"3600.0"`: 3590 * time.Second,
		`36e2`: 3590 * time.Second, `null`: assumedLife, `""`: assumedLife, ``: assumedLife, `0`: assumedLife, `-5`: assumedLife,
		`"soon"`: assumedLife, `true`: assumedLife, `{}`: assumedLife, `"NaN"`: assumedLife, `"-Inf"`: assumedLife,
		`99999999999`: 24*time.Hour - lifeMargin, `1e400`: 24*time.Hour - lifeMargin,
		`12`: 6 * time.Second, `0.001`: time.Second,
	} {
		body := `{"access_token":"a","expires_in":` + raw + `}`
		if raw == "" {
			body = `{"access_token":"a"}`
		}
		a, err := parse(body)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if a.life != want || a.lifeSaid != (want != assumedLife) {
			t.Errorf("%s: %v, said %v; want %v", raw, a.life, a.lifeSaid, want)
		}
	}
}

func TestScopeShapes(t *testing.T) {
	// SM-TOK-07, SM-SCOPE-05
	for raw, want := range map[string][]string{
		`"a b"`: {"a", "b"}, `"  a \t b  "`: {"a", "b"}, `["a","b"]`: {"a", "b"}, `["a b"]`: {"a", "b"}, `""`: {}, `[]`: {},
		`null`: nil, `7`: nil, `{"a":1}`: nil,
	} {
		a, err := parse(`{"access_token":"a","scope":` + raw + `}`)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if a.scopesSaid != (want != nil) || !slices.Equal(a.scopes, want) {
			t.Errorf("%s: %q, said %v", raw, a.scopes, a.scopesSaid)
		}
	}
}

func TestTokenType(t *testing.T) {
	// SM-TOK-05
	for body, ok := range map[string]bool{
		`{"access_token":"a","token_type":"Bearer"}`: true,
		`{"access_token":"a","token_type":"bearer"}`: true,
		`{"access_token":"a"}`:                       true,
		`{"access_token":"a","token_type":"DPoP"}`:   false,
		`{"access_token":"a","token_type":"mac"}`:    false,
		`{"token_type":"Bearer"}`:                    false,
		`{"access_token":""}`:                        false,
		`{"access_token":"a b"}`:                     false,
		`{"access_token":"a\nb"}`:                    false,
	} {
		if _, err := parse(body); (err == nil) != ok {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestNumbersAndUnknownMembers(t *testing.T) {
	// SM-TOK-09, SM-TOK-11: numbers keep their digits, what is unknown is kept as it came.
	a, err := parse(`{"access_token":"a","patient":12345678901234567890,"__tenant":[1, 2],"https://ehr.example/x":{"a":"b"}}`)
	if err != nil {
		t.Fatal(err)
	}
	g := newWeb(Site{FHIRURL: "https://fhir.example"}, nil).grantOf(a)
	if l := g.Launch; l.Patient.Reveal() != "12345678901234567890" || len(l.Extra) != 2 || l.Extra["__tenant"].Reveal() != "[1, 2]" ||
		l.Extra["https://ehr.example/x"].Reveal() != `{"a":"b"}` {
		t.Errorf("patient %q, %d members kept", l.Patient.Reveal(), len(l.Extra))
	}
}

func TestTokenErrors(t *testing.T) {
	// SM-TOK-10, SM-ERR-03
	for _, c := range []struct {
		name     string
		status   int
		body     string
		code     string
		sentence string
	}{
		{"used or late", 400, `{"error":"invalid_grant"}`, "invalid_grant", "took too long or was used twice"},
		{"unknown here", 401, `{"error":"invalid_client"}`, "invalid_client", "client_id"},
		{"an error with 200", 200, `{"error":"invalid_grant","access_token":"a"}`, "invalid_grant", "took too long"},
		{"its own code", 400, `{"error":"secret-of-mine"}`, "an unknown error code", "registration"},
		{"an error that is no text", 400, `{"error":{"a":1}}`, "an unknown error code", "registration"},
		{"no JSON", 502, `secret-of-mine`, "", "in a few minutes"},
		{"a web page instead of a status", 200, `<html>secret-of-mine`, "", "A web page answered"},
		{"no object", 200, `"secret-of-mine"`, "", "in a few minutes"},
		{"redirected", 307, ``, "", "in a few minutes"},
	} {
		_, err := parseTokens(&reply{status: c.status, header: http.Header{}, body: []byte(c.body)}, false)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		var e *tokenError
		if errors.As(err, &e) && e.code != c.code {
			t.Errorf("%s: code %q", c.name, e.code)
		}
		if !strings.Contains(Sentence(err), c.sentence) {
			t.Errorf("%s: %q", c.name, Sentence(err))
		}
		if strings.Contains(err.Error()+Sentence(err), "secret-of-mine") {
			t.Errorf("%s: the body shows", c.name)
		}
	}
}

func TestTwoKindsOfIss(t *testing.T) {
	// SM-MIX-03: the issuer of a redirect and the FHIR base of a launch are two types, so that comparing them does not compile.
	m, _ := reflect.TypeFor[metadata]().FieldByName("issuer")
	b := reflect.TypeOf(Site{}.base())
	if plain := reflect.TypeFor[string](); m.Type == b || m.Type == plain || b == plain || m.Type.AssignableTo(b) {
		t.Errorf("%v and %v", m.Type, b)
	}
}

func TestRandom(t *testing.T) {
	// SM-AUTH-04
	seen := map[string]bool{}
	for range 10000 {
		s := random()
		if len(s) != 43 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || seen[s] {
			t.Fatal("not 43 unreserved characters, or seen before")
		}
		seen[s] = true
	}
}

func TestChallenge(t *testing.T) {
	// SM-AUTH-05: RFC 7636, appendix B.
	if got := challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"); got != "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" {
		t.Error(got)
	}
}

func TestRetryAfter(t *testing.T) {
	for v, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "99999999": time.Hour,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {v}}); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
}

func TestOrigin(t *testing.T) {
	for a, b := range map[string]string{
		"https://Hub.Example/x": "https://hub.example:443", "https://h:8443/": "https://h:8443", "http://127.0.0.1": "http://127.0.0.1:80",
		"https://[::1]:9/": "https://[::1]:9", "nothing": "", "https:///x": "",
	} {
		if got := originOf(a); got != b {
			t.Errorf("%s: %q", a, got)
		}
	}
}

func TestSavedShape(t *testing.T) {
	// The form of what is stored outlives the program that wrote it.
	b, err := json.Marshal(saved{Version: 1, Refresh: "r", Issuer: "i", Token: "t", Revoke: "v", ClientID: "c", Scopes: []string{"s"},
		Name: "n", FHIRUser: "f", Subject: "u", HubURL: "h", HubTopic: "o", Said: true})
	want := `{"v":1,"refresh_token":"r","issuer":"i","token_endpoint":"t","revocation_endpoint":"v","client_id":"c","scope":["s"],` +
		`"name":"n","fhirUser":"f","sub":"u","hub.url":"h","hub.topic":"o","scope_said":true}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
}
