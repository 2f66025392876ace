package oauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Session is a sign-in in use. It owns the tokens. Its methods may be called
// from several goroutines; Run keeps it fresh.
type Session struct {
	launcher *Launcher
	web      *web
	vault    *vault
	log      *slog.Logger
	ends     saved         // issuer and endpoints, fixed
	changed  chan struct{} // room for one
	wake     chan struct{} // room for one: Run looks anew

	mu      sync.Mutex
	grant   Grant
	access  access
	refresh Secret
	flight  *flight   // the refresh under way, nil if none
	over    error     // set once: why nothing is refreshed any more
	out     bool      // signed out: nothing is signed any more
	last    time.Time // of the last refresh that worked, or of the sign-in
	tries   int       // refreshes that failed since then
	pause   time.Time // no refresh by ourselves before this
	failed  error     // why the last one failed
	unsaved error     // why what we have is not in the store, nil if it is
	resave  time.Time
	saveGap time.Duration

	// Of what is stored, which other processes may share; see processes.go.
	signIn    string // names the sign-in in the browser that all this comes from
	turn      int    // how often its refresh token was replaced
	stored    bool   // it is in the store, as far as we know
	displaced bool   // something else is in its place, or nothing any more
	believed  bool   // the endpoints are the site's

	left     bool               // nobody keeps it fresh any more; see leave
	breakOff context.CancelFunc // of the last refresh

	ahead    time.Duration // our clock, of the server's
	tooLarge int           // bytes of a token that a server refused, perhaps for that
}

// access is one access token. Times are wall clock, since a computer that
// slept must not believe in a token that did not.
type access struct {
	token    Secret
	number   uint64 // counts the tokens of this session, from 1; 0 = none yet
	received time.Time
	expires  time.Time
	renewAt  time.Time
	refused  bool // a 401 came although it was fresh: the token is not the reason
}

type flight struct {
	done  chan struct{}
	begun bool // else the one who began it gave up before anything was asked
	err   error
}

const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	restBetween  = time.Minute // some servers throttle faster refreshes
	look         = time.Minute // Run looks at the wall clock at least so often
)

func (l *Launcher) session(w *web, ends saved) *Session {
	return &Session{
		launcher: l, web: w, vault: l.vaultOf(), log: l.log(), ends: ends,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// Resume goes on with a stored sign-in, without a browser. It returns
// ErrLoginNeeded when there is none (it is then also fs.ErrNotExist) or the
// server has ended it, and ErrLocked or ErrUnavailable when the store cannot
// tell.
//
// Any other trouble of the refresh (no network yet) is not an error: the
// session is returned with its stored Grant, its requests fail for now, and Run
// tries on. A sign-in of the same Launcher that is finished meanwhile is newer:
// what was stored before it is not gone on with, and Resume returns an error.
func (l *Launcher) Resume(ctx context.Context) (*Session, error) {
	if err := l.Site.Check(); err != nil {
		return nil, err
	}
	w := l.web()
	s := l.session(w, saved{})
	before := s.vault.owner.Load()
	had, err := s.vault.loadAlone(ctx, l.Site)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrLoginNeeded, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("resume: %w", err)
	}
	s.goesOnWith(had)
	if !s.vault.inherit(before, s, had) {
		return nil, superseded()
	}
	s.grant = Grant{
		HubTopic: NewSecret(had.HubTopic), Scopes: had.Scopes, ScopesSaid: had.Said,
		Requested: slices.Clone(l.Site.Scopes),
		User:      User{Name: had.Name, FHIRUser: had.FHIRUser, Subject: had.Subject},
	}
	s.grant.HubURL, _ = w.hubURL(had.HubURL)
	defer context.AfterFunc(ctx, s.leave)()
	if err := s.Refresh(ctx); err != nil {
		if errors.Is(err, ErrLoginNeeded) {
			return nil, err
		}
		s.log.Warn("stored sign-in could not be refreshed yet", "reason", err.Error())
	}
	return s, nil
}

// Grant is what was granted, as of now.
func (s *Session) Grant() Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grant
	g.Scopes, g.Requested = slices.Clone(g.Scopes), slices.Clone(g.Requested)
	return g
}

// Until is when the present access token ends; zero before the first one. If
// Renews, the sign-in itself goes on.
func (s *Session) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access.expires
}

// Renews reports whether the sign-in can outlive Until.
func (s *Session) Renews() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.refresh.IsZero() && s.over == nil
}

// Warning is a sentence for the user about a session that works but not as it
// should, "" if there is none.
func (s *Session) Warning() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over == nil && unproven(s.failed):
		return Sentence(s.failed)
	case s.unsaved != nil:
		return Sentence(s.unsaved)
	}
	return ""
}

// Changed gets a value when Grant, Until, Renews, Warning or Remarks changed or
// the session ended. It has room for one, for one reader.
func (s *Session) Changed() <-chan struct{} { return s.changed }

// Run keeps the session fresh: it refreshes at 80 % of a token's life, tries
// again with growing pauses, and retries a store that failed. It returns
// ErrLoginNeeded (wrapped) when only a person can go on, also after SignOut, or
// ctx's error. From the end of ctx a refresh has three seconds, whoever began it.
func (s *Session) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.leave) // also while a refresh is waited for
	defer func() {
		if stop() && ctx.Err() != nil {
			s.leave()
		}
	}()
	for {
		wait, err := s.tend(ctx)
		if err != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-s.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// tend does what is due and says how long nothing will be.
func (s *Session) tend(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	now := time.Now().Round(0)
	over, number, expires := s.over, s.access.number, s.access.expires
	renews, due, resave := !s.refresh.IsZero(), s.due(), s.unsaved != nil && !now.Before(s.resave)
	s.mu.Unlock()
	switch {
	case over != nil:
		return 0, over
	case !renews && !now.Before(expires):
		s.end(s.ended())
		return 0, nil
	case renews && !now.Before(due):
		_ = s.renew(ctx, number, false) // logged there; what is next is looked at again
		return 0, ctx.Err()
	case resave:
		s.keepAlone(ctx)
		return 0, ctx.Err()
	}
	if !renews {
		due = expires
	}
	return min(due.Sub(now), look), nil
}

// due is when Run refreshes next. Called with mu held.
func (s *Session) due() time.Time {
	at := s.access.renewAt
	if floor := s.last.Add(restBetween); at.Before(floor) {
		at = floor
	}
	if at.Before(s.pause) {
		at = s.pause
	}
	return at
}

// Refresh gets a new access token now, for example when the network is back.
// Concurrent calls share one request. It returns ErrLoginNeeded (wrapped) when
// only a person can go on. A request that has begun is not broken off when ctx
// ends, since its answer may hold the only refresh token that is still good (but
// see Run); it takes half a minute at most, and while another process refreshes the same
// sign-in it is waited for as long. A session that cannot renew but has not
// ended is left as it is.
func (s *Session) Refresh(ctx context.Context) error {
	s.mu.Lock()
	number := s.access.number
	alive := s.over == nil && s.refresh.IsZero() && time.Now().Round(0).Before(s.access.expires)
	s.mu.Unlock()
	if alive {
		return nil
	}
	return s.renew(ctx, number, true)
}

// renew replaces the access token of that number, unless someone has already.
// Without force it keeps to the pause after a failure.
func (s *Session) renew(ctx context.Context, number uint64, force bool) error {
	for {
		f, mine, err := s.board(number, force)
		switch {
		case f == nil:
			return err
		case !mine:
			select {
			case <-f.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if f.begun {
				return f.err
			}
			continue // its beginner had less patience than we have
		}
		f.begun, f.err = s.fly(ctx)
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(f.done)
		s.notify()
		return f.err
	}
}

// board gives the refresh under way, or a new one that is the caller's to make.
// There is none where none is needed, or, with an error, none is possible.
func (s *Session) board(number uint64, force bool) (f *flight, mine bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over != nil:
		return nil, false, s.over
	case s.access.number != number:
		return nil, false, nil
	case s.refresh.IsZero():
		return nil, false, s.ended()
	case !force && s.failed != nil && time.Now().Round(0).Before(s.pause):
		return nil, false, s.failed
	case s.flight != nil:
		return s.flight, false, nil
	}
	s.flight = &flight{done: make(chan struct{})}
	return s.flight, true, nil
}

// end makes err the reason why nothing is refreshed any more.
func (s *Session) end(err error) {
	s.mu.Lock()
	if s.over == nil {
		s.over = err
		s.refresh = Secret{}
	}
	s.mu.Unlock()
	s.notify()
}

// ended is the error of a sign-in that cannot be refreshed.
func (s *Session) ended() error {
	f := &failure{doing: "sign-in has ended", sentence: "Your sign-in has ended: please sign in again.", err: ErrLoginNeeded}
	if hasScope(s.launcher.Site.Scopes, "online_access") {
		f.sentence = "Your EHR session has ended: please sign in again."
	}
	return f
}

func (s *Session) notify() {
	for _, c := range []chan struct{}{s.changed, s.wake} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// take makes the token of an answer the present one. It is called by exchange,
// which owns s, and with mu held.
func (s *Session) take(a *tokenAnswer) {
	now := time.Now().Round(0)
	s.compareClocks(now, a.date)
	jitter := time.Duration((rand.Float64() - 0.5) / 10 * float64(a.life)) // ±5 %
	s.access = access{
		token: NewSecret(a.access), number: s.access.number + 1, received: now,
		expires: now.Add(a.life), renewAt: now.Add(a.life*4/5 + jitter),
	}
	if a.refresh != "" {
		s.refresh = NewSecret(a.refresh)
	}
	s.last, s.tries, s.pause, s.failed = now, 0, time.Time{}, nil
}
