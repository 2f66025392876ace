package oauth_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
)

// authorized is the last authorize request.
func (w *world) authorized() url.Values {
	for _, r := range slices.Backward(w.as.Requests()) {
		if r.Path == "/auth/authorize" {
			return r.Form
		}
	}
	return nil
}

// SM-LCH-01, SM-AUTH-02, SM-AUTH-03: what the EHR gave goes back byte for byte, and so does its spelling of the FHIR base;
// the scope of an EHR launch is asked for beside the others, once.
func TestAnEHRLaunchGoesBackAsItCame(t *testing.T) {
	for _, handle := range []string{"xyz", "a+b/c=", "a%20b", " a b ", `"<>&;#?`, "Ünïcode", strings.Repeat("x", 4<<10)} {
		w := newWorld(t)
		iss := w.ts.URL + "/fhir/" // the site is configured without the slash
		a, err := w.l.StartEHR(t.Context(), oauth.EHRLaunch{FHIRURL: iss, Launch: oauth.NewSecret(handle)})
		if err != nil {
			t.Fatal(err)
		}
		a.Open(t.Context())
		s, err := a.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(s.Grant().Requested, "launch") {
			t.Errorf("requested %q", s.Grant().Requested)
		}
		got := w.authorized()
		if got.Get("launch") != handle || len(got["launch"]) != 1 {
			t.Errorf("%.20q came back as %.20q", handle, got.Get("launch"))
		}
		if got.Get("aud") != iss || got.Get("scope") != "openid fhirUser offline_access fhircast/Patient-open.read launch" {
			t.Errorf("aud %q, scope %q", got.Get("aud"), got.Get("scope"))
		}
		if strings.Contains(w.logs.String(), handle) {
			t.Errorf("the log tells %.20q", handle)
		}
	}
}

// SM-LCH-01, SM-LCH-02: a launch signs in, and the next standalone sign-in of the same site sends nothing of it.
func TestAnEHRLaunchIsForOneSignIn(t *testing.T) {
	w := newWorld(t)
	w.as.Launch = func(handle string) (string, bool) { return "u2", handle == "for-the-second" }
	a, err := w.l.StartEHR(t.Context(), oauth.EHRLaunch{FHIRURL: w.ts.URL + "/fhir", Launch: oauth.NewSecret("for-the-second")})
	if err != nil {
		t.Fatal(err)
	}
	a.Open(t.Context())
	s, err := a.Wait(t.Context())
	if err != nil || s.Grant().User.Subject != "u2" {
		t.Fatalf("%v", err)
	}
	w.signIn(t)
	if got := w.authorized(); got.Has("launch") || slices.Contains(strings.Fields(got.Get("scope")), "launch") {
		t.Errorf("a standalone launch asked for %q", got.Get("scope"))
	}
	// One that the server never gave is refused there.
	a, err = w.l.StartEHR(t.Context(), oauth.EHRLaunch{FHIRURL: w.ts.URL + "/fhir", Launch: oauth.NewSecret("guessed")})
	if err != nil {
		t.Fatal(err)
	}
	a.Open(t.Context())
	if _, err := a.Wait(t.Context()); err == nil || w.as.Count("/auth/token") != 2 {
		t.Errorf("%v, %d exchanges", err, w.as.Count("/auth/token"))
	}
}

// SM-LCH-03: what is not the configured site is refused before anything is sent; only what cannot mean another server may
// differ.
func TestWhichLaunchIsOfThisSite(t *testing.T) {
	site := oauth.Site{FHIRURL: "https://ehr.example.org/r4/fhir", ClientID: "castray"}
	for iss, want := range map[string]bool{
		"https://ehr.example.org/r4/fhir":         true,
		"https://ehr.example.org/r4/fhir/":        true,
		"HTTPS://EHR.example.org:443/r4/fhir":     true,
		"https://ehr.example.org/r4/fhir//":       false,
		"https://ehr.example.org/r4/FHIR":         false,
		"https://ehr.example.org/r4":              false,
		"https://ehr.example.org/r4/x/../fhir":    false,
		"https://ehr.example.org:8443/r4/fhir":    false,
		"http://ehr.example.org/r4/fhir":          false,
		"https://evil.example/r4/fhir":            false,
		"https://ehr.example.org@evil/r4/fhir":    false,
		"https://user@ehr.example.org/r4/fhir":    false,
		"https://ehr.example.org.evil/r4/fhir":    false,
		"https://ehr.example.org./r4/fhir":        false,
		"https://ehr.example.org\\@evil/r4/fhir":  false,
		"https://ehr.exаmple.org/r4/fhir":         false, // a Cyrillic letter
		"https://xn--ehr-example.org/r4/fhir":     false,
		"https://ehr.example.org/r4/fhir?x=1":     false,
		"https://ehr.example.org/r4/fhir#x":       false,
		"//ehr.example.org/r4/fhir":               false,
		"javascript:alert(1)":                     false,
		"file:///r4/fhir":                         false,
		"ms-settings://ehr.example.org/r4/fhir":   false,
		" https://ehr.example.org/r4/fhir":        false,
		"https://ehr.example.org/r4/fhir\r\nX: y": false,
		"https://ehr.example.org/r4/%66hir":       false,
		"":                                        false,
	} {
		if got := site.Launched(iss); got != want {
			t.Errorf("%q: %v", iss, got)
		}
	}
	w := newWorld(t)
	for _, e := range []oauth.EHRLaunch{
		{FHIRURL: "https://evil.example/fhir", Launch: oauth.NewSecret("canary-launch")},
		{FHIRURL: w.ts.URL + "/fhir"},
	} {
		_, err := w.l.StartEHR(t.Context(), e)
		if err == nil || !strings.Contains(oauth.Sentence(err), "start it again from the EHR") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
	if n := len(w.as.Requests()); n != 0 {
		t.Errorf("%d requests left", n)
	}
}

// SM-REDIR-02, SM-REDIR-03, SM-REDIR-04: the third mode, a scheme of ours with an authority. Nothing listens; the same
// address is named at both endpoints; what nobody waits for changes nothing.
func TestRedirectByScheme(t *testing.T) {
	if u, err := url.Parse(oauth.SchemeRedirect); err != nil || u.Host == "" || strings.Count(u.Scheme, ".") < 2 {
		t.Errorf("%s is no reverse-domain scheme with an authority", oauth.SchemeRedirect)
	}
	w := newWorld(t)
	w.as.Redirects = []string{oauth.SchemeRedirect}
	w.l.Site.Redirect = oauth.SchemeRedirect
	if w.l.Redirected(oauth.SchemeRedirect + "?state=x&code=y") {
		t.Error("nobody waited")
	}
	older := w.start(t)
	superseded := w.code(t, older.URL)
	c := w.start(t)
	if c.uri != oauth.SchemeRedirect {
		t.Fatalf("redirect_uri %s", c.uri)
	}
	query := w.code(t, c.URL)
	for _, address := range []string{
		oauth.SchemeRedirect, oauth.SchemeRedirect + "?code=c", oauth.SchemeRedirect + "?code=c&state=wrong", oauth.SchemeRedirect + "?error=access_denied",
		oauth.SchemeRedirect + "?" + superseded,
		oauth.SchemeRedirect + "?" + query + "&state=again", oauth.SchemeRedirect + "/elsewhere?" + query, oauth.SchemeRedirect + ":80?" + query,
		"io.github.castray://user@callback?" + query, "io.github.castray:callback?" + query, "io.github.castray://evil?" + query,
		"castray://callback?" + query, "http://127.0.0.1:1/callback?" + query, "%", oauth.SchemeRedirect + "?" + query + "&x=" + strings.Repeat("x", 64<<10),
	} {
		if w.l.Redirected(address) {
			t.Errorf("taken: %.60s", address)
		}
	}
	if !w.l.Redirected(oauth.SchemeRedirect + "/?" + query) {
		t.Fatal("not taken")
	}
	if w.l.Redirected(oauth.SchemeRedirect + "?" + query) {
		t.Error("taken twice")
	}
	if _, err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if form := w.tokenForms(); len(form) != 1 || form[0].Get("redirect_uri") != oauth.SchemeRedirect {
		t.Errorf("%d exchanges", len(form))
	}
	// The answer to a site with a listener does not come by the scheme.
	w.l.Site.Redirect = ""
	c = w.start(t)
	defer c.Close()
	if w.l.Redirected(oauth.SchemeRedirect + "?" + w.code(t, c.URL)) {
		t.Error("taken from another redirect address")
	}
}

// SM-REDIR-08: an error without state is shown where a sign-in waits, and ends neither that one nor another.
func TestAnErrorWithoutStateEndsNothing(t *testing.T) {
	w := newWorld(t)
	c := w.start(t)
	resp, body := c.send(t, "GET", "/callback?error=invalid_request&error_description=canary", "")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "reports a problem") || strings.Contains(body, "canary") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	c.Open(t.Context())
	if _, err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Once an attempt has its answer, none waits at this port.
	c = w.start(t)
	defer c.Close()
	c.send(t, "GET", "/callback?"+w.code(t, c.URL), "")
	if _, body := c.send(t, "GET", "/callback?error=invalid_request", ""); strings.Contains(body, "reports a problem") {
		t.Error("reported without anybody waiting")
	}
}

// SM-FC-04, FC-LCH-02: a hub that was named from outside is reached only where the configuration already sends the token.
func TestWhichHubFromOutsideIsReached(t *testing.T) {
	site := oauth.Site{FHIRURL: "https://ehr.example.org/fhir", HubURL: "https://hub.example.org:8443/v2", ClientID: "castray"}
	for hub, want := range map[string]bool{
		"https://ehr.example.org/hub":            true,
		"https://EHR.example.org:443/other/hub":  true,
		"https://hub.example.org:8443/session/1": true,
		"https://hub.example.org/v2":             false,
		"http://ehr.example.org/hub":             false,
		"https://evil.example/hub":               false,
		"https://ehr.example.org@evil/hub":       false,
		"https://evil@ehr.example.org/hub":       false,
		"https://ehr.example.org.evil/hub":       false,
		"https://ehr.example.org\\@evil/hub":     false,
		"https://ehr.example.org/hub#x":          false,
		"wss://ehr.example.org/hub":              false,
		"":                                       false,
	} {
		if got := site.Reaches(hub); got != want {
			t.Errorf("%q: %v", hub, got)
		}
	}
	if (oauth.Site{FHIRURL: "https://ehr.example.org"}).Reaches("https://") {
		t.Error("a hub without a host")
	}
}
