//go:build desktop && linux

package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/castray/castray/ipc/protocol"
)

// TestDesktop plays Castray as it is installed, by separate processes on a desktop: a session bus, gnome-keyring, a
// browser, a panel. Each part has a session of its own and starts what it needs. What these tests need on the machine is
// listed in .ci/run; they fail without it.
func TestDesktop(t *testing.T) {
	castrayFile := filepath.Join(t.TempDir(), "castray")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", castrayFile, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, part := range []struct {
		name string
		play func(*session)
	}{
		{"FromSignInToSignOut", fromSignInToSignOut},
		{"NoKeyringAndTheDefaultBrowser", noKeyringAndTheDefaultBrowser},
		{"LockedKeyring", lockedKeyring},
		{"LockedScreen", lockedScreen},
		{"KeyringThatAsks", keyringThatAsks},
		{"SecretInTheKeyring", secretInTheKeyring},
		{"BrowserNeverComesBack", browserNeverComesBack},
		{"LaunchedByTheEHR", launchedByTheEHR},
		{"FifteenLinesOfPython", fifteenLinesOfPython},
		{"AWebPageFollows", aWebPageFollows},
		{"Demo", demo},
		{"Pictures", pictures},
	} {
		t.Run(part.name, func(t *testing.T) { part.play(newSession(t, castrayFile)) })
	}
}

// The main job: sign in by the browser, follow what is opened on the EHR page, ask for a change, start again without
// the browser, sign out.
func fromSignInToSignOut(s *session) {
	s.startBus(false)
	s.startKeyring()
	s.env["BROWSER"] = s.browserScript()
	hospital := s.startSandbox()
	agent := s.startAgent()
	s.untilPhase(protocol.PhaseSignedOut)

	login := s.start(s.castrayFile, "login")
	person := s.attach()
	if words := person.answer("#allow"); words != "You are signed in" {
		s.Errorf("at the end the browser says %q", words)
	}
	login.ends(0, "Signed in as Ada Reader.")

	viewer := s.startWatch()
	ehr := person.open(hospital.EHRURL)
	followAndSend(person, ehr, viewer)
	s.untilPhase(protocol.PhaseInSync)
	if menu := s.menu(agent); !strings.Contains(menu, `"TEST: In sync, 1 app follows"`) {
		s.Errorf("the tray's menu is\n%s", menu)
	}

	secret := s.refreshToken()
	s.quit(agent)
	viewer.ends(3, "The agent has stopped")
	s.keptNowhereElse(secret)

	agent = s.startAgent()
	viewer = s.startWatch()
	viewer.eventually("the app is told who is current", func() bool { return viewer.opened("p02") })
	if st := s.untilPhase(protocol.PhaseInSync); !st.SignedIn || st.User == nil || st.User.Name != "Ada Reader" {
		s.Errorf("after the restart it is signed in: %v, as %v", st.SignedIn, st.User)
	}
	if n := s.browsersOpened(); n != 1 {
		s.Errorf("a browser was opened %d times, for one sign-in", n)
	}

	s.must(s.castrayFile, "logout")
	s.untilPhase(protocol.PhaseSignedOut)
	if n := len(s.kept()); n != 0 {
		s.Errorf("after signing out the keyring has %d values of ours", n)
	}
	s.quit(agent)
	s.startAgent()
	if st := s.untilPhase(protocol.PhaseSignedOut); st.SignedIn || len(st.Problems) != 0 {
		s.Errorf("after a restart it is signed in: %v, with the problems %v", st.SignedIn, st.Problems)
	}
}

// followAndSend opens two patients on the EHR page, then asks the hub for the first again.
func followAndSend(person *browser, ehr tab, viewer *process) {
	s := person.session
	s.Helper()
	var maria string
	for _, patient := range []string{"p02", "p01"} {
		person.do(ehr, chromedp.Click(chromedp.CSS("#open-Patient-"+patient)))
		viewer.eventually("the app is told of "+patient, func() bool { return viewer.opened(patient) })
		s.eventually(patient+" is current", func() bool { return s.current() == patient })
		if patient == "p02" {
			maria = s.keepContext()
		}
	}
	person.do(ehr, chromedp.WaitVisible(chromedp.CSS(`#current[data-row="row-Patient-p01"]`)), chromedp.WaitVisible(chromedp.CSS("#subscribers .answer.good")))

	s.must(s.castrayFile, "send", "Patient-open", "--file", maria)
	person.do(ehr, chromedp.WaitVisible(chromedp.CSS(`#current[data-row="row-Patient-p02"]`)))
	s.eventually("the agent has it from the hub", func() bool { return s.current() == "p02" })
}

// The native app that anybody can write follows, by the lines that the README prints.
func fifteenLinesOfPython(s *session) {
	s.env["BROWSER"] = s.browserScript()
	s.startSandbox("--auto-approve")
	s.startAgent()
	s.castray("login").ends(0, "Signed in as Ada Reader.")
	app := s.start("python3", "testdata/follow.py")
	s.untilApp("follow.py", "")
	s.must(s.castrayFile, "send", "Patient-open", "--patient", "urn:test:mrn|4711")
	s.untilApp("follow.py", protocol.OutcomeAcknowledged)
	if st := s.untilPhase(protocol.PhaseInSync); st.Sentence != "In sync, 1 app follows" {
		s.Errorf("the agent says %q", st.Sentence)
	}
	if !strings.HasSuffix(app.stdout(), "Patient-open\n") {
		s.Errorf("the app has printed %q", app.stdout())
	}
	s.must(s.castrayFile, "clear")
	s.untilApp("follow.py", protocol.OutcomeCleared)
	if !strings.HasSuffix(app.stdout(), "show no patient\n") {
		s.Errorf("the app has printed %q", app.stdout())
	}
}
