package oauth_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestParametersOfTheSite(t *testing.T) {
	// SM-AUTH-09
	w := newWorld(t)
	w.l.Site.Authorize = []string{"prompt=consent", "acr_values=a=b&c d"}
	a, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	u, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("prompt") != "consent" || q.Get("acr_values") != "a=b&c d" || len(q) != 11 {
		t.Errorf("%v", q)
	}

	again, err := w.l.StartAnew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if u, err := url.Parse(again.URL); err != nil || u.Query().Get("prompt") != "consent login" {
		t.Errorf("for another person: %v, %v", u.Query()["prompt"], err)
	}

	for entry, ok := range map[string]bool{
		"prompt=consent": true, "login_hint=": true, "a.b-c_d=x": true,
		"state=x": false, "STATE=x": false, "nonce=x": false, "code_challenge=x": false, "code_challenge_method=plain": false,
		"redirect_uri=https://evil.example": false, "response_type=token": false, "response_mode=fragment": false, "client_id=x": false,
		"client_secret=x": false, "scope=x": false, "aud=x": false, "launch=x": false, "request=x": false, "request_uri=x": false, "max_age=0": false,
		"prompt": false, "=x": false, "": false, "a&state=x": false, "a b=x": false, "state%=x": false, "a=\r\nb": false, "ä=x": false,
	} {
		if err := oauth.CheckParameter(entry); (err == nil) != ok {
			t.Errorf("%q: %v", entry, err)
		}
		w.l = w.launcher()
		w.l.Site.Authorize = []string{entry}
		if err := w.l.Site.Check(); (err == nil) != ok {
			t.Errorf("a site with %q: %v", entry, err)
		}
	}
}

// tooLong is a site whose request does not fit an address.
func tooLong(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for range 300 {
		w.l.Site.Scopes = append(w.l.Site.Scopes, "fhircast/ImagingStudy-open.read")
	}
	return w
}

var (
	action = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

func TestLongRequestIsPosted(t *testing.T) {
	// SM-AUTH-07, SM-AUTH-01: what does not fit an address goes by POST, with
	// every value as it is.
	w := tooLong(t)
	const nasty = `"><script>alert('&amp;')</script>`
	w.l.Site.Authorize = []string{"login_hint=" + nasty, `submit=x`}
	w.l.OpenURL = nil
	a, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(a.URL, "http://127.0.0.1:") || len(a.URL) > 100 {
		t.Fatalf("the address has %d bytes", len(a.URL))
	}
	page, err := fetch(t.Context(), http.DefaultClient, a.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page, nasty) || strings.Count(page, "<script>") != 1 {
		t.Error("a value is markup")
	}
	to := action.FindStringSubmatch(page)
	if to == nil || html.UnescapeString(to[1]) != w.ts.URL+"/auth/authorize" {
		t.Fatalf("the form goes to %v", to)
	}
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	if form.Get("login_hint") != nasty || form.Get("scope") != strings.Join(w.l.Site.Scopes, " ") || form.Get("code_challenge_method") != "S256" || len(form) != 11 {
		t.Errorf("the form has %v", members(form))
	}
	w.posts(t, a, form)
	if n := w.as.Count("/auth/authorize"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// posts is a browser that submits the form, while the sign-in waits for it.
func (w *world) posts(t *testing.T, a *oauth.Attempt, form url.Values) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := fetch(t.Context(), w.ts.Client(), w.ts.URL+"/auth/authorize", form)
		done <- err
	}()
	if _, err := a.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPostPageIsGuarded(t *testing.T) {
	// SM-AUTH-07, SM-AUTH-12, SM-REDIR-06: it is for who knows its path, as long
	// as its sign-in waits, and runs no script but its own.
	w := tooLong(t)
	first, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	at, err := url.Parse(second.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, path, host string
		status                   int
	}{
		{"the page", "GET", at.Path, at.Host, 200},
		{"a second time, by a browser that was restarted", "GET", at.Path, at.Host, 200},
		{"another path", "GET", "/authorize/x", at.Host, 404},
		{"no path", "GET", "/authorize/", at.Host, 404},
		{"the path of a sign-in that was replaced", "GET", strings.TrimPrefix(first.URL, "http://"+at.Host), at.Host, 404},
		{"a name that points at us", "GET", at.Path, "evil.example", 403},
		{"another method", "POST", at.Path, at.Host, 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+at.Host+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d", c.name, resp.StatusCode)
		}
		if c.status != 200 {
			continue
		}
		h := resp.Header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "script-src 'sha256-") ||
			strings.Contains(csp, "unsafe") || strings.Contains(csp, "form-action") || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", c.name, h)
		}
	}
}

// SM-AUTH-07: where nothing of ours listens there is no page to post from, and who can do something about it is told.
func TestLongRequestWithoutAListener(t *testing.T) {
	w := tooLong(t)
	w.l.Site.Redirect = oauth.SchemeRedirect
	_, err := w.l.Start(t.Context())
	if err == nil || !strings.Contains(oauth.Sentence(err), `redirect = "loopback"`) {
		t.Errorf("%v: %s", err, oauth.Sentence(err))
	}
}

// SM-LCH-01, SM-AUTH-07, SM-CLI-02: a launch that spells the FHIR base in its own way is proved by what the site has, and a
// long one is posted as it came.
func TestALongLaunchOfAConfidentialClient(t *testing.T) {
	w := withSecret(t, odd, oauthtest.Client{})
	w.l.OpenURL = nil
	launch := strings.Repeat("a+/=%20", 2000)
	a, err := w.l.StartEHR(t.Context(), oauth.EHRLaunch{FHIRURL: w.ts.URL + "/fhir/", Launch: oauth.NewSecret(launch)})
	if err != nil {
		t.Fatal(err)
	}
	page, err := fetch(t.Context(), http.DefaultClient, a.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	if form.Get("launch") != launch || form.Get("aud") != w.ts.URL+"/fhir/" {
		t.Errorf("the form has %v", members(form))
	}
	w.posts(t, a, form)
}
