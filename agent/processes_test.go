package agent_test

import (
	"path/filepath"
	"testing"

	"github.com/castray/castray/ipc/protocol"
)

// SM-REF-04: one user with two agents, as on a terminal server. They share the sign-in in the keychain, and the one goes on
// with what the other has stored, though the server ends a sign-in whose token comes twice.
func TestTwoAgentsOfOneUserShareTheSignIn(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.store = new(drawer)
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	first := h.running
	h.address = filepath.Join(h.dir, "another")
	h.starts()
	h.phase(protocol.PhaseNoContext)
	second := h.running
	asked := h.auth.Count("/auth/token")
	for n := range 2 {
		for i, r := range []*running{first, second} {
			h.running = r
			h.auth.Expire()
			h.do("resync", `{}`) // with a token that the hub takes no more
			asked++
			h.until("the refresh", func(protocol.Status) bool { return h.auth.Count("/auth/token") == asked })
			if s := h.phase(protocol.PhaseNoContext); !s.SignedIn || len(s.Problems) != 0 {
				t.Errorf("agent %d, time %d: %+v", i, n, s)
			}
		}
	}
	if contains(h.log.String(), "cannot be locked") || !contains(h.log.String(), "another agent of this user has refreshed") {
		t.Error("they did not share it")
	}
	if locks, err := filepath.Glob(filepath.Join(h.state, "sign-in-*.lock")); err != nil || len(locks) != 1 {
		t.Errorf("%d lock files, %v", len(locks), err)
	}
	h.running = first
	h.end()
	h.running = second
	h.keepsSecrets()
}
