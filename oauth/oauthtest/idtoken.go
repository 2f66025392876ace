package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// idToken is OpenID Connect Core 2 and 3.1.3.6. Called with mu held.
func (s *Server) idToken(r *http.Request, f Faults, u User, client, nonce, access string) string {
	sum := sha256.Sum256([]byte(access))
	hash := sum[:]
	if f.Signed == "RS384" { // the hash is that of the signature (OpenID Connect Core, 3.1.3.6)
		sum := sha512.Sum384([]byte(access))
		hash = sum[:]
	}
	now := time.Now().Add(f.Clock)
	claims := map[string]any{
		"iss": s.issuer(r), "sub": u.ID, "aud": client, "name": u.Name, "fhirUser": u.FHIRUser,
		"exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "at_hash": base64.RawURLEncoding.EncodeToString(hash[:len(hash)/2]),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	change(claims, f.Claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // Faults.Claims holds something that is no JSON
	}
	return s.sign(f, payload)
}

// IDToken makes an id_token of the first user without sign-in, as Issue makes
// an access token. at is the origin that it is asked at.
func (s *Server) IDToken(at string) string {
	r, err := http.NewRequest(http.MethodGet, at, nil)
	if err != nil {
		panic(err) // at is no address
	}
	r.TLS = new(tls.ConnectionState)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idToken(r, s.faults, s.Users[0], s.ClientID, "", "")
}

// sign makes a JWT. Called with mu held.
func (s *Server) sign(f Faults, payload []byte) string {
	key, kid := s.signKey()
	if f.BadSign {
		if s.stranger == nil {
			s.stranger = newKey()
		}
		key = s.stranger
	}
	if f.NoKid {
		kid = ""
	}
	with := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}
	switch f.Signed {
	case "none":
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	case "HS256": // works on who takes the algorithm from the token and any key from the server
		public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
		with = jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: public, KeyID: kid}}
	case "RS384":
		with.Algorithm = jose.RS384
	case "ES256":
		with = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.curveKey(), KeyID: "curve"}}
	}
	signer, err := jose.NewSigner(with, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err) // the arguments are ours
	}
	sig, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	out, err := sig.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}

// jwks is RFC 7517, 5.
func (s *Server) jwks(w http.ResponseWriter, f Faults) {
	s.mu.Lock()
	key, kid := s.signKey()
	curve := s.curveKey()
	s.mu.Unlock()
	keys := []any{
		jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: string(jose.RS256), Use: "sig"},
		jose.JSONWebKey{Key: curve.Public(), KeyID: "curve", Algorithm: string(jose.ES256), Use: "sig"},
	}
	if f.BareKeys {
		keys = []any{
			map[string]any{"kty": "quantum"}, "no key", map[string]any{"kty": "oct", "k": "c2VjcmV0"},
			jose.JSONWebKey{Key: curve.Public()}, jose.JSONWebKey{Key: key.Public()},
		}
	}
	reply(w, http.StatusOK, map[string]any{"keys": keys})
}

// signKey makes the key when it is first needed, and again after NewKey. Called
// with mu held.
func (s *Server) signKey() (*rsa.PrivateKey, string) {
	if s.Key == nil {
		s.Key, s.kid = newKey(), ""
	}
	if s.kid == "" {
		s.kid = unguessable()
	}
	return s.Key, s.kid
}

// curveKey is a second key, of another kind. Called with mu held.
func (s *Server) curveKey() *ecdsa.PrivateKey {
	if s.curve == nil {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err) // only for a curve that is none
		}
		s.curve = k
	}
	return s.curve
}

// NewKey replaces the key that signs id_tokens, as servers do now and then.
func (s *Server) NewKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Key = nil
}

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // only for a size that is too small
	}
	return k
}
