package agent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

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
