package oauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t)

	// SM-FC-01, FC-DISC-05, FC-DISC-07
	g := s.Grant()
	if g.HubURL != w.ts.URL+"/hub/" || g.HubTopic.Reveal() != topic {
		t.Errorf("hub.url = %q, topic given = %v", g.HubURL, !g.HubTopic.IsZero())
	}
	if want := (oauth.User{Name: "R. Reader", FHIRUser: "Practitioner/reader", Subject: "u1"}); g.User != want {
		t.Errorf("user = %+v, want %+v", g.User, want)
	}
	if !slices.Equal(g.Scopes, w.l.Site.Scopes) || !g.ScopesSaid {
		t.Errorf("granted %q", g.Scopes)
	}
	if d := time.Until(s.Until()); d < 59*time.Minute || d > time.Hour {
		t.Errorf("Until is %v ahead", d)
	}
	if !s.Renews() || s.Warning() != "" {
		t.Errorf("Renews = %v, Warning = %q", s.Renews(), s.Warning())
	}

	// SM-API-01: the token goes in the header, and nowhere else.
	resp, err := s.Client().Get(w.ts.URL + "/hub/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("hub answered %d", resp.StatusCode)
	}
}

// SM-AUTH-01, SM-AUTH-02, SM-AUTH-03, SM-AUTH-05, SM-AUTH-06, SM-LCH-02, SM-TOK-01, SM-TOK-02
func TestWhatIsSent(t *testing.T) {
	for _, slash := range []string{"", "/"} {
		w := newWorld(t)
		w.l.Site.FHIRURL += slash
		w.signIn(t)
		var auth url.Values
		for _, r := range w.as.Requests() {
			if r.Path == "/auth/authorize" {
				auth = r.Form
			}
			if r.Path == "/auth/token" && r.Header.Get("Authorization") != "" {
				t.Error("a public client sent an Authorization header")
			}
		}
		got := map[string]string{}
		for k, v := range auth {
			if len(v) != 1 {
				t.Errorf("%s came %d times", k, len(v))
			}
			got[k] = v[0]
		}
		verifier := w.tokenForms()[0].Get("code_verifier")
		sum := sha256.Sum256([]byte(verifier))
		want := map[string]string{
			"response_type": "code", "client_id": "castray", "redirect_uri": got["redirect_uri"],
			"scope": "openid fhirUser offline_access fhircast/Patient-open.read",
			"aud":   w.ts.URL + "/fhir" + slash, "state": got["state"], "nonce": got["nonce"],
			"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if len(got["state"]) != 43 || len(got["nonce"]) != 43 || len(verifier) != 43 {
			t.Error("state, nonce and verifier are not 32 random bytes each")
		}
		form := w.tokenForms()[0]
		if form.Get("grant_type") != "authorization_code" || form.Get("redirect_uri") != got["redirect_uri"] ||
			form.Get("client_id") != "castray" || form.Get("code") == "" || form.Has("client_secret") || len(form) != 5 {
			t.Errorf("the exchange sent the members %v", len(form))
		}
		// SM-DISC-01: the suffix follows the whole base, with one slash.
		if n := w.as.Count("/fhir/.well-known/smart-configuration"); n != 1 {
			t.Errorf("%d discovery requests", n)
		}
	}
}

func TestNonceOnlyWithOpenID(t *testing.T) {
	// SM-AUTH-06
	w := newWorld(t)
	w.l.Site.Scopes = []string{"offline_access", "fhircast/Patient-open.read"}
	a, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if strings.Contains(a.URL, "nonce") {
		t.Error("nonce without openid")
	}
}

func TestPages(t *testing.T) {
	// A person at the login and consent page: deny, then allow as the second user.
	w := newWorld(t)
	w.as.AutoApprove = false
	w.l.OpenURL = nil
	for _, answer := range []string{"deny", "allow"} {
		a, err := w.l.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- w.person(t.Context(), a.URL, "1", answer) }()
		s, err := a.Wait(t.Context())
		if e := <-done; e != nil {
			t.Fatal(e)
		}
		if answer == "deny" {
			// SM-ERR-01
			if !errors.Is(err, oauth.ErrDeclined) {
				t.Fatalf("denied: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.Grant().User.Subject != "u2" {
			t.Errorf("user = %+v", s.Grant().User)
		}
	}
}

func TestResume(t *testing.T) {
	w := newWorld(t)
	before := w.signIn(t).Grant()

	s, err := w.launcher().Resume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g := s.Grant()
	if g.HubURL != before.HubURL || !g.HubTopic.Equal(before.HubTopic) || g.User != before.User || !slices.Equal(g.Scopes, before.Scopes) {
		t.Errorf("resumed with another grant: user %+v, scopes %q", g.User, g.Scopes)
	}
	// SM-REF-02
	form := w.tokenForms()[1]
	if form.Get("grant_type") != "refresh_token" || form.Get("client_id") != "castray" || form.Has("scope") || len(form) != 3 {
		t.Errorf("the refresh sent %d members", len(form))
	}
	resp, err := s.Client().Get(w.ts.URL + "/hub/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("hub answered %d", resp.StatusCode)
	}
	// The rotated token is what is stored: a third start works too.
	if _, err := w.launcher().Resume(t.Context()); err != nil {
		t.Errorf("second resume: %v", err)
	}
}

func TestResumeNothing(t *testing.T) {
	w := newWorld(t)
	// Never signed in is told apart from a sign-in that has ended.
	if _, err := w.l.Resume(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing stored: %v", err)
	}
	none := w.launcher()
	none.Store = nil
	if s, err := none.SignIn(t.Context()); err != nil || s.Warning() != "" {
		t.Errorf("sign-in without a store: %v", err)
	}
	if _, err := none.Resume(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	for _, e := range []error{oauth.ErrLocked, oauth.ErrUnavailable} {
		w.store.loadErr = e
		if _, err := w.l.Resume(t.Context()); !errors.Is(err, e) {
			t.Errorf("store says %v: %v", e, err)
		}
	}
	// What another program or a disk error left is as good as nothing.
	w.store.loadErr = nil
	w.signIn(t)
	for _, rubbish := range []string{"", "hello", `{"v":2}`, `{"v":1,"refresh_token":"r","client_id":"other","token_endpoint":"https://as.example"}`,
		`{"v":1,"refresh_token":"r","client_id":"castray","token_endpoint":"http://as.example"}`} {
		for k := range w.store.items {
			w.store.items[k] = []byte(rubbish)
		}
		if _, err := w.l.Resume(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stored %q: %v", rubbish, err)
		}
	}
	w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{TokenError: "invalid_grant"})
	if _, err := w.launcher().Resume(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ended by the server: %v", err)
	}
}

func TestResumeWithoutNetwork(t *testing.T) {
	w := newWorld(t)
	w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{TokenStatus: 503})
	s, err := w.launcher().Resume(t.Context())
	if err != nil {
		t.Fatalf("a server with a problem is no reason to sign in again: %v", err)
	}
	if s.Grant().User.Subject != "u1" || !s.Renews() {
		t.Error("the stored sign-in is not there")
	}
	w.as.Misbehave(oauthtest.Faults{})
	if err := s.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// person goes through the pages.
func (w *world) person(ctx context.Context, address, user, answer string) error {
	c := w.ts.Client()
	page, err := fetch(ctx, c, address, nil)
	if err != nil {
		return err
	}
	page, err = fetch(ctx, c, w.ts.URL+"/auth/login", url.Values{"ticket": {hiddenValue(page)}, "user": {user}})
	if err != nil {
		return err
	}
	page, err = fetch(ctx, c, w.ts.URL+"/auth/consent", url.Values{"ticket": {hiddenValue(page)}, "answer": {answer}})
	if err == nil && !strings.Contains(page, "may close this tab") {
		err = errors.New("the browser did not end on the last page")
	}
	return err
}

func hiddenValue(page string) string {
	_, after, _ := strings.Cut(page, `name="ticket" value="`)
	value, _, _ := strings.Cut(after, `"`)
	return value
}
