package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// The main job: sign in, subscribe, a native app follows.
func TestSignInSubscribeFollow(t *testing.T) {
	w := newWorld(t)
	w.start(false)
	w.phase(protocol.PhaseSignedOut)
	v := w.viewer("viewer", client.Options{})
	w.do("signin", `{}`)
	s := w.phase(protocol.PhaseNoContext) // FC-DISC-03, FC-DISC-05
	if !s.SignedIn || s.User == nil || s.User.Name == "" || !s.Test || s.Site == "" || s.Hub != "127.0.0.1" {
		t.Errorf("status %+v", s)
	}
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
	if s := w.phase(protocol.PhaseInSync); s.Sentence != "In sync, 1 app follows" || len(s.Apps) != 1 || s.Apps[0].Outcome != protocol.OutcomeAcknowledged {
		t.Errorf("status %+v", s)
	}
	w.opens("ImagingStudy", "p01-s1")
	w.sees(v, "ImagingStudy-open")
	if _, err := w.sandbox.CloseCurrent(w.ctx, ""); err != nil {
		t.Fatal(err)
	}
	w.sees(v, "ImagingStudy-close")
	w.phase(protocol.PhaseNoContext)

	w.do("signout", `{}`)
	w.phase(protocol.PhaseSignedOut)
	if err := w.sandbox.WaitSubscribers(w.ctx, "", 0); err != nil { // FC-UNS-01
		t.Error(err)
	}
	w.end()
	w.start(false) // the sign-in is gone
	w.phase(protocol.PhaseSignedOut)
}

func TestRestartGoesOnWithoutASignIn(t *testing.T) {
	w := newWorld(t)
	w.start(false)
	w.do("signin", `{}`)
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.end()
	w.start(false)
	v := w.viewer("viewer", client.Options{})
	w.sees(v, "Patient-open")
	w.phase(protocol.PhaseInSync)
}

func TestS8_SignOutClearsTheApps(t *testing.T) {
	w := newWorld(t)
	v := w.reads()
	w.do("signout", `{}`)
	w.sees(v, "clear:signed_out")
	w.phase(protocol.PhaseSignedOut)
}

func TestS8_UserLogoutFromTheHubEndsTheSignIn(t *testing.T) {
	w := newWorld(t)
	v := w.reads()
	if _, err := w.sandbox.Logout(w.ctx, ""); err != nil {
		t.Fatal(err)
	}
	w.sees(v, "clear:user_logout")
	w.phase(protocol.PhaseSignedOut)
}

func TestStaticHubPauseResumeClearResync(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	v := w.viewer("viewer", client.Options{})
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
	w.do("clear", `{}`)
	w.sees(v, "clear:user")
	if s := w.phase(protocol.PhaseAttention); !has(s, "cleared_by_user") {
		t.Errorf("problems %v", s.Problems)
	}
	w.do("resync", `{}`)
	w.sees(v, "Patient-open")
	w.phase(protocol.PhaseInSync)

	w.do("pause", `{}`)
	w.phase(protocol.PhasePaused)
	if err := w.sandbox.WaitSubscribers(w.ctx, "", 0); err != nil {
		t.Error(err)
	}
	if _, err := v.send("q", "Patient-open", nil); code(err) != protocol.CodeNotAllowed { // no key
		t.Errorf("sent: %v", err)
	}
	w.opens("ImagingStudy", "p02-s1")
	got, err := w.running.agent.Do(w.ctx, "resume", nil) // S2: what will change is said first
	if err != nil {
		t.Fatal(err)
	}
	if ids := got.(protocol.ResumeResult).Changes; len(ids) != 1 || ids[0] != "viewer" {
		t.Errorf("changes %v", ids)
	}
	w.sees(v, "ImagingStudy-open")
	w.phase(protocol.PhaseInSync)

	w.do("pause", `{"app":"viewer"}`)
	w.until("a paused row", func(s protocol.Status) bool { return s.Apps[0].Outcome == protocol.OutcomePaused })
	w.do("resume", `{"app":"viewer"}`)
	w.phase(protocol.PhaseInSync)
}

func (v *viewer) send(id, event string, context json.RawMessage) (protocol.SendResult, error) {
	var r protocol.SendResult
	ctx, cancel := contextWithin(5 * time.Second)
	defer cancel()
	err := v.Call(ctx, protocol.MethodSend, protocol.SendParams{ID: id, Event: event, Context: context}, &r)
	return r, err
}

func contextWithin(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func code(err error) int {
	var pe *protocol.Error
	if errors.As(err, &pe) {
		return pe.Code
	}
	return 0
}

func TestAnAppSendsAndOthersFollow(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	asks := w.viewer("asks", client.Options{Key: w.key()})
	follows := w.viewer("follows", client.Options{})
	patient := json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"x1","identifier":[{"system":"urn:x","value":"1"}]}}]`)
	// An app that has not answered what it was sent before it asks gets the echo all the same.
	w.until("both cleared", func(s protocol.Status) bool {
		return len(s.Apps) == 2 && s.Apps[0].Outcome == protocol.OutcomeCleared && s.Apps[1].Outcome == protocol.OutcomeCleared
	})
	if got, err := asks.send("q1", "Patient-open", patient); err != nil || got.ID != "q1" {
		t.Fatalf("%+v, %v", got, err)
	}
	w.sees(follows, "Patient-open")
	w.phase(protocol.PhaseInSync)
	if asks.last() == "Patient-open" {
		t.Error("the echo was not withheld")
	}
	if _, err := asks.send("", "Encounter-open", patient); code(err) != protocol.CodeNotAllowed {
		t.Errorf("not configured: %v", err)
	}
	var current protocol.ContextResult
	if err := follows.Call(w.ctx, protocol.MethodContext, protocol.Empty{}, &current); err != nil || !contains(string(current.Current), `"x1"`) {
		t.Errorf("context %s, %v", current.Current, err)
	}
	if err := follows.Call(w.ctx, protocol.MethodQuit, protocol.Empty{}, nil); code(err) != protocol.CodeNotAllowed {
		t.Errorf("quit without the key: %v", err)
	}
}

func TestQuitClearsWhatCanBeCleared(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	v := w.viewer("viewer", client.Options{})
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
	w.do("quit", `{}`)
	if err := <-w.running.ended; err != nil {
		t.Error(err)
	}
	w.running = nil
	if v.last() != "clear:signed_out" {
		t.Errorf("told %v", v.told)
	}
}

func TestTheHubGoesAway(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	v := w.viewer("viewer", client.Options{})
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
	w.phase(protocol.PhaseInSync)
	w.stopHub()
	s := w.until("offline", func(s protocol.Status) bool { return s.Phase == protocol.PhaseOffline && has(s, "offline") })
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{w.sandbox.Info().Topic, w.sandbox.Info().HubURL, "wss:"} { // S11
		if contains(string(text), secret) {
			t.Errorf("status tells %q: %s", secret, text)
		}
	}
	var current protocol.ContextResult
	if err := v.Call(w.ctx, protocol.MethodContext, protocol.Empty{}, &current); code(err) != protocol.CodeContextUnknown {
		t.Errorf("context while offline: %v", err)
	}
}

func TestASecondAgentFindsTheFirst(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	second := agent.New(agent.Config{Settings: new(config.Config), Address: w.address})
	if err := second.Run(w.ctx); !errors.Is(err, ipc.ErrInUse) {
		t.Errorf("second: %v", err)
	}
}

func TestS2_ResumeFromSleepSubscribesAnew(t *testing.T) {
	w := newWorld(t)
	file, err := w.sandbox.WriteStaticConfig()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	wall := time.Now
	slept := make(chan struct{})
	ctx, stop := context.WithCancel(w.ctx)
	r := &running{stop: stop, ended: make(chan error, 1), agent: agent.New(agent.Config{Settings: settings, Address: w.address, Version: "test",
		Wall: func() time.Time {
			select {
			case <-slept:
				return wall().Add(3 * time.Hour)
			default:
				return wall()
			}
		}})}
	go func() { r.ended <- r.agent.Run(ctx) }()
	w.running = r
	w.phase(protocol.PhaseNoContext)
	close(slept)
	w.until("a reconnect", func(s protocol.Status) bool { return s.Counters.Reconnects == 1 }) // FC-HGS-10
	w.phase(protocol.PhaseNoContext)
}

// SM-AUTH-11
func TestABrowserThatCannotBeOpenedIsSaid(t *testing.T) {
	w := newWorld(t)
	w.browser = func(context.Context, string) error { return errors.New("x") }
	w.start(false)
	w.phase(protocol.PhaseSignedOut)
	w.do("signin", `{}`)
	w.until("a sentence", func(s protocol.Status) bool {
		return len(s.Problems) == 1 && s.Problems[0].Code == "signin_pending" && contains(s.Problems[0].Sentence, "--no-browser")
	})
}

// A disk that is full, or a folder that cannot be made, costs the memory of the last site and nothing else.
func TestStateThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	w.state = filepath.Join(t.TempDir(), "file", "below")
	if err := os.WriteFile(filepath.Dir(w.state), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(false)
	w.do("signin", `{}`)
	w.phase(protocol.PhaseNoContext)
}

// brokenStore is a keychain that is locked.
type brokenStore struct{}

func (brokenStore) Load(context.Context, string) ([]byte, error) { return nil, oauth.ErrLocked }
func (brokenStore) Save(context.Context, string, []byte) error   { return oauth.ErrLocked }
func (brokenStore) Delete(context.Context, string) error         { return oauth.ErrLocked }

func TestALockedKeychainIsSaidAndTheSignInWorksFromMemory(t *testing.T) { // SM-STORE-06
	w := newWorld(t)
	w.store = brokenStore{}
	w.start(false)
	if s := w.phase(protocol.PhaseLoginNeeded); !has(s, "keychain") {
		t.Errorf("problems %v", s.Problems)
	}
	w.do("signin", `{}`)
	if s := w.phase(protocol.PhaseNoContext); !has(s, "keychain") {
		t.Errorf("problems %v", s.Problems)
	}
}
