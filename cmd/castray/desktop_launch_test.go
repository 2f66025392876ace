//go:build desktop && linux

package main_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/castray/castray/ipc/protocol"
)

// launchFile is the one of docs/launch.md.
const launchFile = `[Desktop Entry]
Type=Application
Name=Castray launch
NoDisplay=true
Exec=%s launch -- %%u
MimeType=x-scheme-handler/castray;x-scheme-handler/io.github.castray;
`

// useLaunchScheme registers us for launch links. Which is the default for them stands in defaults.
func (s *session) useLaunchScheme() {
	s.Helper()
	if err := os.WriteFile(s.path("home/share/applications/castray-launch.desktop"), fmt.Appendf(nil, launchFile, s.castrayFile), 0o600); err != nil {
		s.Fatal(err)
	}
}

// SM-LCH-05, SM-LCH-06, SM-LCH-09: a real browser goes from the link on the EHR page through the loopback to the consent page
// of whoever clicked; the kernel says that it is our user's. Clicked by somebody else, the one who is signed in is asked. A link
// with the scheme comes by way of the desktop.
func launchedByTheEHR(s *session) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	s.env["DISPLAY"] = ":99" // nobody draws on it; without one xdg-open looks for a browser in text
	s.useDefaultBrowser()
	s.useLaunchScheme()
	hospital := s.startSandbox("--users", "2", "--launch-port", port)
	s.startAgent()

	s.must(s.browserScript(), hospital.EHRURL)
	person := s.attach()
	ehr := person.open(hospital.EHRURL)
	person.do(ehr, chromedp.Click(chromedp.CSS("#launch")))
	words, err := chromedp.Run(person.tab("Castray is launched – Castray"), chromedp.Text(chromedp.CSS("h1")))
	if err != nil || words != "Castray is launched" {
		s.Errorf("the page of the launch says %q, %v", words, err)
	}
	person.do(person.tab("Allow access"), chromedp.Click(chromedp.CSS("#allow")))
	s.untilPhase(protocol.PhaseNoContext)
	if st := s.status(); st.User == nil || st.User.Name != "Ada Reader" || st.Counters.LaunchesRefused != 0 {
		s.Errorf("launched by the first user, signed in as %v", st.User)
	}

	other := person.open(hospital.EHRURL + "?user=reader2")
	person.do(other, chromedp.Click(chromedp.CSS("#launch")))
	s.untilProblem("launch_waiting", "Sandbox wants to launch Castray")
	s.eventually("the answer counts", func() bool { return s.castray("launch", "--decline").code() == 0 })
	if st := s.status(); st.User == nil || st.User.Name != "Ada Reader" || len(st.Problems) != 1 { // there is no keyring
		s.Errorf("declined: signed in as %v, problems %v", st.User, st.Problems)
	}

	if link := s.run("xdg-open", "castray://launch?iss=https%3A%2F%2Fevil.example%2Ffhir&launch=x"); !strings.Contains(link.stderr(), "was refused") {
		s.Errorf("a link to another hospital: %s", link.stderr())
	}
	s.untilProblem("launch_refused", "an address that is not configured")
}
