package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// What was done shows in the Status when the method returns, not some milliseconds later.
func TestWhatWasDoneShowsAtOnce(t *testing.T) {
	w := newWorld(t)
	a := w.start(true)
	v := w.viewer("viewer", client.Options{})
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
	w.phase(protocol.PhaseInSync)
	for range 10 {
		w.do("clear", `{}`)
		if s := a.Status(); s.Phase != protocol.PhaseAttention || !has(s, "cleared_by_user") {
			t.Fatalf("after clear: %s %v", s.Phase, s.Problems)
		}
		w.do("resync", `{}`)
		w.phase(protocol.PhaseInSync)
		w.do("pause", `{"app":"viewer"}`)
		if s := a.Status(); s.Apps[0].Outcome != protocol.OutcomePaused {
			t.Fatalf("after pause: %+v", s.Apps)
		}
		w.do("resume", `{"app":"viewer"}`)
		w.phase(protocol.PhaseInSync)
	}
}

// A pause that was ended by hand does not end the next one when its time comes.
func TestAPauseEndsWithItsOwnTime(t *testing.T) {
	w := newWorld(t)
	a := w.start(true)
	v := w.viewer("viewer", client.Options{})
	w.phase(protocol.PhaseNoContext)
	const short = 300 * time.Millisecond
	begun := time.Now()
	w.do("pause", `{"for":"300ms"}`)
	w.do("resume", `{}`)
	w.do("pause", `{}`)
	w.do("pause", `{"app":"viewer","for":"300ms"}`)
	w.do("resume", `{"app":"viewer"}`)
	w.do("pause", `{"app":"viewer"}`)
	for time.Since(begun) < 3*short {
		if s := a.Status(); s.Phase != protocol.PhasePaused || s.Apps[0].Outcome != protocol.OutcomePaused {
			t.Fatalf("after %v: %s %+v", time.Since(begun), s.Phase, s.Apps)
		}
		wait(w.ctx)
	}
	w.do("pause", `{"for":"300ms"}`) // while paused: from now on
	w.do("pause", `{"app":"viewer","for":"300ms"}`)
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
}

func TestDoBeforeAndAfterRun(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	second := agent.New(agent.Config{Settings: new(config.Config), Address: w.address})
	for _, method := range []string{"clear", "resync", "pause", "resume", "apps", "signout"} {
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Millisecond)
		if _, err := second.Do(ctx, method, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s before Run: %v", method, err)
		}
		cancel()
	}
	if err := second.Run(w.ctx); err == nil {
		t.Fatal("two agents at one address")
	}
	for _, method := range []string{"clear", "resync", "pause", "resume", "apps", "signout"} {
		if _, err := second.Do(w.ctx, method, nil); code(err) != protocol.CodeNotConnected {
			t.Errorf("%s after Run: %v", method, err)
		}
	}
}

// A hub that does not answer the unsubscribe delays neither the clear nor the word.
func TestS8_SignOutDoesNotWaitForTheHub(t *testing.T) {
	h := newHospital(t)
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	h.hub.Reply(hubtest.Unsubscribe, hubtest.Reply{Delay: time.Minute}, -1)
	begun := time.Now()
	done := make(chan error, 1)
	go func() { _, err := h.running.agent.Do(h.ctx, "signout", nil); done <- err }()
	h.phase(protocol.PhaseSignedOut)
	h.sees(v, "clear:signed_out")
	if took := time.Since(begun); took > time.Second {
		t.Errorf("cleared after %v", took)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A pause that comes while a stored sign-in is read is a pause: nothing is joined until somebody says resume.
func TestPauseWhileAStoredSignInIsRead(t *testing.T) {
	h := newHospital(t)
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.end()
	h.auth.Misbehave(oauthtest.Faults{Slow: 200 * time.Millisecond})
	h.starts()
	h.do("pause", `{}`)
	s := h.until("the sign-in", func(s protocol.Status) bool { return s.SignedIn })
	if s.Phase != protocol.PhasePaused || len(h.hub.Hub().Subscribers(h.topic)) != 0 {
		t.Errorf("phase %s", s.Phase)
	}
	h.do("resume", `{}`)
	h.phase(protocol.PhaseNoContext)
}

// Who waits for the answer to a resume is told when there will be none, and two may wait.
func TestResumeIsAnsweredWhenItComesToNothing(t *testing.T) {
	h := newHospital(t)
	a := h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.do("pause", `{}`)
	h.hub.Reply(hubtest.Subscribe, hubtest.Reply{Delay: time.Minute}, -1)
	first := make(chan error, 1)
	go func() { _, err := a.Do(h.ctx, "resume", nil); first <- err }()
	h.phase(protocol.PhaseConnecting)
	h.do("resume", `{}`)
	begun := time.Now()
	h.do("pause", `{}`)
	if err := <-first; code(err) != protocol.CodeNotConnected {
		t.Errorf("resume: %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("told after %v", took)
	}
	h.phase(protocol.PhasePaused)
}
