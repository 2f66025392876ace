package oauth_test

import (
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestMemoryOnlyRefused(t *testing.T) {
	// SM-STORE-06: where the administrator does not allow a sign-in that ends with
	// the process, there is none, and what the server gave is given back.
	for name, c := range map[string]struct {
		spoil    func(*world)
		sentence string
		asked    int // codes exchanged
	}{
		"no store":                   {func(w *world) { w.l.Store = nil }, "no keychain", 0},
		"no keychain":                {func(w *world) { w.store.loadErr, w.store.saveErr = oauth.ErrUnavailable, oauth.ErrUnavailable }, "no keychain", 0},
		"locked, and not opened":     {func(w *world) { w.store.loadErr, w.store.saveErr = oauth.ErrLocked, oauth.ErrLocked }, "unlock", 1},
		"more than it takes":         {func(w *world) { w.store.saveErr = oauth.ErrTooBig }, "no keychain", 1},
		"locked, opened on the way":  {func(w *world) { w.store.loadErr = oauth.ErrLocked }, "", 1},
		"all is well":                {func(*world) {}, "", 1},
		"there is nothing to keep":   {func(w *world) { w.as.Misbehave(oauthtest.Faults{NoRefresh: true}) }, "", 1},
		"it is not kept, but it may": {func(w *world) { w.l.RefuseMemoryOnly, w.store.saveErr = false, oauth.ErrUnavailable }, "", 1},
	} {
		w := newWorld(t)
		w.l.RefuseMemoryOnly = true
		c.spoil(w)
		s, err := w.l.SignIn(t.Context())
		if (err == nil) != (c.sentence == "") || (s == nil) != (err != nil) || !strings.Contains(oauth.Sentence(err), c.sentence) {
			t.Errorf("%s: %v, %q", name, err, oauth.Sentence(err))
		}
		if n := w.as.Count("/auth/token"); n != c.asked {
			t.Errorf("%s: %d codes exchanged", name, n)
		}
		revoked := w.as.Count("/auth/revoke")
		if want := min(c.asked, len(c.sentence)); revoked != want {
			t.Errorf("%s: revoked %d times", name, revoked)
		}
	}
}
