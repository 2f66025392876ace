package agent

import (
	"context"
	"errors"
	"io/fs"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// resumeSite goes on with a stored sign-in, without a browser.
func (a *Agent) resumeSite(s *config.Site) {
	l, err := a.launcher(s)
	if err != nil {
		a.fail(err)
		return
	}
	a.siteName = s.Name
	ctx := a.running
	a.wait.Go(func() {
		session, err := l.Resume(ctx)
		a.post(func() { a.resumed(s, session, err) })
	})
}

func (a *Agent) resumed(s *config.Site, session *oauth.Session, err error) {
	switch {
	case a.session != nil: // somebody was faster at the browser
	case err == nil:
		a.signedIn(s, session)
	case errors.Is(err, fs.ErrNotExist): // never signed in
	case errors.Is(err, oauth.ErrLoginNeeded):
		a.ended = true
	default: // a keychain that does not open, say
		a.ended = true
		a.notify(problemKeychain, oauth.Sentence(err))
	}
}

// signIn starts a sign-in and returns the address to finish it at.
func (a *Agent) signIn(ctx context.Context, p protocol.SigninParams) (string, error) {
	if a.static() {
		return "", &protocol.Error{Code: protocol.CodeNotAllowed, Message: "This agent joins a hub without sign-in; configure a [[site]] to sign in."}
	}
	s := a.site(p.Site)
	if s == nil {
		return "", &protocol.Error{Code: protocol.CodeInvalidParams, Message: "No site of that name is configured."}
	}
	var launcher *oauth.Launcher
	var err error
	if e := a.do(ctx, func() { launcher, err = a.launcher(s) }); e != nil {
		return "", e
	}
	if err != nil {
		return "", &protocol.Error{Code: protocol.CodeInternal, Message: "The configuration of the site cannot be used; the log says why."}
	}
	attempt, err := launcher.Start(ctx)
	if err != nil {
		words := oauth.Sentence(err)
		_ = a.do(ctx, func() { a.notify(problemSigninFailed, words) })
		return "", &protocol.Error{Code: protocol.CodeSigninNeeded, Message: words}
	}
	err = a.do(ctx, func() { a.pending(s, attempt) })
	if err != nil {
		attempt.Close()
		return "", err
	}
	if p.Browser == nil || *p.Browser {
		attempt.Open(a.running)
	}
	return attempt.URL, nil
}

// pending waits for the person in the browser.
func (a *Agent) pending(s *config.Site, attempt *oauth.Attempt) {
	a.attempt = attempt
	a.solved(problemSigninFailed, problemSigninDeclined)
	a.notify(problemSigninPending, "")
	a.wait.Go(func() {
		session, err := attempt.Wait(a.running)
		a.post(func() { a.attempted(s, attempt, session, err) })
	})
}

func (a *Agent) attempted(s *config.Site, attempt *oauth.Attempt, session *oauth.Session, err error) {
	if a.attempt != attempt { // superseded by a newer one
		return
	}
	a.attempt = nil
	a.solved(problemSigninPending)
	switch {
	case err == nil:
		a.signedIn(s, session)
	case errors.Is(err, oauth.ErrDeclined):
		a.notify(problemSigninDeclined, oauth.Sentence(err))
	default:
		a.notify(problemSigninFailed, oauth.Sentence(err))
	}
}
