package oauth

import (
	"context"
	"errors"
	"time"
)

// keep stores what a restart needs. A failure becomes the Warning, and Run
// tries again.
func (s *Session) keep(ctx context.Context, limit time.Duration) {
	s.mu.Lock()
	displaced := s.displaced
	s.mu.Unlock()
	var err error = errDisplaced
	if !displaced {
		err = s.vault.save(ctx, limit, s)
	}
	s.mu.Lock()
	was := s.unsaved
	s.unsaved = err
	if err == nil {
		s.saveGap = 0
	} else {
		s.saveGap = min(max(2*s.saveGap, time.Minute), time.Hour)
		s.resave = time.Now().Round(0).Add(s.saveGap)
	}
	s.mu.Unlock()
	switch {
	case err != nil && was == nil:
		s.log.Warn("sign-in is not stored; it ends with this process", "reason", reasonNotStored(err))
		s.notify()
	case err == nil && was != nil:
		s.log.Info("sign-in is stored")
		s.notify()
	}
}

func reasonNotStored(err error) string {
	for _, known := range []error{ErrLocked, ErrUnavailable, ErrTooBig, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err == errDisplaced {
		return errDisplaced.doing
	}
	return "the store failed"
}

// snapshot is what a restart needs, and whether the session has ended.
func (s *Session) snapshot() (now saved, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.ends
	n.Version = savedVersion
	n.Refresh, n.Scopes, n.Said = s.refresh.Reveal(), s.grant.Scopes, s.grant.ScopesSaid
	n.Name, n.FHIRUser, n.Subject = s.grant.User.Name, s.grant.User.FHIRUser, s.grant.User.Subject
	n.HubURL, n.HubTopic = s.grant.HubURL, s.grant.HubTopic.Reveal()
	n.SignIn, n.Turn = s.signIn, s.turn
	return n, s.over != nil
}
