//go:build desktop && linux

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/castray/castray/ipc/protocol"
)

// desktopFile makes the browser of these tests one that can be a desktop's default; defaults makes it that.
const (
	desktopFile = `[Desktop Entry]
Type=Application
Name=Browser of a test
Exec=%s %%u
MimeType=x-scheme-handler/http;x-scheme-handler/https;text/html;
`
	defaults = `[Default Applications]
x-scheme-handler/https=test.desktop
x-scheme-handler/http=test.desktop
x-scheme-handler/castray=castray-launch.desktop
`
)

// useDefaultBrowser makes our browser the default one of this desktop, which xdg-open prefers to BROWSER where there is a
// display. The files are those that xdg-settings would write, which takes its time over them.
func (s *session) useDefaultBrowser() {
	s.Helper()
	for file, text := range map[string]string{
		"home/share/applications/test.desktop": fmt.Sprintf(desktopFile, s.browserScript()),
		"home/config/mimeapps.list":            defaults,
	} {
		if err := os.MkdirAll(filepath.Dir(s.path(file)), 0o700); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(s.path(file), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// Without a keyring the agent says so, and signs in for as long as it runs. The browser is the desktop's default one, and
// the user first declines.
func noKeyringAndTheDefaultBrowser(s *session) {
	s.startBus(false)
	s.env["DISPLAY"] = ":99" // nobody draws on it; without one xdg-open looks for a browser in text
	s.useDefaultBrowser()
	s.startSandbox()
	agent := s.startAgent()
	if st := s.untilProblem("keychain", "There is no keychain"); st.Phase != protocol.PhaseSignedOut {
		s.Errorf("before anybody has signed in the phase is %s", st.Phase)
	}

	login := s.start(s.castrayFile, "login")
	person := s.attach()
	if words := person.answer("#deny"); words != "Not signed in" {
		s.Errorf("at the end the browser says %q", words)
	}
	login.ends(5, "declined")
	if st := s.status(); st.SignedIn {
		s.Errorf("after a refusal the agent is signed in")
	}

	login = s.start(s.castrayFile, "login")
	person.answer("#allow")
	login.ends(0, "Signed in as Ada Reader.")
	s.untilPhase(protocol.PhaseNoContext)
	s.untilProblem("keychain", "after every restart")
	s.quit(agent)
	s.startAgent()
	if st := s.untilProblem("keychain", "There is no keychain"); st.SignedIn {
		s.Error("without a keyring a sign-in was kept")
	}
}

// A keyring that nobody can unlock, since there is no display to ask on, does not stop the work either.
func lockedKeyring(s *session) {
	s.startBus(false)
	s.lockKeyring(s.startKeyring())
	s.env["BROWSER"] = s.browserScript()
	s.startSandbox("--auto-approve")
	s.startAgent()
	s.untilProblem("keychain", "The keychain does not open")

	s.castray("login").ends(0, "Signed in as Ada Reader.")
	s.untilPhase(protocol.PhaseNoContext)
	s.untilProblem("keychain", "The keychain is locked")
	viewer := s.startWatch()
	s.must(s.castrayFile, "send", "Patient-open", "--patient", "urn:test:mrn|4711")
	s.untilPhase(protocol.PhaseInSync)
	if !viewer.has(func(w watched) bool { return w.Params.Event.Name == "Patient-open" }) {
		s.Error("the app was not told")
	}
}

// A keyring that asks on the screen for its password, and gets no answer, does not hold up the agent. Once the user has
// answered, Re-sync finds the sign-in that is kept there, without a browser.
func keyringThatAsks(s *session) {
	s.startScreen()
	keyring := s.startKeyring()
	s.useDefaultBrowser()
	s.startSandbox("--auto-approve")
	agent := s.startAgent()
	s.castray("login").ends(0, "Signed in as Ada Reader.")
	s.quit(agent)

	s.lockKeyring(keyring)
	s.startAgent()
	if st := s.untilProblem("keychain", "The keychain does not open"); st.SignedIn || st.Phase != protocol.PhaseLoginNeeded {
		s.Errorf("while the keyring is locked the phase is %s", st.Phase)
	}
	s.answerKeyring()
	s.must(s.castrayFile, "resync")
	s.untilPhase(protocol.PhaseNoContext)
	if st := s.status(); !st.SignedIn || len(st.Problems) != 0 {
		s.Errorf("after Re-sync it is signed in: %v, with the problems %v", st.SignedIn, st.Problems)
	}
	if n := s.browsersOpened(); n != 1 {
		s.Errorf("a browser was opened %d times, for one sign-in", n)
	}
}

// Nobody comes: the wait ends with a sentence. The address that is printed works in any browser of this computer.
func browserNeverComesBack(s *session) {
	s.env["BROWSER"] = "/bin/true"
	s.startSandbox()
	s.startAgent()
	s.castray("login", "--timeout", "2s").ends(1, "Nobody has signed in within 2s. To try again: castray login")

	login := s.start(s.castrayFile, "login", "--no-browser")
	address := ""
	login.eventually("the address is printed", func() bool {
		line, _, whole := strings.Cut(login.stdout(), "\n")
		address = line
		return whole
	})
	s.must(s.browserScript(), address)
	s.attach().answer("#allow")
	login.ends(0, "Signed in as Ada Reader.")
	s.untilPhase(protocol.PhaseNoContext)
}
