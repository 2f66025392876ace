package oauth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

type start func(*oauth.Launcher, context.Context) (*oauth.Attempt, error)

// signsIn signs in by one of a Launcher's ways to start, and returns the query of the authorization request too.
func (w *world) signsIn(t *testing.T, by start) (prompt []string, err error) {
	t.Helper()
	a, err := by(w.l, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Open(t.Context())
	_, err = a.Wait(t.Context())
	for _, r := range w.as.Requests() {
		if r.Path == "/auth/authorize" {
			prompt = r.Form["prompt"]
			if r.Form.Has("max_age") {
				t.Error("max_age is sent")
			}
		}
	}
	return prompt, err
}

// SM-AUTH-06: prompt=login where another person may sit there, never otherwise, and never max_age. A server that shows by
// auth_time that it did not ask is not believed then; one that does not say is.
func TestAnotherPersonIsAskedFor(t *testing.T) {
	long, now := time.Now().Add(-time.Hour).Unix(), time.Now().Unix()
	for _, c := range []struct {
		name     string
		shared   bool
		by       start
		authTime any
		asks, ok bool
	}{
		{"an ordinary sign-in", false, (*oauth.Launcher).Start, nil, false, true},
		{"an ordinary sign-in by a session of the browser", false, (*oauth.Launcher).Start, long, false, true},
		{"a shared workstation", true, (*oauth.Launcher).Start, nil, true, true},
		{"a shared workstation, asked", true, (*oauth.Launcher).Start, now, true, true},
		{"a shared workstation, not asked", true, (*oauth.Launcher).Start, long, true, false},
		{"a shared workstation, and a server that says it in words", true, (*oauth.Launcher).Start, "today", true, true},
		{"another user", false, (*oauth.Launcher).StartAnew, now, true, true},
		{"another user, not asked", false, (*oauth.Launcher).StartAnew, long, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.l.Site.Shared = c.shared
			w.as.Misbehave(oauthtest.Faults{Claims: map[string]any{"auth_time": c.authTime}})
			prompt, err := w.signsIn(t, c.by)
			if asks := len(prompt) == 1 && prompt[0] == "login"; asks != c.asks || !asks && prompt != nil {
				t.Errorf("prompt %q", prompt)
			}
			if (err == nil) != c.ok || err != nil && oauth.Sentence(err) == "" {
				t.Errorf("error %v", err)
			}
		})
	}
}

// SM-ID-08: a sign-in that names nobody is a warning at one's own desk, and none at a shared one: it is revoked.
func TestASharedWorkstationWantsAName(t *testing.T) {
	for shared, revoked := range map[bool]int{false: 0, true: 1} {
		w := newWorld(t)
		w.l.Site.Shared = shared
		w.as.Misbehave(oauthtest.Faults{NoID: true})
		if _, err := w.signsIn(t, (*oauth.Launcher).Start); (err == nil) == shared {
			t.Errorf("shared %t: %v", shared, err)
		}
		if n := w.as.Count("/auth/revoke"); n != revoked {
			t.Errorf("shared %t: %d revoked", shared, n)
		}
	}
}

// SM-STORE-11: what another process has stored is revoked and deleted without being used, and what cannot be read is
// deleted all the same.
func TestForget(t *testing.T) {
	w := newWorld(t)
	w.signIn(t)
	if err := w.launcher().Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, _ := w.store.count(); items != 0 || w.as.Count("/auth/revoke") != 1 || w.as.Count("/auth/token") != 1 {
		t.Errorf("%d kept, %d revoked, %d token requests", items, w.as.Count("/auth/revoke"), w.as.Count("/auth/token"))
	}
	if err := w.launcher().Forget(t.Context()); err != nil {
		t.Errorf("nothing there: %v", err)
	}

	w.signIn(t)
	if err := w.l.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, _ := w.store.count(); items != 1 || w.as.Count("/auth/revoke") != 1 {
		t.Errorf("%d kept, %d revoked: a session was taken for an earlier one", items, w.as.Count("/auth/revoke"))
	}
	for key := range w.store.items {
		w.store.items[key] = []byte("rubbish")
	}
	if err := w.launcher().Forget(t.Context()); err != nil {
		t.Errorf("rubbish: %v", err)
	}
	if items, _ := w.store.count(); items != 0 {
		t.Errorf("%d kept", items)
	}
	w.store.loadErr = oauth.ErrLocked
	if err := w.launcher().Forget(t.Context()); !errors.Is(err, oauth.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
}
