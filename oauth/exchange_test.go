package oauth_test

import (
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestExchangeFaults(t *testing.T) {
	// SM-TOK-04: whatever happens, the code was sent once.
	for _, c := range []struct {
		name     string
		faults   oauthtest.Faults
		sentence string // "" = signed in
	}{
		{"code refused", oauthtest.Faults{TokenError: "invalid_grant"}, "took too long or was used twice"},
		{"client unknown", oauthtest.Faults{TokenError: "invalid_client", TokenStatus: 401}, "client_id"},
		{"server trouble", oauthtest.Faults{TokenStatus: 502}, "in a few minutes"},
		{"too many", oauthtest.Faults{TokenStatus: 429, RetryAfter: "7"}, "in a few minutes"},
		{"the answer is lost", oauthtest.Faults{LoseAnswer: true}, "cannot be reached"},
		{"a web page", oauthtest.Faults{HTML: true}, "A web page answered"},
		{"no access token", oauthtest.Faults{Body: map[string]any{"access_token": nil}}, "no usable access_token"},
		{"a DPoP token", oauthtest.Faults{Body: map[string]any{"token_type": "DPoP"}}, "no Bearer"},
		{"nothing granted", oauthtest.Faults{Body: map[string]any{"scope": ""}}, "nothing was granted"},
		{"as text/plain", oauthtest.Faults{ContentType: "text/plain"}, ""},
		{"with a byte order mark", oauthtest.Faults{BOM: true}, ""},
		{"odd expires_in", oauthtest.Faults{Body: map[string]any{"expires_in": "3600.0"}}, ""},
		{"scope as an array", oauthtest.Faults{Body: map[string]any{"scope": []string{"openid", "fhircast/Patient-open.read"}}}, ""},
		{"no token_type", oauthtest.Faults{Body: map[string]any{"token_type": nil}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.as.Misbehave(c.faults)
			_, err := w.l.SignIn(t.Context())
			if (err == nil) != (c.sentence == "") || !strings.Contains(oauth.Sentence(err), c.sentence) {
				t.Errorf("%v: %q", err, oauth.Sentence(err))
			}
			if n := w.as.Count("/auth/token"); n != 1 {
				t.Errorf("the code was sent %d times", n)
			}
			if items, _ := w.store.count(); (items == 1) != (c.sentence == "") {
				t.Errorf("%d items stored", items)
			}
		})
	}
}

func TestNothingIsCached(t *testing.T) {
	// SM-TOK-12: an answer that forbids no cache is taken as any other, and each sign-in and refresh asks anew.
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{Cacheable: true})
	s := w.signIn(t)
	w.signIn(t)
	for range 2 {
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.as.Count("/auth/token"); n != 4 {
		t.Errorf("%d requests for four tokens", n)
	}
}

func TestLifeThatIsNotSaid(t *testing.T) {
	// SM-TOK-06: five minutes are assumed, and the log says so; a life that is said says nothing.
	for life, want := range map[any]bool{nil: true, "": true, 0: true, "soon": true, 3600: false, "3600.0": false} {
		w := newWorld(t)
		w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"expires_in": life}})
		s := w.signIn(t)
		if d := time.Until(s.Until()); (d <= 5*time.Minute) != want {
			t.Errorf("%v: ends in %v", life, d)
		}
		if said := strings.Contains(w.logs.String(), "five minutes are assumed"); said != want {
			t.Errorf("%v: said %v", life, said)
		}
	}
}

func TestClocks(t *testing.T) {
	// SM-ID-05: clocks that differ by more than five minutes have a sentence of their own, whichever of them is wrong.
	for ahead, sentence := range map[time.Duration]string{
		0: "", 4 * time.Minute: "", -6 * time.Minute: "", // its id_token lives five minutes, and two more here
		-time.Hour: "differ by 1h0m0s: set the clock", time.Hour: "differ by 1h0m0s: set the clock", 7 * time.Minute: "differ by 7m0s: set the clock",
	} {
		w := newWorld(t)
		w.as.Misbehave(oauthtest.Faults{Clock: ahead})
		_, err := w.l.SignIn(t.Context())
		if got := oauth.Sentence(err); (err == nil) != (sentence == "") || !strings.Contains(got, sentence) {
			t.Errorf("%v: %v: %q", ahead, err, got)
		}
	}
	// A token that has ended although the clocks agree is another matter.
	w := newWorld(t)
	w.as.Misbehave(claims("exp", time.Now().Add(-time.Hour).Unix()))
	if _, err := w.l.SignIn(t.Context()); strings.Contains(oauth.Sentence(err), "clock") {
		t.Errorf("%q", oauth.Sentence(err))
	}
}

func TestCodeIsNotRedirected(t *testing.T) {
	// SM-TOK-04: a 307 would send the code once more, and to somebody else.
	w := newWorld(t)
	asked := false
	mux := w.ts.Config.Handler.(*http.ServeMux)
	mux.Handle("/old/token", http.RedirectHandler("/new/token", http.StatusTemporaryRedirect))
	mux.HandleFunc("/new/token", func(http.ResponseWriter, *http.Request) { asked = true })
	w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"token_endpoint": "/old/token"}})
	if _, err := w.l.SignIn(t.Context()); err == nil || asked {
		t.Errorf("%v, followed: %v", err, asked)
	}
}

func TestGrantedIsNotRequested(t *testing.T) {
	// SM-TOK-07, FC-DISC-10
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": "openid offline_access"}})
	g := w.signIn(t).Grant()
	if !slices.Equal(g.Scopes, []string{"openid", "offline_access"}) || !g.ScopesSaid || !slices.Equal(g.Requested, w.l.Site.Scopes) {
		t.Errorf("granted %q of %q", g.Scopes, g.Requested)
	}
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": nil}})
	g = w.signIn(t).Grant()
	if !slices.Equal(g.Scopes, w.l.Site.Scopes) || g.ScopesSaid {
		t.Errorf("not said: %q", g.Scopes)
	}
}

func TestWhatIsMissingIsLogged(t *testing.T) {
	// SM-TOK-08, SM-SCOPE-03, SM-SCOPE-05
	for _, c := range []struct{ granted, want, never string }{
		{"fhirUser user/*.read openid", "", "granted"}, // another order, another style, no refresh scope
		{"openid fhirUser user/Patient.rs", `less than was asked for" missing=user/Group.rs`, "scope_style"},
		{"openid fhirUser launch online_access", `scope_style of the site to v1 or v2" missing="user/Patient.rs user/Group.rs"`, "less than"},
		{"user/*.rs", `less than was asked for" missing="openid fhirUser"`, "scope_style"},
	} {
		w := newWorld(t)
		w.l.Site.Scopes = []string{"openid", "fhirUser", "offline_access", "user/Patient.rs", "user/Group.rs", "fhircast/Patient-open.read"}
		w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": c.granted}})
		w.signIn(t)
		if log := w.logs.String(); !strings.Contains(log, c.want) || strings.Contains(log, c.never) {
			t.Errorf("%s: %s", c.granted, log)
		}
	}
}

func TestHubMembers(t *testing.T) {
	// SM-FC-02, SM-FC-04, FC-DISC-06
	for _, c := range []struct {
		name, url, topic string
		wantURL          bool
	}{
		{"both", "https://hub.example/h", "t1", true},
		{"url alone", "https://hub.example/h", "", true},
		{"neither", "", "", false},
		{"a hub by http", "http://hub.example/h", "t1", false},
		{"a hub that is no address", "hub", "t1", false},
	} {
		w := newWorld(t)
		w.as.Hub = nil
		w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": c.url, "hub.topic": c.topic}})
		g := w.signIn(t).Grant()
		if (g.HubURL != "") != c.wantURL || c.wantURL && g.HubURL != c.url || g.HubTopic.Reveal() != c.topic {
			t.Errorf("%s: %q", c.name, g.HubURL)
		}
	}
}

func TestStoredAndNot(t *testing.T) {
	// SM-STORE-02, SM-CTX-07, SM-REDIR-11
	w := newWorld(t)
	w.as.Extra = map[string]any{"patient": "patient-canary", "encounter": "encounter-canary", "__x": "extra-canary", "imagingstudy": "study-canary",
		"tenant": "tenant-canary", "fhirContext": []any{map[string]any{"reference": "ImagingStudy/item-canary"}, "Patient/odd-canary"}}
	w.as.CodeLife = 2 * time.Second
	s := w.signIn(t)
	all := w.store.all()
	for _, want := range []string{topic, "/hub/", "R. Reader", "/auth/token", `"client_id":"castray"`, "fhircast/Patient-open.read"} {
		if !strings.Contains(all, want) {
			t.Errorf("a restart would miss %q", want)
		}
	}
	form := w.tokenForms()[0]
	for _, never := range []string{"-canary", "id_token", "eyJ",
		form.Get("code"), form.Get("code_verifier")} {
		if strings.Contains(strings.ReplaceAll(all, topic, ""), never) {
			t.Errorf("stored: %q", never)
		}
	}
	if strings.Contains(strings.ReplaceAll(w.logs.String(), topic, ""), "-canary") || !strings.Contains(w.logs.String(), "members=fhirContext") {
		t.Errorf("logged: %s", w.logs)
	}
	if g := s.Grant(); g.Launch.Patient.Reveal() != "patient-canary" || g.Launch.Extra["__x"].Reveal() != `"extra-canary"` {
		t.Error("the launch context is not in memory")
	}
}

func TestStylesAreNotFetched(t *testing.T) {
	// SM-CTX-05: what the sign-in names as a style is not asked for; the banner is a hint for who asks.
	w := newWorld(t)
	w.as.Extra = map[string]any{"smart_style_url": w.ts.URL + "/style.json", "need_patient_banner": true}
	s := w.signIn(t)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := s.Grant().Launch; !l.Banner || !l.BannerSaid || l.StyleURL.Reveal() != w.ts.URL+"/style.json" {
		t.Error("the hints are not there")
	}
	if n := w.as.Count("/style.json"); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestNoRefreshToken(t *testing.T) {
	// SM-REF-09: nothing to keep, and what an older sign-in left is deleted.
	w := newWorld(t)
	w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{NoRefresh: true})
	s := w.signIn(t)
	if items, _ := w.store.count(); items != 0 || s.Renews() || s.Warning() != "" {
		t.Errorf("%d items, renews %v, warning %q", items, s.Renews(), s.Warning())
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Errorf("nothing to refresh yet: %v", err)
	}
}

func TestRefreshTokenWithoutScope(t *testing.T) {
	// SM-REF-01: the token's presence decides, not the scope string.
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": "openid"}})
	s := w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{})
	if err := s.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStoreFails(t *testing.T) {
	// SM-STORE-06, SM-STORE-03
	for err, sentence := range map[error]string{
		oauth.ErrLocked: "keychain is locked", oauth.ErrUnavailable: "no keychain", oauth.ErrTooBig: "too big",
		fs.ErrPermission: "try again", // a store that breaks its promise
	} {
		w := newWorld(t)
		w.store.failing(err)
		s := w.signIn(t)
		if !strings.Contains(s.Warning(), sentence) {
			t.Errorf("%v: %q", err, s.Warning())
		}
		resp, e := s.Client().Get(w.ts.URL + "/hub/")
		if e != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%v: the session does not work from memory: %v", err, e)
			continue
		}
		resp.Body.Close()
		select {
		case <-s.Changed():
		default:
			t.Errorf("%v: nobody was told", err)
		}
	}
}

func TestIDToken(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name   string
		faults oauthtest.Faults
		refuse string // part of the sentence, "" = accepted
		nobody bool
	}{
		// SM-ID-01
		{name: "signed by another key", faults: oauthtest.Faults{BadSign: true}, refuse: "not signed by a key"},
		{name: "another issuer", faults: claims("iss", "https://other.example"), refuse: "another issuer"},
		{name: "issuer with one slash more", faults: claims("iss", "$/auth/"), refuse: "another issuer"},
		{name: "for another client", faults: claims("aud", "other"), refuse: "another client"},
		{name: "long ended", faults: claims("exp", now.Add(-3*time.Minute).Unix()), refuse: "expired"},
		{name: "without an end", faults: claims("exp", nil), refuse: "expired"},
		// SM-ID-02
		{name: "two clients, party not named", faults: claims("aud", []string{"castray", "other"}), refuse: "another client"},
		{name: "two clients, the other's", faults: oauthtest.Faults{Claims: map[string]any{"aud": []string{"castray", "other"}, "azp": "other"}}, refuse: "another client"},
		{name: "two clients, ours", faults: oauthtest.Faults{Claims: map[string]any{"aud": []string{"castray", "other"}, "azp": "castray"}}},
		// SM-ID-04
		{name: "no nonce", faults: claims("nonce", nil), refuse: "another sign-in"},
		{name: "another nonce", faults: claims("nonce", "x"), refuse: "another sign-in"},
		// SM-ID-05
		{name: "ended a minute ago", faults: claims("exp", now.Add(-time.Minute).Unix())},
		{name: "from four minutes ahead", faults: claims("iat", now.Add(4*time.Minute).Unix())},
		{name: "from ten minutes ahead", faults: claims("iat", now.Add(10*time.Minute).Unix()), refuse: "future"},
		{name: "not before ten minutes ahead", faults: claims("nbf", now.Add(10*time.Minute).Unix()), refuse: "future"},
		// SM-ID-06
		{name: "for another access token", faults: claims("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), refuse: "another access token"},
		{name: "without at_hash", faults: claims("at_hash", nil)},
		{name: "of nobody", faults: claims("sub", ""), refuse: "names nobody"},
		// SM-ID-08
		{name: "missing", faults: oauthtest.Faults{NoID: true}, nobody: true},
		{name: "rubbish", faults: oauthtest.Faults{Body: map[string]any{"id_token": "eyJ.e30.x"}}, refuse: "not signed by a key"},
		// SM-ID-03
		{name: "unsigned", faults: oauthtest.Faults{Signed: "none"}, refuse: "not signed by a key"},
		{name: "signed with the public key as a shared secret", faults: oauthtest.Faults{Signed: "HS256", BareKeys: true}, refuse: "not signed by a key"},
		{name: "signed by an algorithm that is not listed", faults: oauthtest.Faults{Signed: "ES256"}, refuse: "not signed by a key"},
		{name: "keys named by the issuer", faults: oauthtest.Faults{Configuration: map[string]any{"jwks_uri": nil}}},
		{name: "no keys anywhere", faults: oauthtest.Faults{Configuration: map[string]any{"jwks_uri": "/nowhere"}}, refuse: "not signed by a key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if iss, ok := c.faults.Claims["iss"].(string); ok {
				c.faults.Claims["iss"] = strings.Replace(iss, "$", w.ts.URL, 1)
			}
			w.as.Misbehave(c.faults)
			s, err := w.l.SignIn(t.Context())
			if c.refuse != "" {
				if err == nil || !strings.Contains(oauth.Sentence(err), c.refuse) {
					t.Errorf("%v: %q", err, oauth.Sentence(err))
				}
				if items, _ := w.store.count(); items != 0 {
					t.Error("stored all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Grant().User.Subject == ""; got != c.nobody {
				t.Errorf("user %+v", s.Grant().User)
			}
			if warned := strings.Contains(w.logs.String(), "sent no id_token"); warned != c.nobody {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}

func TestIDTokenAlgorithmsThatAreListed(t *testing.T) {
	// SM-ID-03: an asymmetric one that the site lists is as good as RS256, and RS256 stays good.
	for _, signed := range []string{"RS384", "ES256", ""} {
		w := newWorld(t)
		w.l.Site.IDTokenAlgs = []string{"RS384", "ES256"}
		w.as.Misbehave(oauthtest.Faults{Signed: signed, BareKeys: signed == "RS384"}) // its key is published for RS256 alone
		if got := w.signIn(t).Grant().User.Subject; got != "u1" {
			t.Errorf("%s: %q", signed, got)
		}
	}
	w := newWorld(t)
	w.l.Site.IDTokenAlgs = []string{"RS384"}
	w.as.Misbehave(oauthtest.Faults{Signed: "RS384"})
	if _, err := w.l.SignIn(t.Context()); err == nil {
		t.Error("signed by a key that is published for RS256 alone")
	}
}

func claims(name string, value any) oauthtest.Faults {
	return oauthtest.Faults{Claims: map[string]any{name: value}}
}

func TestFHIRUser(t *testing.T) {
	// SM-ID-07
	for _, c := range []struct {
		claims map[string]any
		want   string
	}{
		{map[string]any{"fhirUser": "https://ehr.example/fhir/Practitioner/1"}, "https://ehr.example/fhir/Practitioner/1"},
		{map[string]any{"fhirUser": nil, "profile": "Practitioner/2"}, "Practitioner/2"},
		{map[string]any{"fhirUser": nil, "profile": "https://people.example/reader"}, ""},
	} {
		w := newWorld(t)
		w.as.Misbehave(oauthtest.Faults{Claims: c.claims})
		if got := w.signIn(t).Grant().User.FHIRUser; got != c.want {
			t.Errorf("%v: %q", c.claims, got)
		}
	}
}

func TestKeyRotation(t *testing.T) {
	// SM-ID-10, SM-DISC-11: keys are fetched anew for an unknown kid, and the next sign-in asks anew where they are.
	w := newWorld(t)
	w.signIn(t)
	w.signIn(t)
	if n := w.as.Count("/auth/jwks"); n != 1 {
		t.Errorf("%d fetches of the keys for two sign-ins", n)
	}
	w.as.NewKey()
	w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{BadSign: true})
	if _, err := w.l.SignIn(t.Context()); err == nil {
		t.Fatal("signed in")
	}
	if n := w.as.Count("/fhir" + wellKnown); n != 1 {
		t.Errorf("%d discoveries before", n)
	}
	w.as.Misbehave(oauthtest.Faults{})
	w.signIn(t)
	if n := w.as.Count("/fhir" + wellKnown); n != 2 {
		t.Errorf("%d discoveries after a token that no key fits", n)
	}
}

func TestDeclinedIsTestable(t *testing.T) {
	w := newWorld(t)
	w.as.Users = nil
	if _, err := w.l.SignIn(t.Context()); !errors.Is(err, oauth.ErrDeclined) {
		t.Errorf("%v", err)
	}
}
