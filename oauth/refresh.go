package oauth

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"
)

// fly makes the one refresh. While it waits for other processes nothing has
// begun, and the end of ctx ends it. Whatever the answer, s is in order when it
// returns.
func (s *Session) fly(ctx context.Context) (begun bool, err error) {
	defer s.vault.alone(ctx, lockWait)()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	kept := context.WithoutCancel(ctx) // for what has to be stored, whatever else is broken off
	ctx, cancel := s.untilLeft(kept)
	defer cancel()
	if err := s.believe(ctx); err != nil {
		return true, s.refused(kept, err)
	}
	token := s.catchUp(ctx)
	ans, err := s.present(ctx, token)
	if isInvalidGrant(err) {
		// Another process may have replaced it in the same moment, where there
		// was no lock. What that one stored is tried once.
		if newer := s.catchUp(ctx); newer != token {
			token = newer
			ans, err = s.present(ctx, token)
		}
	}
	if err != nil {
		return true, s.refused(kept, err)
	}
	s.adopt(kept, ans, token)
	if err := s.sameUser(ctx, ans); err != nil {
		s.log.Error("refresh names another user; the sign-in has ended")
		s.finish(kept, err)
		return true, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return true, s.over
	}
	s.take(ans)
	return true, nil
}

// leaveWithin is how long a refresh may still take when nobody keeps the session
// fresh any more, as when the process is about to end. An answer that comes later
// is lost, and perhaps the sign-in with it; a server that answers nothing at all
// must not hold up the end.
const leaveWithin = 3 * time.Second

// leave breaks off the refresh under way, and each that begins later, if it takes
// too long.
func (s *Session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	if cancel := s.breakOff; cancel != nil {
		time.AfterFunc(leaveWithin, cancel)
	}
}

// untilLeft is a context for the one refresh under way.
func (s *Session) untilLeft(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return context.WithTimeout(ctx, leaveWithin)
	}
	ctx, s.breakOff = context.WithCancel(ctx)
	return ctx, s.breakOff
}

// present is the refresh request (RFC 6749, 6).
func (s *Session) present(ctx context.Context, token string) (*tokenAnswer, error) {
	s.mu.Lock()
	over := s.over // signed out, perhaps, while other processes were waited for
	s.mu.Unlock()
	if over != nil {
		return nil, over
	}
	return s.web.tokens(ctx, "refresh", s.ends, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {token},
	})
}

// isInvalidGrant is whatever the status: servers use 400, 401 and 403.
func isInvalidGrant(err error) bool {
	var t *tokenError
	return errors.As(err, &t) && t.code == "invalid_grant"
}

// adopt stores what has to survive before the new access token is used: the
// server may have voided the old refresh token with its answer. Nothing is
// written when nothing changed, since some keychains ask the user each time.
func (s *Session) adopt(ctx context.Context, ans *tokenAnswer, old string) {
	s.mu.Lock()
	write := s.displaced && s.unsaved == nil // so that it is said
	if ans.refresh != "" && ans.refresh != old {
		write = true
		s.refresh = NewSecret(ans.refresh)
		s.turn++
	}
	// Only hub and scopes may follow a refresh: the launch context was the
	// situation at sign-in and never changes what is current.
	if u, ok := s.web.hubURL(ans.hubURL); ok && u != "" && u != s.grant.HubURL {
		s.grant.HubURL, write = u, true
	}
	if ans.hubTopic != "" && ans.hubTopic != s.grant.HubTopic.Reveal() {
		s.grant.HubTopic, write = NewSecret(ans.hubTopic), true
	}
	if ans.scopesSaid && !slices.Equal(ans.scopes, s.grant.Scopes) {
		s.grant.Scopes, s.grant.ScopesSaid, write = ans.scopes, true, true
	}
	patient, before := ans.launch.Patient, s.grant.Launch.Patient
	s.mu.Unlock()
	if !patient.IsZero() && !before.IsZero() && !patient.Equal(before) {
		s.log.Warn("refresh names another patient than the launch; it is not used")
	}
	if write {
		s.keep(ctx, laterSave)
	}
}

// sameUser refuses an id_token of somebody else (OpenID Connect Core, 12.2).
// One that cannot be checked now is only not used.
func (s *Session) sameUser(ctx context.Context, ans *tokenAnswer) error {
	s.mu.Lock()
	subject := s.grant.User.Subject
	s.mu.Unlock()
	if ans.id == "" || subject == "" {
		return nil
	}
	m := &metadata{issuer: issuer(s.ends.Issuer)}
	if known, err := s.launcher.discovered(ctx); err == nil && known.issuer == m.issuer {
		m = known
	}
	id, err := s.launcher.identity(ctx, s.web, m)
	if err != nil || id == nil {
		s.log.Warn("id_token of a refresh could not be checked; it is not used")
		return nil
	}
	u, err := id.check(ctx, ans, "")
	if err != nil {
		s.log.Warn("id_token of a refresh does not hold; it is not used", "reason", err.Error())
		return nil
	}
	if u.Subject != subject {
		return &failure{doing: "refresh: another user", sentence: "The sign-in now belongs to another user: please sign in again.", err: ErrLoginNeeded}
	}
	return nil
}

// refused decides about a refresh that failed: over, or later.
func (s *Session) refused(ctx context.Context, err error) error {
	switch {
	case isInvalidGrant(err):
		err := s.ended()
		s.log.Warn("server has ended the sign-in")
		s.finish(ctx, err)
		return err
	case errors.Is(err, ErrLoginNeeded):
		s.log.Warn("sign-in has ended", "reason", err.Error())
		s.finish(ctx, err)
		return err
	}
	var t *tokenError
	errors.As(err, &t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	wait := min(firstPause<<min(s.tries-1, 9), longestPause)
	wait = max(wait*3/4+rand.N(wait/2), firstPause)
	wait = min(wait, longestPause)
	if t != nil && t.after > wait {
		wait = t.after
	}
	s.pause, s.failed = time.Now().Round(0).Add(wait), err
	s.log.Warn("refresh failed; trying again", "reason", err.Error(), "in", wait.Round(time.Second), "tries", s.tries)
	return err
}

// finish ends the session and forgets what is stored.
func (s *Session) finish(ctx context.Context, err error) {
	s.end(err)
	if s.vault.wipe(ctx, laterSave, s) != nil {
		s.log.Warn("ended sign-in could not be deleted from the store")
	}
}
