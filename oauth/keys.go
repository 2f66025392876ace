package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keysRest is between two fetches because of a token that no key fits: whoever makes up tokens does not make us ask for
// each.
const keysRest = time.Minute

// keySet is the keys that one issuer publishes, kept so that several sign-ins fetch once. It is an oidc.KeySet. The
// library's own fetches for every token that does not fit, and passes over keys without kid.
type keySet struct {
	address string
	web     *web

	mu     sync.Mutex // held while they are fetched: who waits would fetch the same
	keys   []jose.JSONWebKey
	missed time.Time // when keys that we had were fetched again
}

// VerifySignature returns the payload of a JWT that one of the keys fits. Keys are fetched when none does, since servers
// replace theirs (OpenID Connect Core, 10.1.1).
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, k.web.site.signed())
	if err != nil {
		return nil, unsigned()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if payload, ok := k.fit(jws); ok {
		return payload, nil
	}
	had := k.keys != nil
	if had && !k.missed.IsZero() && time.Since(k.missed) < keysRest {
		return nil, unsigned()
	}
	if err := k.fetch(ctx); err != nil {
		return nil, err
	}
	if had {
		k.missed = time.Now()
	}
	if payload, ok := k.fit(jws); ok {
		return payload, nil
	}
	return nil, unsigned()
}

// fit tries the keys that the JWT names, and where it or a key has no name, all that could be meant.
func (k *keySet) fit(jws *jose.JSONWebSignature) ([]byte, bool) {
	header := jws.Signatures[0].Header
	for _, key := range k.keys {
		if key.KeyID != "" && header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// fetch reads the document (RFC 7517, 5). A key that we cannot read costs that key.
func (k *keySet) fetch(ctx context.Context) error {
	const doing = "id_token keys"
	r, err := k.web.fetch(ctx, doing, k.address, "application/json")
	switch {
	case err != nil:
		return err
	case r.status >= 500 || r.status == http.StatusTooManyRequests:
		return statusFailure(doing, r.status)
	}
	var doc struct{ Keys []json.RawMessage }
	if r.status != http.StatusOK || json.Unmarshal(r.body, &doc) != nil {
		return unsigned()
	}
	k.keys = []jose.JSONWebKey{}
	for _, raw := range doc.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil {
			k.keys = append(k.keys, key)
		}
	}
	return nil
}

// errUnsigned: no key that we know of fits, perhaps because the server keeps them elsewhere by now.
var errUnsigned = errors.New("no key fits")

func unsigned() error {
	f := badIdentity("is not signed by a key of the server")
	f.err = errUnsigned
	return f
}
