package agent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// controls are the methods that need control (DESIGN 3.2), whether this version has them or not.
var controls = []string{protocol.MethodLaunch, protocol.MethodLaunchAccept, protocol.MethodLaunchDecline, protocol.MethodSignin, protocol.MethodSignout, protocol.MethodLock, protocol.MethodUserSwitch,
	protocol.MethodPause, protocol.MethodResume, protocol.MethodResync, protocol.MethodClear, protocol.MethodApps, protocol.MethodQuit}

// Do does what the menu does: the methods of the local protocol that need control (DESIGN 3.2), with their params and
// results. What was done shows in the Status when it returns. The error is a *protocol.Error, or ctx's.
func (a *Agent) Do(ctx context.Context, method string, params json.RawMessage) (any, error) {
	if method == protocol.MethodQuit {
		a.quit()
		return nil, nil
	}
	if err := a.do(ctx, func() {}); err != nil { // the relay is deaf before and after Run
		return nil, err
	}
	result, err := a.control(ctx, method, params)
	if settled := a.do(ctx, a.settle); err == nil && settled != nil {
		return nil, settled
	}
	return result, err
}

func (a *Agent) control(ctx context.Context, method string, params json.RawMessage) (any, error) {
	switch method {
	case protocol.MethodLaunch:
		var p protocol.LaunchParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		_, why, err := a.take(ctx, p.URL)
		if why != nil {
			err = why.answer()
		}
		return nil, err
	case protocol.MethodLaunchAccept, protocol.MethodLaunchDecline:
		return nil, a.answerLaunch(ctx, method == protocol.MethodLaunchAccept)
	case protocol.MethodSignin:
		var p protocol.SigninParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		url, err := a.signIn(ctx, p, (*oauth.Launcher).Start)
		return protocol.SigninResult{URL: url}, err
	case protocol.MethodSignout:
		return nil, a.signOut(ctx, protocol.ReasonSignedOut)
	case protocol.MethodLock:
		return nil, a.lock(ctx)
	case protocol.MethodUserSwitch:
		return nil, a.switchUser(ctx)
	case protocol.MethodPause:
		var p protocol.PauseParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		return nil, a.pause(ctx, p)
	case protocol.MethodResume:
		var p protocol.ResumeParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		changes, err := a.resume(ctx, p.App)
		return protocol.ResumeResult{Changes: changes}, err
	case protocol.MethodResync:
		return nil, a.resync(ctx)
	case protocol.MethodClear:
		_, err := a.relay.Clear(protocol.ReasonUser)
		return nil, err
	case protocol.MethodApps:
		return protocol.AppsResult{Apps: a.Status().Apps}, nil
	}
	return nil, &protocol.Error{Code: protocol.CodeMethodNotFound, Message: "This version of Castray has no method of that name."}
}

// pause takes one app out of those that count, or leaves the session for all of them.
func (a *Agent) pause(ctx context.Context, p protocol.PauseParams) error {
	var wait time.Duration
	if p.For != "" {
		var err error
		if wait, err = time.ParseDuration(p.For); err != nil || wait <= 0 {
			return &protocol.Error{Code: protocol.CodeInvalidParams, Message: `for must be a time such as "15m".`}
		}
	}
	if p.App != "" {
		if _, err := a.relay.Pause(p.App, true); err != nil {
			return err
		}
		return a.do(ctx, func() {
			a.endPauseAfter(p.App, wait, func() { _, _ = a.relay.Pause(p.App, false) })
		})
	}
	return a.do(ctx, func() {
		if !a.paused {
			a.paused = true
			a.leave()
		}
		a.endPauseAfter("", wait, func() { a.rejoin(nil) })
	})
}

// endPauseAfter has the owner end a pause after a while, 0 = not by itself, unless it was ended or begun anew before.
func (a *Agent) endPauseAfter(app string, wait time.Duration, end func()) {
	a.pauses[app]++
	n := a.pauses[app]
	if wait == 0 {
		return
	}
	a.later(wait, func() {
		a.post(func() {
			if a.pauses[app] == n {
				end()
			}
		})
	})
}

// later does something after a while, unless the agent ends before.
func (a *Agent) later(d time.Duration, what func()) {
	a.wait.Go(func() {
		select {
		case <-time.After(d):
			what()
		case <-a.running.Done():
		}
	})
}

// joinWithin is how long resume waits to say what will change.
const joinWithin = 15 * time.Second

// resume brings one app back, or all: the context is read before anything is told, and what will change is returned
// before it is pushed (DESIGN 1). It ends a lock too: who asks is back at the desk.
func (a *Agent) resume(ctx context.Context, app string) ([]string, error) {
	if app != "" {
		if err := a.do(ctx, func() { a.pauses[app]++ }); err != nil {
			return nil, err
		}
		return a.relay.Pause(app, false)
	}
	changes := make(chan []string, 1)
	paused := false
	var ended <-chan struct{}
	err := a.do(ctx, func() {
		a.unlock()
		if paused = a.paused; paused {
			a.rejoin(func(ids []string) { changes <- ids })
		}
		if a.line != nil {
			ended = a.line.ended
		}
	})
	if err != nil || !paused {
		return nil, err
	}
	select {
	case ids := <-changes:
		return ids, nil
	case <-ended: // paused again, signed out, or refused
		return nil, &protocol.Error{Code: protocol.CodeNotConnected, Message: "The hub was left before it could say what is current; the status says why."}
	case <-time.After(joinWithin):
		return nil, &protocol.Error{Code: protocol.CodeNotConnected, Message: "Resumed, but the hub has not answered yet; apps are told as soon as it does."}
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.done:
		return nil, errStopping
	}
}

// rejoin joins again what was left: the configured hub, or the one of the sign-in.
func (a *Agent) rejoin(preview func([]string)) {
	a.paused = false
	a.pauses[""]++
	switch {
	case a.static():
		a.joinStatic(preview)
	case a.expired: // nothing more can be signed
		a.endSession()
	case a.session != nil:
		a.joinSession(a.site(a.siteName), preview)
	}
	if a.line == nil && preview != nil {
		preview(nil)
	}
}

// resync reads the context again and tells it to everyone; without a subscription it tries at once to have one.
func (a *Agent) resync(ctx context.Context) error {
	tries := false
	var reads <-chan struct{}
	if err := a.proveAgain(ctx); err != nil {
		return err
	}
	err := a.do(ctx, func() {
		switch {
		case a.paused:
		case a.line != nil && !a.line.client.State().Subscribed():
			a.reconnect("the user asked")
			tries = true
		case a.line == nil && (a.session != nil || a.static()):
			a.rejoin(nil)
			tries = true
		case a.session == nil && a.shut && a.resuming == nil && a.storedSite() != nil: // the keychain may be open now
			a.resumeSite(a.storedSite())
			reads = a.stored
		}
	})
	switch {
	case err != nil || tries:
		return err
	case reads != nil:
		return a.resumesNow(ctx, reads)
	}
	return a.blame(a.relay.Resync())
}

// resumesNow waits for a stored sign-in to be read, and tells whether there was one.
func (a *Agent) resumesNow(ctx context.Context, read <-chan struct{}) error {
	select {
	case <-read:
	case <-ctx.Done():
		return ctx.Err()
	}
	signedIn := false
	if err := a.do(ctx, func() { signedIn = a.session != nil }); err != nil || signedIn {
		return err
	}
	return errNobody
}

var errNobody = &protocol.Error{Code: protocol.CodeSigninNeeded, Message: "Nobody is signed in."}

// blame says that a sign-in is needed where that is why there is no subscription.
func (a *Agent) blame(err error) error {
	var fault *protocol.Error
	if !errors.As(err, &fault) || fault.Code != protocol.CodeNotConnected || fault.Data != nil {
		return err
	}
	s := a.Status()
	switch s.Phase {
	case protocol.PhaseSignedOut, protocol.PhaseLoginNeeded, protocol.PhaseSigningIn:
	default:
		if (s.Phase == protocol.PhaseLocked || s.Phase == protocol.PhasePaused) && !s.SignedIn && !a.static() {
			break // these phases stand before the sign-in that is missing all the same
		}
		if !slices.ContainsFunc(s.Problems, func(p protocol.Problem) bool { return p.Code == problemSigninEnded }) {
			return err
		}
	}
	return errNobody
}
