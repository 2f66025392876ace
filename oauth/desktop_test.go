//go:build desktop && linux

package oauth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/castray/castray/oauth"
)

// TestDesktopProvider signs in at oidc-provider, an OpenID provider that nobody here wrote, with Chromium for the browser.
// It fails without node, the packages of testdata/oidc-provider (npm ci) and Chromium; make desktop-test sees to them.
func TestDesktopProvider(t *testing.T) {
	p := startProvider(t)
	person := newPerson(t)
	w := &world{ts: p.front, store: &store{items: map[string][]byte{}}, logs: &lockedBuffer{more: make(chan struct{}, 1)}}
	w.l = w.launcher()
	w.l.Site.Scopes = []string{"openid", "fhirUser", "offline_access", "fhircast/Patient-open.read"}
	w.l.OpenURL = nil

	t.Run("declined", func(t *testing.T) {
		person := person.in(t)
		c := w.start(t)
		done := c.waits(t)
		person.opens(c.URL)
		person.clicks(`a[href$="/abort"]`)
		if page := person.reads("Not signed in"); !strings.Contains(page, "You or your organisation declined the sign-in.") {
			t.Errorf("the last page says %q", page)
		}
		if got := <-done; oauth.Sentence(got.err) != "You or your organisation declined the sign-in." {
			t.Errorf("%v", got.err)
		}
	})

	var s *oauth.Session
	t.Run("signed in", func(t *testing.T) { s = p.signIn(t, w, person) })
	if s == nil {
		return
	}
	g := s.Grant()
	if want := (oauth.User{Name: "Ada Reader", FHIRUser: "Practitioner/ada", Subject: "ada"}); g.User != want {
		t.Errorf("user %+v", g.User)
	}
	if got := strings.Join(g.Scopes, " "); got != strings.Join(w.l.Site.Scopes, " ") || !s.Renews() {
		t.Errorf("granted %q, renews %v", got, s.Renews())
	}

	t.Run("refreshed and rotated", func(t *testing.T) {
		seen := map[string]bool{}
		for range 3 {
			p.accepts(t, s)
			token := w.refreshToken(t)
			if seen[token] {
				t.Error("the refresh token was not replaced")
			}
			seen[token] = true
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("started again", func(t *testing.T) {
		again := w.launcher()
		again.Site.Scopes = w.l.Site.Scopes
		resumed, err := again.Resume(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.accepts(t, resumed)
		s = resumed
	})

	t.Run("signed out", func(t *testing.T) {
		token := w.refreshToken(t)
		if !p.active(t, token) {
			t.Fatal("the provider does not know the token that is stored")
		}
		if err := s.SignOut(t.Context()); err != nil {
			t.Fatal(err)
		}
		if items, _ := w.store.count(); items != 0 || p.active(t, token) {
			t.Errorf("%d items are left, active: %v", items, p.active(t, token))
		}
	})

	t.Run("a copied refresh token ends the session", func(t *testing.T) {
		s := p.signIn(t, w, person)
		stolen := w.refreshToken(t)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if answer := p.post(t, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {stolen}, "client_id": {"castray"}}); answer["error"] != "invalid_grant" {
			t.Fatalf("a used token again: %v", answer["error"])
		}
		if err := s.Refresh(t.Context()); oauth.Sentence(err) != "Your sign-in has ended: please sign in again." {
			t.Errorf("%v: %q", err, oauth.Sentence(err))
		}
		if items, _ := w.store.count(); items != 0 {
			t.Errorf("%d items are left", items)
		}
	})
}

// refreshToken is what the store has.
func (w *world) refreshToken(t *testing.T) string {
	t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, item := range w.store.items {
		var saved struct {
			Refresh string `json:"refresh_token"`
		}
		if err := json.Unmarshal(item, &saved); err != nil || saved.Refresh == "" {
			t.Fatalf("what is stored has no refresh token: %v", err)
		}
		return saved.Refresh
	}
	t.Fatal("nothing is stored")
	return ""
}

// A provider is oidc-provider behind a front that speaks TLS, describes it as SMART does, and has a page that wants a
// token.
type provider struct{ front *httptest.Server }

func startProvider(t *testing.T) *provider {
	t.Helper()
	mux := http.NewServeMux()
	p := &provider{httptest.NewTLSServer(mux)}
	t.Cleanup(p.front.Close)

	node := exec.Command("node", "server.mjs", p.front.URL)
	node.Dir = "testdata/oidc-provider"
	stdin, err := node.StdinPipe() // it ends with this
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	node.Stderr = &complaints
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := node.Wait(); err != nil || t.Failed() {
			t.Errorf("node: %v\n%s", err, complaints.String())
		}
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal("the provider does not start: is npm ci done in testdata/oidc-provider?")
	}
	to := &url.URL{Scheme: "http", Host: "127.0.0.1:" + strings.TrimSpace(port)}
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // its pages want fonts of the Internet
			return nil
		},
	})
	mux.HandleFunc("/fhir/.well-known/smart-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.front.URL, "jwks_uri": p.front.URL + "/jwks",
			// It grants offline_access only to who was asked (OpenID Connect Core, 11).
			"authorization_endpoint": p.front.URL + "/auth?prompt=consent", "token_endpoint": p.front.URL + "/token",
			"revocation_endpoint": p.front.URL + "/token/revocation", "introspection_endpoint": p.front.URL + "/token/introspection",
			"code_challenge_methods_supported":               []string{"S256"},
			"authorization_response_iss_parameter_supported": true,
			"capabilities": []string{"launch-standalone", "client-public", "sso-openid-connect", "permission-offline"},
		})
	})
	return p
}

// post asks one of its endpoints as our client.
func (p *provider) post(t *testing.T, path string, form url.Values) (answer map[string]any) {
	t.Helper()
	body, err := fetch(t.Context(), p.front.Client(), p.front.URL+path, form)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer
}

// active asks it whether a token is still good.
func (p *provider) active(t *testing.T, token string) bool {
	t.Helper()
	active, said := p.post(t, "/token/introspection", url.Values{"token": {token}, "client_id": {"castray"}})["active"].(bool)
	if !said {
		t.Fatal("it does not say")
	}
	return active
}

// accepts checks that the provider takes the session's access token, at its userinfo endpoint.
func (p *provider) accepts(t *testing.T, s *oauth.Session) {
	t.Helper()
	resp, err := s.Client().Get(p.front.URL + "/me")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"ada"`) {
		t.Errorf("%d: %s", resp.StatusCode, body)
	}
}

func (p *provider) signIn(t *testing.T, w *world, someone person) *oauth.Session {
	t.Helper()
	person := someone.in(t)
	c := w.start(t)
	done := c.waits(t)
	person.opens(c.URL)
	person.signsIn()
	if page := person.reads("You are signed in"); !strings.Contains(page, "Castray is signed in as Ada Reader.") {
		t.Errorf("the last page says %q", page)
	}
	person.sees(`location.search === "" && location.pathname.startsWith("/done/") && document.referrer === ""`) // the code is gone
	person.sees(`document.title === "You are signed in – Castray" && document.documentElement.lang !== ""`)
	person.sees(`getComputedStyle(document.querySelector("main")).borderRadius === "16px"`) // the policy allows our style
	got := <-done
	if got.err != nil {
		t.Fatalf("%v\n%s", got.err, w.logs)
	}
	return got.session
}

// A person is one at headless Chromium, which looks up no name.
type person struct {
	*testing.T
	tab context.Context
}

func newPerson(t *testing.T) person {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	limited, expire := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(expire)
	allocator, stop := chromedp.NewExecAllocator(limited, options...)
	t.Cleanup(stop)
	tab, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil {
			t.Log(err)
		}
	})
	return person{t, tab}
}

// in is the same person in a subtest.
func (p person) in(t *testing.T) person { return person{t, p.tab} }

func (p person) does(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.tab, steps...); err != nil {
		p.Fatal(err)
	}
}

func (p person) opens(address string) { p.Helper(); p.does(chromedp.Navigate(address)) }
func (p person) clicks(what string)   { p.Helper(); p.does(chromedp.Click(chromedp.CSS(what))) }

// signsIn fills in the provider's pages, which ask for a name only of somebody new.
func (p person) signsIn() {
	p.Helper()
	asks, err := chromedp.Run(p.tab, chromedp.Evaluate[bool](`document.querySelector("[name=login]") !== null`))
	if err != nil {
		p.Fatal(err)
	}
	if asks {
		p.does(chromedp.SendKeys(chromedp.CSS("[name=login]"), "ada"), chromedp.SendKeys(chromedp.CSS("[name=password]"), "x\r"))
	}
	p.clicks("[value=consent] ~ button")
}

// sees checks what holds on the page.
func (p person) sees(expression string) {
	p.Helper()
	if holds, err := chromedp.Run(p.tab, chromedp.Evaluate[bool](expression)); err != nil || !holds {
		p.Errorf("%s: %v, %v", expression, holds, err)
	}
}

// reads waits for a page of ours with that heading, and returns its words.
func (p person) reads(heading string) string {
	p.Helper()
	p.does(chromedp.WaitVisible(chromedp.CSS("main.good, main.bad")))
	words, err := chromedp.Run(p.tab, chromedp.Text(chromedp.CSS("main")))
	if err != nil {
		p.Fatal(err)
	}
	if !strings.HasPrefix(words, heading) {
		p.Errorf("the page is %q, not %q", words, heading)
	}
	return words
}
