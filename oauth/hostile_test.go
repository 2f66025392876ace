package oauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// These tests are a server, or somebody between it and us, that means harm. It gets nothing: no token, no code a second
// time, no request that it was not granted; and the person gets one sentence.

const (
	openIDConfiguration = "/auth/.well-known/openid-configuration"
	described           = "/fhir" + wellKnown
)

// oneSentence checks what a person reads of err: a sentence that holds words, and nothing of where or what.
func oneSentence(t *testing.T, err error, words string) {
	t.Helper()
	s := oauth.Sentence(err)
	if err == nil || !strings.Contains(s, words) || !strings.HasSuffix(s, ".") || strings.Contains(s, ". ") {
		t.Errorf("%v: %q, not %q", err, s, words)
	}
	for _, never := range []string{"127.0.0.1", "https:", "http:", "evil", "\n"} {
		if strings.Contains(s, never) || err != nil && strings.Contains(err.Error(), never) {
			t.Errorf("%v: %q holds %q", err, s, never)
		}
	}
}

// greedy counts the bytes that are read of answers.
type greedy struct {
	http.RoundTripper
	read *atomic.Int64
}

type counted struct {
	io.ReadCloser
	read *atomic.Int64
}

func (g greedy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = counted{resp.Body, g.read}
	}
	return resp, err
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func TestHostileSignIn(t *testing.T) {
	// SM-DISC-11, SM-DISC-09, SM-ERR-06, SM-TOK-04, SM-TOK-09
	noKeys := map[string]any{"jwks_uri": nil} // so that the OpenID configuration is asked
	for _, c := range []struct {
		name     string
		faults   oauthtest.Faults
		sentence string
		codes    int // how often the code was sent
	}{
		{"a description without end", oauthtest.Faults{Endless: described}, "answers with too much", 0},
		{"a CapabilityStatement without end", oauthtest.Faults{SMART1: true, Endless: "/fhir/metadata"}, "answers with too much", 0},
		{"tokens without end", oauthtest.Faults{Endless: "/auth/token"}, "answers with too much", 1},
		{"keys without end", oauthtest.Faults{Endless: "/auth/jwks"}, "answers with too much", 1},
		{"an OpenID configuration without end", oauthtest.Faults{Configuration: noKeys, Endless: openIDConfiguration}, "answers with too much", 1},

		{"a circle at the description", oauthtest.Faults{Away: map[string]string{described: "$" + described}}, "in a circle", 0},
		{"a circle at the keys", oauthtest.Faults{Away: map[string]string{"/auth/jwks": "$/auth/jwks"}}, "in a circle", 1},
		{"a circle of two at the OpenID configuration", oauthtest.Faults{Configuration: noKeys,
			Away: map[string]string{openIDConfiguration: "$/x", "/x": "$" + openIDConfiguration}}, "in a circle", 1},
		{"a circle at the token endpoint", oauthtest.Faults{Away: map[string]string{"/auth/token": "$/auth/token"}}, "has a problem", 1},

		{"down to http at the description", oauthtest.Faults{Away: map[string]string{described: "EVIL"}}, "an unsafe address", 0},
		{"down to http at the CapabilityStatement", oauthtest.Faults{SMART1: true, Away: map[string]string{"/fhir/metadata": "EVIL"}}, "an unsafe address", 0},
		{"down to http at the OpenID configuration", oauthtest.Faults{Configuration: noKeys, Away: map[string]string{openIDConfiguration: "EVIL"}}, "an unsafe address", 1},
		{"down to http at the keys", oauthtest.Faults{Away: map[string]string{"/auth/jwks": "EVIL"}}, "an unsafe address", 1},
		{"down to http at the token endpoint", oauthtest.Faults{Away: map[string]string{"/auth/token": "EVIL"}}, "has a problem", 1},
		{"authorize by http", oauthtest.Faults{Configuration: map[string]any{"authorization_endpoint": "EVIL"}}, "authorization_endpoint is not https", 0},
		{"tokens by http", oauthtest.Faults{Configuration: map[string]any{"token_endpoint": "EVIL"}}, "token_endpoint is not https", 0},
		{"revocation by http", oauthtest.Faults{Configuration: map[string]any{"revocation_endpoint": "EVIL"}}, "revocation_endpoint is not https", 0},
		{"keys by http", oauthtest.Faults{Configuration: map[string]any{"jwks_uri": "EVIL"}}, "jwks_uri is not https", 0},
		{"keys by http, says the issuer", oauthtest.Faults{Configuration: noKeys, OpenID: map[string]any{"jwks_uri": "EVIL"}}, "jwks_uri is not https", 1},
		{"an issuer by http", oauthtest.Faults{Configuration: map[string]any{"jwks_uri": nil, "issuer": "EVIL"}, Issuer: "EVIL"}, "issuer is not https", 1},

		{"a portal before the description", oauthtest.Faults{Pages: []string{described, "/fhir/metadata"}}, "A web page answered", 0},
		{"a portal before the tokens", oauthtest.Faults{Pages: []string{"/auth/token"}}, "A web page answered", 1},
		{"a portal before the keys", oauthtest.Faults{Pages: []string{"/auth/jwks"}}, "cannot be trusted", 1},
		{"a portal before the OpenID configuration", oauthtest.Faults{Configuration: noKeys, Pages: []string{openIDConfiguration}}, "openid-configuration", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got atomic.Int64
			evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
			defer evil.Close()
			w := newWorld(t)
			var read atomic.Int64
			w.l.HTTP = &http.Client{Transport: greedy{w.ts.Client().Transport, &read}}
			w.as.Misbehave(aimed(c.faults, evil.URL))
			_, err := w.l.SignIn(t.Context())
			oneSentence(t, err, c.sentence)
			if n := w.as.Count("/auth/token"); n != c.codes || got.Load() != 0 {
				t.Errorf("the code was sent %d times, another server was asked %d times", n, got.Load())
			}
			if n := read.Load(); n > 1<<20+64<<10 {
				t.Errorf("%d bytes were read", n)
			}
			if items, _ := w.store.count(); items != 0 {
				t.Error("something is stored")
			}
		})
	}
}

// aimed is f with the address of somebody else in place of EVIL.
func aimed(f oauthtest.Faults, evil string) oauthtest.Faults {
	aim := func(v any) any {
		if v == "EVIL" {
			return evil + "/x"
		}
		return v
	}
	for _, doc := range []map[string]any{f.Configuration, f.OpenID} {
		for name, v := range doc {
			doc[name] = aim(v)
		}
	}
	for path, to := range f.Away {
		f.Away[path] = aim(to).(string)
	}
	f.Issuer = aim(f.Issuer).(string)
	return f
}

func TestHostileMixUp(t *testing.T) {
	// SM-MIX-01, SM-MIX-02, SM-REDIR-05: one site sends the browser on to another's server and hopes to be sent its code.
	honest := newWorld(t)
	for _, c := range []struct {
		name     string
		honest   oauthtest.Faults
		sentence string
	}{
		{"the honest server says who it is", oauthtest.Faults{}, "another issuer"},
		{"it does not, and the other said that it would", oauthtest.Faults{NoIssuer: true}, "names no issuer"},
	} {
		w := newWorld(t)
		honest.as.Misbehave(c.honest)
		w.as.Misbehave(oauthtest.Faults{MixUp: honest.ts.URL + "/auth/authorize"})
		w.l.OpenURL = func(ctx context.Context, address string) error {
			// The other's server can rewrite what it passes on; the redirect and the state are ours.
			return w.browse(ctx, strings.Replace(address, "aud=", "aud="+honestAud(honest)+"&x=", 1))
		}
		_, err := w.l.SignIn(t.Context())
		oneSentence(t, err, c.sentence)
		if n, m := w.as.Count("/auth/token"), honest.as.Count("/auth/token"); n != 0 || m != 0 {
			t.Errorf("%s: the code was sent %d times to the one and %d times to the other", c.name, n, m)
		}
		if honest.as.Count("/auth/authorize") == 0 {
			t.Errorf("%s: nobody was mixed up", c.name)
		}
	}
}

func honestAud(w *world) string {
	return strings.NewReplacer(":", "%3A", "/", "%2F").Replace(w.ts.URL + "/fhir")
}

func TestHostileInterception(t *testing.T) {
	// SM-ERR-06: somebody between us and the server, once it has described itself. Code and refresh token stay here.
	intercepted := false
	asked := 0
	middle := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	middle.Config.ErrorLog = discardLog()
	defer middle.Close()
	w := newWorld(t)
	straight := w.ts.Client().Transport
	stranger := &http.Transport{DisableKeepAlives: true} // knows the authorities of this computer, which have not heard of it
	w.l.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if !intercepted || r.URL.Path != "/auth/token" && r.URL.Path != "/auth/revoke" {
			return straight.RoundTrip(r)
		}
		u := *r.URL
		u.Host = strings.TrimPrefix(middle.URL, "https://")
		r = r.Clone(r.Context())
		r.URL = &u
		return stranger.RoundTrip(r)
	})}
	s := w.signIn(t)
	intercepted = true
	_, err := w.l.SignIn(t.Context())
	oneSentence(t, err, "is being inspected")
	oneSentence(t, s.Refresh(t.Context()), "is being inspected")
	if asked != 0 {
		t.Errorf("whoever listens was asked %d times", asked)
	}
	intercepted = false
	if err := s.Refresh(t.Context()); err != nil {
		t.Errorf("the line is clean again: %v", err)
	}
	intercepted = true
	if err := s.SignOut(t.Context()); err != nil || asked != 0 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

func TestHostileTokensForNobodyElse(t *testing.T) {
	// SM-API-02, SM-FC-04: whatever answers name, the token goes to the granted origins only.
	var seen atomic.Int64
	note := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), topic) {
			seen.Add(1)
		}
	})
	evil, plain := httptest.NewTLSServer(note), httptest.NewServer(note)
	defer evil.Close()
	defer plain.Close()
	w := newWorld(t)
	mux := w.ts.Config.Handler.(*http.ServeMux)
	for path, to := range map[string]string{"/fhir/away": evil.URL, "/fhir/plain": plain.URL, "/fhir/same": strings.Replace(w.ts.URL, "https", "http", 1)} {
		mux.Handle(path, http.RedirectHandler(to+"/?t="+topic, http.StatusTemporaryRedirect))
	}
	w.as.Extra = map[string]any{"patient_url": evil.URL, "fhirContext": []string{evil.URL + "/ImagingStudy/1"}, "smart_style_url": evil.URL}
	w.as.Misbehave(oauthtest.Faults{Claims: map[string]any{"fhirUser": evil.URL + "/Practitioner/1"}})
	s := w.signIn(t)
	for _, address := range []string{evil.URL, plain.URL, s.Grant().User.FHIRUser} {
		if _, err := s.Client().Get(address); err == nil {
			t.Errorf("asked %s", address)
		} else {
			oneSentence(t, errors.Unwrap(err), "not granted for") // outside is net/http's own, with the address
		}
	}
	for _, path := range []string{"/fhir/away", "/fhir/plain", "/fhir/same"} {
		resp, err := s.Client().Post(w.ts.URL+path, "text/plain", strings.NewReader(topic))
		if err != nil || resp.StatusCode != http.StatusTemporaryRedirect {
			t.Fatalf("%s: %v", path, err)
		}
		resp.Body.Close()
	}
	// A hub by http is granted nothing, also when a refresh names it.
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": plain.URL}})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Get(plain.URL); err == nil {
		t.Error("a hub by http was granted by a refresh")
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("others have seen the token %d times", n)
	}
}

func TestHostileWhileSignedIn(t *testing.T) {
	// SM-REF-08, SM-REV-01: none of it ends a sign-in that is good, and signing out ends it here whatever comes.
	for _, f := range []oauthtest.Faults{
		{Endless: "/auth/token"}, {Pages: []string{"/auth/token"}}, {Away: map[string]string{"/auth/token": "$/auth/token"}},
		{Away: map[string]string{"/auth/token": "http://evil.example/"}},
	} {
		w := newWorld(t)
		s := w.signIn(t)
		w.as.Misbehave(f)
		if err := s.Refresh(t.Context()); err == nil || errors.Is(err, oauth.ErrLoginNeeded) {
			t.Errorf("%+v: %v", f, err)
		}
		if items, _ := w.store.count(); items != 1 || !s.Renews() {
			t.Errorf("%+v: the sign-in is gone", f)
		}
		w.as.Misbehave(oauthtest.Faults{})
		if err := s.Refresh(t.Context()); err != nil {
			t.Errorf("%+v: afterwards: %v", f, err)
		}
	}
	for _, f := range []oauthtest.Faults{
		{Endless: "/auth/revoke"}, {Pages: []string{"/auth/revoke"}}, {Away: map[string]string{"/auth/revoke": "$/auth/revoke"}},
		{Away: map[string]string{"/auth/revoke": "http://evil.example/"}},
	} {
		w := newWorld(t)
		s := w.signIn(t)
		w.as.Misbehave(f)
		began := time.Now()
		if err := s.SignOut(t.Context()); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("%+v: signing out: %v", f, err)
		}
		if items, _ := w.store.count(); items != 0 || w.as.Count("/auth/revoke") != 1 {
			t.Errorf("%+v: %d items are left, and the token was sent %d times", f, items, w.as.Count("/auth/revoke"))
		}
	}
}
