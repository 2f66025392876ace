package agent

import (
	"context"
	"strings"

	"github.com/castray/castray/oauth"
)

// isSchemeRedirect tells the end of a sign-in from the beginning of one.
func isSchemeRedirect(raw string) bool {
	scheme, _, _ := strings.Cut(oauth.SchemeRedirect, "//")
	return len(raw) >= len(scheme) && strings.EqualFold(raw[:len(scheme)], scheme)
}

// redirected gives a redirect by the scheme to the sign-in that waits for it. Any program may send one, so one that nobody
// waits for is dropped without a word to whoever sent it.
func (a *Agent) redirected(ctx context.Context, raw string) error {
	found := false
	err := a.do(ctx, func() {
		for _, l := range a.launchers {
			found = found || l.Redirected(raw)
		}
	})
	if err == nil && !found {
		a.strayed()
	}
	return err
}

// strayed counts a redirect that no sign-in waits for.
func (a *Agent) strayed() {
	a.launches.strays.Add(1)
	a.changed()
	a.cfg.Log.Debug("a redirect that nobody waits for was dropped")
}
