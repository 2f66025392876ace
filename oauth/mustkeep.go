package oauth

import (
	"context"
	"errors"
)

// mustKeep spares a person the browser where RefuseMemoryOnly would undo the
// sign-in anyway. A keychain that is locked may be opened until then.
func (l *Launcher) mustKeep(ctx context.Context) error {
	if !l.RefuseMemoryOnly {
		return nil
	}
	err := ErrUnavailable
	if v := l.vaultOf(); v.store != nil {
		_, err = v.load(ctx, laterSave, l.Site)
	}
	if errors.Is(err, ErrUnavailable) {
		return memoryOnly(err)
	}
	return nil
}

// notKept says why s is not in the store although it could outlive the process,
// nil if it is.
func (s *Session) notKept() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refresh.IsZero() || s.stored:
		return nil // without a refresh token there is nothing to keep
	case s.unsaved != nil:
		return memoryOnly(s.unsaved)
	}
	return memoryOnly(ErrUnavailable)
}

// giveBack revokes a sign-in that must not be used. Called with the lock held.
func (s *Session) giveBack(ctx context.Context, why error) {
	s.mu.Lock()
	token := s.refresh.Reveal()
	s.out = true
	s.mu.Unlock()
	s.end(why)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	if s.ends.Revoke != "" {
		if err := s.revoke(limited, token, "refresh_token"); err != nil {
			s.log.Warn("server did not confirm the sign-out", "reason", err.Error())
		}
	}
	if s.vault.wipe(context.WithoutCancel(ctx), deleteLimit, s) != nil {
		s.log.Warn("ended sign-in could not be deleted from the store")
	}
}

func memoryOnly(err error) error {
	f := &failure{doing: "sign-in: it cannot be kept, and a sign-in that is not kept is not allowed here: " + reasonNotStored(err)}
	switch {
	case errors.Is(err, ErrLocked):
		f.sentence = "The keychain is locked, and your administrator does not allow a sign-in that it cannot keep: unlock it and sign in again."
	default:
		f.sentence = "There is no keychain that can keep the sign-in, and your administrator does not allow one without: ask your administrator."
	}
	return f
}
