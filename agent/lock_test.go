package agent_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// desk is a hospital's workstation with a screen that can be locked, and remembers every phase.
type desk struct {
	*hospital
	screen chan bool // locked
	kept   *drawer
	mu     sync.Mutex
	phases []protocol.Phase
}

func newDesk(t *testing.T, settings string) *desk {
	t.Helper()
	d := &desk{hospital: newHospital(t), screen: make(chan bool), kept: new(drawer)}
	d.write(d.file, append(d.config, settings...))
	d.store = d.kept
	d.tune = func(c *agent.Config) {
		c.Screen = func(ctx context.Context, tell func(bool)) error {
			for {
				select {
				case locked := <-d.screen:
					tell(locked)
				case <-ctx.Done():
					return nil
				}
			}
		}
		c.Changed = func(s protocol.Status, _ bool) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if n := len(d.phases); n == 0 || d.phases[n-1] != s.Phase {
				d.phases = append(d.phases, s.Phase)
			}
		}
	}
	return d
}

const sharedDesk = "[session]\nshared = true\n"

// says has the hub send an event without content.
func (d *desk) says(name fhircast.Name) {
	d.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: "says-" + string(name), At: time.Now(), Topic: d.topic, Name: name})
	if err == nil {
		err = d.hub.Hub().Publish(d.ctx, d.topic, e)
	}
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) asked(parameter string) string {
	d.Helper()
	for _, r := range slices.Backward(d.auth.Requests()) {
		if r.Path == "/auth/authorize" {
			return r.Form.Get(parameter)
		}
	}
	d.Fatal("nobody was sent to sign in")
	return ""
}

// FM-28: locked, the sign-in is kept and apps follow on; unlocked, the context is read anew before anything looks in sync.
func TestS2_UnlockingReadsTheContextAnew(t *testing.T) {
	for name, c := range map[string]struct{ lock, unlock func(d *desk) }{
		"the screen": {func(d *desk) { d.screen <- true }, func(d *desk) { d.screen <- false }},
		"by hand":    {func(d *desk) { d.do("lock", `{}`) }, func(d *desk) { d.do("resume", `{}`) }},
		// FC-CAT-14: answered at once, then as locking the screen.
		"UserHibernate": {func(d *desk) { d.says("UserHibernate") }, func(d *desk) { d.screen <- false }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, "")
			v := d.follows("p1")
			c.lock(d)
			if s := d.phase(protocol.PhaseLocked); !s.SignedIn || s.Counters.Reconnects != 0 {
				t.Errorf("locked: %+v", s)
			}
			d.opensPatient("p2")
			d.current(v, "p2")
			if s := d.running.agent.Status(); s.Phase != protocol.PhaseLocked {
				t.Errorf("an event unlocks: %s", s.Phase)
			}
			c.unlock(d)
			d.phase(protocol.PhaseInSync)
			d.mu.Lock()
			defer d.mu.Unlock()
			next := d.phases[slices.Index(d.phases, protocol.PhaseLocked)+1]
			if next != protocol.PhaseConnecting { // and no alarm: nothing has failed
				t.Errorf("phases %v", d.phases)
			}
		})
	}
}

// S8: whatever ends a person's time at a shared desk ends the session, at the server too, and clears the apps.
func TestS8_ASharedDeskIsWiped(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(d *desk)
		phase protocol.Phase
		clear string
	}{
		"the screen is locked": {func(d *desk) { d.screen <- true }, protocol.PhaseLocked, "clear:signed_out"},
		"castray lock":         {func(d *desk) { d.do("lock", `{}`) }, protocol.PhaseSignedOut, "clear:signed_out"},
		"UserHibernate":        {func(d *desk) { d.says("UserHibernate") }, protocol.PhaseSignedOut, "clear:signed_out"},
		"UserLogout":           {func(d *desk) { d.says("UserLogout") }, protocol.PhaseSignedOut, "clear:user_logout"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, sharedDesk)
			v := d.follows("p1")
			c.end(d)
			if s := d.phase(c.phase); s.SignedIn || s.User != nil {
				t.Errorf("status %+v", s)
			}
			d.until("told", func(protocol.Status) bool { return v.wasTold(c.clear) })
			d.until("revoked", func(protocol.Status) bool { return d.auth.Count("/auth/revoke") == 1 })
			if d.kept.len() != 0 {
				t.Error("something is kept")
			}
			d.keepsSecrets()
		})
	}
}

func (v *viewer) wasTold(what string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Contains(v.told, what)
}

// SM-STORE-02: in shared mode nothing is kept, not even while the session lasts, and what was kept before is revoked and
// deleted. Each sign-in asks the server to ask who it is.
func TestASharedDeskKeepsNothing(t *testing.T) {
	d := newDesk(t, "")
	d.starts()
	d.do("signin", `{}`)
	d.phase(protocol.PhaseNoContext)
	if d.asked("prompt") != "" || d.kept.len() == 0 {
		t.Fatalf("prompt %q, %d kept", d.asked("prompt"), d.kept.len())
	}
	d.end()
	d.write(d.file, append(d.config, sharedDesk...))
	d.starts()
	d.until("forgotten", func(protocol.Status) bool { return d.kept.len() == 0 && d.auth.Count("/auth/revoke") == 1 })
	if s := d.phase(protocol.PhaseSignedOut); has(s, "keychain") || d.auth.Count("/auth/token") != 1 {
		t.Errorf("problems %v, %d token requests", s.Problems, d.auth.Count("/auth/token"))
	}
	d.do("signin", `{}`)
	d.phase(protocol.PhaseNoContext)
	if d.asked("prompt") != "login" || d.kept.len() != 0 {
		t.Errorf("prompt %q, %d kept", d.asked("prompt"), d.kept.len())
	}
	d.end()
	if n := d.auth.Count("/auth/revoke"); n != 2 {
		t.Errorf("%d revoked: at a shared desk the end of the agent ends the session", n)
	}
}

// Behind a lock or a pause nobody is signed in either, and a script that asks is told so.
func TestWhatIsMissingBehindALock(t *testing.T) {
	d := newDesk(t, "")
	d.follows("p1")
	d.do("signout", `{}`)
	d.phase(protocol.PhaseSignedOut)
	for method, phase := range map[string]protocol.Phase{"lock": protocol.PhaseLocked, "pause": protocol.PhasePaused} {
		d.do(method, `{}`)
		d.phase(phase)
		if _, err := d.running.agent.Do(d.ctx, "resync", nil); code(err) != protocol.CodeSigninNeeded {
			t.Errorf("%s: %v", phase, err)
		}
		d.do("resume", `{}`)
		d.phase(protocol.PhaseSignedOut)
	}
}

// At a shared desk a session ends with the agent: also one that has just been made, while the browser still fetches the last page.
func TestASharedDeskEndsWhatHasJustBegun(t *testing.T) {
	d := newDesk(t, sharedDesk)
	pages := d.shown()
	d.starts()
	d.do("signin", `{}`)
	browser := d.server.Client()
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/done/") {
			return http.ErrUseLastResponse // and does not fetch it
		}
		return nil
	}
	resp, err := browser.Get(<-pages)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	d.until("the token", func(protocol.Status) bool { return d.auth.Count("/auth/jwks") > 0 })
	for range 20 {
		d.rest()
	}
	d.end()
	if n := d.auth.Count("/auth/revoke"); n != 1 {
		t.Errorf("%d revoked", n)
	}
}

func TestASharedDeskWhoseKeychainIsLocked(t *testing.T) {
	d := newDesk(t, sharedDesk)
	d.kept.lock(true)
	d.starts()
	s := d.until("the keychain", func(s protocol.Status) bool { return has(s, "earlier_kept") })
	if s.Phase != protocol.PhaseSignedOut {
		t.Errorf("phase %s", s.Phase)
	}
	d.do("signin", `{}`)
	if s := d.phase(protocol.PhaseNoContext); !has(s, "earlier_kept") {
		t.Error("it is still kept, and not said any more")
	}
}

// SM-ID-08: at a shared desk a sign-in that names nobody is refused, and what was granted to nobody is revoked.
func TestASharedDeskWantsToKnowWho(t *testing.T) {
	d := newDesk(t, sharedDesk)
	d.starts()
	d.auth.Misbehave(oauthtest.Faults{NoID: true})
	d.do("signin", `{}`)
	s := d.until("refused", func(s protocol.Status) bool { return has(s, "signin_failed") })
	if s.SignedIn || !contains(s.Problems[0].Sentence, "did not say who you are") {
		t.Errorf("status %+v", s)
	}
	if d.auth.Count("/auth/revoke") != 1 {
		t.Error("not revoked")
	}
}

// The next one to sign in at a shared desk is never shown the last one's patient: not by the apps, and not by the hub.
func TestS8_TheNextUserOfASharedDesk(t *testing.T) {
	d := newDesk(t, sharedDesk)
	v := d.follows("p1")
	d.auth.Misbehave(oauthtest.Faults{Claims: map[string]any{"sub": "eve", "fhirUser": "Practitioner/eve", "name": "Eve"}})
	d.do("user_switch", `{}`)
	d.until("Eve", func(s protocol.Status) bool {
		return s.User != nil && s.User.Name == "Eve" && s.Phase == protocol.PhaseInSync
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	if last := len(v.told) - 1; last < 2 || v.told[last] != "Patient-open" || !slices.Contains(v.told[1:last], "clear:signed_out") {
		t.Errorf("told %v", v.told)
	}
}

// Where nobody shares the desk, switching the user still ends the last session, and does not take who the browser remembers.
func TestS8_SwitchUserAsksTheServerToAsk(t *testing.T) {
	d := newDesk(t, "")
	v := d.follows("p1")
	d.do("user_switch", `{}`)
	if !v.wasTold("clear:signed_out") || d.auth.Count("/auth/revoke") != 1 {
		t.Errorf("told %v, %d revoked", v.told, d.auth.Count("/auth/revoke"))
	}
	d.until("signed in", func(s protocol.Status) bool { return s.SignedIn })
	if d.asked("prompt") != "login" {
		t.Error("the server was not asked to ask")
	}
	d.do("signin", `{}`)
	d.until("an ordinary sign-in", func(protocol.Status) bool { return d.auth.Count("/auth/authorize") == 3 })
	if d.asked("prompt") != "" {
		t.Error("an ordinary sign-in asks for the password")
	}
}

func TestWithoutSignInThereIsNobodyToSwitch(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	if _, err := w.running.agent.Do(w.ctx, "user_switch", nil); code(err) != protocol.CodeNotAllowed {
		t.Errorf("user_switch: %v", err)
	}
	w.phase(protocol.PhaseNoContext)
}

// A shared desk that cannot hear its screen says so, as long as it is true; another one has no use for the sentence.
func TestAScreenThatIsNotHeard(t *testing.T) {
	for settings, said := range map[string]bool{sharedDesk: true, "": false} {
		d := newDesk(t, settings)
		d.tune = nil
		d.starts()
		d.do("signin", `{}`)
		d.until("the session", func(s protocol.Status) bool {
			return s.Phase == protocol.PhaseNoContext && has(s, "screen_unheard") == said
		})
		d.do("signout", `{}`)
		if s := d.phase(protocol.PhaseSignedOut); has(s, "screen_unheard") != said {
			t.Errorf("problems %v", s.Problems)
		}
		d.end()
	}
}

// A sign-in that the hub does not take still opens the server's doors.
func TestASharedDeskRevokesWhatTheHubRefused(t *testing.T) {
	d := newDesk(t, sharedDesk)
	d.starts()
	d.hub.Reply(hubtest.Subscribe, hubtest.Reply{Status: 404}, -1)
	d.do("signin", `{}`)
	d.until("refused", func(s protocol.Status) bool { return has(s, "hub_refused") })
	d.do("lock", `{}`)
	if n := d.auth.Count("/auth/revoke"); n != 1 {
		t.Errorf("%d revoked", n)
	}
}
