package oauth

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	expirySkew = 2 * time.Minute // a token that ended so long ago still counts
	issueSkew  = 5 * time.Minute // a token from so far in the future still counts
)

// identity checks id_tokens of one issuer (OpenID Connect Core, 3.1.3.7).
type identity struct {
	issuer   issuer
	clientID string
	keys     *keySet
	// fresh is how long before the token its person may have signed in; 0 = ever.
	fresh time.Duration
}

// identity prepares the check. nil without error: the server named no issuer
// or no keys, so no id_token of it can be believed.
func (l *Launcher) identity(ctx context.Context, w *web, m *metadata) (*identity, error) {
	full := *m
	if err := w.findKeys(ctx, &full); err != nil {
		return nil, err
	}
	if full.issuer == "" || full.jwks == "" {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil || l.keys.address != full.jwks {
		l.keys = &keySet{address: full.jwks, web: w}
	}
	return &identity{issuer: full.issuer, clientID: l.Site.ClientID, keys: l.keys}, nil
}

// keyErrors is a KeySet that remembers the error of its last call, which the
// verifier flattens to text: a server that cannot be reached is not a forgery.
type keyErrors struct {
	*keySet
	err error
}

func (k *keyErrors) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	var payload []byte
	payload, k.err = k.keySet.VerifySignature(ctx, jwt)
	return payload, k.err
}

// check returns the user of an id_token that holds. An empty nonce asks for
// none: a refresh may leave it out (OpenID Connect Core, 12.2).
func (id *identity) check(ctx context.Context, a *tokenAnswer, nonce string) (User, error) {
	keys := &keyErrors{keySet: id.keys}
	// The library checks form, algorithm and signature. The claims are checked
	// here: its errors repeat them, it allows exp no skew, and it knows neither
	// azp nor iat.
	t, err := oidc.NewVerifier(string(id.issuer), keys, &oidc.Config{
		SupportedSigningAlgs: append([]string{oidc.RS256}, id.keys.web.site.IDTokenAlgs...),
		SkipIssuerCheck:      true, SkipClientIDCheck: true, SkipExpiryCheck: true,
	}).Verify(ctx, a.id)
	switch {
	case keys.err != nil:
		return User{}, keys.err
	case err != nil:
		return User{}, unsigned()
	}
	var c struct {
		AZP       string          `json:"azp"`
		NotBefore int64           `json:"nbf"`
		Name      string          `json:"name"`
		Preferred string          `json:"preferred_username"`
		FHIRUser  string          `json:"fhirUser"`
		Profile   string          `json:"profile"`
		AuthTime  json.RawMessage `json:"auth_time"`
	}
	if t.Claims(&c) != nil {
		return User{}, badIdentity("has claims of a wrong type")
	}
	now := time.Now()
	switch {
	case issuer(t.Issuer) != id.issuer:
		return User{}, badIdentity("is of another issuer")
	case !slices.Contains(t.Audience, id.clientID):
		return User{}, badIdentity("is for another client")
	case len(t.Audience) > 1 && c.AZP == "", c.AZP != "" && c.AZP != id.clientID:
		return User{}, badIdentity("was given to another client")
	case t.Expiry.IsZero() || now.After(t.Expiry.Add(expirySkew)):
		return User{}, clockOr(a.date, now, "has expired")
	case t.IssuedAt.After(now.Add(issueSkew)) || c.NotBefore > now.Add(issueSkew).Unix():
		return User{}, clockOr(a.date, now, "is of the future")
	case nonce != "" && t.Nonce != nonce:
		return User{}, badIdentity("answers another sign-in")
	case t.AccessTokenHash != "" && t.VerifyAccessToken(a.access) != nil:
		return User{}, badIdentity("belongs to another access token")
	case t.Subject == "":
		return User{}, badIdentity("names nobody")
	case id.fresh > 0 && t.IssuedAt.Sub(seconds(c.AuthTime)) > id.fresh:
		return User{}, notAsked()
	}
	u := User{Name: c.Name, FHIRUser: c.FHIRUser, Subject: t.Subject}
	if u.Name == "" {
		u.Name = c.Preferred
	}
	// SMART 1.0.0 used profile, which elsewhere is the address of a web page.
	if u.FHIRUser == "" && isFHIRUser(c.Profile) {
		u.FHIRUser = c.Profile
	}
	return u, nil
}

func isFHIRUser(ref string) bool {
	parts := strings.Split(ref, "/")
	if len(parts) < 2 {
		return false
	}
	switch parts[len(parts)-2] {
	case "Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person":
		return true
	}
	return false
}

// seconds reads a time that a server may leave out, which is then of the future:
// SMART forbids to demand auth_time of it.
func seconds(raw json.RawMessage) time.Time {
	var s float64
	if json.Unmarshal(raw, &s) != nil || s <= 0 {
		return time.Now().Add(issueSkew)
	}
	return time.Unix(int64(s), 0)
}

// notAsked is prompt=login not obeyed: this may be whoever used the browser
// before.
func notAsked() error {
	return &failure{doing: "id_token: it is of an earlier sign-in",
		sentence: "The sign-in server did not ask who you are and took you for the last user: close the browser and sign in again, and tell your administrator if it stays so."}
}

func badIdentity(what string) *failure {
	return &failure{doing: "id_token: it " + what,
		sentence: "The sign-in server's proof of who you are cannot be trusted (it " + what + "): try again, and tell your administrator if it stays so."}
}

func clockOr(server, now time.Time, what string) error {
	if d := now.Sub(server).Abs(); !server.IsZero() && d > issueSkew {
		return &failure{doing: "id_token: it " + what + "; the clocks differ by " + d.Round(time.Minute).String(),
			sentence: "The clock of this computer and that of the sign-in server differ by " + d.Round(time.Minute).String() + ": set the clock."}
	}
	return badIdentity(what)
}
