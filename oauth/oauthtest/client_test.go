package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// tokenRequest refreshes nothing: who is known is told that, who is not, that.
func (s *Server) tokenRequest(form url.Values, authorization string) (problem, challenge string) {
	form = maps.Clone(form)
	form.Set("grant_type", "refresh_token")
	r := httptest.NewRequest("POST", "https://as.example/auth/token", strings.NewReader(form.Encode()))
	r.TLS = new(tls.ConnectionState)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var body struct{ Error string }
	if json.NewDecoder(w.Body).Decode(&body) != nil {
		return "no JSON", ""
	}
	return body.Error, w.Header().Get("WWW-Authenticate")
}

const known = "invalid_grant" // an honest client with a refresh token that is none

func basicHeader(text string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(text))
}

func TestClientSecret(t *testing.T) {
	const secret = "a b:%"
	for _, c := range []struct {
		name   string
		client Client
		form   url.Values
		header string
		want   string
	}{
		{"encoded", Client{Secret: secret}, url.Values{}, basicHeader("castray:a+b%3A%25"), known},
		{"not encoded", Client{Secret: secret}, url.Values{}, basicHeader("castray:a b:%"), "invalid_client"},
		{"not encoded, as this server wants it", Client{Secret: secret, Plain: true}, url.Values{}, basicHeader("castray:a b:%"), known},
		{"wrong", Client{Secret: secret}, url.Values{}, basicHeader("castray:x"), "invalid_client"},
		{"of another client", Client{Secret: secret}, url.Values{}, basicHeader("other:a+b%3A%25"), "invalid_client"},
		{"in the form where Basic is", Client{Secret: secret}, url.Values{"client_id": {"castray"}, "client_secret": {secret}}, "", "invalid_client"},
		{"in the form", Client{Secret: secret, PostOnly: true}, url.Values{"client_id": {"castray"}, "client_secret": {secret}}, "", known},
		{"Basic where the form is", Client{Secret: secret, PostOnly: true}, url.Values{}, basicHeader("castray:a+b%3A%25"), "invalid_client"},
		{"none", Client{Secret: secret}, url.Values{"client_id": {"castray"}}, "", "invalid_client"},
		{"a header that is no Basic", Client{Secret: secret}, url.Values{}, "Basic !", "invalid_client"},
		{"a public one", Client{}, url.Values{"client_id": {"castray"}}, "", known},
	} {
		s := newServer()
		s.Client = c.client
		got, challenge := s.tokenRequest(c.form, c.header)
		if got != c.want || (challenge != "") != (c.want != known && c.header != "") {
			t.Errorf("%s: %s, challenge %q", c.name, got, challenge)
		}
	}
}

// A signed is an assertion in the making.
type signed struct {
	header map[jose.HeaderKey]any
	alg    jose.SignatureAlgorithm
	key    any
	claims map[string]any
}

func (a signed) form(t *testing.T) url.Values {
	t.Helper()
	options := new(jose.SignerOptions)
	for k, v := range a.header {
		options.WithHeader(k, v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: a.alg, Key: a.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(a.claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {text}}
}

func p384(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestClientAssertion(t *testing.T) {
	key, rogue := p384(t), p384(t)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES384", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*signed)
		ok     bool
	}{
		{"as it should be", func(*signed) {}, true},
		{"by a key that is not registered", func(a *signed) { a.key = rogue }, false},
		{"by a key that it does not name", func(a *signed) { delete(a.header, "kid") }, false},
		{"by a key that nobody knows", func(a *signed) { a.header["kid"] = "k2" }, false},
		{"without a type", func(a *signed) { delete(a.header, "typ") }, false},
		{"by a shared secret", func(a *signed) { a.alg, a.key = jose.HS256, keys }, false},
		{"of another client", func(a *signed) { a.claims["iss"] = "other" }, false},
		{"about another client", func(a *signed) { a.claims["sub"] = "other" }, false},
		{"for another endpoint", func(a *signed) { a.claims["aud"] = "https://as.example/auth/token/" }, false},
		{"for long", func(a *signed) { a.claims["exp"] = time.Now().Add(6 * time.Minute).Unix() }, false},
		{"of yesterday", func(a *signed) { a.claims["exp"] = time.Now().Add(-time.Second).Unix() }, false},
		{"without an end", func(a *signed) { delete(a.claims, "exp") }, false},
		{"without a number", func(a *signed) { delete(a.claims, "jti") }, false},
	} {
		s := newServer()
		s.Client = Client{Keys: keys}
		a := signed{map[jose.HeaderKey]any{"kid": "k1", "typ": "JWT"}, jose.ES384, key, map[string]any{
			"iss": "castray", "sub": "castray", "aud": "https://as.example/auth/token", "jti": "1", "exp": time.Now().Add(4 * time.Minute).Unix()}}
		c.change(&a)
		form := a.form(t)
		want := map[bool]string{true: known, false: "invalid_client"}[c.ok]
		if got, _ := s.tokenRequest(form, ""); got != want {
			t.Errorf("%s: %s", c.name, got)
		}
		if got, _ := s.tokenRequest(form, ""); got != "invalid_client" {
			t.Errorf("%s, a second time: %s", c.name, got)
		}
		form.Set("client_assertion_type", "another")
		if got, _ := s.tokenRequest(form, ""); got != "invalid_client" {
			t.Errorf("%s, of another type: %s", c.name, got)
		}
	}
}

func TestAssertionsAreForgottenWhenTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		if !s.firstSeen("1", time.Now(), time.Now().Add(time.Minute)) || s.firstSeen("1", time.Now(), time.Now().Add(time.Minute)) {
			t.Error("seen twice, or never")
		}
		time.Sleep(2 * time.Minute)
		if !s.firstSeen("2", time.Now(), time.Now().Add(time.Minute)) || len(s.assertions) != 1 {
			t.Errorf("%d are remembered", len(s.assertions))
		}
	})
}

func TestStrangersRevokeNothing(t *testing.T) {
	s := newServer()
	_, body := s.exchange(t, redeemForm(s.newCodeFor(t)))
	s.Client = Client{Secret: "x"}
	if resp := s.do("POST", "/auth/revoke", url.Values{"token": {body["refresh_token"].(string)}, "client_id": {"castray"}}); resp.StatusCode != 401 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	if _, ok := s.Check(body["access_token"].(string)); !ok {
		t.Error("revoked")
	}
}

func TestMethodsAreAdvertised(t *testing.T) {
	for want, c := range map[string]Client{"none": {}, "client_secret_basic": {Secret: "x"}, "client_secret_post": {Secret: "x", PostOnly: true},
		"private_key_jwt": {Keys: json.RawMessage(`{"keys":[]}`)}} {
		s := newServer()
		s.Client = c
		var doc struct {
			Methods      []string `json:"token_endpoint_auth_methods_supported"`
			Capabilities []string `json:"capabilities"`
		}
		if err := json.NewDecoder(s.do("GET", "/fhir/.well-known/smart-configuration", nil).Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(doc.Methods, []string{want}) || slices.Contains(doc.Capabilities, "client-public") != (want == "none") {
			t.Errorf("%s: %v, %v", want, doc.Methods, doc.Capabilities)
		}
	}
}
