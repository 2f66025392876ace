package oauth_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// signsInElsewhere is a sign-in in another process, before the bubble.
func (w *world) signsInElsewhere(t *testing.T, claims map[string]any) *oauth.Session {
	t.Helper()
	w.as.Misbehave(oauthtest.Faults{Claims: claims})
	defer w.as.Misbehave(oauthtest.Faults{})
	s, err := w.launcher().SignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignInOfTheSameUserElsewhere(t *testing.T) {
	// SM-REF-03: the newest sign-in is everybody's.
	w := newWorld(t)
	older := w.signIn(t)
	newer := w.signsInElsewhere(t, nil)
	if err := older.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := newer.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.reused() || older.Warning() != "" || newer.Warning() != "" {
		t.Errorf("a token twice: %v, warnings %q %q", w.reused(), older.Warning(), newer.Warning())
	}
	// Signed out in one is signed out.
	if err := older.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := newer.Refresh(t.Context())
	if items, _ := w.store.count(); !errors.Is(err, oauth.ErrLoginNeeded) || items != 0 {
		t.Errorf("the other one: %v, %d stored", err, items)
	}
}

func TestSignInThatIsStoredLate(t *testing.T) {
	// SM-REF-05: what lies in the store until then is an older sign-in, of whomever.
	for _, claims := range []map[string]any{nil, {"sub": "u2"}} {
		w := newWorld(t)
		w.signsInElsewhere(t, claims)
		w.store.failing(oauth.ErrLocked)
		newer := w.signsInElsewhere(t, nil)
		older := w.store.all()
		if err := newer.Refresh(t.Context()); err != nil || w.store.all() != older || !strings.Contains(newer.Warning(), "locked") {
			t.Fatalf("%v, warning %q", err, newer.Warning())
		}
		w.store.failing(nil)
		if err := newer.Refresh(t.Context()); err != nil || w.store.all() == older || newer.Warning() != "" {
			t.Errorf("%v, warning %q", err, newer.Warning())
		}
		if w.reused() {
			t.Error("a token was presented twice")
		}
		s, err := w.launcher().Resume(t.Context())
		if err != nil || s.Grant().User.Subject != "u1" {
			t.Errorf("what is stored now: %v", err)
		}
	}
}

func TestSignOutOfWhatIsNotStoredYet(t *testing.T) {
	// SM-REV-01: the older sign-in in its place would be gone on with.
	w := newWorld(t)
	w.signsInElsewhere(t, map[string]any{"sub": "u2"})
	w.store.failing(oauth.ErrLocked)
	newer := w.signsInElsewhere(t, nil)
	if err := newer.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, _ := w.store.count(); items != 0 {
		t.Error("the older sign-in is left")
	}
}

func TestSignInOfAnotherUserElsewhere(t *testing.T) {
	// SM-ID-09: what another user has stored meanwhile is not gone on with, and
	// not touched.
	for _, rotates := range []bool{true, false} {
		w := newWorld(t)
		mine := w.signIn(t)
		user := mine.Grant().User
		other := w.signsInElsewhere(t, map[string]any{"sub": "u2", "fhirUser": "Practitioner/second", "name": "S. Second"})
		theirs := w.store.all()
		w.as.Misbehave(oauthtest.Faults{KeepRefresh: !rotates})
		for range 2 {
			if err := mine.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if w.store.all() != theirs || rotates && w.reused() || mine.Grant().User != user {
			t.Error("it went on with the other's sign-in")
		}
		if !strings.Contains(mine.Warning(), "restart") || strings.Count(w.logs.String(), "sign-in is not stored") != 1 {
			t.Errorf("warning %q", mine.Warning())
		}
		if err := mine.SignOut(t.Context()); err != nil || w.store.all() != theirs {
			t.Errorf("signed out: %v; that removed the other's", err)
		}
		if err := other.Refresh(t.Context()); err != nil {
			t.Errorf("the other's sign-in: %v", err)
		}
	}
}

func TestSignOutElsewhere(t *testing.T) {
	// SM-REV-01, SM-STORE-11: what was deleted on purpose does not come back, not
	// even where the server cannot revoke it.
	bubble(t, func(w *world) {
		w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"revocation_endpoint": nil}})
	}, func(t *testing.T, w *world, here *oauth.Session) {
		there := w.process(t, nil)
		if err := here.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := there.SignOut(t.Context()); err != nil || w.as.Count("/auth/revoke") != 0 {
			t.Fatalf("signed out: %v", err)
		}
		end := run(t.Context(), here)
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if items, _ := w.store.count(); items != 0 {
			t.Error("it is stored again")
		}
		if !here.Renews() || !strings.Contains(here.Warning(), "restart") {
			t.Errorf("renews %v, warning %q", here.Renews(), here.Warning())
		}
		_ = end()
	})
}

func TestSignOutOfWhatAnotherProcessRefreshed(t *testing.T) {
	// SM-REV-01
	bubble(t, honest, func(t *testing.T, w *world, here *oauth.Session) {
		there := w.process(t, nil)
		if err := here.SignOut(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, r := range w.as.Requests() {
			for _, form := range w.tokenForms() {
				if r.Path == "/auth/revoke" && r.Form.Get("token") == form.Get("refresh_token") {
					t.Error("a token that was already replaced was revoked")
				}
			}
		}
		if err := there.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) {
			t.Errorf("the other one: %v", err)
		}
	})
}
