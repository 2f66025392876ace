package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// How a client proves itself (Site.Auth).
const (
	authPublic = "public"
	authSecret = "secret"
	authKey    = "private_key_jwt"
)

// errNoCredential: what a confidential client proves itself with is not there.
var errNoCredential = errors.New("no credential")

// credential is what this installation proves itself with at the token
// endpoint, and wherever the rules of that hold: nothing, a secret, or a key
// (SMART 2.2, client authentication). It is read anew for each request, so that
// what an administrator enters while we run serves the next one. A Launcher has
// one.
type credential struct {
	site  Site
	store Store

	mu   sync.Mutex
	last []byte // as last read
}

// again is how long a keychain that was read before has: what was read serves
// if it is locked now, and the caller may be a sign-out.
const again = time.Second

// load reads the secret or the key.
func (c *credential) load(ctx context.Context, limit time.Duration) ([]byte, error) {
	if c.store == nil {
		return nil, c.missing()
	}
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last != nil {
		limit = again
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	value, err := c.store.Load(ctx, c.site.credentialKey())
	gone := errors.Is(err, fs.ErrNotExist)
	if err == nil || gone {
		c.mu.Lock()
		c.last = value // nothing, if it was taken away
		c.mu.Unlock()
	}
	switch {
	case err == nil:
		return value, nil
	case gone:
		return nil, c.missing()
	case last != nil:
		return last, nil
	}
	return nil, notReadable(c.site.Auth, err)
}

// check says what is missing before anything is sent, and for what algorithm the
// key is, if it is one. A person waits, and may have to unlock the keychain
// first.
func (c *credential) check(ctx context.Context) (alg string, err error) {
	if c.site.public() {
		return "", nil
	}
	value, err := c.load(ctx, firstSave)
	if err != nil || c.site.Auth != authKey {
		return "", err
	}
	jwk, err := parseKey(value)
	return jwk.Algorithm, err
}

// prove completes a form for the endpoints in to, and says what stands in the
// Authorization header, "" for none. A confidential client leaves client_id out
// of the form (SMART 2.2, app-launch), but for client_secret_post, which
// consists of it (RFC 6749, 2.3.1).
func (c *credential) prove(ctx context.Context, to saved, form url.Values) (url.Values, string, error) {
	full := maps.Clone(form)
	if c.site.public() {
		full.Set("client_id", to.ClientID)
		return full, "", nil
	}
	value, err := c.load(ctx, laterSave)
	switch {
	case err != nil:
		return nil, "", err
	case c.site.Auth == authKey:
		assertion, err := assert(value, to.ClientID, to.Token)
		if err != nil {
			return nil, "", err
		}
		full.Set("client_assertion_type", assertionType)
		full.Set("client_assertion", assertion)
		return full, "", nil
	case to.SecretInForm:
		full.Set("client_id", to.ClientID)
		full.Set("client_secret", string(value))
		return full, "", nil
	}
	return full, c.site.basic(to.ClientID, string(value)), nil
}

// basic is HTTP Basic with both parts form-encoded before (RFC 6749, 2.3.1),
// which SMART's own example leaves out, and some servers with it. They differ
// only for characters other than letters, digits and `-_.~`.
func (s Site) basic(id, secret string) string {
	if !s.PlainBasic {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func (s Site) public() bool { return s.Auth == "" || s.Auth == authPublic }

// credentialKey is the name under which the secret or the key is stored, never
// that of a sign-in. A secret belongs to its client id. A key does not: the id
// is often given only once the key is registered. The site's name is no part of
// either, since renaming it is no reason to enter anything again. A sign-in's
// has two parts, whatever they are.
func (s Site) credentialKey() string {
	if s.Auth == authKey {
		return s.storeKey("client", authKey, "")
	}
	return s.storeKey("client", authSecret, s.ClientID)
}

// KeepSecret keeps the secret that the server gave this installation, in place
// of an older one. It may return ErrLocked or ErrUnavailable; Sentence explains
// every error. A Launcher uses it from its next request on.
func (s Site) KeepSecret(ctx context.Context, store Store, secret Secret) error {
	text := secret.Reveal()
	if text == "" || len(text) > maxSecret || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) ||
		strings.TrimSpace(text) != text {
		return &failure{doing: "client secret: not one line of text, or with blanks around it",
			sentence: "A client secret is one line of at most 1000 bytes: copy it once more, without what stands around it."}
	}
	s.Auth = authSecret
	ctx, cancel := context.WithTimeout(ctx, firstSave)
	defer cancel()
	if err := store.Save(ctx, s.credentialKey(), []byte(text)); err != nil {
		return notKept("secret", err)
	}
	return nil
}

const maxSecret = 1000 // bytes

// unproven reports whether err says that this installation cannot prove itself:
// waiting does not help then, somebody has to act.
func unproven(err error) bool {
	t := (*tokenError)(nil)
	return errors.Is(err, errNoCredential) || errors.As(err, &t) && t.code == "invalid_client"
}

func (c *credential) missing() error {
	if c.site.Auth == authKey {
		return &failure{doing: "client key: none is kept", err: errNoCredential,
			sentence: "The key of this installation is missing: your administrator has to make it, and register what is printed, with: castray config jwks"}
	}
	return &failure{doing: "client secret: none is kept", err: errNoCredential,
		sentence: "The secret of this installation is missing: your administrator has to enter it with: castray config secret"}
}

// notReadable cleans what a store says: its error is no part of the text.
func notReadable(auth string, err error) error {
	what := "secret"
	if auth == authKey {
		what = "key"
	}
	f := &failure{doing: "client " + what + ": " + reasonNotStored(err), err: errNoCredential,
		sentence: "The keychain, which holds the " + what + " that this site signs in with, cannot be used: your administrator has to look at it."}
	if errors.Is(err, ErrLocked) || errors.Is(err, context.DeadlineExceeded) {
		f.sentence = "The keychain is locked, and holds the " + what + " that this site signs in with: unlock it and try again."
	}
	return f
}

func notKept(what string, err error) error {
	f := &failure{doing: "keep the client " + what + ": " + reasonNotStored(err), err: ErrUnavailable,
		sentence: "There is no keychain that can keep the " + what + ", and it is kept nowhere else: your administrator has to set one up."}
	if errors.Is(err, ErrLocked) || errors.Is(err, context.DeadlineExceeded) {
		f.err = ErrLocked
		f.sentence = "The keychain is locked: unlock it and try again."
	}
	return f
}
