package oauth

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// issuer names an authorization server (RFC 8414, RFC 9207, OpenID Connect).
// It is a type of its own because a launch URL calls the FHIR base iss too;
// the two are never compared.
type issuer string

// metadata is what discovery yields. An attempt records the one it began with
// and uses no other.
type metadata struct {
	issuer               issuer // "" when the server named none
	issInAnswer          bool   // RFC 9207: the redirect must carry iss
	authorize            string
	token                string
	revoke               string // "" when not offered
	introspect           string // "" when not offered
	jwks                 string // "" when unknown
	fresh                time.Time
	capabilities, scopes []string // hints, for people
	// secretInForm: Basic is not among the methods that the server lists, and
	// client_secret_post is.
	secretInForm bool
	algorithms   []string // of keys that it says it knows; nil = it does not say
}

const maxMetadataAge = 24 * time.Hour

// discover reads the SMART configuration of the site (SMART 2.2, conformance).
// Only a 404 or something that is no JSON leads on to the CapabilityStatement
// of SMART 1: a broken connection or server must never select the older form.
func (w *web) discover(ctx context.Context, log *slog.Logger) (*metadata, error) {
	const doing = "discover"
	r, err := w.fetch(ctx, doing, w.site.base().at("/.well-known/smart-configuration"), "application/json")
	if err != nil {
		return nil, err
	}
	var doc struct {
		Issuer       string   `json:"issuer"`
		IssInAnswer  bool     `json:"authorization_response_iss_parameter_supported"`
		Authorize    string   `json:"authorization_endpoint"`
		Token        string   `json:"token_endpoint"`
		Revoke       string   `json:"revocation_endpoint"`
		Introspect   string   `json:"introspection_endpoint"`
		JWKS         string   `json:"jwks_uri"`
		PKCE         []string `json:"code_challenge_methods_supported"`
		Capabilities []string `json:"capabilities"`
		Scopes       []string `json:"scopes_supported"`
		Methods      []string `json:"token_endpoint_auth_methods_supported"`
		Algorithms   []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	}
	switch {
	case r.status == http.StatusOK && json.Valid(r.body):
		// A member of an unexpected type costs that member, not the document.
		_ = json.Unmarshal(r.body, &doc)
	case r.status == http.StatusOK || r.status == http.StatusNotFound:
		m, err := w.discoverOld(ctx, r.looksHTML() && r.status == http.StatusOK)
		if err != nil {
			return nil, err
		}
		m.fresh = freshUntil(r.header)
		return m, nil
	default:
		return nil, statusFailure(doing, r.status)
	}
	if doc.PKCE != nil && !slices.Contains(doc.PKCE, "S256") {
		log.Warn("server does not list PKCE S256; it is sent all the same")
	}
	m := &metadata{issuer: issuer(doc.Issuer), issInAnswer: doc.IssInAnswer, fresh: freshUntil(r.header),
		capabilities: doc.Capabilities, scopes: doc.Scopes, algorithms: doc.Algorithms,
		secretInForm: slices.Contains(doc.Methods, "client_secret_post") && !slices.Contains(doc.Methods, "client_secret_basic")}
	return m, w.resolve(m, doc.Authorize, doc.Token, doc.Revoke, doc.Introspect, doc.JWKS)
}

// discoverOld reads the OAuth extension of a CapabilityStatement, or of a
// DSTU2 Conformance (SMART 1.0.0).
func (w *web) discoverOld(ctx context.Context, wasHTML bool) (*metadata, error) {
	const doing = "discover in metadata"
	r, err := w.fetch(ctx, doing, w.site.base().at("/metadata"), "application/fhir+json")
	if err != nil {
		return nil, err
	}
	if r.status >= 500 {
		return nil, statusFailure(doing, r.status)
	}
	type extension struct {
		URL       string      `json:"url"`
		ValueURI  string      `json:"valueUri"`
		Extension []extension `json:"extension"`
	}
	var doc struct {
		Rest []struct {
			Mode     string `json:"mode"`
			Security struct {
				Extension []extension `json:"extension"`
			} `json:"security"`
		} `json:"rest"`
	}
	if err := json.Unmarshal(r.body, &doc); err != nil {
		if wasHTML || r.looksHTML() {
			return nil, captivePortal(doing)
		}
		return nil, notSMART(doing)
	}
	found := map[string]string{}
	for _, rest := range doc.Rest {
		if rest.Mode != "server" {
			continue
		}
		for _, e := range rest.Security.Extension {
			if e.URL == "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris" {
				for _, c := range e.Extension {
					found[c.URL] = c.ValueURI
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, notSMART(doing)
	}
	m := new(metadata)
	return m, w.resolve(m, found["authorize"], found["token"], found["revoke"], found["introspect"], "")
}

// resolve fills in the endpoints: relative ones against the FHIR base (RFC
// 3986), each https or the whole document is refused before anything is sent.
func (w *web) resolve(m *metadata, authorize, token, revoke, introspect, jwks string) error {
	base, err := url.Parse(w.site.FHIRURL)
	if err != nil {
		return settingError("fhir_url", "is not a URL")
	}
	for _, e := range []struct {
		name, ref string
		to        *string
		required  bool
	}{
		{"authorization_endpoint", authorize, &m.authorize, true},
		{"token_endpoint", token, &m.token, true},
		{"revocation_endpoint", revoke, &m.revoke, false},
		{"introspection_endpoint", introspect, &m.introspect, false},
		{"jwks_uri", jwks, &m.jwks, false},
	} {
		if e.ref == "" {
			if e.required {
				return endpointError(e.name, "is missing")
			}
			continue
		}
		u, err := base.Parse(e.ref)
		if err != nil {
			return endpointError(e.name, "is not a URL")
		}
		if err := w.site.usable(u); err != nil {
			return endpointError(e.name, err.Error())
		}
		*e.to = u.String()
		if abs, err := url.Parse(e.ref); err == nil && abs.IsAbs() {
			*e.to = e.ref // letter by letter: an assertion names its endpoint
		}
	}
	return nil
}

// findKeys completes m from the OpenID configuration of its issuer, for
// servers whose SMART configuration names an issuer but no jwks_uri.
func (w *web) findKeys(ctx context.Context, m *metadata) error {
	if m.jwks != "" || m.issuer == "" {
		return nil
	}
	const doing = "discover keys"
	u, err := url.Parse(string(m.issuer))
	if err != nil {
		return endpointError("issuer", "is not a URL")
	}
	if err := w.site.usable(u); err != nil {
		return endpointError("issuer", err.Error())
	}
	r, err := w.fetch(ctx, doing, strings.TrimRight(string(m.issuer), "/")+"/.well-known/openid-configuration", "application/json")
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return statusFailure(doing, r.status)
	}
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(r.body, &doc); err != nil || issuer(doc.Issuer) != m.issuer {
		return endpointError("openid-configuration", "is not that of the issuer")
	}
	return w.resolve(m, m.authorize, m.token, m.revoke, m.introspect, doc.JWKS)
}

// freshUntil obeys Cache-Control up to a day.
func freshUntil(h http.Header) time.Time {
	age := maxMetadataAge
	for d := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(d)), "=")
		switch name {
		case "no-store", "no-cache":
			age = 0
		case "max-age":
			if n, err := strconv.Atoi(value); err == nil && n >= 0 {
				age = min(age, time.Duration(min(n, 86400))*time.Second)
			}
		}
	}
	return time.Now().Add(age)
}

func statusFailure(doing string, status int) error {
	f := &failure{doing: doing + ": the server answered " + strconv.Itoa(status)}
	if status >= 500 || status == http.StatusTooManyRequests {
		f.sentence = "The sign-in server has a problem: try again in a few minutes."
	} else {
		f.sentence = "The sign-in server refuses to describe itself (" + strconv.Itoa(status) +
			"): your administrator has to check fhir_url."
	}
	return f
}

func endpointError(name, what string) error {
	return &failure{
		doing:    "discover: " + name + " " + what,
		sentence: "The sign-in server describes itself wrongly (" + name + " " + what + "): your administrator has to tell its vendor.",
	}
}

func notSMART(doing string) error {
	return &failure{doing: doing + ": no SMART server",
		sentence: "This address is not a SMART server: your administrator has to check fhir_url."}
}
