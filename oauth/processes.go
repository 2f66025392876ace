package oauth

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// Several processes of one user may go on with the same stored sign-in: agents
// on a terminal server, or a second one with an address of its own. With
// rotating refresh tokens that works only if one of them refreshes at a time,
// and begins with what the last one stored: a token that was used before makes
// a server end the sign-in for all (RFC 9700, 4.14.2).

const (
	// lockWait is longer than another process needs to read, refresh and store.
	lockWait = laterSave + tokenTimeout + laterSave + 5*time.Second
	// lockAgain is for the waits after one in vain, and for a sign-out.
	lockAgain = time.Second
)

// locker is what a Store has that other processes use too.
type locker interface {
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// alone keeps other processes from the stored sign-in until release is called.
// Where the lock cannot be had within limit, that is logged once and it is gone
// on without: then what is stored is read before and after all the same. When
// ctx ends it returns too.
func (v *vault) alone(ctx context.Context, limit time.Duration) (release func()) {
	shared, ok := v.store.(locker)
	if !ok {
		return func() {}
	}
	if v.noLock.Load() {
		limit = min(limit, lockAgain)
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	unlock, err := shared.Lock(waiting, v.key)
	switch {
	case err == nil:
		if v.noLock.Swap(false) {
			v.log.Info("stored sign-in can be locked again")
		}
		return unlock
	case ctx.Err() == nil && !v.noLock.Swap(true):
		reason := "there is no lock file that can be used"
		if errors.Is(err, context.DeadlineExceeded) {
			reason = "another process holds the lock"
		}
		v.log.Warn("stored sign-in cannot be locked; if another agent of this user refreshes it at the same moment, it ends", "reason", reason)
	}
	return func() {}
}

// loadAlone is load for the one who does not hold the lock yet.
func (v *vault) loadAlone(ctx context.Context, site Site) (saved, error) {
	defer v.alone(ctx, lockWait)()
	return v.load(ctx, laterSave, site)
}

// goesOnWith makes a new session one of what is stored.
func (s *Session) goesOnWith(had saved) {
	s.ends = had.ends()
	s.refresh, s.signIn, s.turn, s.stored = NewSecret(had.Refresh), had.SignIn, had.Turn, true
}

// catchUp looks at what is stored before the refresh token is used, takes it
// over if another process has gone on with this sign-in, and returns the token
// to present. Called with the lock held, if there is one.
func (s *Session) catchUp(ctx context.Context) (token string) {
	had, err := saved{}, errNotOurs
	if s.vault.owner.Load() == s {
		had, err = s.vault.load(ctx, laterSave, s.launcher.Site)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refresh.IsZero() { // ended meanwhile, or there never was one
		return ""
	}
	gone := false
	switch {
	case !s.stored: // a sign-in that is newer than all that is there, and will be stored yet
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrLoginNeeded):
		gone = true
	case err != nil: // it cannot be read now: what we have is all that we know
	case s.sameSignIn(had):
		if had.Turn > s.turn || had.SignIn != s.signIn {
			s.refresh, s.turn, s.signIn = NewSecret(had.Refresh), had.Turn, had.SignIn
			s.unsaved = nil
			s.log.Info("another agent of this user has refreshed the sign-in; going on with what it stored")
		}
	default:
		gone = true
	}
	if err == nil || gone {
		s.displaced = gone
	}
	return s.refresh.Reveal()
}

// sameSignIn tells whether what is stored may take the place of what we have:
// it is for the same server, and of the same sign-in in the browser, or of a
// newer one by a user who is known to be the same. Called with mu held.
func (s *Session) sameSignIn(had saved) bool {
	if had.Token != s.ends.Token || had.Issuer != s.ends.Issuer {
		return false
	}
	return had.SignIn == s.signIn || had.Subject != "" && had.Subject == s.grant.User.Subject
}

// errNotOurs: a newer session of this process has what is stored.
var errNotOurs = errors.New("not ours")

// errDisplaced is why a session does not store itself: somebody has signed out
// elsewhere, or signed in as somebody else, or an item was removed. To write it
// again would undo that.
var errDisplaced = &failure{
	doing:    "the stored sign-in was removed or replaced",
	sentence: "The keychain does not hold this sign-in any more, because it was removed or replaced: you will have to sign in after a restart.",
}

// keepAlone is keep for the one who does not hold the lock yet.
func (s *Session) keepAlone(ctx context.Context) {
	defer s.vault.alone(ctx, lockWait)()
	if ctx.Err() == nil {
		s.catchUp(ctx)
		s.keep(ctx, laterSave)
	}
}

func (s *Session) wasStored() {
	s.mu.Lock()
	s.stored = true
	s.mu.Unlock()
}

// isOf tells whether what is stored comes from the same sign-in, or is older.
func (s *Session) isOf(had saved) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return had.SignIn == s.signIn || !s.stored
}
