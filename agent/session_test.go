package agent_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// A drawer is a keychain that can be locked, and looked into.
type drawer struct {
	mu     sync.Mutex
	locked bool
	items  map[string][]byte
}

func (d *drawer) lock(locked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locked = locked
}

func (d *drawer) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.items)
}

func (d *drawer) use(f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return oauth.ErrLocked
	}
	if d.items == nil {
		d.items = make(map[string][]byte)
	}
	f()
	return nil
}

func (d *drawer) Load(_ context.Context, key string) (value []byte, err error) {
	if err = d.use(func() { value = d.items[key] }); err == nil && value == nil {
		err = fs.ErrNotExist
	}
	return value, err
}

func (d *drawer) Save(_ context.Context, key string, value []byte) error {
	return d.use(func() { d.items[key] = value })
}

func (d *drawer) Delete(_ context.Context, key string) error {
	return d.use(func() { delete(d.items, key) })
}

// A sign-in in place of another is a loss of the first one's session, also if it brings none of its own.
func TestS1_ASignInWithoutASessionIsNotInSync(t *testing.T) {
	h := newHospital(t)
	v := h.follows("p1")
	h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": nil, "hub.topic": nil}})
	h.do("signin", `{}`)
	h.until("no session", func(s protocol.Status) bool { return s.Phase == protocol.PhaseOffline && has(s, "no_fhircast_session") })
	var current protocol.ContextResult
	if err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &current); code(err) != protocol.CodeContextUnknown {
		t.Errorf("context: %v", err)
	}
	h.keepsSecrets()
}

// The second user signs in while the first still is, without a sign-out between.
func TestS8_AnotherUserTakesOver(t *testing.T) {
	h := newHospital(t)
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	h.auth.Misbehave(oauthtest.Faults{Claims: map[string]any{"sub": "eve", "fhirUser": "Practitioner/eve", "name": "Eve"}})
	h.do("signin", `{}`)
	h.until("the second user", func(s protocol.Status) bool { return s.User != nil && s.User.Name == "Eve" })
	h.phase(protocol.PhaseInSync)
	v.clearedBetween(t)
}

// clearedBetween: the first user's patient, a clear, the second user's. (A hub says what is open, and is asked: the second
// may come twice.)
func (v *viewer) clearedBetween(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	first := slices.Index(v.told, "Patient-open")
	if first < 0 || len(v.told) < first+3 || v.told[first+1] != "clear:user" || v.told[first+2] != "Patient-open" {
		t.Errorf("told %v", v.told)
	}
}

// Practitioner/ada of two hospitals is two people.
func TestS8_TheSameNameAtAnotherSiteIsAnotherUser(t *testing.T) {
	first, second := newHospital(t), newHospital(t)
	other := "[[site]]\nname = \"Other\"\nfhir_url = \"" + second.server.URL + "/fhir\"\nclient_id = \"castray\"\nca_file = \"" + first.dir + "/ca.pem\"\n"
	first.write(first.file, append(first.config, other...))
	first.starts()
	v := first.viewer("viewer", client.Options{})
	first.do("signin", `{"site":"Hospital"}`)
	first.phase(protocol.PhaseNoContext)
	first.opensPatient("p1")
	first.sees(v, "Patient-open")
	second.opensPatient("p1")
	first.do("signin", `{"site":"Other"}`)
	first.until("the other site", func(s protocol.Status) bool { return s.Site == "Other" && s.Phase == protocol.PhaseInSync })
	v.clearedBetween(t)
}

func TestSignOutWhileTheCodeIsExchanged(t *testing.T) {
	h := newHospital(t)
	kept := new(drawer)
	h.store = kept
	h.starts()
	h.auth.Misbehave(oauthtest.Faults{Slow: 300 * time.Millisecond})
	h.do("signin", `{}`)
	h.until("the code", func(protocol.Status) bool { return h.auth.Count("/auth/token") == 1 })
	h.do("signout", `{}`)
	if s := h.running.agent.Status(); s.Phase != protocol.PhaseSignedOut || has(s, "signin_pending") {
		t.Errorf("status %+v", s)
	}
	for answered := time.Now().Add(time.Second); time.Now().Before(answered); wait(h.ctx) {
		if kept.len() != 0 {
			break
		}
	}
	h.end()
	if kept.len() != 0 {
		t.Error("a sign-in is left behind")
	}
}

// A sign-in, or a launch, that was begun before a sign-out does not sign anybody in after it: at most desks the browser still knows
// who was there, and asks nothing.
func TestSignOutWhileASignInBegins(t *testing.T) {
	for name, begins := range map[string]func(h *hospital) error{
		"signin": func(h *hospital) error {
			_, err := h.running.agent.Do(h.ctx, protocol.MethodSignin, json.RawMessage(`{}`))
			return err
		},
		"launch": func(h *hospital) error { return h.launches(h.launch("early")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := launchable(t, "")
			h.starts()
			h.viewer("viewer", client.Options{})
			h.auth.Misbehave(oauthtest.Faults{Slow: 500 * time.Millisecond})
			begun := make(chan error, 1)
			go func() { begun <- begins(h) }()
			h.until("the question where to sign in", func(protocol.Status) bool { return len(h.auth.Requests()) == 1 })
			h.do("signout", `{}`)
			if err := <-begun; name == "signin" && code(err) != protocol.CodeSigninNeeded {
				t.Errorf("signin: %v", err)
			}
			for answered := time.Now().Add(time.Second); time.Now().Before(answered); wait(h.ctx) {
			}
			if s := h.running.agent.Status(); s.Phase != protocol.PhaseSignedOut || len(s.Problems) != 0 || len(h.authorized()) != 0 {
				t.Errorf("%d pages opened, status %+v", len(h.authorized()), s)
			}
			h.auth.Misbehave(oauthtest.Faults{})
			h.do("signin", `{}`)
			h.phase(protocol.PhaseNoContext)
		})
	}
}

func TestAKeychainThatIsOpenedLater(t *testing.T) {
	h := newHospital(t)
	kept := new(drawer)
	h.store = kept
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.end()
	kept.lock(true)
	h.starts()
	if s := h.phase(protocol.PhaseLoginNeeded); !has(s, "keychain") {
		t.Errorf("problems %v", s.Problems)
	}
	kept.lock(false)
	h.do("resync", `{}`)
	if s := h.phase(protocol.PhaseNoContext); has(s, "keychain") {
		t.Errorf("problems %v", s.Problems)
	}
}

// A sign-out that finds the keychain locked says so; the next one deletes what lies in it.
func TestSignOutOfWhatCouldNotBeRead(t *testing.T) {
	h := newHospital(t)
	kept := new(drawer)
	h.store = kept
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.end()
	kept.lock(true)
	h.starts()
	h.phase(protocol.PhaseLoginNeeded)
	h.do("signout", `{}`)
	if s := h.phase(protocol.PhaseSignedOut); !has(s, "keychain") {
		t.Errorf("problems %v", s.Problems)
	}
	kept.lock(false)
	h.do("signout", `{}`)
	if s := h.phase(protocol.PhaseSignedOut); has(s, "keychain") || kept.len() != 0 {
		t.Errorf("%d kept, problems %v", kept.len(), s.Problems)
	}
	if h.auth.Count("/auth/revoke") == 0 {
		t.Error("not revoked")
	}
}

// Without a keychain nothing was ever kept: nobody's sign-in has ended.
func TestNoKeychainIsNoEndedSignIn(t *testing.T) {
	h := newHospital(t)
	h.store = noKeychain{}
	h.starts()
	s := h.until("the keychain", func(s protocol.Status) bool { return has(s, "keychain") })
	if s.Phase != protocol.PhaseSignedOut {
		t.Errorf("phase %s", s.Phase)
	}
	if _, err := h.running.agent.Do(h.ctx, "resync", nil); code(err) != protocol.CodeSigninNeeded {
		t.Errorf("resync: %v", err)
	}
	h.do("signout", `{}`)
	if s := h.phase(protocol.PhaseSignedOut); has(s, "keychain") {
		t.Errorf("problems %v", s.Problems)
	}
}

type noKeychain struct{}

func (noKeychain) Load(context.Context, string) ([]byte, error) { return nil, oauth.ErrUnavailable }
func (noKeychain) Save(context.Context, string, []byte) error   { return oauth.ErrUnavailable }
func (noKeychain) Delete(context.Context, string) error         { return oauth.ErrUnavailable }

// An access token that expires ends nothing by itself; it is warned of before (SM-REF-09), and what is lost afterwards
// stays lost.
func TestASignInThatCannotBeRenewed(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.auth.Misbehave(oauthtest.Faults{NoRefresh: true, Body: map[string]any{"expires_in": 135}})
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseNoContext); has(s, "signin_ends") || s.User.Until.IsZero() {
		t.Errorf("status %+v", s)
	}
	h.until("the warning", func(s protocol.Status) bool { return s.Phase == protocol.PhaseNoContext && has(s, "signin_ends") })
	h.auth.Misbehave(oauthtest.Faults{NoRefresh: true, Body: map[string]any{"expires_in": 11}})
	h.do("signin", `{}`)
	s := h.until("the end", func(s protocol.Status) bool { return has(s, "signin_ended") })
	if s.Phase != protocol.PhaseNoContext || has(s, "signin_ends") {
		t.Errorf("status %+v", s)
	}
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	h.phase(protocol.PhaseInSync)
	h.hub.Drop("")
	h.phase(protocol.PhaseLoginNeeded)
}

// The server ends the sign-in while it is in use.
func TestInvalidGrantEndsTheSubscription(t *testing.T) { // SM-REF-07
	t.Parallel()
	h := newHospital(t)
	var slept atomic.Bool
	h.wall = func() time.Time {
		if slept.Load() {
			return time.Now().Add(time.Hour)
		}
		return time.Now()
	}
	kept := new(drawer)
	h.store = kept
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	h.auth.Misbehave(oauthtest.Faults{TokenError: "invalid_grant"})
	slept.Store(true)
	s := h.phase(protocol.PhaseLoginNeeded)
	if !has(s, "signin_ended") || s.SignedIn || s.User != nil {
		t.Errorf("status %+v", s)
	}
	h.until("the hub left", func(protocol.Status) bool { return len(h.hub.Hub().Subscribers(h.topic)) == 0 })
	if kept.len() != 0 {
		t.Error("the ended sign-in is kept")
	}
	h.keepsSecrets()
}

// A topic that the hub does not know any more ends in login_needed, not in trying for ever.
func TestAHubThatRefusesTheTopic(t *testing.T) {
	h := newHospital(t)
	h.starts()
	h.hub.Reply(hubtest.Subscribe, hubtest.Reply{Status: 404}, -1)
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseLoginNeeded); !has(s, "hub_refused") {
		t.Errorf("problems %v", s.Problems)
	}
	h.keepsSecrets()
	h.hub.Clear()
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseNoContext); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
	h.until("the first sign-in revoked", func(protocol.Status) bool { return h.auth.Count("/auth/revoke") == 1 })
}

// SM-API-04: a hub that refuses a sign-in whose token is large ends it, as any refusal does, and the reason may be the size.
func TestAHubThatRefusesALargeToken(t *testing.T) {
	h := newHospital(t)
	h.starts()
	h.auth.Misbehave(oauthtest.Faults{NoID: true, Body: map[string]any{"access_token": strings.Repeat("a", 12<<10)}})
	h.hub.Reply(hubtest.Subscribe, hubtest.Reply{Status: 431}, -1)
	h.do("signin", `{}`)
	s := h.phase(protocol.PhaseLoginNeeded)
	if i := slices.IndexFunc(s.Problems, func(p protocol.Problem) bool { return p.Code == "token_size" }); i < 0 || !contains(s.Problems[i].Sentence, "12 KB") {
		t.Errorf("problems %v", s.Problems)
	}
	h.hub.Clear()
	h.auth.Misbehave(oauthtest.Faults{})
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseNoContext); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
}

// A refresh that names another session joins that, also where the first one named none (SM-REF-10).
func TestARefreshThatNamesASession(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	var slept atomic.Bool
	h.wall = func() time.Time {
		if slept.Load() {
			return time.Now().Add(time.Hour)
		}
		return time.Now()
	}
	h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": nil, "hub.topic": nil}})
	h.starts()
	h.do("signin", `{}`)
	h.until("no session", func(s protocol.Status) bool { return has(s, "no_fhircast_session") })
	h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": h.server.URL + "/hub", "hub.topic": h.topic.Reveal()}})
	slept.Store(true)
	if s := h.phase(protocol.PhaseNoContext); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
	h.keepsSecrets()
}

// Denied, and denied again: the agent stops, says so, and tries again when somebody asks.
func TestAHubThatDeniesTwice(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.current(v, "p1")
	h.hub.Deny("", "canary")
	h.until("the second subscription", func(s protocol.Status) bool { return s.Counters.Reconnects == 1 && s.Phase == protocol.PhaseInSync })
	h.hub.Deny("", "canary")
	s := h.until("the end", func(s protocol.Status) bool { return has(s, "denied") })
	if s.Phase != protocol.PhaseOffline || !s.SignedIn {
		t.Errorf("phase %s", s.Phase)
	}
	h.keepsSecrets()
	h.do("resync", `{}`)
	if s := h.phase(protocol.PhaseInSync); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
}

// A start without the sign-in server: the stored sign-in is kept, and used as soon as it can be refreshed.
func TestAStartWithoutTheSignInServer(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	kept := new(drawer)
	h.store = kept
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.end()
	h.auth.Misbehave(oauthtest.Faults{TokenStatus: 503})
	h.starts()
	s := h.phase(protocol.PhaseOffline)
	if !s.SignedIn || s.User == nil || s.User.Name != "Ada" || !has(s, "offline") {
		t.Errorf("status %+v", s)
	}
	h.auth.Misbehave(oauthtest.Faults{})
	h.phase(protocol.PhaseNoContext)
	h.keepsSecrets()
}

// One session at a time: at a sign-in elsewhere the other site's ends, and what its keychain holds is revoked and deleted,
// also where it was locked when the agent started.
func TestASignInAtAnotherSiteEndsTheFirst(t *testing.T) {
	for name, opened := range map[string]bool{"in use": true, "never read": false} {
		t.Run(name, func(t *testing.T) {
			first, second := newHospital(t), newHospital(t)
			other := "[[site]]\nname = \"Other\"\nfhir_url = \"" + second.server.URL + "/fhir\"\nclient_id = \"castray\"\nca_file = \"" + first.dir + "/ca.pem\"\n"
			first.write(first.file, append(first.config, other...))
			kept := new(drawer)
			first.store = kept
			first.starts()
			first.do("signin", `{"site":"Hospital"}`)
			first.phase(protocol.PhaseNoContext)
			if !opened {
				first.end()
				kept.lock(true)
				first.starts()
				first.phase(protocol.PhaseLoginNeeded)
				kept.lock(false)
			}
			first.do("signin", `{"site":"Other"}`)
			s := first.until("the other site", func(s protocol.Status) bool { return s.Site == "Other" && s.SignedIn })
			if has(s, "earlier_kept") {
				t.Errorf("problems %v", s.Problems)
			}
			first.until("the first revoked", func(protocol.Status) bool { return first.auth.Count("/auth/revoke") == 1 && kept.len() == 1 })
			first.do("signout", `{}`)
			if kept.len() != 0 {
				t.Error("something is left behind")
			}
		})
	}
}

// The same where the first site's is being read just when somebody signs in at the other: Re-sync reads it, the browser is faster.
func TestASignInAtAnotherSiteOvertakesWhatIsRead(t *testing.T) {
	t.Parallel()
	first, second := newHospital(t), newHospital(t)
	other := "[[site]]\nname = \"Other\"\nfhir_url = \"" + second.server.URL + "/fhir\"\nclient_id = \"castray\"\nca_file = \"" + first.dir + "/ca.pem\"\n"
	first.write(first.file, append(first.config, other...))
	kept := new(drawer)
	first.store = kept
	first.starts()
	first.do("signin", `{"site":"Hospital"}`)
	first.phase(protocol.PhaseNoContext)
	first.end()
	kept.lock(true)
	pages := first.shown()
	first.starts()
	first.phase(protocol.PhaseLoginNeeded)
	first.do("signin", `{"site":"Other"}`)
	page := <-pages
	kept.lock(false)
	before := first.auth.Count("/auth/token")
	first.auth.Misbehave(oauthtest.Faults{Slow: 700 * time.Millisecond})
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = first.running.agent.Do(first.ctx, protocol.MethodResync, nil)
	}()
	first.until("the refresh", func(protocol.Status) bool { return first.auth.Count("/auth/token") == before+1 })
	browser := second.server.Client()
	resp, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s := first.until("the other site", func(s protocol.Status) bool { return s.Site == "Other" && s.SignedIn })
	<-read
	first.until("the first revoked", func(protocol.Status) bool { return first.auth.Count("/auth/revoke") == 1 && kept.len() == 1 })
	if s = first.running.agent.Status(); s.Site != "Other" || !s.SignedIn {
		t.Errorf("status %+v", s)
	}
}

// Who asks for the link of the sign-in that waits gets one to the same place, which asks the same.
func TestSignInAgainIsTheOneThatWaits(t *testing.T) {
	h, second := newHospital(t), newHospital(t)
	h.write(h.file, append(h.config, "[[site]]\nname = \"Other\"\nfhir_url = \""+second.server.URL+"/fhir\"\nclient_id = \"castray\"\nca_file = \""+h.dir+"/ca.pem\"\n"...))
	h.browser = func(context.Context, string) error { return nil } // nobody goes there
	a := h.starts()
	asks := func(params string, of *hospital, prompt string) {
		t.Helper()
		result, err := a.Do(h.ctx, protocol.MethodSignin, json.RawMessage(params))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(result.(protocol.SigninResult).URL)
		if err != nil || "https://"+u.Host != of.server.URL || u.Query().Get("prompt") != prompt {
			t.Errorf("%s: %v, host %s, prompt %q", params, err, u.Host, u.Query().Get("prompt"))
		}
	}
	asks(`{"browser":false}`, h, "") // none was ever used: the first
	asks(`{"site":"Other"}`, second, "")
	asks(`{"browser":false}`, second, "")
	h.do("user_switch", `{}`)
	asks(`{"browser":false}`, h, "login")
	asks(`{"site":"Other"}`, second, "")
}
