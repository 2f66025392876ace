package oauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// site is a server that only answers discovery: path to status and body.
type site struct {
	mu    sync.Mutex
	pages map[string]reply
	asked []string
	ts    *httptest.Server
}

type reply struct {
	status      int
	contentType string
	body        string
	location    string
}

func newSite(t *testing.T, pages map[string]reply) *site {
	t.Helper()
	s := &site{pages: pages}
	s.ts = httptest.NewTLSServer(s)
	t.Cleanup(s.ts.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	p, ok := s.pages[r.URL.Path]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	if p.location != "" {
		w.Header().Set("Location", p.location)
	}
	if p.contentType != "" {
		w.Header().Set("Content-Type", p.contentType)
	}
	w.WriteHeader(max(p.status, 200))
	_, _ = w.Write([]byte(strings.ReplaceAll(p.body, "$", s.ts.URL)))
}

// start tries a sign-in and says where it would send the browser.
func (s *site) start(t *testing.T, base string) (string, error) {
	t.Helper()
	l := &oauth.Launcher{Site: oauth.Site{FHIRURL: s.ts.URL + base, ClientID: "c", Scopes: []string{"a"}}, HTTP: s.ts.Client()}
	a, err := l.Start(t.Context())
	if err != nil {
		return "", err
	}
	a.Close()
	address, _, _ := strings.Cut(strings.TrimPrefix(a.URL, s.ts.URL), "?")
	return address, nil
}

const wellKnown = "/.well-known/smart-configuration"

func TestDiscovery(t *testing.T) {
	full := `{"authorization_endpoint":"$/auth","token_endpoint":"$/token"}`
	capability := `{"resourceType":"CapabilityStatement","rest":[{"mode":"client"},{"mode":"server","security":{"extension":[
		{"url":"http://example.org/other"},
		{"url":"http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris","extension":[
		{"url":"token","valueUri":"$/token1"},{"url":"authorize","valueUri":"$/auth1"},{"url":"manage","valueUri":"$/m"}]}]}}]}`
	for _, c := range []struct {
		name, base string
		pages      map[string]reply
		want       string // path of the authorize endpoint
		sentence   string
		asked      int
	}{
		// SM-DISC-01
		{"a base with a path", "/fhir/r4", map[string]reply{"/fhir/r4" + wellKnown: {body: full}}, "/auth", "", 1},
		{"a base that ends in a slash", "/fhir/r4/", map[string]reply{"/fhir/r4" + wellKnown: {body: full}}, "/auth", "", 1},
		{"a base without path", "", map[string]reply{wellKnown: {body: full}}, "/auth", "", 1},
		// SM-DISC-13
		{"as text/plain", "", map[string]reply{wellKnown: {body: full, contentType: "text/plain"}}, "/auth", "", 1},
		{"with a byte order mark", "", map[string]reply{wellKnown: {body: "\xef\xbb\xbf" + full}}, "/auth", "", 1},
		{"with members of odd types", "", map[string]reply{wellKnown: {body: `{"jwks_uri":7,` + full[1:]}}, "/auth", "", 1},
		{"a web page at both addresses", "", map[string]reply{wellKnown: {body: "<html>"}, "/metadata": {body: "<html>"}}, "", "A web page answered", 2},
		// SM-DISC-03
		{"no authorize endpoint", "", map[string]reply{wellKnown: {body: `{"token_endpoint":"$/token"}`}}, "", "authorization_endpoint is missing", 1},
		{"no token endpoint", "", map[string]reply{wellKnown: {body: `{"authorization_endpoint":"$/auth"}`}}, "", "token_endpoint is missing", 1},
		// SM-DISC-04
		{"relative to the host", "/fhir/r4", map[string]reply{"/fhir/r4" + wellKnown: {body: `{"authorization_endpoint":"/a/auth","token_endpoint":"/t"}`}}, "/a/auth", "", 1},
		{"relative to the base", "/fhir/r4", map[string]reply{"/fhir/r4" + wellKnown: {body: `{"authorization_endpoint":"a/auth","token_endpoint":"/t"}`}}, "/fhir/a/auth", "", 1},
		{"relative to a base with slash", "/fhir/r4/", map[string]reply{"/fhir/r4" + wellKnown: {body: `{"authorization_endpoint":"a/auth","token_endpoint":"/t"}`}}, "/fhir/r4/a/auth", "", 1},
		{"one up", "/fhir/r4/", map[string]reply{"/fhir/r4" + wellKnown: {body: `{"authorization_endpoint":"../auth","token_endpoint":"/t"}`}}, "/fhir/auth", "", 1},
		// SM-DISC-05
		{"SMART 1, not found", "/fhir", map[string]reply{"/fhir/metadata": {body: capability}}, "/auth1", "", 2},
		{"SMART 1, no JSON", "/fhir", map[string]reply{"/fhir" + wellKnown: {body: "hello"}, "/fhir/metadata": {body: strings.Replace(capability, "CapabilityStatement", "Conformance", 1)}}, "/auth1", "", 2},
		{"a FHIR server without sign-in", "/fhir", map[string]reply{"/fhir/metadata": {body: `{"resourceType":"CapabilityStatement","rest":[{"mode":"server"}]}`}}, "", "not a SMART server", 2},
		{"nothing anywhere", "/fhir", nil, "", "not a SMART server", 2},
		{"a server with a problem is not an older one", "/fhir", map[string]reply{"/fhir" + wellKnown: {status: 503}, "/fhir/metadata": {body: capability}}, "", "in a few minutes", 1},
		{"SMART 1, with a problem", "/fhir", map[string]reply{"/fhir/metadata": {status: 500, body: capability}}, "", "in a few minutes", 2},
		{"a server that refuses is not an older one", "/fhir", map[string]reply{"/fhir" + wellKnown: {status: 403}, "/fhir/metadata": {body: capability}}, "", "403", 1},
		// SM-DISC-09
		{"authorize endpoint by http", "", map[string]reply{wellKnown: {body: `{"authorization_endpoint":"http://as.example/a","token_endpoint":"$/t"}`}}, "", "authorization_endpoint is not https", 1},
		{"token endpoint by http", "", map[string]reply{wellKnown: {body: `{"authorization_endpoint":"$/a","token_endpoint":"http://127.0.0.1/t"}`}}, "", "token_endpoint is not https", 1},
		{"revocation endpoint by http", "", map[string]reply{wellKnown: {body: `{"revocation_endpoint":"http://as.example/a",` + full[1:]}}, "", "revocation_endpoint is not https", 1},
		{"introspection endpoint by http", "", map[string]reply{wellKnown: {body: `{"introspection_endpoint":"http://as.example/a",` + full[1:]}}, "", "introspection_endpoint is not https", 1},
		{"keys by http", "", map[string]reply{wellKnown: {body: `{"jwks_uri":"http://as.example/a",` + full[1:]}}, "", "jwks_uri is not https", 1},
		{"an endpoint that is a program", "", map[string]reply{wellKnown: {body: `{"authorization_endpoint":"file:///bin/sh","token_endpoint":"$/t"}`}}, "", "authorization_endpoint names no host", 1},
		{"an endpoint with a user", "", map[string]reply{wellKnown: {body: `{"authorization_endpoint":"https://ehr.example@evil.example/","token_endpoint":"$/t"}`}}, "", "carries a user name", 1},
		// SM-ERR-06
		{"redirected twice", "", map[string]reply{wellKnown: {status: 302, location: "/x"}, "/x": {status: 307, location: "/y"}, "/y": {body: full}}, "/auth", "", 3},
		{"redirected in a circle", "", map[string]reply{wellKnown: {status: 302, location: wellKnown}}, "", "in a circle", 4},
		{"redirected to http", "", map[string]reply{wellKnown: {status: 302, location: "http://as.example/"}}, "", "unsafe address", 1},
		{"endless", "", map[string]reply{wellKnown: {body: strings.Repeat(" ", 1<<20) + full}}, "", "too much", 1},
		{"just not too much", "", map[string]reply{wellKnown: {body: strings.Repeat(" ", 1<<19) + full}}, "/auth", "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.pages)
			got, err := s.start(t, c.base)
			if got != c.want || (err == nil) != (c.sentence == "") || !strings.Contains(oauth.Sentence(err), c.sentence) {
				t.Errorf("%q, %v\n%s", got, err, oauth.Sentence(err))
			}
			if len(s.asked) != c.asked {
				t.Errorf("asked %v", s.asked)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	// SM-DISC-09: refused before any request. SM-LCH-03 spellings included.
	ok := oauth.Site{FHIRURL: "https://ehr.example/fhir", ClientID: "c"}
	if err := ok.Check(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name, key string
		change    func(*oauth.Site)
	}{
		{"no client", "client_id", func(s *oauth.Site) { s.ClientID = "" }},
		{"http", "fhir_url", func(s *oauth.Site) { s.FHIRURL = "http://ehr.example/fhir" }},
		{"http to this machine, no switch", "fhir_url", func(s *oauth.Site) { s.FHIRURL = "http://127.0.0.1/fhir" }},
		{"http to another machine, with the switch", "fhir_url", func(s *oauth.Site) { s.FHIRURL, s.LoopbackHTTP = "http://10.0.0.1/fhir", true }},
		{"http to a name, with the switch", "fhir_url", func(s *oauth.Site) { s.FHIRURL, s.LoopbackHTTP = "http://localhost/fhir", true }},
		{"a user in it", "fhir_url", func(s *oauth.Site) { s.FHIRURL = "https://ehr.example@evil.example/" }},
		{"empty", "fhir_url", func(s *oauth.Site) { s.FHIRURL = "" }},
		{"a query", "fhir_url", func(s *oauth.Site) { s.FHIRURL = "https://ehr.example/fhir?x=1" }},
		{"not a URL", "fhir_url", func(s *oauth.Site) { s.FHIRURL = "https://ehr example/%zz" }},
		{"hub by http", "hub.url", func(s *oauth.Site) { s.HubURL = "http://hub.example/" }},
		{"id_tokens without signature", "id_token_algs", func(s *oauth.Site) { s.IDTokenAlgs = []string{"none"} }},
		{"id_tokens with a shared secret", "id_token_algs", func(s *oauth.Site) { s.IDTokenAlgs = []string{"ES384", "HS256"} }},
		{"hub is no URL", "hub.url", func(s *oauth.Site) { s.HubURL = "%zz" }},
	} {
		s := ok
		c.change(&s)
		if err := s.Check(); err == nil || !strings.Contains(oauth.Sentence(err), c.key) {
			t.Errorf("%s: %v", c.name, err)
		}
		asked := 0
		l := &oauth.Launcher{Site: s, HTTP: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			asked++
			return nil, http.ErrServerClosed
		})}}
		if _, err := l.Start(t.Context()); err == nil || asked != 0 {
			t.Errorf("%s: %v after %d requests", c.name, err, asked)
		}
		if _, err := l.Resume(t.Context()); err == nil || asked != 0 {
			t.Errorf("%s: resumed", c.name)
		}
	}
	ok.FHIRURL, ok.LoopbackHTTP = "http://[::1]:8080/fhir", true
	if err := ok.Check(); err != nil {
		t.Errorf("the developer's switch: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTLS(t *testing.T) {
	// SM-ERR-06, SM-DISC-09
	s := newSite(t, map[string]reply{wellKnown: {body: `{}`}})
	s.ts.Config.ErrorLog = discardLog()
	site := oauth.Site{FHIRURL: s.ts.URL, ClientID: "c"}
	_, err := (&oauth.Launcher{Site: site, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}).Start(t.Context())
	if got := oauth.Sentence(err); !strings.Contains(got, "inspected") || !strings.Contains(got, "ca_file") {
		t.Errorf("unknown authority: %q", got)
	}
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // the point of the test
	old.Config.ErrorLog = discardLog()
	old.StartTLS()
	defer old.Close()
	if _, err := (&oauth.Launcher{Site: oauth.Site{FHIRURL: old.URL, ClientID: "c"}, HTTP: old.Client()}).Start(t.Context()); err == nil {
		t.Error("TLS 1.1 was good enough")
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, err = (&oauth.Launcher{Site: oauth.Site{FHIRURL: "https" + strings.TrimPrefix(plain.URL, "http"), ClientID: "c"}, HTTP: s.ts.Client()}).Start(t.Context())
	if got := oauth.Sentence(err); !strings.Contains(got, "TLS") {
		t.Errorf("no TLS: %q", got)
	}
	gone := s.ts.URL
	s.ts.Close()
	_, err = (&oauth.Launcher{Site: oauth.Site{FHIRURL: gone, ClientID: "c"}, HTTP: s.ts.Client()}).Start(t.Context())
	if got := oauth.Sentence(err); !strings.Contains(got, "check the network") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("nobody there: %v, %q", err, got)
	}
}

func TestCertificatesThatAreNotGood(t *testing.T) {
	// SM-ERR-06: each has a sentence of its own, without the names that are in it.
	for err, words := range map[error]string{
		x509.UnknownAuthorityError{}: "is being inspected",
		x509.HostnameError{Certificate: new(x509.Certificate), Host: "evil.canary"}: "certificate of another host",
		x509.CertificateInvalidError{Reason: x509.Expired, Detail: "canary"}:        "check the clock of this computer",
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}:        "is being inspected",
	} {
		l := &oauth.Launcher{Site: oauth.Site{FHIRURL: "https://ehr.example/fhir", ClientID: "c"}, HTTP: &http.Client{Transport: roundTripper(
			func(*http.Request) (*http.Response, error) { return nil, err })}}
		_, got := l.Start(t.Context())
		if s := oauth.Sentence(got); !strings.Contains(s, words) || strings.Contains(s+got.Error(), "canary") {
			t.Errorf("%T: %v: %q", err, got, s)
		}
	}
}

func TestDiscoveryIsKept(t *testing.T) {
	// SM-DISC-10
	w := newWorld(t)
	c := w.start(t)
	w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"token_endpoint": "https://evil.example/token"}})
	c.Open(t.Context())
	if _, err := c.Wait(t.Context()); err != nil {
		t.Errorf("the exchange did not go to the recorded endpoint: %v", err)
	}
	w.signIn(t)
	if n := w.as.Count("/fhir" + wellKnown); n != 1 {
		t.Errorf("%d fetches for two sign-ins", n)
	}
	// An unknown client may mean that the server has moved.
	w.as.Misbehave(oauthtest.Faults{TokenError: "invalid_client", TokenStatus: 401})
	if _, err := w.l.SignIn(t.Context()); err == nil {
		t.Fatal("signed in")
	}
	w.as.Misbehave(oauthtest.Faults{})
	w.signIn(t)
	if n := w.as.Count("/fhir" + wellKnown); n != 2 {
		t.Errorf("%d fetches after invalid_client", n)
	}
}

func TestHints(t *testing.T) {
	// SM-DISC-07, SM-DISC-08: what a server does not declare is tried all the same.
	for _, methods := range []any{[]string{"plain"}, nil} {
		w := newWorld(t)
		w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{
			"code_challenge_methods_supported": methods, "capabilities": []string{}, "scopes_supported": nil}})
		w.signIn(t)
		if warned := strings.Contains(w.logs.String(), "S256"); warned != (methods != nil) {
			t.Errorf("%v: warned %v", methods, warned)
		}
		for _, r := range w.as.Requests() {
			if r.Path == "/auth/authorize" && r.Form.Get("code_challenge_method") != "S256" {
				t.Errorf("%v: sent %q", methods, r.Form.Get("code_challenge_method"))
			}
		}
	}
}

func TestWhatDiscoveryAsksFor(t *testing.T) {
	// SM-DISC-02, SM-DISC-12: we ask for JSON, and want no headers that only browsers need.
	for _, strict := range []bool{true, false} {
		w := newWorld(t)
		w.as.Misbehave(oauthtest.Faults{WantsAccept: strict})
		var saw http.Header
		base := w.ts.Client().Transport
		w.l.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && strings.HasSuffix(r.URL.Path, wellKnown) {
				saw = resp.Header
			}
			return resp, err
		})}
		w.signIn(t)
		for _, r := range w.as.Requests() {
			if strings.HasSuffix(r.Path, wellKnown) && (r.Header.Get("Accept") != "application/json" || r.Header.Get("Origin") != "") {
				t.Errorf("asked with %v", r.Header)
			}
		}
		for name := range saw {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("the server sent %s, so that nothing was tested", name)
			}
		}
	}
}

func TestOldFormOnlyWhereThereIsNoNewOne(t *testing.T) {
	// SM-DISC-05: the older form of SMART 1 works, and a broken line never leads to it.
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{SMART1: true})
	if w.signIn(t).Grant().HubURL == "" {
		t.Error("no grant")
	}
	for name, broken := range map[string]error{
		"no such host": &net.DNSError{Err: "no such host", Name: "ehr.example"}, "not the right certificate": x509.UnknownAuthorityError{},
		"cut": io.ErrUnexpectedEOF,
	} {
		asked := 0
		l := &oauth.Launcher{Site: oauth.Site{FHIRURL: "https://ehr.example/fhir", ClientID: "c"}, HTTP: &http.Client{Transport: roundTripper(
			func(*http.Request) (*http.Response, error) { asked++; return nil, broken })}}
		if _, err := l.Start(t.Context()); err == nil || asked != 1 {
			t.Errorf("%s: %v after %d requests", name, err, asked)
		}
	}
}

func TestKeysOfTheIssuerAlone(t *testing.T) {
	// SM-DISC-06: an OpenID configuration of another issuer, be it one slash, names no keys of this one.
	for iss, ok := range map[any]bool{"$/auth": true, "$/auth/": false, "https://other.example": false, nil: false} {
		w := newWorld(t)
		if s, is := iss.(string); is {
			iss = strings.Replace(s, "$", w.ts.URL, 1)
		}
		w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"jwks_uri": nil}, OpenID: map[string]any{"issuer": iss}})
		if _, err := w.l.SignIn(t.Context()); (err == nil) != ok || err != nil && !strings.Contains(oauth.Sentence(err), "openid-configuration") {
			t.Errorf("%v: %v", iss, err)
		}
	}
}
