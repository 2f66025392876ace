package agent_test

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// Whatever becomes of a sign-in, a sentence says what to do, no secret is told, and the next one works.
func TestSignInsThatComeToNothing(t *testing.T) {
	rows := []struct {
		name     string
		faults   oauthtest.Faults
		problem  string
		sentence string // part of it
	}{
		{"declined", oauthtest.Faults{Error: "access_denied"}, "signin_declined", "declined the sign-in"},
		{"an error that is in no list", oauthtest.Faults{Error: "canary-error"}, "signin_failed", "your administrator has to check its registration"},
		{"a server with a problem", oauthtest.Faults{Error: "server_error"}, "signin_failed", "try again in a few minutes"},
		{"another issuer", oauthtest.Faults{WrongIssuer: true}, "signin_failed", "cannot be trusted"},
		{"no code", oauthtest.Faults{NoCode: true}, "signin_failed", "cannot be trusted"},
		{"a code that is refused", oauthtest.Faults{TokenError: "invalid_grant", Echo: true}, "signin_failed", "try again"},
		{"a token endpoint that echoes all it got", oauthtest.Faults{TokenError: "invalid_client", Echo: true}, "signin_failed", "administrator"},
		{"a page instead of a token", oauthtest.Faults{HTML: true}, "signin_failed", "sign in to the network"},
		{"an id_token that nobody signed", oauthtest.Faults{BadSign: true}, "signin_failed", "sign-in"},
		{"nothing granted", oauthtest.Faults{Body: map[string]any{"scope": ""}}, "signin_failed", "nothing was granted"},
	}
	h := newHospital(t)
	h.starts()
	v := h.viewer("viewer", client.Options{})
	for _, row := range rows {
		h.auth.Misbehave(row.faults)
		h.do("signin", `{}`)
		s := h.until(row.name, func(s protocol.Status) bool { return has(s, row.problem) && !has(s, "signin_pending") })
		if s.Phase != protocol.PhaseSignedOut || s.SignedIn || !contains(s.Problems[0].Sentence, row.sentence) {
			t.Errorf("%s: %s, %q", row.name, s.Phase, s.Problems[0].Sentence)
		}
	}
	h.keepsSecrets()
	h.auth.Misbehave(oauthtest.Faults{})
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseNoContext); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
}

// A failed sign-in beside a subscription changes no phase.
func TestASignInThatFailsWhileSubscribed(t *testing.T) {
	h := newHospital(t)
	h.follows("p1")
	h.auth.Misbehave(oauthtest.Faults{BrowserStays: true})
	h.do("signin", `{}`)
	if s := h.running.agent.Status(); s.Phase != protocol.PhaseInSync || !has(s, "signin_pending") {
		t.Errorf("waiting: %s %v", s.Phase, s.Problems)
	}
	h.auth.Misbehave(oauthtest.Faults{Error: "access_denied"})
	h.do("signin", `{}`)
	s := h.until("declined", func(s protocol.Status) bool { return has(s, "signin_declined") })
	if s.Phase != protocol.PhaseInSync || !s.SignedIn {
		t.Errorf("declined: %s", s.Phase)
	}
	h.opensPatient("p2")
	h.until("the next patient", func(s protocol.Status) bool { return s.LastEvent.ID == "event-2" && s.Phase == protocol.PhaseInSync })
}

// A browser that never comes back: the link can be had again, a forged redirect changes nothing, and giving up leaves
// nobody at the port.
func TestABrowserThatNeverComesBack(t *testing.T) {
	h := newHospital(t)
	h.auth.Misbehave(oauthtest.Faults{BrowserStays: true})
	a := h.starts()
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseSigningIn); !has(s, "signin_pending") {
		t.Errorf("problems %v", s.Problems)
	}
	got, err := a.Do(h.ctx, "signin", json.RawMessage(`{"browser":false}`))
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(got.(protocol.SigninResult).URL)
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(link.Query().Get("redirect_uri"))
	if err != nil {
		t.Fatal(err)
	}
	visit := func(query string) int {
		resp, err := h.server.Client().Get(back.String() + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := visit("state=forged&code=canary"); status != 400 {
		t.Errorf("forged state: %d", status)
	}
	if s := a.Status(); s.Phase != protocol.PhaseSigningIn || !has(s, "signin_pending") {
		t.Errorf("after a forged redirect: %s %v", s.Phase, s.Problems)
	}
	h.do("signout", `{}`)
	if s := a.Status(); s.Phase != protocol.PhaseSignedOut || len(s.Problems) != 0 {
		t.Errorf("given up: %s %v", s.Phase, s.Problems)
	}
	h.until("the port to be free", func(protocol.Status) bool {
		conn, err := net.Dial("tcp", back.Host)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	h.keepsSecrets()
}

// Quit while signing in ends at once and leaves nobody at the port.
func TestQuitWhileSigningIn(t *testing.T) {
	h := newHospital(t)
	h.auth.Misbehave(oauthtest.Faults{BrowserStays: true})
	h.starts()
	h.do("signin", `{}`)
	h.phase(protocol.PhaseSigningIn)
	begun := time.Now()
	h.end()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

// hung is a keychain that never answers.
type hung struct{}

func (hung) wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (k hung) Load(ctx context.Context, _ string) ([]byte, error) { return nil, k.wait(ctx) }
func (k hung) Save(ctx context.Context, _ string, _ []byte) error { return k.wait(ctx) }
func (k hung) Delete(ctx context.Context, _ string) error         { return k.wait(ctx) }

// A keychain that hangs holds up neither the apps nor the end.
func TestAKeychainThatHangs(t *testing.T) {
	h := newHospital(t)
	h.store = hung{}
	a := h.starts()
	h.phase(protocol.PhaseConnecting)
	v := h.viewer("viewer", client.Options{})
	h.sees(v, "clear:unknown")
	var s protocol.Status
	if err := v.Call(h.ctx, protocol.MethodStatus, protocol.Empty{}, &s); err != nil || s.Phase != protocol.PhaseConnecting {
		t.Errorf("%s, %v", s.Phase, err)
	}
	begun := time.Now()
	h.end()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
	if s := a.Status(); s.Phase != protocol.PhaseStopping {
		t.Errorf("phase %s", s.Phase)
	}
}

// An authority's file that has vanished since the configuration was read.
func TestAnAuthorityThatHasVanished(t *testing.T) {
	h := newHospital(t)
	ca := filepath.Join(h.dir, "ca.pem")
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	settings := h.settings(h.file)
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	a := h.runs(settings, h.authorities())
	s := h.until("the fault", func(s protocol.Status) bool { return has(s, "hub_refused") })
	if s.Phase != protocol.PhaseSignedOut {
		t.Errorf("phase %s", s.Phase)
	}
	if _, err := a.Do(h.ctx, "signin", nil); code(err) != protocol.CodeInternal {
		t.Errorf("sign-in: %v", err)
	}
	h.write(ca, pem)
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseNoContext); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
}
