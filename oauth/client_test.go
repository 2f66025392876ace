package oauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestOnlyGrantedOrigins(t *testing.T) {
	// SM-API-01, SM-API-02, SM-FC-04
	w := newWorld(t)
	asked := 0
	evil := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer evil.Close()
	s := w.signIn(t)
	for _, address := range []string{evil.URL, "https://evil.example/", strings.Replace(w.ts.URL, "https", "http", 1)} {
		if _, err := s.Client().Post(address, "text/plain", strings.NewReader(topic)); err == nil || asked != 0 {
			t.Errorf("%s: %v, asked %d times", address, err, asked)
		}
	}
	// A redirect elsewhere is returned and not followed.
	w.ts.Config.Handler.(*http.ServeMux).Handle("/fhir/away", http.RedirectHandler(evil.URL, http.StatusTemporaryRedirect))
	w.ts.Config.Handler.(*http.ServeMux).Handle("/fhir/near", http.RedirectHandler("/hub/", http.StatusTemporaryRedirect))
	resp, err := s.Client().Post(w.ts.URL+"/fhir/away", "text/plain", strings.NewReader(topic))
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect || asked != 0 {
		t.Fatalf("%v, asked %d times", err, asked)
	}
	resp.Body.Close()
	resp, err = s.Client().Post(w.ts.URL+"/fhir/near", "text/plain", strings.NewReader(topic))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("within the origin: %v", err)
	}
	resp.Body.Close()
}

func TestConfiguredHub(t *testing.T) {
	// SM-FC-04
	w, h := newWorld(t), new(hub)
	h.check = func(token string) bool { _, ok := w.as.Check(token); return ok }
	other := httptest.NewTLSServer(h)
	defer other.Close()
	w.as.Hub = nil
	for _, configured := range []bool{false, true} {
		if configured {
			w.l.Site.HubURL = other.URL + "/hub"
		}
		s := w.signIn(t)
		resp, err := s.Client().Get(other.URL + "/hub")
		if (err == nil) != configured || h.count() > 0 != configured {
			t.Errorf("configured %v: %v", configured, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

func TestUnauthorizedOnce(t *testing.T) {
	// SM-FC-06, SM-API-03
	w := newWorld(t)
	s := w.signIn(t)
	c := s.Client()
	post := func() int {
		t.Helper()
		resp, err := c.Post(w.ts.URL+"/hub/", "text/plain", strings.NewReader("event"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	w.as.Expire() // the server forgot the token before its time
	if got := post(); got != http.StatusOK {
		t.Errorf("after one refresh: %d", got)
	}
	if w.hub.count() != 2 || w.as.Count("/auth/token") != 2 || w.hub.bodies[1] != "event" {
		t.Errorf("%d requests, %d exchanges", w.hub.count(), w.as.Count("/auth/token"))
	}
	// A hub that refuses every token gets two requests and costs one refresh,
	// however often it is asked.
	w.hub.check = func(string) bool { return false }
	if got := post(); got != http.StatusUnauthorized {
		t.Errorf("refused: %d", got)
	}
	if w.hub.count() != 4 || w.as.Count("/auth/token") != 3 {
		t.Errorf("%d requests, %d exchanges", w.hub.count(), w.as.Count("/auth/token"))
	}
	for range 5 {
		_ = post()
	}
	if w.hub.count() != 9 || w.as.Count("/auth/token") != 3 {
		t.Errorf("%d requests, %d exchanges", w.hub.count(), w.as.Count("/auth/token"))
	}
}

func TestRefusedRightAfterItsRefresh(t *testing.T) {
	// SM-REF-06, SM-API-03: a token that is refused at once is not replaced by each
	// request, and not believed to be refused for ever either.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		takes := false
		w.hub.check = func(string) bool { return takes }
		ask := func(want int) {
			t.Helper()
			before := w.as.Count("/auth/token")
			for range 20 {
				resp, err := s.Client().Get(w.ts.URL + "/hub/")
				if err != nil || (resp.StatusCode == http.StatusOK) != takes {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if n := w.as.Count("/auth/token") - before; n != want {
				t.Errorf("%d refreshes for 20 requests", n)
			}
		}
		ask(1)
		time.Sleep(4 * time.Minute)
		ask(0)
		time.Sleep(time.Minute + time.Second)
		ask(1)
		takes = true
		ask(0)
	})
}

func TestUnrepeatableBody(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t)
	w.as.Expire()
	resp, err := s.Client().Post(w.ts.URL+"/hub/", "text/plain", io.MultiReader(strings.NewReader("once")))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || w.hub.count() != 1 {
		t.Fatalf("%v", err)
	}
	resp.Body.Close()
	// The token is fresh now, so that the caller's own repeat works.
	resp, err = s.Client().Post(w.ts.URL+"/hub/", "text/plain", io.MultiReader(strings.NewReader("once")))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v", err)
	}
	resp.Body.Close()
}

func TestForbiddenIsNoRefresh(t *testing.T) {
	// SM-API-03
	w := newWorld(t)
	s := w.signIn(t)
	w.ts.Config.Handler.(*http.ServeMux).HandleFunc("/fhir/closed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	resp, err := s.Client().Get(w.ts.URL + "/fhir/closed")
	if err != nil || resp.StatusCode != http.StatusForbidden || w.as.Count("/auth/token") != 1 {
		t.Fatalf("%v, %d exchanges", err, w.as.Count("/auth/token"))
	}
	resp.Body.Close()
}

func TestAfterTheEndTheTokenStillSigns(t *testing.T) {
	// A subscription has to be ended politely after invalid_grant.
	w := newWorld(t)
	s := w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{TokenError: "invalid_grant"})
	if err := s.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) {
		t.Fatal(err)
	}
	resp, err := s.Client().Get(w.ts.URL + "/hub/")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v", err)
	}
	resp.Body.Close()
}

func TestStatic(t *testing.T) {
	// SM-API-01, SM-API-02
	var got []string
	h := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }))
	defer h.Close()
	c := oauth.Static(oauth.NewSecret("static-token"), h.Client(), h.URL+"/hub", "http://hub.example/")
	resp, err := c.Get(h.URL + "/anything")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, address := range []string{"https://evil.example/", "http://hub.example/"} {
		if _, err := c.Get(address); err == nil {
			t.Errorf("%s was asked", address)
		}
	}
	if len(got) != 1 || got[0] != "Bearer static-token" {
		t.Errorf("%d requests", len(got))
	}
}

func TestSecret(t *testing.T) {
	// SM-STORE-12
	const text = "canary-5d0c"
	s := oauth.NewSecret(text)
	type box struct {
		Public  oauth.Secret
		private oauth.Secret
		inside  struct{ s *oauth.Secret }
	}
	b := box{Public: s, private: s}
	b.inside.s = &s
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", s, b, &b)
	}
	j, err := json.Marshal(map[string]any{"s": s, "b": b, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("x", "s", s, "p", &s, "b", b, "list", []oauth.Secret{s}, slog.Group("g", "s", s))
	}
	low := strings.ToLower(out.String())
	if strings.Contains(low, text) || strings.Contains(low, fmt.Sprintf("%x", text)) {
		t.Errorf("it shows:\n%s", low)
	}
	if s.Reveal() != text || s.IsZero() || !(oauth.Secret{}).IsZero() || !s.Equal(oauth.NewSecret(text)) || s.Equal(oauth.Secret{}) {
		t.Error("Secret does not keep what it hides")
	}
	if !strings.Contains(string(j), `"s":"[secret]"`) {
		t.Errorf("%s", j)
	}
}

// SM-ERR-05, SM-FC-05, SM-STORE-01: a server that repeats all it is told, and
// every path that ends badly. None of it shows in errors, sentences or logs.
func TestCanary(t *testing.T) {
	var said bytes.Buffer
	var secrets []string
	note := func(w *world, err error) {
		if err != nil {
			fmt.Fprintf(&said, "%v\n%+v\n%#v\n%s\n", err, err, err, oauth.Sentence(err))
		}
		said.WriteString(w.logs.String())
		for _, r := range w.as.Requests() {
			for _, name := range []string{"code", "code_verifier", "state", "nonce", "refresh_token", "token", "code_challenge"} {
				if v := r.Form.Get(name); v != "" {
					secrets = append(secrets, v)
				}
			}
		}
		for _, v := range w.hub.tokens {
			secrets = append(secrets, strings.TrimPrefix(v, "Bearer "))
		}
	}
	for _, f := range []oauthtest.Faults{
		{}, {Error: "access_denied"}, {WrongIssuer: true}, {TwoCodes: true}, {TokenError: "invalid_grant", Echo: true},
		{TokenError: "made_up", Echo: true}, {HTML: true}, {TokenStatus: 500, Echo: true}, {LoseAnswer: true}, {BadSign: true},
		{Claims: map[string]any{"nonce": "x"}}, {Body: map[string]any{"token_type": "DPoP"}}, {NoRefresh: true},
	} {
		w := newWorld(t)
		w.as.Extra = map[string]any{"patient": "patient-canary", "fhirContext": []string{"ImagingStudy/patient-canary"}, "encounter": []string{"patient-canary"}}
		w.as.Misbehave(f)
		s, err := w.l.SignIn(t.Context())
		note(w, err)
		if err != nil {
			continue
		}
		fmt.Fprintf(&said, "%v %+v %#v %v %+v\n", s, s, s, s.Grant(), s.Grant())
		resp, err := s.Client().Get(w.ts.URL + "/hub/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		w.store.failing(oauth.ErrLocked)
		for _, f := range []oauthtest.Faults{{}, {TokenStatus: 500}, {TokenError: "invalid_request", Echo: true}, {TokenError: "invalid_grant", Echo: true}} {
			w.as.Misbehave(f)
			note(w, s.Refresh(t.Context()))
		}
		_, err = s.Client().Get("https://evil.example/")
		note(w, err)
		note(w, s.SignOut(t.Context()))
		said.WriteString(s.Warning())
	}
	text := said.String()
	for _, c := range append(secrets, topic, "patient-canary", "Bearer ", "/hub/\"") {
		if len(c) > 6 && strings.Contains(text, c) {
			t.Errorf("shown: %.60q", c)
		}
	}
	if len(secrets) < 50 || !strings.Contains(text, "invalid_grant") {
		t.Errorf("only %d secrets and %d bytes were looked at", len(secrets), len(text))
	}
}

// closing counts who asks it to close what is idle.
type closing struct {
	http.RoundTripper
	closed atomic.Int32
}

func (c *closing) CloseIdleConnections() { c.closed.Add(1) }

// A signing client closes idle connections when it is told to: after a change of network they are dead, and the next request
// would wait for its deadline on one.
func TestASigningClientClosesWhatIsIdle(t *testing.T) {
	w := newWorld(t)
	base := &closing{RoundTripper: w.ts.Client().Transport}
	w.l.HTTP = &http.Client{Transport: base}
	s := w.signIn(t)
	for i, c := range []*http.Client{s.Client(), oauth.Static(oauth.NewSecret("x"), w.l.HTTP, w.ts.URL)} {
		c.CloseIdleConnections()
		if n := base.closed.Load(); n != int32(i+1) {
			t.Errorf("client %d: told %d times", i, n)
		}
	}
}
