package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// site finds a configured site by name; "" is the one to start with.
func (a *Agent) site(name string) *config.Site {
	if name == "" {
		if first := a.firstSite(); first != nil {
			return first
		}
		return &a.cfg.Settings.Sites[0]
	}
	for i := range a.cfg.Settings.Sites {
		if s := &a.cfg.Settings.Sites[i]; s.Name == name {
			return s
		}
	}
	return nil
}

// firstSite is the last used site, else the only one, else none.
func (a *Agent) firstSite() *config.Site {
	if a.cfg.StateDir != "" {
		if name, err := os.ReadFile(filepath.Join(a.cfg.StateDir, "site")); err == nil && strings.TrimSpace(string(name)) != "" {
			if s := a.site(strings.TrimSpace(string(name))); s != nil {
				return s
			}
		}
	}
	if len(a.cfg.Settings.Sites) == 1 {
		return &a.cfg.Settings.Sites[0]
	}
	return nil
}

// remember keeps the last used site for the next start. A disk that is full costs only that.
func (a *Agent) remember(name string) {
	if a.cfg.StateDir == "" {
		return
	}
	file := filepath.Join(a.cfg.StateDir, "site")
	err := os.MkdirAll(a.cfg.StateDir, 0o700)
	if err == nil {
		if err = os.WriteFile(file+".new", []byte(name+"\n"), 0o600); err == nil {
			err = os.Rename(file+".new", file)
		}
	}
	if err != nil {
		a.cfg.Log.Warn("the last used site cannot be remembered", "because", cause(err))
	}
}

// cause is the operating system's word without the path.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return "unknown"
}

// launcher is the sign-in of a site. There is one each, so that a second start supersedes the first.
func (a *Agent) launcher(s *config.Site) (*oauth.Launcher, error) {
	if l := a.launchers[s.Name]; l != nil {
		return l, nil
	}
	roots, err := siteRoots(s)
	if err != nil {
		return nil, err
	}
	l := &oauth.Launcher{
		Site: oauth.Site{Name: s.Name, FHIRURL: s.FHIRURL, ClientID: s.ClientID, Scopes: config.Scopes(*s), Redirect: s.Redirect,
			HubURL: s.Hub.URL, LoopbackHTTP: s.Hub.Test},
		HTTP: &http.Client{Transport: transport(roots)}, Store: a.cfg.Store, OpenURL: a.cfg.OpenURL, Log: a.cfg.Log,
	}
	a.launchers[s.Name] = l
	return l, nil
}

// siteRoots trusts what the site and its hub add to the system's authorities.
func siteRoots(s *config.Site) (*x509.CertPool, error) {
	roots, err := config.Roots(s.CAFile)
	if err != nil || s.Hub.CAFile == "" || s.Hub.CAFile == s.CAFile {
		return roots, err
	}
	if roots == nil {
		return config.Roots(s.Hub.CAFile)
	}
	pem, err := os.ReadFile(s.Hub.CAFile)
	if err != nil {
		return nil, err
	}
	roots.AppendCertsFromPEM(pem)
	return roots, nil
}

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

// signedIn makes a session the one in use and joins its hub.
func (a *Agent) signedIn(s *config.Site, session *oauth.Session) {
	if a.endSess != nil {
		a.endSess()
	}
	a.hangUp()
	if older := a.session; older != nil {
		// The new sign-in has taken its place in the keychain; what the server still knows of it is revoked.
		a.wait.Go(func() { _ = older.SignOut(a.running) })
	}
	a.session, a.siteName, a.ended, a.paused, a.stuck = session, s.Name, false, false, false
	a.solved(problemSigninEnded, problemSigninEnds, problemSigninFailed, problemSigninDeclined, problemKeychain, problemMayStillShow)
	a.remember(s.Name)
	ctx, cancel := context.WithCancel(a.running)
	a.endSess = cancel
	a.wait.Go(func() {
		err := session.Run(ctx)
		if errors.Is(err, oauth.ErrLoginNeeded) {
			a.post(func() {
				if a.session == session {
					a.endSession()
				}
			})
		}
	})
	a.wait.Go(func() {
		for {
			select {
			case <-session.Changed():
				a.post(func() { a.lookAtSession(s, session) })
			case <-ctx.Done():
				return
			}
		}
	})
	a.joinSession(s, nil)
	a.lookAtSession(s, session)
}

// joinSession joins the hub that the sign-in named, or that the configuration names where it named none.
func (a *Agent) joinSession(s *config.Site, preview func([]string)) {
	g := a.session.Grant()
	a.joined = hubOf(g)
	hub := s.Hub
	if g.HubURL != "" {
		hub.URL = g.HubURL
	}
	if !g.HubTopic.IsZero() {
		hub.Topic = fhircast.Secret(g.HubTopic.Reveal())
	}
	if hub.URL == "" || hub.Topic == "" {
		a.stuck = true
		a.notify(problemNoSession, "")
		return
	}
	roots, err := siteRoots(s)
	if err != nil {
		a.fail(err)
		return
	}
	var scopes fhircast.Scopes
	if g.ScopesSaid {
		scopes = fhircast.ParseScopes(g.Scopes) // none at all: as in the specification's own example, the hub decides
	}
	who := g.User.FHIRUser
	if who == "" {
		who = g.User.Subject
	}
	a.connect(seat{hub: hub, user: who, scopes: scopes, client: a.session.Client(), roots: roots, preview: preview})
}

// A hubKey is the FHIRcast session that a grant names.
type hubKey struct {
	url   string
	topic fhircast.Secret
}

func hubOf(g oauth.Grant) hubKey { return hubKey{g.HubURL, fhircast.Secret(g.HubTopic.Reveal())} }

// lookAtSession keeps what the Status says of the sign-in right.
func (a *Agent) lookAtSession(s *config.Site, session *oauth.Session) {
	if a.session != session {
		return
	}
	if hub := hubOf(session.Grant()); hub != a.joined && a.line != nil { // SM-REF-10: a refresh named another session
		a.joinSession(s, nil)
	}
	if words := session.Warning(); words != "" {
		a.notify(problemKeychain, words)
	} else {
		a.solved(problemKeychain)
	}
	if !session.Renews() && !session.Until().IsZero() && time.Until(session.Until()) < signinEndsSoon {
		a.notify(problemSigninEnds, "")
	} else {
		a.solved(problemSigninEnds)
	}
}

const signinEndsSoon = 2 * time.Minute

// endSession is a sign-in that the server has ended: unsubscribe, tell, and do not try again. Apps are treated as on any
// loss of the hub.
func (a *Agent) endSession() {
	number := 0
	if a.line != nil {
		number = int(a.line.number.Load())
	}
	a.relay.Lost(number, "the sign-in has ended")
	if a.endSess != nil {
		a.endSess()
	}
	a.session, a.endSess, a.ended = nil, nil, true
	a.notify(problemSigninEnded, "")
	a.publish()
	a.hangUp()
}

// signOut leaves the hub, clears the apps (S8), revokes the sign-in and forgets it.
func (a *Agent) signOut(ctx context.Context, why protocol.Reason) error {
	var session *oauth.Session
	err := a.do(ctx, func() {
		a.leave()
		if a.attempt != nil {
			a.attempt.Close()
			a.attempt = nil
		}
		if a.endSess != nil {
			a.endSess()
		}
		session = a.session
		a.session, a.endSess, a.ended, a.paused, a.stuck = nil, nil, false, false, a.static()
		clear(a.notices)
	})
	if err != nil {
		return err
	}
	still, err := a.relay.Clear(why)
	if err != nil {
		return err
	}
	if session != nil {
		err = session.SignOut(ctx)
	}
	_ = a.do(ctx, func() {
		if len(still) > 0 {
			a.notify(problemMayStillShow, sprintf(problemSentences[problemMayStillShow], strings.Join(still, ", ")))
		}
		if err != nil {
			a.notify(problemKeychain, "Signed out, but the keychain may still hold the ended sign-in. "+oauth.Sentence(err))
		}
	})
	return nil
}
