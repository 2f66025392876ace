//go:build desktop && linux

package main_test

import (
	"strings"

	"github.com/castray/castray/ipc/protocol"
)

// A secret that the user enters is in the real keyring, where an agent that runs finds it, and one that starts later.
// Signing out takes the sign-in and leaves the secret.
func secretInTheKeyring(s *session) {
	s.startBus(false)
	s.startKeyring()
	s.env["BROWSER"] = s.browserScript()
	secret := s.startSandbox("--auto-approve", "--client-secret").ClientSecret
	agent := s.startAgent()
	s.castray("login").ends(1, "enter it with: castray config secret")

	entered := s.startWith(secret+"\n", s.castrayFile, "--config", s.config, "config", "secret", "--stdin")
	entered.wait()
	entered.ends(0, "It is in the keychain")
	s.castray("login").ends(0, "Signed in as Ada Reader.")
	s.untilPhase(protocol.PhaseNoContext)
	s.quit(agent)
	s.startAgent()
	if st := s.untilPhase(protocol.PhaseNoContext); !st.SignedIn || len(st.Problems) != 0 {
		s.Errorf("after the restart it is signed in: %v, with the problems %v", st.SignedIn, st.Problems)
	}

	s.must(s.castrayFile, "logout")
	s.untilPhase(protocol.PhaseSignedOut)
	if kept := strings.Join(s.kept(), "\n"); !strings.Contains(kept, secret) || strings.Contains(kept, "refresh_token") {
		s.Error("signing out took the secret, or left the sign-in")
	}
	s.castray("login").ends(0, "Signed in as Ada Reader.")
}
