//go:build desktop && linux

package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"

	"github.com/castray/castray/ipc/protocol"
)

// lockedScreen: the desktop says that its screen is locked, and the agent as it is installed hears it, at one's own desk
// and at a shared one.
func lockedScreen(s *session) {
	s.startBus(false)
	s.env["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=" + s.path("run/none") // not the machine's own logind
	s.startSandbox("--auto-approve")
	locks := func(active string) {
		s.Helper()
		s.must("dbus-send", "--session", "--type=signal", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver.ActiveChanged", "boolean:"+active)
	}

	agent := s.startAgent()
	s.signInByHand()
	locks("true")
	if st := s.untilPhase(protocol.PhaseLocked); !st.SignedIn {
		s.Error("locking one's own screen ends the sign-in")
	}
	locks("false")
	s.untilPhase(protocol.PhaseNoContext)
	s.quit(agent)

	s.env["CASTRAY_SESSION_SHARED"] = "true"
	agent = s.startAgent()
	s.signInByHand()
	locks("true")
	s.until("the shared desk is wiped", func(st protocol.Status) bool { return st.Phase == protocol.PhaseLocked && !st.SignedIn })
	locks("false")
	s.untilPhase(protocol.PhaseSignedOut)
	s.quit(agent)
}

// signInByHand goes to the address that login prints; the sandbox asks nothing.
func (s *session) signInByHand() {
	s.Helper()
	s.untilPhase(protocol.PhaseSignedOut)
	login := s.start(s.castrayFile, "login", "--no-browser")
	login.eventually("the address is there", func() bool { return strings.HasSuffix(login.stdout(), "\n") })
	pem, err := os.ReadFile(s.path("sandbox/ca.pem"))
	if err != nil {
		s.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	page, err := browser.Get(strings.TrimSpace(login.stdout()))
	if err != nil {
		s.Fatal("the sign-in page does not answer")
	}
	page.Body.Close()
	login.ends(0, "Signed in as Ada Reader.")
	s.untilPhase(protocol.PhaseNoContext)
}
