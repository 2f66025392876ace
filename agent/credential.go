package agent

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/oauth"
)

// KeepSecret keeps the secret that a site gave this installation where an agent of c reads it; one that runs takes it at
// its next request. The error is a sentence for a person.
func (c Config) KeepSecret(ctx context.Context, s *config.Site, secret string) error {
	return said(client(s).KeepSecret(ctx, c.Store, oauth.NewSecret(secret)))
}

// PublicKeys is the key set to register at a site, and whether its key was made just now: see [oauth.Site.PublicKeys].
// The error is a sentence for a person.
func (c Config) PublicKeys(ctx context.Context, s *config.Site, alg string, replace bool) (json.RawMessage, bool, error) {
	set, made, err := client(s).PublicKeys(ctx, c.Store, alg, replace)
	return set, made, said(err)
}

// proveWithin is how long a Re-sync waits for a sign-in to be mended: who wants the context waits for it.
const proveWithin = 3 * time.Second

// proveAgain refreshes a sign-in that has something to warn of, which may be mended now, instead of waiting for its next try.
func (a *Agent) proveAgain(ctx context.Context) error {
	proved := make(chan struct{})
	if err := a.do(ctx, func() {
		session := a.session
		if session == nil || session.Warning() == "" {
			close(proved)
			return
		}
		a.wait.Go(func() {
			defer close(proved)
			_ = session.Refresh(a.running) // the warning stays if it fails
		})
	}); err != nil {
		return err
	}
	patience := time.NewTimer(proveWithin)
	defer patience.Stop()
	select {
	case <-proved:
	case <-patience.C:
	case <-ctx.Done():
	}
	return nil
}

// client is as much of a site as a registration is about.
func client(s *config.Site) oauth.Site {
	return oauth.Site{FHIRURL: s.FHIRURL, ClientID: s.ClientID, Auth: s.Auth}
}

func said(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(oauth.Sentence(err))
}
