package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionLife is a minute under what servers accept (SMART 2.2, client
	// authentication: asymmetric), for clocks that differ.
	assertionLife = 4 * time.Minute
	rsaBits       = 3072 // as strong as the hash that it is used with
)

// keyAlgorithms are those of SMART, of which a server knows at least one, ours
// first.
var keyAlgorithms = []jose.SignatureAlgorithm{jose.ES384, jose.RS384}

// assert signs who we are for one request to one token endpoint (RFC 7523, 3;
// SMART 2.2). There is no iat and no nbf: a server whose clock is behind ours
// would refuse them, and none needs them.
func assert(key []byte, clientID, endpoint string) (string, error) {
	jwk, err := parseKey(key)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(jwk.Algorithm), Key: jwk},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", badKey()
	}
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		Expires  int64  `json:"exp"`
	}{clientID, clientID, endpoint, random(), time.Now().Add(assertionLife).Unix()})
	if err != nil {
		return "", badKey()
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", badKey()
	}
	return signed.CompactSerialize()
}

// PublicKeys is the key set to register at the server (RFC 7517): the public
// half of the one key that this installation signs with. If there is none yet,
// or with replace, it makes one: alg is ES384, or RS384 for servers that know
// no other; "" takes what is there, else ES384. A key that is replaced is gone,
// and with it its registration. It may return ErrLocked or ErrUnavailable;
// Sentence explains every error.
func (s Site) PublicKeys(ctx context.Context, store Store, alg string, replace bool) (set []byte, made bool, err error) {
	s.Auth = authKey
	ctx, cancel := context.WithTimeout(ctx, firstSave)
	defer cancel()
	value, err := store.Load(ctx, s.credentialKey())
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && replace:
		if value, err = s.makeKey(ctx, store, alg); err != nil {
			return nil, false, err
		}
		made = true
	case err != nil:
		return nil, false, notReadable(s.Auth, err)
	}
	jwk, err := parseKey(value)
	if err != nil {
		return nil, false, err
	}
	if alg != "" && jwk.Algorithm != alg {
		return nil, false, &failure{doing: "client key: another algorithm",
			sentence: "There is a key already, for " + jwk.Algorithm + ". To make another, which ends the registration of this one: castray config jwks --replace"}
	}
	set, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}})
	if err != nil {
		return nil, false, badKey()
	}
	return set, made, nil
}

// makeKey makes a key and keeps it. What is returned is what the store then
// holds, should two commands have made one at once.
func (s Site) makeKey(ctx context.Context, store Store, alg string) ([]byte, error) {
	jwk, err := newClientKey(jose.SignatureAlgorithm(alg))
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(jwk)
	if err != nil {
		return nil, badKey()
	}
	if err := store.Save(ctx, s.credentialKey(), value); err != nil {
		return nil, notKept("key", err)
	}
	if value, err = store.Load(ctx, s.credentialKey()); err != nil {
		return nil, notKept("key", err)
	}
	return value, nil
}

func newClientKey(alg jose.SignatureAlgorithm) (jose.JSONWebKey, error) {
	jwk := jose.JSONWebKey{Algorithm: string(alg), Use: "sig"}
	var err error
	switch alg {
	case "", jose.ES384:
		jwk.Algorithm = string(jose.ES384)
		jwk.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.RS384:
		jwk.Key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return jwk, &failure{doing: "client key: unknown algorithm", sentence: "A key is for ES384 or RS384."}
	}
	if err != nil {
		return jwk, badKey()
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return jwk, badKey()
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	return jwk, nil
}

// parseKey reads what makeKey keeps.
func parseKey(value []byte) (jose.JSONWebKey, error) {
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(value) != nil || !jwk.Valid() || jwk.IsPublic() || jwk.KeyID == "" ||
		!slices.Contains(keyAlgorithms, jose.SignatureAlgorithm(jwk.Algorithm)) {
		return jose.JSONWebKey{}, badKey()
	}
	return jwk, nil
}

// badKey takes no error: those of the libraries may hold parts of the key.
func badKey() error {
	return &failure{doing: "client key: it cannot be used", err: errNoCredential,
		sentence: "The key of this installation cannot be used: your administrator has to make and register another, with: castray config jwks --replace"}
}
