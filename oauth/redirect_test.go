package oauth_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// callback is the redirect address of an attempt, its state, and a browser that
// follows nothing.
type callback struct {
	*oauth.Attempt
	uri, state string
}

func (w *world) start(t *testing.T) callback {
	t.Helper()
	a, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	return callback{a, u.Query().Get("redirect_uri"), u.Query().Get("state")}
}

// send makes one request of the listener: method, path with query, host.
func (c callback) send(t *testing.T, method, target, host string) (*http.Response, string) {
	t.Helper()
	return c.request(t, method, target, host, nil)
}

func (c callback) request(t *testing.T, method, target, host string, header http.Header) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse(c.uri)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+u.Host+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	if host != "" {
		req.Host = host
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestRedirectNeutral(t *testing.T) {
	// SM-REDIR-06, SM-REDIR-07, SM-REDIR-10, SM-LCH-08
	w := newWorld(t)
	c := w.start(t)
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(c.uri, "http://"), "/callback"))
	for _, x := range []struct {
		name, method, target, host string
		want                       int
	}{
		{"browsers ask for an icon", "GET", "/favicon.ico", "", 404},
		{"another path", "GET", "/callback/", "", 404},
		{"no state", "GET", "/callback?code=c", "", 400},
		{"an empty state", "GET", "/callback?code=c&state=", "", 400},
		{"a wrong state", "GET", "/callback?code=c&state=" + strings.Repeat("A", 43), "", 400},
		{"a wrong state with an error", "GET", "/callback?error=access_denied&state=x", "", 400},
		{"an error without state", "GET", "/callback?error=access_denied", "", 400},
		{"the state twice", "GET", "/callback?code=c&state=" + c.state + "&state=" + c.state, "", 400},
		{"a query that is none", "GET", "/callback?state=" + c.state + "&code=%zz", "", 400},
		{"the right state by POST", "POST", "/callback?code=c&state=" + c.state, "", 405},
		{"a name that was bound to the loopback", "GET", "/callback?code=c&state=" + c.state, "evil.example:" + port, 403},
		{"localhost, which we did not register", "GET", "/callback?code=c&state=" + c.state, "localhost:" + port, 403},
		{"another port", "GET", "/callback?code=c&state=" + c.state, "127.0.0.1:1", 403},
		{"a query over 64 kB", "GET", "/callback?state=" + c.state + "&code=" + strings.Repeat("c", 65<<10), "", 414},
		{"somewhere to go next", "GET", "/done/?next=https://evil.example/", "", 404},
		{"script", "GET", "/callback?state=<script>alert(1)</script>", "", 400},
	} {
		resp, body := c.send(t, x.method, x.target, x.host)
		if resp.StatusCode != x.want {
			t.Errorf("%s: %d, want %d", x.name, resp.StatusCode, x.want)
		}
		if resp.Header.Get("Location") != "" || strings.Contains(body, "script") || strings.Contains(body, "evil") ||
			strings.Contains(body, c.state) {
			t.Errorf("%s: the request shows in the answer", x.name)
		}
		h := resp.Header
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("Cache-Control") != "no-store" ||
			h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", x.name, h)
		}
	}
	// After all that the right answer still counts.
	c.Open(t.Context())
	if _, err := c.Wait(t.Context()); err != nil {
		t.Fatalf("the wait ended early: %v", err)
	}
}

func TestRedirectOnce(t *testing.T) {
	// SM-REDIR-01, SM-REDIR-11
	w := newWorld(t)
	c := w.start(t)
	u, err := url.Parse(c.uri)
	if err != nil {
		t.Fatal(err)
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() || u.Path != "/callback" || u.Port() == "" {
		t.Errorf("redirect_uri %s", c.uri)
	}
	code := w.code(t, c.URL)
	if resp, _ := c.send(t, "GET", "/callback?"+code, ""); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the answer: %d", resp.StatusCode)
	}
	if resp, _ := c.send(t, "GET", "/callback?"+code, ""); resp.StatusCode != http.StatusGone {
		t.Errorf("the same redirect again: %d", resp.StatusCode)
	}
	if _, err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.as.Count("/auth/token") != 1 {
		t.Errorf("%d exchanges", w.as.Count("/auth/token"))
	}
	var d net.Dialer
	if conn, err := d.DialContext(t.Context(), "tcp", u.Host); err == nil {
		conn.Close()
		t.Error("the listener is still there")
	}
}

// code goes to the sign-in page and returns the query that it redirects with.
func (w *world) code(t *testing.T, address string) string {
	t.Helper()
	client := *w.ts.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	return u.RawQuery
}

func TestPKCEIsNotGivenUp(t *testing.T) {
	// SM-AUTH-05: a server that does not want it gets no second request without.
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{Error: "invalid_request", Configuration: map[string]any{"code_challenge_methods_supported": []string{"plain"}}})
	if _, err := w.l.SignIn(t.Context()); err == nil {
		t.Error("signed in")
	}
	for _, r := range w.as.Requests() {
		if r.Path == "/auth/authorize" && r.Form.Get("code_challenge_method") != "S256" {
			t.Errorf("sent %v", members(r.Form))
		}
	}
	if n, exchanged := w.as.Count("/auth/authorize"), w.as.Count("/auth/token"); n != 1 || exchanged != 0 {
		t.Errorf("%d requests, %d exchanges", n, exchanged)
	}
}

func TestNewerAttemptSupersedes(t *testing.T) {
	// SM-AUTH-12
	w := newWorld(t)
	first := w.start(t)
	ended := make(chan error, 1)
	go func() { _, err := first.Wait(t.Context()); ended <- err }()
	code := w.code(t, first.URL)
	second := w.start(t)
	if err := <-ended; err == nil || !strings.Contains(oauth.Sentence(err), "Another sign-in") {
		t.Errorf("the first ended with %v", err)
	}
	resp, body := second.send(t, "GET", "/callback?"+code, "")
	if resp.StatusCode != http.StatusGone || !strings.Contains(body, "older sign-in") {
		t.Errorf("the late redirect of the first: %d", resp.StatusCode)
	}
	second.Open(t.Context())
	if _, err := second.Wait(t.Context()); err != nil {
		t.Errorf("the second: %v", err)
	}
	if n := len(w.tokenForms()); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func TestTwoSitesAtOnce(t *testing.T) {
	// SM-REDIR-05: a code of one site at the port of the other is nothing.
	w, other := newWorld(t), newWorld(t)
	a, b := w.start(t), other.start(t)
	defer a.Close()
	if a.uri == b.uri {
		t.Fatal("two sites share a port")
	}
	if resp, _ := b.send(t, "GET", "/callback?"+w.code(t, a.URL), ""); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %d", resp.StatusCode)
	}
	b.Open(t.Context())
	if _, err := b.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRedirectPorts(t *testing.T) {
	// SM-REDIR-02: both loopback modes.
	w := newWorld(t)
	var lc net.ListenConfig
	busy, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	free, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, busyPort, _ := net.SplitHostPort(busy.Addr().String())
	_, freePort, _ := net.SplitHostPort(free.Addr().String())
	free.Close()

	w.l.Site.Redirect = "loopback:" + busyPort
	if _, err := w.l.Start(t.Context()); err == nil || !strings.Contains(oauth.Sentence(err), busyPort) {
		t.Errorf("all ports taken: %q", oauth.Sentence(err))
	}
	w.l.Site.Redirect = "loopback:" + busyPort + ", " + freePort
	c := w.start(t)
	if c.uri != "http://127.0.0.1:"+freePort+"/callback" {
		t.Errorf("redirect_uri %s", c.uri)
	}
	c.Open(t.Context())
	if _, err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if got := w.tokenForms()[0].Get("redirect_uri"); got != c.uri {
		t.Errorf("the exchange named %s", got)
	}
	for _, word := range []string{"io.github.castray://elsewhere", "loopback:", "loopback:0", "loopback:70000", "loopback:a", "urn:x"} {
		w.l.Site.Redirect = word
		if _, err := w.l.Start(t.Context()); err == nil || !strings.Contains(oauth.Sentence(err), "redirect") {
			t.Errorf("redirect = %q: %v", word, err)
		}
	}
}

func TestRedirectAnswers(t *testing.T) {
	// SM-ERR-01, SM-REDIR-06, SM-MIX-01, SM-MIX-02
	for _, c := range []struct {
		name     string
		faults   oauthtest.Faults
		declined bool
		sentence string
	}{
		{"declined", oauthtest.Faults{Error: "access_denied"}, true, "declined"},
		{"not signed in there", oauthtest.Faults{Error: "login_required"}, false, "start the sign-in again"},
		{"must be asked", oauthtest.Faults{Error: "interaction_required"}, false, "start the sign-in again"},
		{"must consent", oauthtest.Faults{Error: "consent_required"}, false, "start the sign-in again"},
		{"a scope is refused", oauthtest.Faults{Error: "invalid_scope"}, false, "fhircast/Patient-open.read"},
		{"not allowed so", oauthtest.Faults{Error: "unauthorized_client"}, false, "unauthorized_client"},
		{"our mistake", oauthtest.Faults{Error: "invalid_request"}, false, "invalid_request"},
		{"no codes there", oauthtest.Faults{Error: "unsupported_response_type"}, false, "unsupported_response_type"},
		{"server trouble", oauthtest.Faults{Error: "server_error"}, false, "in a few minutes"},
		{"server busy", oauthtest.Faults{Error: "temporarily_unavailable"}, false, "in a few minutes"},
		{"somebody's own text", oauthtest.Faults{Error: "<b>hello</b>"}, false, "unknown error code"},
		{"two codes", oauthtest.Faults{TwoCodes: true}, false, "came twice"},
		{"neither code nor error", oauthtest.Faults{NoCode: true}, false, "neither code nor error"},
		{"another issuer", oauthtest.Faults{WrongIssuer: true}, false, "another issuer"},
		{"no issuer though promised", oauthtest.Faults{NoIssuer: true}, false, "names no issuer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.as.Misbehave(c.faults)
			_, err := w.l.SignIn(t.Context())
			if err == nil {
				t.Fatal("signed in")
			}
			if errors.Is(err, oauth.ErrDeclined) != c.declined {
				t.Errorf("error %v", err)
			}
			if got := oauth.Sentence(err); !strings.Contains(got, c.sentence) || strings.Contains(got, "<b>") {
				t.Errorf("sentence %q", got)
			}
			if n := w.as.Count("/auth/token"); n != 0 {
				t.Errorf("%d exchanges", n)
			}
		})
	}
}

func TestIssuerOfTheAnswer(t *testing.T) {
	// SM-MIX-01, SM-MIX-03: to the letter, and the FHIR base is no issuer though a launch calls it iss too.
	for iss, ok := range map[string]bool{"$/auth": true, "$/auth/": false, "$/AUTH": false, "$/fhir": false, "$": false, "": true} {
		w := newWorld(t)
		w.as.Misbehave(oauthtest.Faults{Issuer: iss}) // "" is no fault: the true one
		_, err := w.l.SignIn(t.Context())
		if (err == nil) != ok || err != nil && !strings.Contains(oauth.Sentence(err), "another issuer") {
			t.Errorf("%s: %v", iss, err)
		}
		if n := w.as.Count("/auth/token"); (n == 1) != ok {
			t.Errorf("%s: the code was sent %d times", iss, n)
		}
	}
}

func TestNoIssuerNoCheck(t *testing.T) {
	// SM-MIX-04
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{WrongIssuer: true, Configuration: map[string]any{
		"issuer": nil, "jwks_uri": nil, "authorization_response_iss_parameter_supported": nil}})
	s := w.signIn(t)
	if s.Grant().User != (oauth.User{}) {
		t.Error("an id_token of nobody was believed")
	}
}

func TestBrowserNeverReturns(t *testing.T) {
	// SM-ERR-02, SM-AUTH-11
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{BrowserStays: true})
	w.l.Wait = 50 * time.Millisecond
	_, err := w.l.SignIn(t.Context())
	if got := oauth.Sentence(err); !strings.Contains(got, "client_id") || !strings.Contains(got, "redirect") {
		t.Errorf("%v: %q", err, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.l.Wait = 0
	w.l.OpenURL = nil
	a, err := w.l.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Until(a.Until); d < 4*time.Minute || d > 5*time.Minute {
		t.Errorf("waits %v", d)
	}
	cancel()
	if _, err := a.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	a.Close()
}

func TestBrowserOpener(t *testing.T) {
	// SM-AUTH-10, SM-AUTH-11: one URL, ours; an opener that fails or hangs does not matter.
	w := newWorld(t)
	release := make(chan struct{})
	opened := make(chan string, 2)
	w.l.OpenURL = func(_ context.Context, address string) error {
		opened <- address
		<-release // a browser in the foreground
		return errors.New("xdg-open: cannot open " + address)
	}
	a, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Open(t.Context())
	if got := <-opened; got != a.URL || !strings.HasPrefix(got, w.ts.URL+"/auth/authorize?") {
		t.Error("the opener got another address")
	}
	go func() { _ = w.browse(t.Context(), a.URL) }() // the link was copied
	if _, err := a.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	w.logs.await("browser could not be opened")
	if strings.Contains(w.logs.String(), "state") {
		t.Error("the log names the state")
	}
}
