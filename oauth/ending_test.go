package oauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// visit gets a page of the listener as a browser of that language would.
func (c callback) visit(t *testing.T, path, language string) (*http.Response, string) {
	t.Helper()
	return c.request(t, http.MethodGet, path, "", http.Header{"Accept-Language": {language}})
}

// bring is a browser that comes with the server's answer, and where it is sent.
func (c callback) bring(t *testing.T, query string) (path string) {
	t.Helper()
	resp, _ := c.send(t, "GET", "/callback?"+query, "")
	path = resp.Header.Get("Location")
	// What stays in the address bar and the history is an address of ours without code or state.
	if resp.StatusCode != http.StatusSeeOther || !regexp.MustCompile(`^/done/[A-Za-z0-9_-]{43}$`).MatchString(path) || strings.Contains(path, c.state) {
		t.Fatalf("%d to %q", resp.StatusCode, path)
	}
	return path
}

type waited struct {
	session *oauth.Session
	err     error
}

func (c callback) waits(t *testing.T) <-chan waited {
	done := make(chan waited, 1)
	go func() {
		s, err := c.Wait(t.Context())
		done <- waited{s, err}
	}()
	return done
}

func TestEndingSaysWhoIsSignedIn(t *testing.T) {
	// SM-REDIR-09: the code has left the address bar, and the page says who is signed in and nothing of a patient.
	for language, want := range map[string][]string{
		"en-GB,en;q=0.9,de;q=0.8": {`lang="en"`, "<title>You are signed in – Castray</title>", "signed in as <strong>R. &lt;Reader&gt;</strong>", "General Hospital", "may close this tab", "Sign out"},
		"fr,de-CH;q=0.9,en;q=0.8": {`lang="de"`, "<title>Sie sind angemeldet – Castray</title>", "angemeldet als <strong>R. &lt;Reader&gt;</strong>", "General Hospital", "schließen"},
		"":                        {`lang="en"`},
	} {
		w := newWorld(t)
		w.as.Users[0].Name = "R. <Reader>"
		w.as.Extra = map[string]any{"patient": "patient-canary"}
		w.store.failing(oauth.ErrLocked)
		c := w.start(t)
		done := c.waits(t)
		resp, body := c.visit(t, c.bring(t, w.code(t, c.URL)), language)
		for _, words := range append(want, "The keychain is locked") {
			if !strings.Contains(body, words) {
				t.Errorf("%q: the page lacks %q:\n%s", language, words, body)
			}
		}
		if strings.Contains(body, "patient-canary") || resp.Header.Get("Refresh") != "" {
			t.Errorf("%q: a patient on the page, or it is loaded again", language)
		}
		pageIsSafe(t, resp, body)
		if got := <-done; got.err != nil {
			t.Error(got.err)
		}
	}
}

// pageIsSafe checks what every page of ours holds to: nothing is loaded or run, and its style is the one that is allowed.
func pageIsSafe(t *testing.T, resp *http.Response, body string) {
	t.Helper()
	style := regexp.MustCompile(`<style>(.*)</style>`).FindStringSubmatch(body)
	if len(style) != 2 {
		t.Fatalf("no style: %s", body)
	}
	sum := sha256.Sum256([]byte(style[1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	h := resp.Header
	if h.Get("Content-Security-Policy") != want || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("headers %v", h)
	}
	for _, never := range []string{"<script", "src=", "style=", "onload", "http-equiv"} {
		if strings.Contains(body, never) {
			t.Errorf("the page holds %s", never)
		}
	}
	if strings.Count(body, "<h1>") != 1 || strings.Count(body, "<main") != 1 || !strings.Contains(body, `aria-hidden="true"`) {
		t.Errorf("a screen reader finds no heading: %s", body)
	}
}

// What others have us say in the browser is on a page with the same guards, and is text however it looks.
func TestPageOfOthersIsAsSafe(t *testing.T) {
	answer := httptest.NewRecorder()
	oauth.Page{Sign: "bad", Title: "Not <launched>", Text: `{user} <script src="x">`}.Write(answer, http.StatusForbidden)
	body := answer.Body.String()
	pageIsSafe(t, answer.Result(), strings.Replace(body, `src=&#34;`, "", 1))
	if answer.Code != http.StatusForbidden || !strings.Contains(body, "<title>Not &lt;launched&gt; – Castray</title>") ||
		!strings.Contains(body, "<p>{user} &lt;script") {
		t.Errorf("%d %s", answer.Code, body)
	}
}

func TestEndingClaimsNothingTooEarly(t *testing.T) {
	// The code has arrived, and the server takes its time to refuse it.
	w := newWorld(t)
	c := w.start(t)
	query := w.code(t, c.URL)
	w.as.Misbehave(oauthtest.Faults{Slow: 200 * time.Millisecond, TokenError: "invalid_grant"})
	done := c.waits(t)
	path := c.bring(t, query)
	if _, body := c.visit(t, path, "en"); !strings.Contains(body, "Not signed in") || !strings.Contains(body, "took too long or was used twice") {
		t.Errorf("the page says %s", body)
	}
	if got := <-done; got.err == nil {
		t.Error("signed in")
	}
}

func TestEndingSaysWhatWentWrong(t *testing.T) {
	for _, x := range []struct {
		name     string
		faults   oauthtest.Faults
		language string
		want     string
	}{
		{"declined", oauthtest.Faults{Error: "access_denied"}, "en", "You or your organisation declined"},
		{"declined, in German", oauthtest.Faults{Error: "access_denied"}, "de", `Nicht angemeldet</h1><p>Castray meldet: <span lang="en">You or your organisation declined`},
		{"another issuer", oauthtest.Faults{WrongIssuer: true}, "en", "cannot be trusted"},
		{"no such client", oauthtest.Faults{TokenError: "invalid_client"}, "en", "administrator"},
		{"an id_token of another", oauthtest.Faults{BadSign: true}, "en", "proof of who you are"},
	} {
		w := newWorld(t)
		w.as.Misbehave(x.faults)
		c := w.start(t)
		done := c.waits(t)
		resp, body := c.visit(t, c.bring(t, w.code(t, c.URL)), x.language)
		if !strings.Contains(body, x.want) || strings.Contains(body, "signed in as") {
			t.Errorf("%s: %s", x.name, body)
		}
		pageIsSafe(t, resp, body)
		if got := <-done; got.err == nil {
			t.Errorf("%s: signed in", x.name)
		}
	}
}

func TestEndingOfAnOlderAttempt(t *testing.T) {
	// Its browser has brought the answer, and another sign-in took its place before anybody asked for it.
	w := newWorld(t)
	first := w.start(t)
	path := first.bring(t, w.code(t, first.URL))
	second := w.start(t)
	defer second.Close()
	first.Close()
	if resp, body := second.visit(t, path, "en"); resp.Header.Get("Refresh") != "" || !strings.Contains(body, "An older sign-in") {
		t.Errorf("the page says %s", body)
	}
}

func TestServersOwnWords(t *testing.T) {
	// SM-ERR-04: they are shown on the page of the browser that brought them, cleaned, and nowhere else.
	w := newWorld(t)
	for _, x := range []struct {
		name, description, uri string
		said, help             string // "" = the page has nothing of the kind
	}{
		{"plain words", "Your account is closed.", "", "<q>Your account is closed.</q>", ""},
		{"markup", `<script>alert(1)</script>"`, "", "<q>&lt;script&gt;alert(1)&lt;/script&gt;&#34;</q>", ""},
		{"control characters and text that runs backwards", "a\x00b\r\n\u202ec\u2066d\ufeff e", "", "<q>ab  cd e</q>", ""},
		{"10 kB", strings.Repeat("ä", 5000), "", "<q>" + strings.Repeat("ä", 200) + "…</q>", ""},
		{"a place for another fact", "{user} {reason}", "", "<q>{user} {reason}</q>", ""},
		{"nothing that can be seen", "\x01\u202e", "", "", ""},
		{"our state", "you sent state=$STATE", "", "", ""},
		{"our state, hidden in it", "you sent state=$HIDDEN", "", "", ""},
		{"its own page", "", "$/help?code=7&x=\"", "", `<a href="$/help?code=7&amp;x=&#34;" rel="noreferrer">`},
		{"a page elsewhere", "", "https://evil.example/help", "", ""},
		{"its own name before another's", "", "https://$HOST@evil.example/", "", ""},
		{"its own page, with a name before it", "", "https://eve@$HOST/", "", ""},
		{"a page by http", "", "http://$HOST/help", "", ""},
		{"a script", "", "javascript:alert(1)", "", ""},
		{"our state in its address", "", "$/help?$STATE", "", ""},
	} {
		c := w.start(t)
		place := strings.NewReplacer("$STATE", c.state, "$HIDDEN", c.state[:9]+"\u200b"+c.state[9:], "$HOST", strings.TrimPrefix(w.ts.URL, "https://"), "$", w.ts.URL)
		done := c.waits(t)
		path := c.bring(t, url.Values{"state": {c.state}, "iss": {w.ts.URL + "/auth"}, "error": {"access_denied"},
			"error_description": {place.Replace(x.description)}, "error_uri": {place.Replace(x.uri)}}.Encode())
		resp, body := c.visit(t, path, "en")
		pageIsSafe(t, resp, body)
		if strings.Contains(body, "<q>") != (x.said != "") || !strings.Contains(body, x.said) ||
			strings.Contains(body, "<a ") != (x.help != "") || !strings.Contains(body, place.Replace(x.help)) || strings.Contains(body, c.state) {
			t.Errorf("%s: %s", x.name, body)
		}
		err := (<-done).err
		if all := err.Error() + oauth.Sentence(err) + w.logs.String(); strings.Contains(all, "account") || strings.Contains(all, "alert") || strings.Contains(all, "help") {
			t.Errorf("%s: outside the page: %s", x.name, all)
		}
	}
}

func TestS14_LastPageSaysTest(t *testing.T) {
	for _, test := range []bool{true, false} {
		w := newWorld(t)
		w.l.Site.LoopbackHTTP = test
		c := w.start(t)
		done := c.waits(t)
		if _, body := c.visit(t, c.bring(t, w.code(t, c.URL)), "en"); strings.Contains(body, "TEST") != test {
			t.Errorf("test %v: %s", test, body)
		}
		<-done
	}
}

func TestEndingIsForItsBrowserAlone(t *testing.T) {
	// The address of the last page is in no request but that browser's; nobody else learns who is signed in.
	w := newWorld(t)
	c := w.start(t)
	done := c.waits(t)
	path := c.bring(t, w.code(t, c.URL))
	for _, guess := range []string{"/done", "/done/", path[:len(path)-1], path + "/", "/done/" + c.state} {
		if resp, body := c.visit(t, guess, "en"); resp.StatusCode != http.StatusNotFound || strings.Contains(body, "Reader") {
			t.Errorf("%s: %d", guess, resp.StatusCode)
		}
	}
	if resp, body := c.request(t, http.MethodGet, path, "evil.example", nil); resp.StatusCode != http.StatusForbidden || strings.Contains(body, "Reader") {
		t.Errorf("another host: %d", resp.StatusCode)
	}
	if _, body := c.visit(t, path, "en"); !strings.Contains(body, "R. Reader") {
		t.Errorf("the browser itself: %s", body)
	}
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
}
