package agent

import (
	"context"

	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// shared tells whether several people use the account that this runs in.
func (a *Agent) shared() bool { return a.cfg.Settings.Session.Shared }

// lock is for who leaves the desk without the screen being locked: by hand, by a hook, or by UserHibernate. The sign-in is
// kept and apps follow on, so that none is stale when the user comes back. On a shared workstation the next one to come is
// another, so it is the end of the session.
func (a *Agent) lock(ctx context.Context) error {
	if a.shared() {
		return a.signOut(ctx, protocol.ReasonSignedOut)
	}
	return a.do(ctx, func() { a.locked = true })
}

// unlock brings the apps to the context as after a loss (S2): nobody has looked at them for a while. The loss is told
// first, so that no Status in between says in sync.
func (a *Agent) unlock() {
	if !a.locked {
		return
	}
	if a.line != nil && a.line.client.State().Subscribed() {
		a.relay.Lost(int(a.line.number.Load()), "unlocked")
		a.settle()
	}
	a.locked = false
	a.reconnect("unlocked")
}

// watchScreen hears of the lock of the screen. Where that cannot be heard, a shared workstation must not pretend that it
// can.
func (a *Agent) watchScreen() {
	err := error(nil)
	if a.cfg.Screen != nil {
		err = a.cfg.Screen(a.running, func(locked bool) { a.post(func() { a.screen(locked) }) })
	}
	if a.running.Err() != nil {
		return
	}
	if err != nil {
		a.cfg.Log.Info("the lock of the screen is not heard of", "because", err.Error())
	}
	if a.shared() {
		a.post(func() { a.notify(problemScreenUnheard, "") })
	}
}

// screen is that the screen was locked or unlocked.
func (a *Agent) screen(locked bool) {
	if !locked {
		a.unlock()
		return
	}
	a.locked = true
	if a.shared() {
		a.startSignOut(protocol.ReasonSignedOut)
	}
}

// switchUser ends the time of who is signed in and asks for the next one, whom the server does not take for the last one
// because of what the browser still remembers.
func (a *Agent) switchUser(ctx context.Context) error {
	if a.static() {
		return errNoSignIn
	}
	if err := a.signOut(ctx, protocol.ReasonSignedOut); err != nil {
		return err
	}
	_, err := a.signIn(ctx, protocol.SigninParams{Site: a.Status().Site}, (*oauth.Launcher).StartAnew)
	return err
}
