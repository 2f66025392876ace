package agent

import (
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/oauth"
)

// forgetAgain is how long a keychain that did not open is left in peace.
const forgetAgain = 5 * time.Minute

// forgetEarlier revokes and deletes what was kept before this workstation was shared.
func (a *Agent) forgetEarlier() {
	for i := range a.cfg.Settings.Sites {
		l, err := a.launcherFor(&a.cfg.Settings.Sites[i], a.guarded())
		if err != nil {
			a.fail(err)
			continue
		}
		a.forgetStored(l)
	}
}

// forgetOther forgets the sign-in of another site that lies in the keychain and was never read, since that was locked, say.
// One session at a time: what is kept is what the Status shows, and a sign-out leaves nothing behind.
func (a *Agent) forgetOther(now *config.Site) {
	other := a.storedSite()
	if other == nil || other.Name == now.Name || a.session != nil || a.refused != nil {
		return // a session is signed out by itself
	}
	if l, err := a.launcher(other); err == nil {
		a.forgetStored(l)
	}
}

// forgetStored forgets what a launcher has stored and nobody goes on with. Sign-ins wait for it, as for all that works on
// what is stored. A keychain that is locked may be open later, and what is in it opens doors until then.
func (a *Agent) forgetStored(l *oauth.Launcher) {
	finished, before := make(chan struct{}), a.stored
	a.stored = finished
	a.wait.Go(func() {
		defer close(finished)
		if before != nil {
			<-before
		}
		err := l.Forget(a.running)
		a.post(func() {
			if err == nil || nothingKept(err) {
				delete(a.leftovers, l)
			} else {
				a.leftovers[l] = true
				a.later(forgetAgain, func() { a.post(func() { a.forgetStored(l) }) })
			}
			if len(a.leftovers) > 0 {
				a.notify(problemEarlierKept, "")
			} else {
				a.solved(problemEarlierKept)
			}
		})
	})
}
