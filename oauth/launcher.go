package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

const defaultWait = 5 * time.Minute

// Launcher is the sign-in of one Site. Set its fields before first use, do not
// copy it afterwards; its methods may be called from several goroutines.
type Launcher struct {
	Site Site
	// HTTP gives the transport (proxy, extra certificate authorities), TLS 1.2
	// or newer. nil = http.DefaultTransport.
	HTTP *http.Client
	// Store keeps the sign-in across restarts; nil = it ends with the process.
	Store Store
	// RefuseMemoryOnly signs nobody in whose sign-in the Store cannot keep: what
	// was granted is revoked at once. A session that is kept and cannot be stored
	// any more later goes on, with a Warning.
	RefuseMemoryOnly bool
	// Credentials holds what a Site that is not public proves itself with; nil =
	// nothing. Signing out leaves it alone.
	Credentials Store
	// OpenURL shows a page in the system browser. It may block until the
	// browser ends. Its ctx is that of SignIn or Open. nil = nothing is opened.
	OpenURL func(ctx context.Context, url string) error
	// Wait is how long a person has in the browser; 0 = 5 minutes.
	Wait time.Duration
	// Stray is called for each redirect that came to a listener of this
	// launcher and that no sign-in waits for; it must not block. nil = nothing.
	Stray func()
	// Log gets facts without secrets; nil = none.
	Log *slog.Logger

	mu      sync.Mutex
	meta    *metadata // discovery, until meta.fresh
	keys    *keySet   // of the last issuer
	pending *Attempt
	vault   *vault
	client  *credential
}

// Attempt is one sign-in that waits for the browser. End it with Wait or Close.
type Attempt struct {
	// URL is the page to open: the server's, or one of ours that leads there. It
	// holds no secret, but whoever opens it and signs in signs this installation
	// in. Never log it: it names the state.
	URL string
	// Until is when Wait gives up.
	Until time.Time

	launcher   *Launcher
	site       Site // the launcher's, as an EHR launch changes it
	ehr        EHRLaunch
	meta       *metadata
	rc         *receiver
	state      string
	nonce      string // "" without openid
	verifier   Secret
	anew       bool        // whoever signs in has to be asked who that is
	post       *postPage   // nil = the URL is the request; guarded by rc.mu
	answer     chan answer // room for the one answer
	ending     *ending
	superseded chan struct{}
	closing    sync.Once
}

// SignIn opens the browser, waits for the person in it, and returns the
// session. It may return ErrDeclined; Sentence explains every error.
func (l *Launcher) SignIn(ctx context.Context) (*Session, error) {
	a, err := l.Start(ctx)
	if err != nil {
		return nil, err
	}
	a.Open(ctx)
	return a.Wait(ctx)
}

// Start prepares a sign-in and listens for its redirect, for callers that show
// the link themselves. It opens no browser. An attempt that was pending is
// superseded: its Wait returns at once.
func (l *Launcher) Start(ctx context.Context) (*Attempt, error) {
	return l.start(ctx, l.Site.Shared, EHRLaunch{})
}

// StartAnew is Start for another person than the one who signed in last: the
// server is asked to let nobody in for what the browser remembers (OpenID
// Connect Core, 3.1.2.1, prompt=login).
func (l *Launcher) StartAnew(ctx context.Context) (*Attempt, error) {
	return l.start(ctx, true, EHRLaunch{})
}

func (l *Launcher) start(ctx context.Context, anew bool, e EHRLaunch) (*Attempt, error) {
	if err := l.Site.Check(); err != nil {
		return nil, err
	}
	if err := l.mustKeep(ctx); err != nil {
		return nil, err
	}
	alg, err := l.web().client.check(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := l.discovered(ctx)
	if err != nil {
		return nil, err
	}
	if alg != "" && meta.algorithms != nil && !slices.Contains(meta.algorithms, alg) {
		l.log().Warn("server does not list the algorithm of the client key; one of another is made with: castray config jwks --replace --alg",
			"algorithm", alg)
	}
	a := &Attempt{
		Until: time.Now().Add(l.wait()), launcher: l, site: e.site(l.Site), ehr: e, meta: meta,
		state: random(), verifier: NewSecret(random()), anew: anew,
		answer: make(chan answer, 1), ending: newEnding(), superseded: make(chan struct{}),
	}
	if hasScope(l.Site.Scopes, "openid") {
		a.nonce = random()
	}
	if err := l.receive(ctx, a); err != nil {
		return nil, err
	}
	if err := a.build(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Open asks Launcher.OpenURL to show the page and does not wait for it: some
// openers return only when the browser ends. If it fails the link can still be
// copied, so that is only logged, without the opener's words (they hold the
// link).
func (a *Attempt) Open(ctx context.Context) {
	open, log := a.launcher.OpenURL, a.launcher.log()
	if open == nil {
		return
	}
	go func() { // ends when the opener does, which nothing here depends on
		if open(ctx, a.URL) != nil {
			log.Warn("browser could not be opened")
		}
	}()
}

// Wait waits for the redirect and exchanges its code, and ends the attempt.
// It may return ErrDeclined; a later Start, Until and the end of ctx end it
// with an error too.
func (a *Attempt) Wait(ctx context.Context) (*Session, error) {
	defer a.Close()
	t := time.NewTimer(time.Until(a.Until))
	defer t.Stop()
	var got answer
	select {
	case got = <-a.answer:
	case <-a.superseded:
		return nil, superseded()
	case <-t.C:
		return nil, timedOut(a.launcher.wait())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer a.ending.linger(ctx)
	if got.err != nil {
		a.ending.failed(got)
		return nil, got.err
	}
	s, err := a.exchange(ctx, got.code)
	if err != nil {
		a.ending.failed(answer{err: err})
	} else {
		a.ending.signedIn(a.launcher.Site, s)
	}
	if t := (*tokenError)(nil); errors.As(err, &t) && t.code == "invalid_client" || errors.Is(err, errUnsigned) {
		a.launcher.forget()
	}
	return s, err
}

// Close ends an attempt that nobody waits for. It may be called twice.
func (a *Attempt) Close() {
	a.closing.Do(func() {
		l := a.launcher
		l.mu.Lock()
		if l.pending == a {
			l.pending = nil
		}
		l.mu.Unlock()
		a.ending.tell(noticeSuperseded, facts{}) // if nothing else was told
		a.rc.release(a)
	})
}

// receive gives a the listener: that of the attempt it supersedes, or a new one.
func (l *Launcher) receive(ctx context.Context, a *Attempt) error {
	ports, err := l.Site.ports()
	if err != nil {
		return err
	}
	open := func() (*receiver, error) { return listen(ctx, ports, l.Stray) }
	if l.Site.Redirect == SchemeRedirect {
		open = func() (*receiver, error) { return newReceiver("", SchemeRedirect), nil }
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.pending; old != nil {
		a.rc = old.rc
		a.rc.hold(a) // before the older one can let go
		close(old.superseded)
	} else {
		if a.rc, err = open(); err != nil {
			return err
		}
		a.rc.hold(a)
	}
	l.pending = a
	return nil
}

func (l *Launcher) wait() time.Duration {
	if l.Wait > 0 {
		return l.Wait
	}
	return defaultWait
}

func (l *Launcher) log() *slog.Logger {
	if l.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.Log
}

func (l *Launcher) discovered(ctx context.Context) (*metadata, error) {
	l.mu.Lock()
	m := l.meta
	l.mu.Unlock()
	if m != nil && time.Now().Before(m.fresh) {
		return m, nil
	}
	m, err := l.web().discover(ctx, l.log())
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.meta = m
	l.mu.Unlock()
	return m, nil
}

// web is how we speak with the servers of the site, as its client.
func (l *Launcher) web() *web { return l.webAs(l.Site) }

// webAs is web with the site as an attempt spells it.
func (l *Launcher) webAs(site Site) *web {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		l.client = &credential{site: l.Site, store: l.Credentials}
	}
	w := newWeb(site, l.HTTP)
	w.client = l.client
	return w
}

func (l *Launcher) vaultOf() *vault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.vault == nil {
		l.vault = newVault(l.Store, l.Site.key(), l.log())
	}
	return l.vault
}

// forget makes the next sign-in ask the server anew where everything is.
func (l *Launcher) forget() {
	l.mu.Lock()
	l.meta = nil
	l.mu.Unlock()
}

func hasScope(scopes []string, name string) bool {
	for _, s := range scopes {
		if s == name {
			return true
		}
	}
	return false
}
