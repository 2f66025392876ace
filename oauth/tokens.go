package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	assumedLife = 5 * time.Minute // of a token whose server does not say
	maxLife     = 24 * time.Hour
	lifeMargin  = 10 * time.Second // for the way of the answer and for clocks
)

// tokenAnswer is a token response as we need it (RFC 6749, 5.1; SMART 2.2
// app-launch, 2.0.8). Empty fields were not said.
type tokenAnswer struct {
	access, refresh, id string
	life                time.Duration
	lifeSaid            bool
	scopes              []string
	scopesSaid          bool
	hubURL, hubTopic    string
	launch              Launch
	odd                 []string  // members of the launch context that cannot be used
	date                time.Time // the server's clock, zero = not said
}

// tokenError is a refusal by the token or revocation endpoint.
type tokenError struct {
	code   string // as knownCode says it, or "" when the answer was no OAuth error
	status int
	after  time.Duration // Retry-After, 0 = not said
	auth   string        // how we proved ourselves: Site.Auth
	clocks time.Duration // how far the server's clock is from ours, 0 = not said
}

func (e *tokenError) Error() string {
	what := e.code
	if what == "" {
		what = "no OAuth error"
	}
	return "token endpoint: the server answered " + strconv.Itoa(e.status) + ", " + what
}

func (e *tokenError) sentence() string {
	switch {
	case e.code == "invalid_grant":
		return "The sign-in took too long or was used twice: try again."
	case e.code == "" && e.status < 400 || e.status >= 500 || e.status == http.StatusTooManyRequests || e.code == "temporarily_unavailable":
		return "The sign-in server has a problem: try again in a few minutes."
	case e.code == "invalid_client" && e.auth == authSecret:
		return "The sign-in server does not take the secret of this installation (invalid_client): " +
			"your administrator has to check client_id, or to enter the secret again with: castray config secret"
	case e.code == "invalid_client" && e.auth == authKey && e.clocks > assertionLife:
		return "The clock of this computer and that of the sign-in server differ by " + e.clocks.Round(time.Minute).String() + ": set the clock."
	case e.code == "invalid_client" && e.auth == authKey:
		return "The sign-in server does not know the key of this installation (invalid_client): " +
			"your administrator has to check client_id, or to register what this prints: castray config jwks"
	case e.code == "invalid_client" || e.code == "unauthorized_client":
		return "The sign-in server does not know this installation (" + e.code + "): your administrator has to check client_id."
	}
	return "The sign-in server refuses this installation (" + strconv.Itoa(e.status) + " " + e.code +
		"): your administrator has to check its registration."
}

// tokens sends one form to the token endpoint, once.
func (w *web) tokens(ctx context.Context, doing string, to saved, form url.Values) (*tokenAnswer, error) {
	r, err := w.ask(ctx, doing, to.Token, to, form)
	if err != nil {
		return nil, err
	}
	a, err := parseTokens(r, w.site.Names2019)
	if err != nil {
		if t := (*tokenError)(nil); errors.As(err, &t) {
			t.auth = w.site.Auth
		}
		return nil, err
	}
	a.date, _ = http.ParseTime(r.header.Get("Date"))
	return a, nil
}

// parseTokens reads by content, whatever the Content-Type. Its errors hold
// nothing of the body.
func parseTokens(r *reply, names2019 bool) (*tokenAnswer, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(r.body, &m); err != nil || m == nil {
		if r.status == http.StatusOK && r.looksHTML() {
			return nil, captivePortal("token endpoint")
		}
		return nil, &tokenError{status: r.status, after: retryAfter(r.header)}
	}
	if code, ok := m["error"]; ok || r.status != http.StatusOK {
		e := &tokenError{status: r.status, after: retryAfter(r.header)}
		if at, err := http.ParseTime(r.header.Get("Date")); err == nil {
			e.clocks = time.Since(at).Abs()
		}
		if ok {
			e.code = knownCode(text(code))
		}
		return nil, e
	}
	if names2019 {
		rename2019(m)
	}
	a := &tokenAnswer{
		access: text(m["access_token"]), refresh: text(m["refresh_token"]), id: text(m["id_token"]),
		hubURL: text(m["hub.url"]), hubTopic: text(m["hub.topic"]),
	}
	if !isToken(a.access) {
		return nil, badTokens("brings no usable access_token")
	}
	if t := text(m["token_type"]); t != "" && !strings.EqualFold(t, "Bearer") {
		return nil, badTokens("brings a token that is no Bearer")
	}
	a.life, a.lifeSaid = life(m["expires_in"])
	a.scopes, a.scopesSaid = scopes(m["scope"])
	for _, known := range []string{"access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope",
		"hub.url", "hub.topic"} {
		delete(m, known)
	}
	a.launch, a.odd = launchOf(m)
	return a, nil
}

func badTokens(what string) error {
	return &failure{doing: "token endpoint: the answer " + what,
		sentence: "The sign-in server's answer " + what + ": your administrator has to tell its vendor."}
}

// text is a JSON string, or a number in the digits it was sent in: some
// servers send ids as numbers, and float64 would change them. Else "".
func text(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return ""
	}
	if c := raw[0]; c == '-' || c >= '0' && c <= '9' {
		return string(raw)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// isToken reports whether s can stand in a header (RFC 6750, 2.1, and then
// what servers really send: any visible ASCII).
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// life reads expires_in: seconds as a number, also 3600.0, or either as a
// string. What is not positive is not said: then five minutes are assumed,
// since "never expires" would end in a surprise.
func life(raw json.RawMessage) (time.Duration, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text(raw)), 64)
	if math.IsNaN(v) || v <= 0 || err != nil && !math.IsInf(v, 1) {
		return assumedLife, false
	}
	d := maxLife
	if v < maxLife.Seconds() {
		d = time.Duration(v * float64(time.Second))
	}
	// Half of a life that is too short for the margin, but never nothing: each
	// request would refresh.
	return max(d-lifeMargin, d/2, time.Second), true
}

// scopes reads scope: blank-separated, or as an array. false = not said.
func scopes(raw json.RawMessage) ([]string, bool) {
	var one string
	var many []string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, false
	case json.Unmarshal(raw, &one) == nil:
		return strings.Fields(one), true
	case json.Unmarshal(raw, &many) == nil:
		return strings.Fields(strings.Join(many, " ")), true
	}
	return nil, false
}
