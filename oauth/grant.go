package oauth

import (
	"encoding/json"
	"net/url"
	"slices"
)

// Grant is what a sign-in yielded, as of the last refresh. It is a copy.
type Grant struct {
	// HubURL and HubTopic are the FHIRcast session (FHIRcast 3.0.0, 4.1);
	// either may be empty. HubURL is https.
	HubURL   string
	HubTopic Secret
	// Scopes were granted; Requested were asked for. When the server did not
	// say, they are the same (RFC 6749, 5.1). ScopesSaid tells the cases apart.
	Scopes     []string
	ScopesSaid bool
	Requested  []string
	User       User
	// Launch is the situation at sign-in, and patient data: it is kept in
	// memory only, never follows a refresh, and is gone after a restart.
	Launch Launch
}

// User says who signed in; all empty without a valid id_token.
type User struct {
	Name     string // for display
	FHIRUser string // reference or URL of the user's FHIR resource
	Subject  string // sub: the user's id at the issuer
}

// grantOf reads the first answer of a sign-in.
func (w *web) grantOf(a *tokenAnswer) Grant {
	g := Grant{
		HubTopic:  NewSecret(a.hubTopic),
		Scopes:    a.scopes,
		Requested: slices.Clone(w.site.Scopes),
		Launch:    a.launch,
	}
	g.ScopesSaid = a.scopesSaid
	if !a.scopesSaid {
		g.Scopes = slices.Clone(w.site.Scopes)
	}
	g.HubURL, _ = w.hubURL(a.hubURL)
	return g
}

// hubURL lets only a URL through that a token may be sent to.
func (w *web) hubURL(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if raw == "" || err != nil || w.site.usable(u) != nil {
		return "", raw == ""
	}
	return raw, true
}

func secrets(raw map[string]json.RawMessage) map[string]Secret {
	m := make(map[string]Secret, len(raw))
	for k, v := range raw {
		m[k] = NewSecret(string(v))
	}
	return m
}
