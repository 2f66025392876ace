package oauthtest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

const wellKnown = "/fhir/.well-known/smart-configuration"

func (s *Server) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	resp := s.do("GET", path, nil)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestFaultsOfAnyPath(t *testing.T) {
	s := newServer()
	s.Misbehave(Faults{Away: map[string]string{"/auth/token": "$/elsewhere", wellKnown: "http://other.example/"}, Pages: []string{"/auth/jwks"}, Clock: time.Hour})
	resp := s.do("POST", "/auth/token", url.Values{"code": {"c"}})
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusTemporaryRedirect || to != "https://as.example/elsewhere" {
		t.Errorf("%d to %q", resp.StatusCode, to)
	}
	if resp, _ := s.get(t, wellKnown); resp.Header.Get("Location") != "http://other.example/" {
		t.Errorf("to %q", resp.Header.Get("Location"))
	}
	resp, body := s.get(t, "/auth/jwks")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, "<!doctype html>") {
		t.Errorf("%d: %s", resp.StatusCode, body)
	}
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if d := time.Until(at); err != nil || d < 59*time.Minute || d > time.Hour {
		t.Errorf("its clock is %v ahead", d)
	}
}

func TestFaultEndlessEndsWithItsClient(t *testing.T) {
	s := newServer()
	s.Misbehave(Faults{Endless: wellKnown})
	ts := httptest.NewTLSServer(s)
	defer ts.Close() // waits for the handler
	resp, err := ts.Client().Get(ts.URL + wellKnown)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, resp.Body, 2<<20); err != nil {
		t.Errorf("it ended after %d bytes", n)
	}
	resp.Body.Close()
}

func TestFaultsOfDiscovery(t *testing.T) {
	s := newServer()
	s.Misbehave(Faults{WantsAccept: true})
	if resp, _ := s.get(t, wellKnown); resp.StatusCode != http.StatusNotAcceptable {
		t.Errorf("without Accept: %d", resp.StatusCode)
	}
	s.Misbehave(Faults{SMART1: true, OpenID: map[string]any{"issuer": "https://other.example"}})
	if resp, _ := s.get(t, wellKnown); resp.StatusCode != http.StatusNotFound {
		t.Errorf("SMART 1: %d", resp.StatusCode)
	}
	if _, body := s.get(t, "/fhir/metadata"); !strings.Contains(body, `"valueUri":"https://as.example/auth/token"`) {
		t.Errorf("SMART 1: %s", body)
	}
	if _, body := s.get(t, "/auth/.well-known/openid-configuration"); !strings.Contains(body, `"issuer":"https://other.example"`) {
		t.Errorf("OpenID configuration: %s", body)
	}
	s.Misbehave(Faults{})
	if resp, _ := s.get(t, "/fhir/metadata"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an honest server answers as one of SMART 1 too: %d", resp.StatusCode)
	}
}

func TestFaultsOfTheRedirect(t *testing.T) {
	for name, c := range map[string]struct {
		faults Faults
		to     string
		param  string
		want   string
	}{
		"another issuer":     {Faults{Issuer: "$/auth/"}, back, "iss", "https://as.example/auth/"},
		"its own words":      {Faults{Error: "access_denied", Description: "no\n<b>"}, back, "error_description", "no\n<b>"},
		"more at":            {Faults{Error: "access_denied", MoreAt: "$/more"}, back, "error_uri", "https://as.example/more"},
		"on to another":      {Faults{MixUp: "https://honest.example/authorize"}, "https://honest.example/authorize", "redirect_uri", back},
		"with what it had":   {Faults{MixUp: "https://honest.example/authorize"}, "https://honest.example/authorize", "state", strings.Repeat("s", 43)},
		"an honest one says": {Faults{}, back, "iss", "https://as.example/auth"},
	} {
		s := newServer()
		s.Misbehave(c.faults)
		u, err := s.do("GET", "/auth/authorize?"+authorizeQuery().Encode(), nil).Location()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		to, _, _ := strings.Cut(u.String(), "?")
		if to != c.to || u.Query().Get(c.param) != c.want {
			t.Errorf("%s: to %s with %q", name, to, u.Query().Get(c.param))
		}
	}
}

func TestFaultsOfTokens(t *testing.T) {
	s := newServer()
	s.Misbehave(Faults{Cacheable: true})
	if h := s.do("POST", "/auth/token", redeemForm(s.newCodeFor(t))).Header; h.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("%v", h)
	}
	for signed, alg := range map[string]string{"": "RS256", "none": "none", "HS256": "HS256", "RS384": "RS384", "ES256": "ES256"} {
		s.Misbehave(Faults{Signed: signed, NoKid: true})
		header, _, _ := strings.Cut(s.IDToken("https://as.example"), ".")
		var h struct{ Alg, Kid string }
		if err := json.Unmarshal(decode(t, header), &h); err != nil || h.Alg != alg || h.Kid != "" && signed != "ES256" {
			t.Errorf("%q: %+v, %v", signed, h, err)
		}
	}
	s.Misbehave(Faults{BareKeys: true})
	if _, body := s.get(t, "/auth/jwks"); strings.Contains(body, "kid") || !strings.Contains(body, `"kty":"RSA"`) {
		t.Errorf("%s", body)
	}
}

func decode(t *testing.T, part string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCatalogueIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range Catalogue() {
		var f Faults
		n.Add(&f)
		if reflect.ValueOf(f).IsZero() || seen[n.Name] || !strings.HasPrefix(n.Name, "signin-") || !strings.HasSuffix(n.Help, ".") {
			t.Errorf("%s: does nothing, stands there twice, or is no sentence: %q", n.Name, n.Help)
		}
		seen[n.Name] = true
	}
	var both Faults
	for _, n := range Catalogue() {
		if n.Name == "signin-scope-missing" || n.Name == "signin-life-zero" {
			n.Add(&both)
		}
	}
	if life, said := both.Body["expires_in"]; len(both.Body) != 2 || !said || life != 0 {
		t.Errorf("two at once: %v", both.Body)
	}
}
