package agent_test

import (
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// FM-07: somebody sets the clock by a year and back by two. Each time it is looked whether all is still there, once, as
// after a sleep. No sign-in and no lease ends by it, nothing is renewed again and again, and no app is taken anywhere.
func TestAClockThatJumpsEndsNothing(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	var clock sleeper
	h.wall = clock.wall
	v := h.follows("p1")
	var seen pushed
	h.viewer("watching", client.Options{Status: seen.note})
	const year = 365 * 24 * time.Hour
	tokens, told := h.auth.Count("/auth/token"), h.toldTo(v)
	for i, jump := range []time.Duration{year, -2 * year} {
		clock.sleeps(jump)
		h.until("a look", func(s protocol.Status) bool { return s.Counters.Reconnects == i+1 && s.Phase == protocol.PhaseInSync })
		h.until("the refresh", func(protocol.Status) bool { return h.auth.Count("/auth/token") == tokens+i+1 })
	}
	h.until("one more look at the clock", func() func(protocol.Status) bool {
		from := time.Now()
		return func(protocol.Status) bool { return time.Since(from) > 6*time.Second }
	}())
	if n, again := len(h.forms(hubtest.Subscribe)), h.auth.Count("/auth/token")-tokens; n != 3 || again != 2 {
		t.Errorf("%d subscribes and %d refreshes for two jumps", n, again)
	}
	if s := h.phase(protocol.PhaseInSync); !s.SignedIn || len(s.Problems) != 0 {
		t.Errorf("status %+v", s)
	}
	h.current(v, "p1")
	if now := h.toldTo(v); now != told {
		t.Errorf("told %d times more", now-told)
	}
	for _, phase := range []protocol.Phase{protocol.PhaseLoginNeeded, protocol.PhaseSignedOut, protocol.PhaseSigningIn} {
		if seen.has(phase) {
			t.Errorf("it was %s", phase)
		}
	}
}

// toldTo is how often that app was told anything.
func (h *hospital) toldTo(v *viewer) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.told)
}
