//go:build desktop && linux

package main_test

import (
	"os"
	"strings"
	"syscall"

	"github.com/chromedp/chromedp"
)

// The demo as a newcomer sees it: the browser asks, then shows the EHR page, and the sample app and the tray follow.
func demo(s *session) {
	s.startBus(false)
	s.env["BROWSER"] = s.browserScript()
	p := s.start(s.castrayFile, "demo")
	person := s.attach()
	if words := person.answer("#allow"); words != "You are signed in" {
		s.Errorf("at the end the browser says %q", words)
	}
	ehr := person.tab("Ada Reader – Castray sandbox")
	person.do(ehr, chromedp.Click(chromedp.CSS("#open-Patient-p03")), chromedp.WaitVisible(chromedp.CSS("#subscribers .answer.good")))
	p.eventually("the sample app follows", func() bool {
		for line := range strings.Lines(p.stdout()) {
			if strings.HasPrefix(line, "viewer:") && strings.Contains(line, "Patient-open") {
				return true
			}
		}
		return false
	})
	p.eventually("the tray tells the same", func() bool { return strings.Contains(s.menu(p), `"TEST: In sync, 1 app follows"`) })

	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		s.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		s.Errorf("the demo ended with %d: %s%s", code, p.stdout(), p.stderr())
	}
	left, err := os.ReadDir(s.env["TMPDIR"])
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range left {
		if strings.HasPrefix(f.Name(), "castray") {
			s.Errorf("the demo left %s", f.Name())
		}
	}
}
