package agent_test

import (
	"path/filepath"
	"testing"

	"github.com/castray/castray/bridge/hub/hubtest"
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
	for n := range 2 {
		for i, r := range []*running{first, second} {
			h.running = r
			asked, read := h.auth.Count("/auth/token"), len(h.hub.Requests(hubtest.Context))
			h.hub.Reply(hubtest.Context, hubtest.Reply{Status: 401}, 1)
			h.do("resync", `{}`)
			h.until("the refresh", func(protocol.Status) bool {
				reads := h.hub.Requests(hubtest.Context)
				return h.auth.Count("/auth/token") > asked && len(reads) > read+1 && reads[len(reads)-1].Status == 200
			})
			s := h.until("all well", func(s protocol.Status) bool { return s.Phase == protocol.PhaseNoContext && len(s.Problems) == 0 })
			if !s.SignedIn {
				t.Errorf("agent %d, time %d: %+v", i, n, s)
			}
		}
	}
	seen := map[string]bool{}
	for _, r := range h.auth.Requests() {
		if token := r.Form.Get("refresh_token"); token != "" && seen[token] {
			t.Error("a refresh token came twice")
		} else if token != "" {
			seen[token] = true
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
