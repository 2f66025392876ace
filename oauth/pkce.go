package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// random is 32 random bytes as 43 unreserved characters: enough for a state,
// a nonce and a PKCE verifier (RFC 7636, 4.1).
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// challenge is the S256 challenge of a verifier (RFC 7636, 4.2). There is no
// plain and no without, whatever a server says.
func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
