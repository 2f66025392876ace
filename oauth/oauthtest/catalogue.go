package oauthtest

import "time"

// Named is a fault that can be asked for by its name, such as on a command line, and what the server then does, in a
// sentence. Several can be asked for at once: Add joins them.
type Named struct {
	Name, Help string
	Add        func(*Faults)
}

// Catalogue is all faults that have a name. What takes an argument, such as a claim of one's own, has none: that is Faults.
func Catalogue() []Named {
	body := func(member string, value any) func(*Faults) {
		return func(f *Faults) { put(&f.Body, member, value) }
	}
	claim := func(name string, value func() any) func(*Faults) {
		return func(f *Faults) { put(&f.Claims, name, value()) }
	}
	ago := func(d time.Duration) func() any { return func() any { return time.Now().Add(-d).Unix() } }
	text := func(s any) func() any { return func() any { return s } }
	return []Named{
		{"signin-slow", "Every answer of the sign-in takes three seconds.", func(f *Faults) { f.Slow = 3 * time.Second }},
		{"signin-clock", "The sign-in server's clock is an hour ahead.", func(f *Faults) { f.Clock = time.Hour }},
		{"signin-smart1", "Only a CapabilityStatement describes the sign-in, as in SMART 1.", func(f *Faults) { f.SMART1 = true }},
		{"signin-portal", "A web page answers where the sign-in should describe itself, as before a Wi-Fi's own sign-in.", func(f *Faults) { f.ConfigurationHTML = true }},
		{"signin-wants-accept", "The description of the sign-in is refused to who does not ask for application/json.", func(f *Faults) { f.WantsAccept = true }},
		{"signin-declined", "The redirect says access_denied.", func(f *Faults) { f.Error = "access_denied" }},
		{"signin-scope-refused", "The redirect says invalid_scope.", func(f *Faults) { f.Error = "invalid_scope" }},
		{"signin-trouble", "The redirect says server_error.", func(f *Faults) { f.Error = "server_error" }},
		{"signin-no-redirect", "The sign-in ends on a page of its own, and the browser never comes back.", func(f *Faults) { f.BrowserStays = true }},
		{"signin-wrong-state", "The redirect brings another state.", func(f *Faults) { f.WrongState = true }},
		{"signin-wrong-issuer", "The redirect names another issuer.", func(f *Faults) { f.WrongIssuer = true }},
		{"signin-no-issuer", "The redirect names no issuer, though the description promises one.", func(f *Faults) { f.NoIssuer = true }},
		{"signin-two-codes", "The redirect brings two codes.", func(f *Faults) { f.TwoCodes = true }},
		{"signin-invalid-grant", "The token endpoint says invalid_grant.", func(f *Faults) { f.TokenError = "invalid_grant" }},
		{"signin-invalid-client", "The token endpoint says invalid_client with status 401.", func(f *Faults) { f.TokenError, f.TokenStatus = "invalid_client", 401 }},
		{"signin-unavailable", "The token endpoint answers 503 and asks to wait for two seconds.", func(f *Faults) { f.TokenStatus, f.RetryAfter = 503, "2" }},
		{"signin-html", "The token endpoint answers with a web page and status 200.", func(f *Faults) { f.HTML = true }},
		{"signin-text-plain", "The token endpoint sends its JSON as text/plain.", func(f *Faults) { f.ContentType = "text/plain" }},
		{"signin-bom", "The token endpoint sends a byte order mark first.", func(f *Faults) { f.BOM = true }},
		{"signin-echo", "Errors of the token endpoint repeat what they were sent, with the secrets in it.", func(f *Faults) { f.Echo = true }},
		{"signin-answer-lost", "The token endpoint hands out a token, and the line breaks before it arrives.", func(f *Faults) { f.LoseAnswer = true }},
		{"signin-endless", "The token endpoint's answer never ends.", func(f *Faults) { f.Endless = "/auth/token" }},
		{"signin-life-string", "expires_in is a string.", body("expires_in", "3600")},
		{"signin-life-float", "expires_in is 3600.5.", body("expires_in", 3600.5)},
		{"signin-life-empty", "expires_in is an empty string.", body("expires_in", "")},
		{"signin-life-zero", "expires_in is 0.", body("expires_in", 0)},
		{"signin-life-missing", "expires_in is not there.", body("expires_in", nil)},
		{"signin-life-short", "expires_in is 90 seconds.", body("expires_in", 90)},
		{"signin-scope-missing", "scope is not there.", body("scope", nil)},
		{"signin-scope-empty", "scope is empty: nothing is granted.", body("scope", "")},
		{"signin-scope-array", "scope is an array.", body("scope", []string{"openid", "fhirUser", "offline_access", "fhircast/*.*"})},
		{"signin-dpop", "The token is of type DPoP.", body("token_type", "DPoP")},
		{"signin-no-hub", "The token response names no hub and no topic.", func(f *Faults) { put(&f.Body, "hub.url", nil); put(&f.Body, "hub.topic", nil) }},
		{"signin-no-refresh", "There is no refresh token.", func(f *Faults) { f.NoRefresh = true }},
		{"signin-no-rotation", "A refresh token stays good after its use.", func(f *Faults) { f.KeepRefresh = true }},
		{"signin-no-id", "There is no id_token, though openid is granted.", func(f *Faults) { f.NoID = true }},
		{"signin-id-unsigned", "The id_token is not signed.", func(f *Faults) { f.Signed = "none" }},
		{"signin-id-forged", "The id_token is signed by a key that is not published.", func(f *Faults) { f.BadSign = true }},
		{"signin-id-nonce", "The id_token answers another sign-in.", claim("nonce", text("another"))},
		{"signin-id-audience", "The id_token is for another client.", claim("aud", text("another"))},
		{"signin-id-expired", "The id_token ended an hour ago.", claim("exp", ago(time.Hour))},
		{"signin-keys-bare", "The published keys have neither kid nor alg.", func(f *Faults) { f.BareKeys = true }},
	}
}

// put sets a member of a map that may not be there yet.
func put(m *map[string]any, name string, value any) {
	if *m == nil {
		*m = map[string]any{}
	}
	(*m)[name] = value
}
