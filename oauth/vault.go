package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"
)

// saved is the one thing that outlives the process: everything needed to go on
// without a browser, and nothing else. Access token, id_token, launch context,
// PKCE, state and nonce are never part of it.
type saved struct {
	Version  int      `json:"v"`
	Refresh  string   `json:"refresh_token"`
	Issuer   string   `json:"issuer,omitempty"`
	Token    string   `json:"token_endpoint"`
	Revoke   string   `json:"revocation_endpoint,omitempty"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scope,omitempty"`
	Name     string   `json:"name,omitempty"`
	FHIRUser string   `json:"fhirUser,omitempty"`
	Subject  string   `json:"sub,omitempty"`
	HubURL   string   `json:"hub.url,omitempty"`
	HubTopic string   `json:"hub.topic,omitempty"`
	Said     bool     `json:"scope_said,omitempty"`
	SignIn   string   `json:"sign_in,omitempty"` // a random name of the sign-in in the browser that all this comes from
	Turn     int      `json:"turn,omitempty"`    // how often its refresh token was replaced

	// SecretInForm: the server takes a secret by client_secret_post only.
	SecretInForm bool `json:"secret_in_form,omitempty"`
}

// ends is what of it stays the same as long as the session lives: where it is
// spoken to, and as what.
func (s saved) ends() saved {
	return saved{Issuer: s.Issuer, Token: s.Token, Revoke: s.Revoke, SecretInForm: s.SecretInForm, ClientID: s.ClientID}
}

const savedVersion = 1

func (s saved) String() string   { return hidden }
func (s saved) GoString() string { return hidden }

// vault is one key of a Store, for all sessions of a Launcher. Only the newest
// session changes it: an older one that is refreshed, refused or signed out
// late must not touch what the newer one stored.
type vault struct {
	store  Store // nil = nothing is kept
	key    string
	log    *slog.Logger
	turn   chan struct{} // holds one token: one call at a time
	owner  atomic.Pointer[Session]
	noLock atomic.Bool // the last wait for the lock against other processes was in vain
}

func newVault(store Store, key string, log *slog.Logger) *vault {
	v := &vault{store: store, key: key, log: log, turn: make(chan struct{}, 1)}
	v.turn <- struct{}{}
	return v
}

func (v *vault) do(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	if v.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-v.turn:
	case <-ctx.Done():
		return ErrLocked
	}
	defer func() { v.turn <- struct{}{} }()
	return f(ctx)
}

// save keeps what s is now, or deletes what an older sign-in left when s has
// no refresh token. A session that has ended saves nothing: a refresh that
// ends late cannot bring a deleted sign-in back.
func (v *vault) save(ctx context.Context, limit time.Duration, s *Session) error {
	return v.do(ctx, limit, func(ctx context.Context) error {
		now, over := s.snapshot()
		switch {
		case over || v.owner.Load() != s:
			return nil
		case now.Refresh == "":
			return v.store.Delete(ctx, v.key)
		}
		b, err := json.Marshal(now)
		if err != nil {
			return ErrUnavailable
		}
		if err = v.store.Save(ctx, v.key, b); err == nil {
			s.wasStored()
		}
		return err
	})
}

// inherit makes s, which goes on with what was read, the session that changes
// the store, unless what was read is older than what another has to store:
// before was the owner when the reading began.
func (v *vault) inherit(before, s *Session, read saved) bool {
	if before != nil {
		if now, over := before.snapshot(); !over && now.Refresh != read.Refresh {
			return false
		}
	}
	return v.owner.CompareAndSwap(before, s)
}

// wipe deletes what s saved or was to take the place of, and what nobody can
// use, but not what a later sign-in of another process has put in its place.
func (v *vault) wipe(ctx context.Context, limit time.Duration, s *Session) error {
	return v.do(ctx, limit, func(ctx context.Context) error {
		if v.owner.Load() != s {
			return nil
		}
		had, err := v.read(ctx, s.launcher.Site)
		switch {
		case err == nil && !s.isOf(had):
			return nil
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrLoginNeeded):
			return v.store.Delete(ctx, v.key)
		}
		return err
	})
}

// load reads what save wrote, or returns fs.ErrNotExist. What cannot be read, or
// names an endpoint that nothing may be sent to, is ErrLoginNeeded.
func (v *vault) load(ctx context.Context, limit time.Duration, site Site) (s saved, err error) {
	if v.store == nil {
		return s, fs.ErrNotExist
	}
	err = v.do(ctx, limit, func(ctx context.Context) (err error) {
		s, err = v.read(ctx, site)
		return err
	})
	return s, err
}

// read is load for the one whose turn it is.
func (v *vault) read(ctx context.Context, site Site) (s saved, err error) {
	b, err := v.store.Load(ctx, v.key)
	if err != nil {
		return s, err
	}
	if json.Unmarshal(b, &s) != nil || s.Version != savedVersion || s.Refresh == "" || s.ClientID != site.ClientID {
		return s, ErrLoginNeeded
	}
	u, err := url.Parse(s.Token)
	if err != nil || site.usable(u) != nil {
		return s, ErrLoginNeeded
	}
	return s, nil
}
