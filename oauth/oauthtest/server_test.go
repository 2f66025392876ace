package oauthtest

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	back     = "http://127.0.0.1:4711/callback"
)

func newServer() *Server {
	return &Server{ClientID: "castray", AutoApprove: true, Users: []User{{"u1", "R. <Reader>", "Practitioner/1"}, {"u2", "S. Second", "Practitioner/2"}},
		Hub: func(user string) (string, string) { return "https://hub.example/", "topic-of-" + user }}
}

func (s *Server) do(method, target string, form url.Values) *http.Response {
	r := httptest.NewRequest(method, "https://as.example"+target, strings.NewReader(form.Encode()))
	r.TLS = new(tls.ConnectionState)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func authorizeQuery() url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return url.Values{"response_type": {"code"}, "client_id": {"castray"}, "redirect_uri": {back}, "scope": {"openid offline_access fhircast/*.read"},
		"aud": {"https://as.example/fhir"}, "state": {strings.Repeat("s", 43)}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
}

func (s *Server) newCodeFor(t *testing.T) string {
	t.Helper()
	resp := s.do("GET", "/auth/authorize?"+authorizeQuery().Encode(), nil)
	u, err := resp.Location()
	if err != nil {
		t.Fatal(resp.Status)
	}
	return u.Query().Get("code")
}

func redeemForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "code_verifier": {verifier}, "client_id": {"castray"}}
}

func (s *Server) exchange(t *testing.T, form url.Values) (status int, body map[string]any) {
	t.Helper()
	resp := s.do("POST", "/auth/token", form)
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func refreshForm(token any) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.(string)}, "client_id": {"castray"}}
}

func TestCodeIsGoodOnce(t *testing.T) {
	s := newServer()
	code := s.newCodeFor(t)
	status, body := s.exchange(t, redeemForm(code))
	if status != 200 || body["hub.topic"] != "topic-of-u1" || body["hub.url"] != "https://hub.example/" || body["expires_in"] != 3600.0 {
		t.Fatalf("%d", status)
	}
	access := body["access_token"].(string)
	g, ok := s.Check(access)
	if !ok || g.User != "u1" || !slices.Contains(g.Scopes, "fhircast/*.read") {
		t.Errorf("Check: %v", g)
	}
	if status, body := s.exchange(t, redeemForm(code)); status != 400 || body["error"] != "invalid_grant" {
		t.Errorf("a second time: %d", status)
	}
	if _, ok := s.Check(access); ok {
		t.Error("a code used twice did not revoke what it gave")
	}
}

func TestCodeIsBound(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"another verifier": func(v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) },
		"no verifier":      func(v url.Values) { v.Del("code_verifier") },
		"another redirect": func(v url.Values) { v.Set("redirect_uri", "http://127.0.0.1:4712/callback") },
		"another client":   func(v url.Values) { v.Set("client_id", "other") },
		"another code":     func(v url.Values) { v.Set("code", "x") },
		"no grant type":    func(v url.Values) { v.Del("grant_type") },
	} {
		s := newServer()
		form := redeemForm(s.newCodeFor(t))
		change(form)
		if status, _ := s.exchange(t, form); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		code := s.newCodeFor(t)
		time.Sleep(61 * time.Second)
		if status, _ := s.exchange(t, redeemForm(code)); status != 400 {
			t.Errorf("a code of a minute ago: %d", status)
		}
		token := s.Issue("admin", []string{"fhircast/*.*"}, time.Hour)
		if g, ok := s.Check(token); !ok || g.User != "admin" {
			t.Error("an issued token does not hold")
		}
		time.Sleep(time.Hour)
		if _, ok := s.Check(token); ok {
			t.Error("it holds for ever")
		}
	})
}

func TestRotation(t *testing.T) {
	s := newServer()
	_, first := s.exchange(t, redeemForm(s.newCodeFor(t)))
	status, second := s.exchange(t, refreshForm(first["refresh_token"]))
	if status != 200 || second["refresh_token"] == first["refresh_token"] || second["hub.topic"] != nil {
		t.Fatalf("%d", status)
	}
	if status, _ := s.exchange(t, refreshForm(first["refresh_token"])); status != 400 {
		t.Errorf("a used one again: %d", status)
	}
	if status, _ := s.exchange(t, refreshForm(second["refresh_token"])); status != 400 {
		t.Errorf("its family lives on: %d", status)
	}
	if _, ok := s.Check(second["access_token"].(string)); ok {
		t.Error("the family's access token lives on")
	}
}

func TestRevokeAndIntrospect(t *testing.T) {
	s := newServer()
	_, body := s.exchange(t, redeemForm(s.newCodeFor(t)))
	access := body["access_token"].(string)
	active := func() bool {
		r := httptest.NewRequest("POST", "https://as.example/auth/introspect", strings.NewReader(url.Values{"token": {access}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+s.Issue("admin", nil, time.Minute))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var doc struct{ Active bool }
		if err := json.NewDecoder(w.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		return doc.Active
	}
	if !active() {
		t.Error("not active")
	}
	if resp := s.do("POST", "/auth/introspect", url.Values{"token": {access}}); resp.StatusCode != 401 {
		t.Errorf("anyone may ask: %d", resp.StatusCode)
	}
	for range 2 {
		resp := s.do("POST", "/auth/revoke", url.Values{"token": {body["refresh_token"].(string)}, "client_id": {"castray"}})
		if resp.StatusCode != 200 {
			t.Errorf("revoke: %d", resp.StatusCode)
		}
	}
	if active() {
		t.Error("still active")
	}
}

func TestDoubtfulRequestsStayHere(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"another client":      func(v url.Values) { v.Set("client_id", "other") },
		"a site elsewhere":    func(v url.Values) { v.Set("redirect_uri", "https://evil.example/callback") },
		"another path":        func(v url.Values) { v.Set("redirect_uri", "http://127.0.0.1:1/other") },
		"a name":              func(v url.Values) { v.Set("redirect_uri", "http://localhost:1/callback") },
		"no redirect address": func(v url.Values) { v.Del("redirect_uri") },
	} {
		q := authorizeQuery()
		change(q)
		if resp := newServer().do("GET", "/auth/authorize?"+q.Encode(), nil); resp.StatusCode != 400 || resp.Header.Get("Location") != "" {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	for name, change := range map[string]func(url.Values){
		"plain":                      func(v url.Values) { v.Set("code_challenge_method", "plain") },
		"no challenge":               func(v url.Values) { v.Del("code_challenge") },
		"no state":                   func(v url.Values) { v.Del("state") },
		"another server":             func(v url.Values) { v.Set("aud", "https://other.example/fhir") },
		"no scope":                   func(v url.Values) { v.Del("scope") },
		"a launch without its scope": func(v url.Values) { v.Set("launch", "x") },
		"an implicit one":            func(v url.Values) { v.Set("response_type", "token") },
	} {
		q := authorizeQuery()
		change(q)
		u, err := newServer().do("GET", "/auth/authorize?"+q.Encode(), nil).Location()
		if err != nil || u.Query().Get("error") == "" || u.Query().Has("code") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPagesAreSafe(t *testing.T) {
	s := newServer()
	s.AutoApprove = false
	resp := s.do("GET", "/auth/authorize?"+authorizeQuery().Encode(), nil)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, want := range []string{`id="user-0"`, `id="user-1"`, "R. &lt;Reader&gt;", "Sign in", `lang="en"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the login page lacks %s", want)
		}
	}
	_, page, _ = strings.Cut(page, `name="ticket" value="`)
	ticket, _, _ := strings.Cut(page, `"`)
	b, err = io.ReadAll(s.do("POST", "/auth/login", url.Values{"ticket": {ticket}, "user": {"1"}}).Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`id="allow"`, `id="deny"`, "S. Second", "fhircast/*.read"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the consent page lacks %s", want)
		}
	}
	// A ticket is good once, and only a known user can be chosen.
	for _, form := range []url.Values{{"ticket": {ticket}, "user": {"1"}}, {"ticket": {"x"}, "user": {"0"}}} {
		if resp := s.do("POST", "/auth/login", form); resp.StatusCode != 400 {
			t.Errorf("login answered %d", resp.StatusCode)
		}
	}
	if resp := s.do("POST", "/auth/consent", url.Values{"ticket": {"x"}, "answer": {"allow"}}); resp.StatusCode != 400 {
		t.Errorf("consent answered %d", resp.StatusCode)
	}
}

func TestIDToken(t *testing.T) {
	s := newServer()
	_, body := s.exchange(t, redeemForm(s.newCodeFor(t)))
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(s.do("GET", "/auth/jwks", nil).Body).Decode(&keys); err != nil || len(keys.Keys) != 2 || !keys.Keys[0].IsPublic() || !keys.Keys[1].IsPublic() {
		t.Fatalf("%v, %d keys", err, len(keys.Keys))
	}
	jws, err := jose.ParseSignedCompact(body["id_token"].(string), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify(keys.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil || claims["iss"] != "https://as.example/auth" || claims["nonce"] != "n" || claims["sub"] != "u1" {
		t.Errorf("%v, %v", err, claims)
	}
}

func TestKeepsWhatItReceived(t *testing.T) {
	s := newServer()
	for range keepRequests + 1 {
		s.do("GET", "/auth/nothing?x=1", nil)
	}
	if n := len(s.Requests()); n > keepRequests || n < keepRequests/2 || s.Requests()[0].Form.Get("x") != "1" {
		t.Errorf("%d requests kept", n)
	}
}
