package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"

	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// signOut leaves the hub, clears the apps (S8), revokes the sign-in and forgets it, also one that lies in the keychain
// and could not be used yet. What was begun is finished whether or not ctx ends.
func (a *Agent) signOut(ctx context.Context, why protocol.Reason) error {
	var finished <-chan struct{}
	if err := a.do(ctx, func() { finished = a.startSignOut(why) }); err != nil {
		return err
	}
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startSignOut ends the session at once. The apps are cleared beside the hub being left, which may take seconds.
func (a *Agent) startSignOut(why protocol.Reason) <-chan struct{} {
	a.giveUp()
	a.signOuts++
	if a.endSess != nil {
		a.endSess()
	}
	old := ending{session: cmp.Or(a.session, a.refused), why: why, before: a.stored, left: make(chan struct{})}
	if first := a.storedSite(); old.session == nil && first != nil {
		old.launcher, _ = a.launcher(first) // without its authorities there is nobody to ask, and nothing was read
	}
	a.session, a.endSess, a.resuming, a.refused, a.handed = nil, nil, nil, nil, nil
	a.forgetQuestions()
	a.ended, a.expired, a.paused, a.shut, a.stuck = false, false, false, false, a.static()
	maps.DeleteFunc(a.notices, func(code string, _ notice) bool {
		return code != problemScreenUnheard && code != problemEarlierKept && code != problemLaunchOff
	})
	a.pauses[""]++
	finished := make(chan struct{})
	a.stored = finished
	a.relay.Leave()
	a.settle()
	a.wait.Go(func() {
		defer close(finished)
		a.finishSignOut(old)
	})
	a.hangUp()
	close(old.left)
	if !a.static() {
		a.hubHost = ""
	}
	return finished
}

// ending is what a sign-out takes with it.
type ending struct {
	session  *oauth.Session
	launcher *oauth.Launcher // of what may be stored, where there is no session
	why      protocol.Reason
	before   <-chan struct{} // what works on the stored sign-in now
	left     chan struct{}   // closed when the hub is left, for which the session signs
}

func (a *Agent) finishSignOut(e ending) {
	still, _ := a.relay.Clear(e.why) // it fails only when the agent has stopped, which clears
	<-e.left
	if e.before != nil {
		<-e.before
	}
	err := a.forget(e)
	_ = a.do(a.running, func() {
		a.mayStillShow(still)
		if err != nil {
			a.shut = true
			a.notify(problemKeychain, "Signed out, but the keychain may still hold the ended sign-in: unlock it and sign out again.")
		}
	})
}

// forget revokes a sign-in and deletes it from the keychain. Without a keychain nothing was stored.
func (a *Agent) forget(e ending) error {
	var err error
	if e.session == nil && e.launcher != nil {
		if e.session, err = e.launcher.Resume(a.running); errors.Is(err, fs.ErrNotExist) || errors.Is(err, oauth.ErrLoginNeeded) {
			err = nil
		}
	}
	if e.session != nil {
		err = e.session.SignOut(a.running)
	}
	if nothingKept(err) {
		return nil
	}
	return err
}

// nothingKept: where there is no keychain there never was anything in it.
func nothingKept(err error) bool { return errors.Is(err, oauth.ErrUnavailable) }

// revokeAll ends at the server what ends with this process: nobody could use it any more but who should not.
func (a *Agent) revokeAll() {
	for _, s := range []*oauth.Session{a.session, a.refused} {
		if s != nil {
			a.wait.Go(func() { _ = s.SignOut(a.running) })
		}
	}
}

// mayStillShow says which apps could not be cleared.
func (a *Agent) mayStillShow(still []string) {
	if len(still) > 0 {
		a.notify(problemMayStillShow, sprintf(problemSentences[problemMayStillShow], strings.Join(still, ", ")))
	}
}
