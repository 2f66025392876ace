package oauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"time"
)

// Sign-out takes five seconds at most.
const (
	revokeLimit = 3 * time.Second
	deleteLimit = 2 * time.Second
)

// SignOut revokes the sign-in at the server (RFC 7009) and deletes it here,
// whatever the server said and whether or not ctx has ended. Subscriptions have
// to be ended before: nothing is signed any more. An error means that the store
// may still hold the (revoked) sign-in. It may be called twice. Signing out a
// session that a newer one of the same Launcher has replaced revokes it and
// leaves what the newer one stored.
func (s *Session) SignOut(ctx context.Context) error {
	s.mu.Lock()
	s.out = true
	if s.over == nil {
		s.over = &failure{doing: "signed out", sentence: "You are signed out.", err: ErrLoginNeeded}
	}
	f := s.flight
	s.mu.Unlock()
	s.notify()

	ctx = context.WithoutCancel(ctx)
	limited, cancel := context.WithTimeout(ctx, revokeLimit)
	defer cancel()
	if f != nil {
		// Its answer may replace the token that has to be revoked.
		select {
		case <-f.done:
		case <-limited.Done():
		}
	}
	// What another process has made of it meanwhile is what has to be revoked
	// and deleted.
	defer s.vault.alone(limited, lockAgain)()
	s.catchUp(limited)
	s.mu.Lock()
	token, hint := s.refresh.Reveal(), "refresh_token"
	if token == "" {
		token, hint = s.access.token.Reveal(), "access_token"
	}
	s.refresh, s.access.token = Secret{}, Secret{}
	s.mu.Unlock()
	if token != "" && s.ends.Revoke != "" {
		if err := s.revoke(limited, token, hint); err != nil {
			s.log.Warn("server did not confirm the sign-out", "reason", err.Error())
		}
	}
	if err := s.vault.wipe(ctx, deleteLimit, s); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// Forget revokes and deletes what an earlier process stored for this site,
// without going on with it. Nothing stored is no error; ErrLocked and
// ErrUnavailable say that something may still be. What a session of this
// Launcher holds is not touched.
func (l *Launcher) Forget(ctx context.Context) error {
	s := l.session(l.web(), saved{})
	before := s.vault.owner.Load()
	if before != nil {
		if _, over := before.snapshot(); !over {
			return nil
		}
	}
	had, err := s.vault.loadAlone(ctx, l.Site)
	switch {
	case err == nil:
		s.goesOnWith(had)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrLoginNeeded): // what cannot be read can be deleted
		return fmt.Errorf("forget: %w", err)
	}
	if !s.vault.owner.CompareAndSwap(before, s) {
		return nil // signed in meanwhile, which has taken its place
	}
	return s.SignOut(ctx)
}

// revoke sends token once, and once more if the server asks to wait and there
// is time (RFC 7009, 2.2).
func (s *Session) revoke(ctx context.Context, token, hint string) error {
	if err := s.believe(ctx); err != nil {
		return err
	}
	u, err := url.Parse(s.ends.Revoke)
	if err != nil || s.web.site.usable(u) != nil {
		return endpointError("revocation_endpoint", "cannot be used")
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	for try := 0; ; try++ {
		r, err := s.web.ask(ctx, "revoke", s.ends.Revoke, s.ends, form)
		if err != nil {
			return err
		}
		wait := retryAfter(r.header)
		deadline, _ := ctx.Deadline()
		again := r.status == http.StatusServiceUnavailable && wait > 0 && try == 0 && time.Now().Add(wait).Before(deadline)
		if !again {
			if r.status >= 500 {
				return statusFailure("revoke", r.status)
			}
			return nil // 200, and everything that says "not here": there is nothing more to do
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return networkError("revoke", ctx.Err())
		}
	}
}
