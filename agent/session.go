package agent

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/oauth"
)

// signedIn makes a session the one in use and joins its hub, unless that is paused.
func (a *Agent) signedIn(s *config.Site, session *oauth.Session) {
	a.forgetOther(s)
	if a.endSess != nil {
		a.endSess()
	}
	a.drop("another sign-in takes its place")
	for _, older := range []*oauth.Session{a.session, a.refused} {
		if older != nil {
			// The new sign-in has taken its place in the keychain; what the server still knows of it is revoked.
			a.wait.Go(func() { _ = older.SignOut(a.running) })
		}
	}
	a.session, a.refused, a.siteName, a.tokenEnds = session, nil, s.Name, session.Until()
	a.ended, a.expired, a.shut, a.stuck = false, false, false, false
	a.solved(problemSigninEnded, problemSigninEnds, problemSigninFailed, problemSigninDeclined, problemKeychain, problemMayStillShow,
		problemDenied, problemRefused, problemNoSession)
	a.remember(s.Name)
	ctx, cancel := context.WithCancel(a.running)
	a.endSess = cancel
	renews := session.Renews()
	a.wait.Go(func() {
		err := session.Run(ctx)
		if errors.Is(err, oauth.ErrLoginNeeded) {
			a.post(func() { a.sessionOver(session, renews) })
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
	if !a.paused {
		a.joinSession(s, nil)
	}
	a.lookAtSession(s, session)
}

// joinSession joins the hub that the sign-in named, or that the configuration names where it named none.
func (a *Agent) joinSession(s *config.Site, preview func([]string)) {
	a.drop("another session takes its place")
	g := a.session.Grant()
	a.joined = hubOf(g)
	hub := s.Hub
	if g.HubURL != "" {
		hub.URL = g.HubURL
	}
	if !g.HubTopic.IsZero() {
		hub.Topic = fhircast.Secret(g.HubTopic.Reveal())
	}
	if a.handed != nil { // the person said so
		hub.URL, hub.Topic = a.handed.url, a.handed.topic
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
		scopes = s.Hub.Dialect().ParseScopes(g.Scopes) // none at all: as in the specification's own example, the hub decides
	}
	// Both are names within one site: Practitioner/1 of another hospital is another person (S8).
	who := cmp.Or(g.User.FHIRUser, g.User.Subject)
	switch {
	case a.handed != nil: // whose session that is, nobody knows, whoever has signed in
		who = ""
	case who != "":
		who = s.FHIRURL + " " + who
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
	if hub := hubOf(session.Grant()); hub != a.joined && !a.paused && (a.line != nil || a.stuck) { // SM-REF-10: a refresh named another session
		a.joinSession(s, nil)
	}
	if ends := session.Until(); ends.After(a.tokenEnds) {
		a.tokenEnds = ends
		if a.line != nil {
			a.line.client.Renew() // the lease ends with the token that it was asked for with
		}
	}
	if words := session.Warning(); words != "" {
		a.notify(problemKeychain, words)
	} else {
		a.solved(problemKeychain)
	}
	a.remark(session)
	a.lookAtEnd()
}

// remark tells what may be the reason when the sign-in does not work as it should. It stays when the sign-in ends by it.
func (a *Agent) remark(session *oauth.Session) {
	remarks := session.Remarks()
	for _, code := range []string{problemClock, problemTokenSize} {
		if words := remarks[code]; words != "" {
			a.notify(code, words)
		} else {
			a.solved(code)
		}
	}
}

// lookAtEnd warns of a sign-in that will end by itself (SM-REF-09).
func (a *Agent) lookAtEnd() {
	s := a.session
	if s == nil || a.expired {
		return
	}
	if until := s.Until(); !s.Renews() && !until.IsZero() && time.Until(until) < signinEndsSoon {
		a.notify(problemSigninEnds, "")
	} else {
		a.solved(problemSigninEnds)
	}
}

const signinEndsSoon = 2 * time.Minute

// sessionOver is a sign-in that is not kept alive any more. One that the server has ended is over at once. One whose token
// has expired and cannot be renewed ends nothing yet: what is subscribed stays so for as long as the hub keeps it.
func (a *Agent) sessionOver(session *oauth.Session, renews bool) {
	if a.session != session {
		return
	}
	if renews || a.line == nil {
		a.endSession()
		return
	}
	a.expired = true
	a.solved(problemSigninEnds)
	a.notify(problemSigninEnded, "")
	a.lookAtLine()
}

// lookAtLine ends a sign-in that has expired when its subscription is lost: it cannot subscribe anew.
func (a *Agent) lookAtLine() {
	if a.expired && a.line != nil && !a.line.client.State().Subscribed() {
		a.endSession()
	}
}

// endSession is a sign-in that is over: unsubscribe, tell, and do not try again. Apps are treated as on any loss of the
// hub.
func (a *Agent) endSession() {
	if a.endSess != nil {
		a.endSess()
	}
	a.session, a.endSess, a.handed, a.ended, a.expired = nil, nil, nil, true, false
	a.solved(problemSigninEnds)
	a.notify(problemSigninEnded, "")
	a.drop("the sign-in has ended")
}
