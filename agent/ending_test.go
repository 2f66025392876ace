package agent_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// SM-REV-03: quitting keeps the sign-in for the next start; a UserLogout of the hub ends it, revokes it and leaves nothing
// in the keychain, whatever kind of refresh token it was.
func TestWhatEndsASignIn(t *testing.T) {
	for _, c := range []struct {
		name, scope string
		end         func(h *hospital)
		kept        int
	}{
		{"quit, offline_access", "offline_access", (*hospital).quits, 1},
		{"quit, online_access", "online_access", (*hospital).quits, 1},
		{"UserLogout, offline_access", "offline_access", (*hospital).logsOut, 0},
		{"UserLogout, online_access", "online_access", (*hospital).logsOut, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHospital(t)
			kept := new(drawer)
			h.store = kept
			h.write(h.file, append(h.config, `scopes = ["openid", "fhirUser", "`+c.scope+`"]`+"\n"...))
			h.starts()
			h.do("signin", `{}`)
			h.phase(protocol.PhaseNoContext)
			if kept.len() != 1 {
				t.Fatal("nothing was kept")
			}
			c.end(h)
			if kept.len() != c.kept || h.auth.Count("/auth/revoke") != 1-c.kept {
				t.Errorf("%d kept, revoked %d times", kept.len(), h.auth.Count("/auth/revoke"))
			}
			h.end()
			h.starts()
			want := protocol.PhaseSignedOut
			if c.kept == 1 {
				want = protocol.PhaseNoContext
			}
			h.phase(want)
		})
	}
}

func (h *hospital) quits() { h.end() }

func (h *hospital) logsOut() {
	h.Helper()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: "bye", At: time.Now(), Topic: h.topic, Name: fhircast.UserLogout, Context: json.RawMessage(`[]`)})
	if err == nil {
		err = h.hub.Hub().Publish(h.ctx, h.topic, e)
	}
	if err != nil {
		h.Fatal(err)
	}
	h.phase(protocol.PhaseSignedOut)
	h.until("the end of the sign-out", func(protocol.Status) bool { return h.auth.Count("/auth/revoke") == 1 })
	for deadline := time.Now().Add(10 * time.Second); h.store.(*drawer).len() != 0 && time.Now().Before(deadline); wait(h.ctx) {
	}
}

// SM-STORE-06: where the administrator wants every sign-in kept, and there is no keychain, no browser opens and one sentence
// says why.
func TestNoSignInWithoutAKeychainWhereThatIsRefused(t *testing.T) {
	h := newHospital(t)
	h.store = noKeychain{}
	h.write(h.file, append(h.config, "[session]\nmemory_only = \"refuse\"\n"...))
	h.browser = func(context.Context, string) error {
		t.Error("a browser was opened")
		return nil
	}
	h.starts()
	h.phase(protocol.PhaseSignedOut)
	if _, err := h.running.agent.Do(h.ctx, "signin", json.RawMessage(`{}`)); code(err) != protocol.CodeSigninNeeded || !contains(err.Error(), "administrator") {
		t.Errorf("signin: %v", err)
	}
	if s := h.phase(protocol.PhaseSignedOut); !has(s, "signin_failed") {
		t.Errorf("problems %v", s.Problems)
	}
	if n := h.auth.Count("/auth/token"); n != 0 {
		t.Errorf("%d codes exchanged", n)
	}
}
