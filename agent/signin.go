package agent

import (
	"context"
	"errors"
	"io/fs"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// A resumption is a stored sign-in being read and refreshed, without a browser.
type resumption struct{}

// resumeSite goes on with a stored sign-in.
func (a *Agent) resumeSite(s *config.Site) {
	l, err := a.launcher(s)
	if err != nil {
		a.shut = true
		a.fail(err)
		return
	}
	a.siteName, a.shut = s.Name, false
	r, finished, before := new(resumption), make(chan struct{}), a.stored
	a.resuming, a.stored = r, finished
	a.wait.Go(func() {
		defer close(finished)
		if before != nil {
			<-before
		}
		session, err := l.Resume(a.running)
		a.post(func() { a.resumed(s, r, session, err) })
	})
}

func (a *Agent) resumed(s *config.Site, r *resumption, session *oauth.Session, err error) {
	if a.resuming != r { // signed out meanwhile, which reads the store again and forgets what it finds
		return
	}
	a.resuming = nil
	switch {
	case a.session != nil && session != nil && s.Name != a.siteName: // one session at a time, and the browser was faster
		a.wait.Go(func() { _ = session.SignOut(a.running) })
	case a.session != nil:
	case err == nil:
		a.signedIn(s, session)
	case errors.Is(err, fs.ErrNotExist): // never signed in
	case errors.Is(err, oauth.ErrLoginNeeded):
		a.ended = true
	case errors.Is(err, oauth.ErrUnavailable): // nothing was ever kept
		a.shut = true
		a.notify(problemKeychain, oauth.Sentence(err))
	default: // a keychain that does not open: what lies in it may still be good
		a.ended, a.shut = true, true
		a.notify(problemKeychain, "The keychain does not open. Unlock it and choose Re-sync, or sign in again.")
	}
}

// An attempt is a sign-in that waits for the person in the browser.
type attempt struct {
	*oauth.Attempt
	cancel context.CancelFunc // of Wait, which closes it
	site   string
	start  starter
	launch *launch // that it came of, nil = none
}

// A starter is one of a Launcher's ways to start.
type starter func(*oauth.Launcher, context.Context) (*oauth.Attempt, error)

// giveUp ends the attempt that waits, if there is one.
func (a *Agent) giveUp() {
	if a.attempt != nil {
		a.attempt.cancel()
		a.attempt = nil
		a.solved(problemSigninPending)
	}
}

// signIn starts a sign-in and returns the address to finish it at. Without a site it is that of the sign-in that waits, which
// it starts once more in its own way, or else the last used.
func (a *Agent) signIn(ctx context.Context, p protocol.SigninParams, start starter) (string, error) {
	if a.static() {
		return "", errNoSignIn
	}
	var of *launch
	signOuts := 0
	if err := a.do(ctx, func() {
		signOuts = a.signOuts
		switch {
		case p.Site != "":
		case a.attempt != nil:
			p.Site, start, of = a.attempt.site, a.attempt.start, a.attempt.launch
		default:
			p.Site = a.siteName
		}
	}); err != nil {
		return "", err
	}
	s := a.site(p.Site)
	if s == nil {
		return "", &protocol.Error{Code: protocol.CodeInvalidParams, Message: "No site of that name is configured."}
	}
	begun, err := a.startSignIn(ctx, s, start, of, signOuts)
	if err != nil {
		return "", err
	}
	if p.Browser == nil || *p.Browser {
		begun.Open(a.running)
	}
	return begun.URL, nil
}

// startSignIn starts one, of a launch or of none. It comes to nothing if somebody has signed out since there were that many
// sign-outs: the browser may still know who that was, and ask nothing.
func (a *Agent) startSignIn(ctx context.Context, s *config.Site, start starter, of *launch, signOuts int) (*oauth.Attempt, error) {
	launcher, err := a.freeLauncher(ctx, s)
	if err != nil {
		return nil, err
	}
	begun, err := start(launcher, ctx)
	if err != nil {
		words := oauth.Sentence(err)
		_ = a.do(ctx, func() {
			if a.signOuts == signOuts {
				a.notify(problemSigninFailed, words)
			}
		})
		return nil, &protocol.Error{Code: protocol.CodeSigninNeeded, Message: words}
	}
	over := false
	err = a.do(ctx, func() {
		if over = a.signOuts != signOuts; !over {
			a.pending(s, begun, start, of)
		}
	})
	if over {
		err = errSignedOut
	}
	if err != nil {
		begun.Close()
		return nil, err
	}
	return begun, nil
}

var errSignedOut = &protocol.Error{Code: protocol.CodeSigninNeeded, Message: "Signed out before the sign-in had begun: sign in again."}

var errNoSignIn = &protocol.Error{Code: protocol.CodeNotAllowed, Message: "This agent joins a hub without sign-in; configure a [[site]] to sign in."}

// freeLauncher is the site's, once nothing else works on what it has stored: of two sign-ins at once, one would take the
// other's place in the keychain.
func (a *Agent) freeLauncher(ctx context.Context, s *config.Site) (*oauth.Launcher, error) {
	var launcher *oauth.Launcher
	var fault error
	var stored <-chan struct{}
	if err := a.do(ctx, func() {
		stored = a.stored
		if launcher, fault = a.launcher(s); fault != nil {
			a.fail(fault)
		}
	}); err != nil {
		return nil, err
	}
	if fault != nil {
		return nil, &protocol.Error{Code: protocol.CodeInternal, Message: "The configuration of the site cannot be used; the log says why."}
	}
	if stored == nil {
		return launcher, nil
	}
	select {
	case <-stored:
		return launcher, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pending waits for the person in the browser. What waited before, perhaps for another site, is given up.
func (a *Agent) pending(s *config.Site, begun *oauth.Attempt, start starter, of *launch) {
	a.giveUp()
	ctx, cancel := context.WithCancel(a.running)
	at := &attempt{begun, cancel, s.Name, start, of}
	a.attempt = at
	a.solved(problemSigninFailed, problemSigninDeclined)
	a.notify(problemSigninPending, "")
	a.wait.Go(func() {
		defer cancel()
		session, err := begun.Wait(ctx)
		if taken := a.post(func() { a.attempted(s, at, session, err) }); !taken && session != nil && a.shared() {
			_ = session.SignOut(a.running) // as what is signed in ends with the agent; elsewhere it is kept for the next start
		}
	})
}

func (a *Agent) attempted(s *config.Site, at *attempt, session *oauth.Session, err error) {
	if a.attempt != at { // given up
		if session != nil { // too late: it is in the keychain, and nobody wants it
			a.wait.Go(func() { _ = session.SignOut(a.running) })
		}
		return
	}
	a.attempt = nil
	a.solved(problemSigninPending)
	switch {
	case err == nil:
		a.paused, a.locked = false, false // who signs in wants to go on
		a.pauses[""]++
		if a.handed = nil; at.launch != nil {
			a.handed = at.launch.hub
		}
		a.signedIn(s, session)
	case errors.Is(err, oauth.ErrDeclined):
		a.notify(problemSigninDeclined, oauth.Sentence(err))
	default:
		a.notify(problemSigninFailed, oauth.Sentence(err))
	}
}

// browse opens the page of a sign-in. Where that fails the person has to be told, or would wait for a browser that never
// comes.
func (a *Agent) browse(ctx context.Context, url string) error {
	err := errNoBrowser
	if a.cfg.OpenURL != nil {
		err = a.cfg.OpenURL(ctx, url)
	}
	if err != nil {
		a.post(func() {
			if a.attempt != nil {
				a.notify(problemSigninPending, noBrowserSentence)
			}
		})
	}
	return err
}

var errNoBrowser = errors.New("no browser")

const noBrowserSentence = "No browser could be opened. Choose Copy the sign-in link, or type: castray login --no-browser"
