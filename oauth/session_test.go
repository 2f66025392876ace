package oauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// direct is a transport without a network, for bubbles.
func direct(h http.Handler) http.RoundTripper {
	return roundTripper(func(r *http.Request) (_ *http.Response, err error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		defer func() {
			if recover() != nil { // how oauthtest drops a connection
				err = io.ErrUnexpectedEOF
			}
		}()
		in := r.Clone(r.Context())
		in.Host, in.TLS, in.RequestURI = r.URL.Host, &tls.ConnectionState{}, r.URL.RequestURI()
		if in.Body == nil {
			in.Body = http.NoBody
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, in)
		resp := rec.Result()
		resp.Request = r
		return resp, nil
	})
}

// bubble signs in over the network, and then runs f in a bubble with a session
// that was resumed there.
func bubble(t *testing.T, prepare func(*world), f func(t *testing.T, w *world, s *oauth.Session)) {
	t.Helper()
	w := newWorld(t)
	prepare(w)
	w.signIn(t)
	synctest.Test(t, func(t *testing.T) {
		l := w.launcher()
		l.HTTP = &http.Client{Transport: direct(w.ts.Config.Handler)}
		s, err := l.Resume(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f(t, w, s)
	})
}

// run starts Run and returns a function that ends it and gives its error.
func run(ctx context.Context, s *oauth.Session) (end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func honest(*world) {}

func TestRefreshInTime(t *testing.T) {
	// SM-REF-06: at 80 % of life give or take 5 %, and not within a minute of
	// the last one.
	for _, c := range []struct{ life, from, to time.Duration }{
		{time.Hour, 2692 * time.Second, 3052 * time.Second},
		{570 * time.Second, 420 * time.Second, 477 * time.Second},
		{40 * time.Second, time.Minute, time.Minute + time.Second},
	} {
		bubble(t, func(w *world) { w.as.TokenLife = c.life }, func(t *testing.T, w *world, s *oauth.Session) {
			before := w.as.Count("/auth/token")
			end := run(t.Context(), s)
			time.Sleep(c.from - time.Second)
			synctest.Wait()
			if n := w.as.Count("/auth/token") - before; n != 0 {
				t.Errorf("life %v: %d refreshes too early", c.life, n)
			}
			time.Sleep(c.to - c.from + 2*time.Second)
			synctest.Wait()
			if n := w.as.Count("/auth/token") - before; n != 1 {
				t.Errorf("life %v: %d refreshes when due", c.life, n)
			}
			if err := end(); !errors.Is(err, context.Canceled) {
				t.Errorf("Run ended with %v", err)
			}
		})
	}
}

func TestRefreshAllDay(t *testing.T) {
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		before := w.as.Count("/auth/token")
		end := run(t.Context(), s)
		for range 24 {
			time.Sleep(time.Hour)
			synctest.Wait()
			if !time.Now().Before(s.Until()) {
				t.Fatal("the token has expired")
			}
		}
		if n := w.as.Count("/auth/token") - before; n < 27 || n > 33 {
			t.Errorf("%d refreshes in a day of one-hour tokens", n)
		}
		_ = end()
	})
}

func TestOneRefreshForAll(t *testing.T) {
	// SM-REF-04
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{Slow: time.Second})
		before := w.as.Count("/auth/token")
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := s.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := w.as.Count("/auth/token") - before; n != 1 {
			t.Errorf("%d requests for 50 callers", n)
		}
	})
}

func TestImpatientCallerCostsNothing(t *testing.T) {
	// SM-REF-05: a refresh that has begun is finished, since its answer may
	// hold the only refresh token that is still good.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{Slow: time.Second})
		_, before := w.store.count()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Refresh(ctx); err != nil {
			t.Error(err)
		}
		if _, n := w.store.count(); n != before+1 {
			t.Errorf("%d saves", n-before)
		}
		if err := s.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that has not begun: %v", err)
		}
	})
}

func TestStoredBeforeUsed(t *testing.T) {
	// SM-REF-03, SM-REF-05
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		was := s.Until()
		time.Sleep(time.Minute)
		seen := false
		w.store.onSave = func(b []byte) {
			seen = true
			if !s.Until().Equal(was) {
				t.Error("the new access token is in use before the refresh token is stored")
			}
		}
		if err := s.Refresh(t.Context()); err != nil || !seen || s.Until().Equal(was) {
			t.Errorf("%v, stored %v", err, seen)
		}
	})
}

func TestFewWrites(t *testing.T) {
	// SM-STORE-09, SM-REF-03: a server that never rotates causes no writes.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{KeepRefresh: true})
		_, before := w.store.count()
		for range 50 {
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, n := w.store.count(); n != before {
			t.Errorf("%d writes", n-before)
		}
	})
}

func TestPatienceWithTheStore(t *testing.T) {
	// SM-STORE-05: after a sign-in the user may be typing the password of the
	// keychain; nobody waits for what is stored later.
	w := newWorld(t)
	s := w.signIn(t)
	if at := w.store.within; at < 55*time.Second || at > time.Minute {
		t.Errorf("after the sign-in it has %v", at)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := w.store.within; at <= 0 || at > 5*time.Second {
		t.Errorf("after a refresh it has %v", at)
	}
}

func TestStoreFailsAndHeals(t *testing.T) {
	// SM-REF-05
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.store.failing(oauth.ErrLocked)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatalf("the session ended with the store: %v", err)
		}
		if !strings.Contains(s.Warning(), "restart") {
			t.Errorf("warning %q", s.Warning())
		}
		end := run(t.Context(), s)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if s.Warning() == "" {
			t.Error("the warning went though the store still fails")
		}
		w.store.failing(nil)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if s.Warning() != "" {
			t.Errorf("warning %q", s.Warning())
		}
		_ = end()
		l := w.launcher()
		l.HTTP = &http.Client{Transport: direct(w.ts.Config.Handler)}
		if _, err := l.Resume(t.Context()); err != nil {
			t.Errorf("the healed store does not resume: %v", err)
		}
	})
}

func TestInvalidGrantEnds(t *testing.T) {
	// SM-REF-07, FM-12: one request, and no other in two hours.
	for _, status := range []int{400, 401, 403} {
		bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
			end := run(t.Context(), s)
			before := w.as.Count("/auth/token")
			w.as.Misbehave(oauthtest.Faults{TokenError: "invalid_grant", TokenStatus: status})
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if err := end(); !errors.Is(err, oauth.ErrLoginNeeded) {
				t.Errorf("%d: Run ended with %v", status, err)
			}
			if n := w.as.Count("/auth/token") - before; n != 1 {
				t.Errorf("%d: asked %d times", status, n)
			}
			if items, _ := w.store.count(); items != 0 || s.Renews() {
				t.Errorf("%d: the refresh token is kept", status)
			}
			if err := s.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) {
				t.Errorf("%d: %v", status, err)
			}
			if n := w.as.Count("/auth/token") - before; n != 1 {
				t.Errorf("%d: asked again", status)
			}
		})
	}
}

func TestEndOfEHRSession(t *testing.T) {
	// SM-REF-11
	bubble(t, func(w *world) { w.l.Site.Scopes = []string{"online_access"} }, func(t *testing.T, w *world, _ *oauth.Session) {
		l := w.launcher()
		l.Site.Scopes = []string{"online_access"}
		l.HTTP = &http.Client{Transport: direct(w.ts.Config.Handler)}
		w.as.Misbehave(oauthtest.Faults{TokenError: "invalid_grant"})
		_, err := l.Resume(t.Context())
		if !errors.Is(err, oauth.ErrLoginNeeded) || !strings.Contains(oauth.Sentence(err), "EHR session has ended") {
			t.Errorf("%v: %q", err, oauth.Sentence(err))
		}
	})
}

func TestTroubleKeepsTheToken(t *testing.T) {
	// SM-REF-08
	for name, f := range map[string]oauthtest.Faults{
		"down":                   {TokenStatus: 500},
		"busy":                   {TokenStatus: 429},
		"temporarily":            {TokenError: "temporarily_unavailable", TokenStatus: 503},
		"a web page":             {HTML: true},
		"no JSON, 400":           {TokenStatus: 400},
		"client refused for now": {TokenError: "invalid_client", TokenStatus: 401},
	} {
		bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
			end := run(t.Context(), s)
			before := w.as.Count("/auth/token")
			w.as.Misbehave(f)
			time.Sleep(50 * time.Minute) // it becomes due and fails; the token is still good
			synctest.Wait()
			if _, err := s.Client().Get(w.ts.URL + "/hub/"); err != nil {
				t.Errorf("%s: the access token is not used to its end: %v", name, err)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			// From 1 s doubling to 5 min: some ten tries, then one in 5 min.
			if n := w.as.Count("/auth/token") - before; n < 15 || n > 40 {
				t.Errorf("%s: %d tries in an hour", name, n)
			}
			if _, err := s.Client().Get(w.ts.URL + "/hub/"); err == nil || errors.Is(err, oauth.ErrLoginNeeded) {
				t.Errorf("%s: after its end: %v", name, err)
			}
			if items, _ := w.store.count(); items != 1 || !s.Renews() {
				t.Errorf("%s: the refresh token is gone", name)
			}
			w.as.Misbehave(oauthtest.Faults{})
			time.Sleep(5*time.Minute + time.Second)
			synctest.Wait()
			if !time.Now().Before(s.Until()) {
				t.Errorf("%s: not healed", name)
			}
			if err := end(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Run ended with %v", name, err)
			}
		})
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	// SM-REF-08
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{TokenStatus: 429, RetryAfter: "600"})
		if err := s.Refresh(t.Context()); err == nil {
			t.Fatal("refreshed")
		}
		before := w.as.Count("/auth/token")
		w.as.Expire()
		for range 20 { // requests that are refused do not ask for more
			resp, err := s.Client().Get(w.ts.URL + "/hub/")
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%v", err)
			}
			resp.Body.Close()
		}
		if n := w.as.Count("/auth/token") - before; n != 0 {
			t.Errorf("%d tries within Retry-After", n)
		}
		time.Sleep(601 * time.Second)
		w.as.Misbehave(oauthtest.Faults{})
		resp, err := s.Client().Get(w.ts.URL + "/hub/")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("after it: %v", err)
		}
		resp.Body.Close()
	})
}

func TestLostAnswerAfterRotation(t *testing.T) {
	// SM-REF-08: the server rotated, we never heard. The next try is a re-use
	// to it, and the sign-in has ended.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{LoseAnswer: true})
		if err := s.Refresh(t.Context()); err == nil || errors.Is(err, oauth.ErrLoginNeeded) {
			t.Errorf("the answer was lost: %v", err)
		}
		w.as.Misbehave(oauthtest.Faults{})
		if err := s.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) {
			t.Errorf("the next try: %v", err)
		}
	})
}

func TestSleepOfThreeHours(t *testing.T) {
	// SM-REF-06: a request after a long pause without Run refreshes first. (In a
	// bubble timers and the wall clock run together; which of them counts is in
	// TestTimesAreOfTheWallClock.)
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		time.Sleep(3 * time.Hour)
		before := w.as.Count("/auth/token")
		resp, err := s.Client().Get(w.ts.URL + "/hub/")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v", err)
		}
		resp.Body.Close()
		if n := w.as.Count("/auth/token") - before; n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestEndsWithoutRefreshToken(t *testing.T) {
	// SM-REF-09
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{NoRefresh: true, Body: map[string]any{"expires_in": 1}})
	s := w.signIn(t)
	err := s.Run(t.Context())
	if !errors.Is(err, oauth.ErrLoginNeeded) || time.Now().Before(s.Until()) {
		t.Errorf("%v", err)
	}
	if _, err := s.Client().Get(w.ts.URL + "/hub/"); !errors.Is(err, oauth.ErrLoginNeeded) {
		t.Errorf("a request: %v", err)
	}
}

func TestRefreshKeepsTheGrant(t *testing.T) {
	// SM-REF-10, SM-CTX-06
	w := newWorld(t)
	w.as.Extra = map[string]any{"patient": "p1"}
	s := w.signIn(t)
	first := s.Grant()
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": nil, "patient": "p2", "encounter": "e2"}})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := s.Grant()
	if g.HubURL != first.HubURL || !g.HubTopic.Equal(first.HubTopic) || len(g.Scopes) != len(first.Scopes) || g.User != first.User {
		t.Error("a refresh that said nothing changed the grant")
	}
	if g.Launch.Patient.Reveal() != "p1" || !g.Launch.Encounter.IsZero() {
		t.Error("a refresh changed the launch context")
	}
	if !strings.Contains(w.logs.String(), "refresh names another patient") || strings.Contains(w.logs.String(), "p2") {
		t.Errorf("nobody was warned: %s", w.logs)
	}
	// hub.topic that is there and different is a new session.
	_, before := w.store.count()
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.topic": "t2", "hub.url": "https://hub2.example/"}})
	for len(s.Changed()) > 0 {
		<-s.Changed()
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := s.Grant(); g.HubTopic.Reveal() != "t2" || g.HubURL != "https://hub2.example/" {
		t.Error("another hub was not taken over")
	}
	if _, n := w.store.count(); n != before+1 || len(s.Changed()) != 1 || !strings.Contains(w.store.all(), "hub2.example") {
		t.Errorf("%d saves, told %d", n-before, len(s.Changed()))
	}
}

func TestRefreshOfAnotherUser(t *testing.T) {
	// SM-ID-09
	w := newWorld(t)
	s := w.signIn(t)
	w.as.Misbehave(oauthtest.Faults{IDAgain: true})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatalf("the same user without nonce: %v", err)
	}
	w.as.Misbehave(oauthtest.Faults{IDAgain: true, BadSign: true, Claims: map[string]any{"sub": "u2"}})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatalf("a proof that does not hold proves nothing: %v", err)
	}
	w.as.Misbehave(oauthtest.Faults{IDAgain: true, Claims: map[string]any{"sub": "u2", "iss": "https://other.example"}})
	if err := s.Refresh(t.Context()); err != nil || !strings.Contains(w.logs.String(), "is of another issuer") {
		t.Fatalf("nor does one of another issuer: %v", err)
	}
	if got := s.Grant().User.Subject; got != "u1" {
		t.Errorf("the user is %q", got)
	}
	w.as.Misbehave(oauthtest.Faults{IDAgain: true, Claims: map[string]any{"sub": "u2"}})
	if err := s.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || !strings.Contains(oauth.Sentence(err), "another user") {
		t.Errorf("another user: %v", err)
	}
	if items, _ := w.store.count(); items != 0 {
		t.Error("another user's sign-in is stored")
	}
}

func TestSignOut(t *testing.T) {
	// SM-REV-01, SM-REV-02
	for _, c := range []struct {
		name   string
		faults oauthtest.Faults
		asked  int
	}{
		{"honest", oauthtest.Faults{}, 1},
		{"not offered after all", oauthtest.Faults{RevokeStatus: 404}, 1},
		{"not supported", oauthtest.Faults{RevokeStatus: 400}, 1},
		{"down", oauthtest.Faults{RevokeStatus: 500}, 1},
		{"busy for a second", oauthtest.Faults{RevokeStatus: 503, RetryAfter: "1"}, 2},
		{"busy for a day", oauthtest.Faults{RevokeStatus: 503, RetryAfter: "86400"}, 1},
		{"silent", oauthtest.Faults{Slow: time.Hour}, 1},
	} {
		bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
			end := run(t.Context(), s)
			w.as.Misbehave(c.faults)
			start := time.Now()
			if err := s.SignOut(t.Context()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("%s: took %v", c.name, d)
			}
			if items, _ := w.store.count(); items != 0 {
				t.Errorf("%s: still stored", c.name)
			}
			if n := w.as.Count("/auth/revoke"); n != c.asked {
				t.Errorf("%s: asked %d times", c.name, n)
			}
			before := w.hub.count()
			if _, err := s.Client().Get(w.ts.URL + "/hub/"); !errors.Is(err, oauth.ErrLoginNeeded) || w.hub.count() != before {
				t.Errorf("%s: a request after it: %v", c.name, err)
			}
			if err := end(); !errors.Is(err, oauth.ErrLoginNeeded) {
				t.Errorf("%s: Run ended with %v", c.name, err)
			}
			if err := s.SignOut(t.Context()); err != nil {
				t.Errorf("%s: twice: %v", c.name, err)
			}
		})
	}
}

func TestSignOutRevokesTheNewest(t *testing.T) {
	// SM-REV-01: while a refresh is under way its answer is waited for.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{Slow: time.Second})
		done := make(chan error, 1)
		go func() { done <- s.Refresh(t.Context()) }()
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a caller that leaves does not leave the sign-in behind
		if err := s.SignOut(ctx); err != nil {
			t.Error(err)
		}
		<-done
		var token url.Values
		for _, r := range w.as.Requests() {
			if r.Path == "/auth/revoke" {
				token = r.Form
			}
		}
		w.as.Misbehave(oauthtest.Faults{})
		if token.Get("token_type_hint") != "refresh_token" || token.Get("client_id") != "castray" || token.Get("token") == "" {
			t.Error("the refresh token was not revoked")
		}
		for _, form := range w.tokenForms() {
			if form.Get("refresh_token") == token.Get("token") {
				t.Error("a token that was already replaced was revoked")
			}
		}
		if items, _ := w.store.count(); items != 0 {
			t.Error("the late refresh was stored after the sign-out")
		}
	})
}

func TestLateRefreshStaysDeleted(t *testing.T) {
	// SM-REV-01, SM-STORE-11: an answer that comes after the sign-out.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.as.Misbehave(oauthtest.Faults{Slow: 10 * time.Second})
		done := make(chan error, 1)
		go func() { done <- s.Refresh(t.Context()) }()
		time.Sleep(time.Second)
		start := time.Now()
		if err := s.SignOut(t.Context()); err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := <-done; !errors.Is(err, oauth.ErrLoginNeeded) {
			t.Errorf("the refresh: %v", err)
		}
		if items, _ := w.store.count(); items != 0 {
			t.Error("the late answer was stored")
		}
	})
}

func TestSignOutStoreFails(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t)
	w.store.delErr = oauth.ErrLocked
	if err := s.SignOut(t.Context()); !errors.Is(err, oauth.ErrLocked) {
		t.Errorf("%v", err)
	}
	if w.as.Count("/auth/revoke") != 1 {
		t.Error("not revoked")
	}
}

func TestNewerSessionOwnsTheStore(t *testing.T) {
	for name, late := range map[string]func(*world, *oauth.Session) error{
		"refreshed":  func(w *world, s *oauth.Session) error { return s.Refresh(t.Context()) },
		"signed out": func(w *world, s *oauth.Session) error { return s.SignOut(t.Context()) },
		"refused": func(w *world, s *oauth.Session) error {
			w.as.Misbehave(oauthtest.Faults{TokenError: "invalid_grant"})
			defer w.as.Misbehave(oauthtest.Faults{})
			if err := s.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) {
				return errors.New("it was not")
			}
			return nil
		},
	} {
		w := newWorld(t)
		older := w.signIn(t)
		_ = w.signIn(t)
		before := w.store.all()
		if err := late(w, older); err != nil {
			t.Errorf("the older one is %s: %v", name, err)
		}
		if w.store.all() != before {
			t.Errorf("the older one is %s: that changed what the newer one stored", name)
		}
		// What the newer one stored is there, and still good.
		if _, err := w.launcher().Resume(t.Context()); err != nil {
			t.Errorf("after the older one was %s: %v", name, err)
		}
	}
}

func TestQuitIsNotSignOut(t *testing.T) {
	// SM-REV-03
	w := newWorld(t)
	s := w.signIn(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if items, _ := w.store.count(); items != 1 || w.as.Count("/auth/revoke") != 0 {
		t.Error("quitting signed out")
	}
}
