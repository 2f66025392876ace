package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Introspect asks the server whether it still takes the present access token
// (RFC 7662; SMART 2.2, token introspection). It is for diagnosis: nothing that
// a session does depends on it, and nothing here calls it.
//
// It returns errors.ErrUnsupported (wrapped) where the server does not offer it,
// or not to a client that has only its token: SMART's way is the token itself as
// the bearer, some servers want more. It returns ErrLoginNeeded (wrapped) when
// there is no token.
func (s *Session) Introspect(ctx context.Context) (active bool, err error) {
	s.mu.Lock()
	token, over := s.access.token.Reveal(), s.over
	s.mu.Unlock()
	if token == "" {
		return false, errors.Join(over, ErrLoginNeeded)
	}
	m, err := s.launcher.discovered(ctx)
	if err != nil {
		return false, err
	}
	if m.introspect == "" {
		return false, notOffered()
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	const doing = "introspect"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.introspect, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return false, endpointError("introspection_endpoint", "cannot be used")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	r, err := do(s.web.post, doing, req)
	switch {
	case err != nil:
		return false, err
	case r.status >= 500 || r.status == http.StatusTooManyRequests:
		return false, statusFailure(doing, r.status)
	case r.status != http.StatusOK:
		return false, notOffered()
	}
	var answer struct {
		Active *bool `json:"active"`
	}
	if json.Unmarshal(r.body, &answer) != nil || answer.Active == nil {
		if r.looksHTML() {
			return false, captivePortal(doing)
		}
		return false, endpointError("introspection_endpoint", "does not say whether the token is active")
	}
	return *answer.Active, nil
}

func notOffered() error {
	return fmt.Errorf("introspect: not offered to this client: %w", errors.ErrUnsupported)
}
