package oauthtest

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Client says how the one client proves itself at the token and the revocation
// endpoint (SMART 2.2, client authentication). The zero Client is public: its
// id stands in the form. One that proves itself needs a Server.ClientID.
type Client struct {
	Secret   string // by HTTP Basic, with the encoding of RFC 6749, 2.3.1
	Plain    bool   // Basic without that encoding, as some servers want it
	PostOnly bool   // Basic is not offered: the secret stands in the form
	// Keys is the registered key set: the client signs an assertion (RFC 7523).
	Keys json.RawMessage
}

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	longestLife   = 5 * time.Minute // of an assertion
)

// methods are the members of the discovery document about this.
func (c Client) methods(doc map[string]any) {
	method, capability := "none", "client-public"
	switch {
	case c.Keys != nil:
		method, capability = "private_key_jwt", "client-confidential-asymmetric"
		doc["token_endpoint_auth_signing_alg_values_supported"] = []string{"RS384", "ES384"}
	case c.PostOnly:
		method, capability = "client_secret_post", "client-confidential-symmetric"
	case c.Secret != "":
		method, capability = "client_secret_basic", "client-confidential-symmetric"
	}
	doc["token_endpoint_auth_methods_supported"] = []string{method}
	doc["capabilities"] = slices.Insert(doc["capabilities"].([]string), 1, capability)
}

// authenticate says which client sent r, and whether it has proved that.
func (s *Server) authenticate(r *http.Request, f Faults) (client string, proved bool) {
	q, c := r.PostForm, s.Client
	switch {
	case c.Keys != nil:
		return s.ClientID, s.asserted(r, f)
	case c.PostOnly:
		return q.Get("client_id"), q.Get("client_id") == s.ClientID && equal(q.Get("client_secret"), c.Secret)
	case c.Secret != "":
		id, secret := basic(r, c.Plain)
		return id, id == s.ClientID && equal(secret, c.Secret)
	}
	return q.Get("client_id"), true
}

// basic reads the header by hand: net/http's reading knows nothing of the
// encoding below it.
func basic(r *http.Request, plain bool) (id, secret string) {
	encoded, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Basic ")
	text, err := base64.StdEncoding.DecodeString(encoded)
	id, secret, colon := strings.Cut(string(text), ":")
	if !ok || err != nil || !colon {
		return "", ""
	}
	if plain {
		return id, secret
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", ""
	}
	if secret, err = url.QueryUnescape(secret); err != nil {
		return "", ""
	}
	return id, secret
}

// asserted checks the assertion of r: signed by a registered key, for this
// token endpoint alone, short-lived, and never seen before.
func (s *Server) asserted(r *http.Request, f Faults) bool {
	q := r.PostForm
	jws, err := jose.ParseSignedCompact(q.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS384, jose.ES384})
	if err != nil || q.Get("client_assertion_type") != assertionType {
		return false
	}
	var keys jose.JSONWebKeySet
	header := jws.Signatures[0].Protected
	if json.Unmarshal(s.Client.Keys, &keys) != nil || header.KeyID == "" || header.ExtraHeaders[jose.HeaderType] != "JWT" {
		return false
	}
	var claims struct {
		Iss, Sub, Aud, JTI string
		Exp                int64
	}
	known := keys.Key(header.KeyID)
	if len(known) != 1 {
		return false
	}
	payload, err := jws.Verify(known[0])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return false
	}
	now := time.Now().Add(f.Clock)
	end := time.Unix(claims.Exp, 0)
	if claims.Iss != s.ClientID || claims.Sub != s.ClientID || claims.Aud != origin(r)+"/auth/token" ||
		!now.Before(end) || end.After(now.Add(longestLife)) {
		return false
	}
	return s.firstSeen(claims.JTI, now, end)
}

// firstSeen remembers an assertion until it ends (RFC 7523, 3).
func (s *Server) firstSeen(jti string, now, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, end := range s.assertions {
		if now.After(end) {
			delete(s.assertions, old)
		}
	}
	if _, seen := s.assertions[jti]; seen || jti == "" {
		return false
	}
	if s.assertions == nil {
		s.assertions = map[string]time.Time{}
	}
	s.assertions[jti] = until
	return true
}

// unproved answers a client that has not proved itself (RFC 6749, 5.2).
func (s *Server) unproved(w http.ResponseWriter, r *http.Request, f Faults) {
	if r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
	}
	if f.TokenStatus == 0 {
		f.TokenStatus = http.StatusUnauthorized
	}
	s.tokenError(w, r, f, "invalid_client")
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
