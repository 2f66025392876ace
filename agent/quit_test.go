package agent_test

import (
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// Quitting and signing out take a few seconds, also where the sign-in server answers nothing any more, which a refresh waits for.
func TestASilentSignInServerDoesNotHoldUpTheEnd(t *testing.T) {
	for name, end := range map[string]func(h *hospital){
		"quit":     (*hospital).end,
		"sign-out": func(h *hospital) { h.do("signout", `{}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			h.starts()
			h.do("signin", `{}`)
			h.phase(protocol.PhaseNoContext)
			h.auth.Misbehave(oauthtest.Faults{Slow: 40 * time.Second})
			h.hub.Reply(hubtest.Context, hubtest.Reply{Status: 401}, 1) // which makes a refresh
			h.do("resync", `{}`)
			h.until("the refresh", func(protocol.Status) bool { return h.auth.Count("/auth/token") == 2 })
			begun := time.Now()
			if end(h); time.Since(begun) > 6*time.Second {
				t.Errorf("it took %v", time.Since(begun))
			}
		})
	}
}

// Nor does it hold up who wants all apps told again, also where the sign-in has something to warn of, which Re-sync may mend.
func TestASilentSignInServerDoesNotHoldUpReSync(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.store = noKeychain{}
	h.follows("p1")
	h.until("the warning", func(s protocol.Status) bool { return has(s, "keychain") })
	read := len(h.hub.Requests(hubtest.Context))
	h.auth.Misbehave(oauthtest.Faults{Slow: 40 * time.Second})
	begun := time.Now()
	h.do("resync", `{}`)
	h.until("the context is read", func(protocol.Status) bool { return len(h.hub.Requests(hubtest.Context)) > read })
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := h.auth.Count("/auth/token"); n != 2 {
		t.Errorf("%d tokens asked for", n)
	}
}
