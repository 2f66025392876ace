package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// odd has a character of every kind that the encodings treat differently.
const odd = "canary:p%41+s s/ä&=~"

// withSecret is a world whose client proves itself by a secret that is kept.
func withSecret(t *testing.T, secret string, c oauthtest.Client) *world {
	t.Helper()
	w := newWorld(t)
	c.Secret = secret
	w.as.Client = c
	w.l.Site.Auth, w.l.Site.PlainBasic, w.l.Credentials = "secret", c.Plain, w.store
	if err := w.l.Site.KeepSecret(t.Context(), w.store, oauth.NewSecret(secret)); err != nil {
		t.Fatal(err)
	}
	return w
}

// withKey is a world whose client signs with a key that is registered.
func withKey(t *testing.T, alg string) *world {
	t.Helper()
	w := newWorld(t)
	w.l.Site.Auth, w.l.Credentials = "private_key_jwt", w.store
	set, made, err := w.l.Site.PublicKeys(t.Context(), w.store, alg, false)
	if err != nil || !made {
		t.Fatal(err)
	}
	w.as.Client = oauthtest.Client{Keys: set}
	return w
}

// wholeLife signs in, refreshes and signs out, and returns what the endpoints
// where a client proves itself were sent.
func (w *world) wholeLife(t *testing.T) []oauthtest.Request {
	t.Helper()
	s := w.signIn(t)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sent []oauthtest.Request
	for _, r := range w.as.Requests() {
		if r.Path == "/auth/token" || r.Path == "/auth/revoke" {
			sent = append(sent, r)
		}
	}
	if len(sent) != 3 || strings.Contains(w.logs.String(), "did not confirm") {
		t.Fatalf("%d requests; the server took no revocation:\n%s", len(sent), w.logs)
	}
	return sent
}

func members(form url.Values) []string {
	var names []string
	for name, values := range form {
		if len(values) != 1 {
			name += " more than once"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// membersOf are those of the three requests of a life, for any client.
var membersOf = [][]string{
	{"code", "code_verifier", "grant_type", "redirect_uri"}, {"grant_type", "refresh_token"}, {"token", "token_type_hint"},
}

func TestSecretByBasic(t *testing.T) {
	// SM-CLI-02, SM-TOK-03, SM-REF-02: the header, and no client_id in the form,
	// at exchange, refresh and revocation.
	for name, c := range map[string]struct {
		secret string
		plain  bool
		header string // before base64
	}{
		"plain characters":     {"s3cret-._~", false, "castray:s3cret-._~"},
		"encoded as the RFC":   {odd, false, "castray:canary%3Ap%2541%2Bs+s%2F%C3%A4%26%3D~"},
		"as it is, by setting": {odd, true, "castray:" + odd},
	} {
		t.Run(name, func(t *testing.T) {
			w := withSecret(t, c.secret, oauthtest.Client{Plain: c.plain})
			for i, r := range w.wholeLife(t) {
				if got, want := r.Header.Get("Authorization"), "Basic "+base64.StdEncoding.EncodeToString([]byte(c.header)); got != want {
					t.Errorf("request %d: %s, want %s", i, got, want)
				}
				if d := cmp.Diff(membersOf[i], members(r.Form)); d != "" {
					t.Errorf("request %d: %s", i, d)
				}
			}
			if strings.Contains(w.logs.String(), c.secret) {
				t.Error("the log holds the secret")
			}
		})
	}
}

func TestSecretInForm(t *testing.T) {
	// SM-CLI-02: client_secret_post only where Basic is not offered, also after a
	// restart, when nothing was discovered.
	w := withSecret(t, odd, oauthtest.Client{PostOnly: true})
	w.signIn(t)
	resumed := w.launcher()
	resumed.Site, resumed.Credentials = w.l.Site, w.store
	if _, err := resumed.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range w.as.Requests() {
		if r.Path != "/auth/token" {
			continue
		}
		if r.Header.Get("Authorization") != "" || r.Form.Get("client_secret") != odd || r.Form.Get("client_id") != "castray" {
			t.Errorf("request %d: %v", i, members(r.Form))
		}
	}
	for _, methods := range []any{[]string{"client_secret_post", "client_secret_basic"}, []string{"private_key_jwt"}, nil} {
		w := withSecret(t, "s", oauthtest.Client{})
		w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"token_endpoint_auth_methods_supported": methods}})
		w.signIn(t)
		if w.tokenForms()[0].Has("client_secret") {
			t.Errorf("%v: in the form, though Basic may be had", methods)
		}
	}
}

func TestSignedAssertion(t *testing.T) {
	// SM-CLI-03, SM-CLI-04, SM-TOK-03: the server takes the assertions of a whole
	// life, and they hold what they should.
	for _, alg := range []string{"ES384", "RS384"} {
		t.Run(alg, func(t *testing.T) {
			w := withKey(t, alg)
			var registered jose.JSONWebKeySet
			if err := json.Unmarshal(w.as.Client.Keys, &registered); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for i, r := range w.wholeLife(t) {
				want := append([]string{"client_assertion", "client_assertion_type"}, membersOf[i]...)
				slices.Sort(want)
				if d := cmp.Diff(want, members(r.Form)); d != "" || r.Header.Get("Authorization") != "" {
					t.Errorf("request %d: %s", i, d)
				}
				if got := r.Form.Get("client_assertion_type"); got != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
					t.Errorf("request %d: type %s", i, got)
				}
				header, claims := opened(t, r.Form.Get("client_assertion"))
				if d := cmp.Diff(map[string]any{"alg": alg, "kid": registered.Keys[0].KeyID, "typ": "JWT"}, header); d != "" {
					t.Errorf("request %d: %s", i, d)
				}
				jti, _ := claims["jti"].(string)
				exp, _ := claims["exp"].(float64)
				if left := time.Until(time.Unix(int64(exp), 0)); left > 4*time.Minute || left < 3*time.Minute {
					t.Errorf("request %d: ends in %v", i, left)
				}
				if len(jti) < 22 || seen[jti] {
					t.Errorf("request %d: jti %q", i, jti)
				}
				seen[jti] = true
				delete(claims, "jti")
				delete(claims, "exp")
				if d := cmp.Diff(map[string]any{"iss": "castray", "sub": "castray", "aud": w.ts.URL + "/auth/token"}, claims); d != "" {
					t.Errorf("request %d: %s", i, d)
				}
			}
		})
	}
}

func TestServerDoesNotKnowTheAlgorithm(t *testing.T) {
	// SM-CLI-04, SM-DISC-08: what a server lists is a hint, so it is said and tried.
	for _, c := range []struct {
		listed any
		warned bool
	}{{[]string{"RS384"}, true}, {[]string{"RS384", "ES384"}, false}, {nil, false}} {
		w := withKey(t, "ES384")
		w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"token_endpoint_auth_signing_alg_values_supported": c.listed}})
		w.signIn(t)
		if got := strings.Contains(w.logs.String(), "does not list the algorithm of the client key"); got != c.warned {
			t.Errorf("%v: warned %v", c.listed, got)
		}
	}
}

func TestAssertionNamesItsEndpointToTheLetter(t *testing.T) {
	// SM-CLI-04: aud is the token endpoint as the server spells it.
	w := withKey(t, "")
	spelt := strings.Replace(w.ts.URL, "https:", "HTTPS:", 1) + "/auth/token"
	w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"token_endpoint": spelt}})
	_, _ = w.l.SignIn(t.Context()) // our server takes no other spelling than its own
	forms := w.tokenForms()
	if len(forms) != 1 {
		t.Fatalf("%d requests", len(forms))
	}
	if _, claims := opened(t, forms[0].Get("client_assertion")); claims["aud"] != spelt {
		t.Errorf("aud is %v", claims["aud"])
	}
}

// opened reads a JWT without checking it, which the server did.
func opened(t *testing.T, jwt string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	for i, to := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestWhatIsForgottenIsRevokedByItsClient(t *testing.T) {
	// SM-REV-01: client identification as at the token endpoint, also for what an
	// earlier process left.
	for name, w := range map[string]*world{"secret in the form": withSecret(t, odd, oauthtest.Client{PostOnly: true}), "key": withKey(t, "")} {
		access := w.signIn(t)
		later := w.launcher()
		later.Site, later.Credentials = w.l.Site, w.store
		if err := later.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := access.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || w.as.Count("/auth/revoke") != 1 {
			t.Errorf("%s: the server still knows it: %v, %s", name, err, w.logs)
		}
	}
}

func TestAssertionAndClocks(t *testing.T) {
	// SM-CLI-04: a minute of difference does not matter, whichever way; more is
	// said for what it is.
	for ahead, ok := range map[time.Duration]bool{time.Minute: true, -time.Minute: true, 10 * time.Minute: false, -10 * time.Minute: false} {
		w := withKey(t, "")
		w.as.Misbehave(oauthtest.Faults{Clock: ahead})
		_, err := w.l.SignIn(t.Context())
		if ok && err != nil {
			t.Errorf("%v: %v", ahead, err)
		}
		if !ok && !strings.Contains(oauth.Sentence(err), "differ by 10m0s: set the clock") {
			t.Errorf("%v: %v, %q", ahead, err, oauth.Sentence(err))
		}
	}
}

func TestMissingCredential(t *testing.T) {
	// SM-CLI-02, SM-CLI-03: what is missing is said, with the command to type,
	// before anything is sent.
	for auth, c := range map[string]struct {
		stored   map[error]string
		rubbish  string
		noCredit string
	}{
		"secret": {noCredit: "castray config secret"},
		"private_key_jwt": {noCredit: "castray config jwks", rubbish: `{"kty":"EC","kid":"x","alg":"ES384","crv":"P-384",
			"x":"AAAA","y":"AAAA","d":"Y2FuYXJ5LWQ"}`},
	} {
		w := newWorld(t)
		w.l.Site.Auth = auth
		expect := func(what, sentence string) {
			t.Helper()
			_, err := w.l.Start(t.Context())
			if err == nil || !strings.Contains(oauth.Sentence(err), sentence) {
				t.Errorf("%s, %s: %v, %q", auth, what, err, oauth.Sentence(err))
			}
			if n := len(w.as.Requests()); n != 0 {
				t.Errorf("%s, %s: %d requests were sent", auth, what, n)
			}
		}
		expect("no store at all", c.noCredit)
		w.l = w.launcher()
		w.l.Site.Auth, w.l.Credentials = auth, w.store
		expect("nothing stored", c.noCredit)
		w.store.loadErr = oauth.ErrLocked
		expect("locked", "unlock it and try again")
		w.store.loadErr = oauth.ErrUnavailable
		expect("no keychain", "cannot be used")
		w.store.loadErr = nil
		if c.rubbish != "" {
			if _, _, err := w.l.Site.PublicKeys(t.Context(), w.store, "", false); err != nil {
				t.Fatal(err)
			}
			for key := range w.store.items {
				w.store.items[key] = []byte(c.rubbish)
			}
			expect("a key that is none", "castray config jwks --replace")
		}
	}
}

func TestCredentialIsLostWhileSignedIn(t *testing.T) {
	// SM-CLI-02: nothing is sent without it, the session stays, the user is told,
	// and what is entered serves the next request.
	w := withSecret(t, "first", oauthtest.Client{})
	s := w.signIn(t)
	secretItem, session := w.itemOf("first"), w.itemOf("refresh_token")
	w.store.mu.Lock()
	delete(w.store.items, secretItem)
	w.store.mu.Unlock()
	sent := w.as.Count("/auth/token")
	if err := s.Refresh(t.Context()); err == nil || errors.Is(err, oauth.ErrLoginNeeded) || w.as.Count("/auth/token") != sent {
		t.Errorf("%v, %d requests", err, w.as.Count("/auth/token")-sent)
	}
	if !s.Renews() || !strings.Contains(s.Warning(), "castray config secret") {
		t.Errorf("Renews %v, Warning %q", s.Renews(), s.Warning())
	}
	w.store.loadErr = oauth.ErrLocked // what was taken away does not come back
	if err := s.Refresh(t.Context()); err == nil || w.as.Count("/auth/token") != sent {
		t.Errorf("%v, %d requests", err, w.as.Count("/auth/token")-sent)
	}
	w.store.loadErr = nil

	// The site changes its secret: the wrong one is said, the right one serves.
	w.as.Client.Secret = "second"
	keep := func(secret string) {
		t.Helper()
		if err := w.l.Site.KeepSecret(t.Context(), w.store, oauth.NewSecret(secret)); err != nil {
			t.Fatal(err)
		}
	}
	keep("first")
	if err := s.Refresh(t.Context()); err == nil || !strings.Contains(s.Warning(), "does not take the secret") {
		t.Errorf("%v, Warning %q", err, s.Warning())
	}
	keep("second")
	if err := s.Refresh(t.Context()); err != nil || s.Warning() != "" {
		t.Errorf("%v, Warning %q", err, s.Warning())
	}

	// A keychain that is locked for now is no reason to stop.
	w.store.loadErr = oauth.ErrLocked
	if err := s.Refresh(t.Context()); err != nil {
		t.Errorf("locked: %v", err)
	}
	w.store.loadErr = nil

	// Signing out takes the session and leaves the secret.
	if err := s.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.itemOf("second") == "" || w.itemOf("refresh_token") != "" || secretItem == session {
		t.Error("signing out deleted the secret, or left the session")
	}
}

// itemOf is the key of the stored item that holds text, "" for none.
func (w *world) itemOf(text string) string {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for key, value := range w.store.items {
		if strings.Contains(string(value), text) {
			return key
		}
	}
	return ""
}

func TestKeepSecret(t *testing.T) {
	// SM-CLI-02, SM-STORE-01
	w := newWorld(t)
	for _, bad := range []string{"", "two\nlines", "bell\a", "\xff", "copied ", "\u00a0copied", strings.Repeat("x", 1001)} {
		if err := w.l.Site.KeepSecret(t.Context(), w.store, oauth.NewSecret(bad)); err == nil || !strings.Contains(oauth.Sentence(err), "one line") {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	for fault, sentence := range map[error]string{oauth.ErrLocked: "unlock it", oauth.ErrUnavailable: "kept nowhere else", context.DeadlineExceeded: "unlock it"} {
		w.store.failing(fault)
		err := w.l.Site.KeepSecret(t.Context(), w.store, oauth.NewSecret("canary-secret"))
		if err == nil || !strings.Contains(oauth.Sentence(err), sentence) || strings.Contains(err.Error()+oauth.Sentence(err), "canary") {
			t.Errorf("%v: %v, %q", fault, err, oauth.Sentence(err))
		}
	}
	w.store.failing(nil)
	if items, _ := w.store.count(); items != 0 {
		t.Errorf("%d items", items)
	}

	// It belongs to the registration, not to what people call the site.
	site := w.l.Site
	for _, c := range []struct {
		change func(*oauth.Site)
		items  int
	}{
		{func(*oauth.Site) {}, 1},
		{func(s *oauth.Site) { s.Name = "renamed" }, 1},
		{func(s *oauth.Site) { s.FHIRURL += "/" }, 1},
		{func(s *oauth.Site) { s.ClientID = "other" }, 2},
		{func(s *oauth.Site) { s.FHIRURL = "https://other.example/fhir" }, 3},
	} {
		changed := site
		c.change(&changed)
		if err := changed.KeepSecret(t.Context(), w.store, oauth.NewSecret("x")); err != nil {
			t.Fatal(err)
		}
		if items, _ := w.store.count(); items != c.items {
			t.Errorf("%+v: %d items, want %d", changed, items, c.items)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	// SM-CLI-04, SM-CLI-05: the key is made once and stays in the store; what
	// comes out is what a server may know.
	w := newWorld(t)
	ask := func(alg string, replace bool) (set string, made bool) {
		t.Helper()
		b, made, err := w.l.Site.PublicKeys(t.Context(), w.store, alg, replace)
		if err != nil {
			t.Fatal(err)
		}
		var keys struct{ Keys []map[string]any }
		if err := json.Unmarshal(b, &keys); err != nil || len(keys.Keys) != 1 {
			t.Fatalf("%s: %v", b, err)
		}
		want := []string{"alg", "crv", "kid", "kty", "use", "x", "y"}
		if keys.Keys[0]["kty"] == "RSA" {
			want = []string{"alg", "e", "kid", "kty", "n", "use"}
		}
		var names []string
		for name := range keys.Keys[0] {
			names = append(names, name)
		}
		slices.Sort(names)
		if d := cmp.Diff(want, names); d != "" {
			t.Errorf("%s: %s", alg, d)
		}
		return string(b), made
	}
	first, made := ask("", false)
	if !made || !strings.Contains(first, `"ES384"`) || !strings.Contains(first, `"P-384"`) {
		t.Errorf("made %v: %s", made, first)
	}
	if again, made := ask("ES384", false); made || again != first {
		t.Errorf("made %v: %s", made, again)
	}
	if _, _, err := w.l.Site.PublicKeys(t.Context(), w.store, "RS384", false); err == nil || !strings.Contains(oauth.Sentence(err), "--replace") {
		t.Errorf("another algorithm: %v", err)
	}
	if _, _, err := w.l.Site.PublicKeys(t.Context(), w.store, "RS256", true); err == nil || !strings.Contains(oauth.Sentence(err), "ES384 or RS384") {
		t.Errorf("an algorithm that is not ours: %v", err)
	}
	if again, _ := ask("", false); again != first {
		t.Error("a refused command changed the key")
	}
	if other, made := ask("", true); !made || other == first {
		t.Error("not replaced")
	}

	// The key is made before there is a client_id, which often comes with it.
	w.l.Site.ClientID = "given later"
	if _, made := ask("", false); made {
		t.Error("the key is another with another client_id")
	}
	if items, _ := w.store.count(); items != 1 {
		t.Errorf("%d items", items)
	}
	for fault, sentence := range map[error]string{oauth.ErrLocked: "unlock it", oauth.ErrUnavailable: "kept nowhere else"} {
		w.store.failing(fault)
		if _, _, err := w.l.Site.PublicKeys(t.Context(), w.store, "", true); err == nil || !strings.Contains(oauth.Sentence(err), sentence) {
			t.Errorf("%v: %v", fault, err)
		}
	}
}
