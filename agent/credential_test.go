package agent_test

import (
	"testing"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// registered is a desk at a site whose sign-in server knows it, by what lies in its keychain.
func registered(t *testing.T, auth, settings string) *desk {
	t.Helper()
	d := newDesk(t, "auth = \""+auth+"\"\n"+settings)
	site := config.Site{FHIRURL: d.server.URL + "/fhir", ClientID: "castray", Auth: auth}
	keeper := agent.Config{Store: d.kept}
	switch auth {
	case "secret":
		d.auth.Client = oauthtest.Client{Secret: "s3cret"}
		if err := keeper.KeepSecret(d.ctx, &site, "s3cret"); err != nil {
			t.Fatal(err)
		}
	default:
		set, _, err := keeper.PublicKeys(d.ctx, &site, "", false)
		if err != nil {
			t.Fatal(err)
		}
		d.auth.Client = oauthtest.Client{Keys: set}
	}
	return d
}

// SM-CLI-02, SM-CLI-03: what the commands put into the keychain is what the agent proves itself with, at the sign-in and
// after a restart; signing out leaves it.
func TestTheAgentProvesItself(t *testing.T) {
	for _, auth := range []string{"secret", "private_key_jwt"} {
		t.Run(auth, func(t *testing.T) {
			d := registered(t, auth, "")
			d.starts()
			d.do("signin", `{}`)
			d.phase(protocol.PhaseNoContext)
			d.end()
			d.starts()
			d.phase(protocol.PhaseNoContext)
			d.do("signout", `{}`)
			d.phase(protocol.PhaseSignedOut)
			d.until("one thing is kept, and not the sign-in", func(protocol.Status) bool { return d.kept.len() == 1 })
			d.do("signin", `{}`)
			d.phase(protocol.PhaseNoContext)
			if n := d.auth.Count("/auth/revoke"); n != 1 {
				t.Errorf("%d revoked", n)
			}
		})
	}
}

// A shared desk keeps nothing of a person. What it proves itself with is the installation's, and stays.
func TestASharedDeskKeepsItsSecret(t *testing.T) {
	d := registered(t, "secret", sharedDesk)
	d.follows("p1")
	d.do("lock", `{}`)
	d.phase(protocol.PhaseSignedOut)
	if n := d.kept.len(); n != 1 {
		t.Errorf("%d are kept", n)
	}
	d.do("signin", `{}`)
	d.until("signed in again", func(s protocol.Status) bool { return s.SignedIn && s.Phase == protocol.PhaseInSync })
}

// A sign-in that resumes with a secret that the server has changed says so, and goes on at a Re-sync once the new one is
// there, without a browser.
func TestASecretThatWasChanged(t *testing.T) {
	d := registered(t, "secret", "")
	d.starts()
	d.do("signin", `{}`)
	d.phase(protocol.PhaseNoContext)
	d.end()
	site := config.Site{FHIRURL: d.server.URL + "/fhir", ClientID: "castray", Auth: "secret"}
	d.auth.Client.Secret = "changed"
	d.starts()
	d.until("told", func(s protocol.Status) bool {
		return contains(problemOf(s, "keychain"), "castray config secret")
	})
	asked := d.auth.Count("/auth/authorize")
	if err := (agent.Config{Store: d.kept}).KeepSecret(d.ctx, &site, "changed"); err != nil {
		t.Fatal(err)
	}
	tried := d.auth.Count("/auth/token")
	d.do("resync", `{}`)
	if d.auth.Count("/auth/token") == tried {
		t.Error("Re-sync waits for the next try")
	}
	if s := d.phase(protocol.PhaseNoContext); has(s, "keychain") || d.auth.Count("/auth/authorize") != asked {
		t.Errorf("problems %v, %d sign-ins", s.Problems, d.auth.Count("/auth/authorize")-asked)
	}
}
