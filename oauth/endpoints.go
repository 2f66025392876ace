package oauth

import (
	"context"
	"slices"
)

// believe checks the endpoints of a sign-in that was read from the store before
// anything is sent to them: whoever can write to a keychain could have the
// sign-in, and what proves this client, sent to himself. An endpoint at the FHIR
// server itself needs no proof; any other has to be at a server that the FHIR
// server names for this. It asks once in the life of a session, and returns
// ErrLoginNeeded for a sign-in that must not be used.
func (s *Session) believe(ctx context.Context) error {
	s.mu.Lock()
	believed := s.believed
	s.mu.Unlock()
	if believed {
		return nil
	}
	var named []string
	for _, endpoint := range []string{s.ends.Token, s.ends.Revoke} {
		if endpoint != "" {
			named = append(named, originOf(endpoint))
		}
	}
	trusted := []string{originOf(s.launcher.Site.FHIRURL)}
	foreign := func(o string) bool { return !slices.Contains(trusted, o) }
	if slices.ContainsFunc(named, foreign) {
		m, err := s.launcher.discovered(ctx)
		if err != nil {
			return err
		}
		trusted = append(trusted, originOf(m.token), originOf(m.revoke))
	}
	if slices.ContainsFunc(named, foreign) {
		return &failure{doing: "stored sign-in names a server that the site does not name",
			sentence: "What is stored of your sign-in names another server than this site does, and is not used: sign in again, and tell your administrator if it happens again.",
			err:      ErrLoginNeeded}
	}
	s.mu.Lock()
	s.believed = true
	s.mu.Unlock()
	return nil
}
