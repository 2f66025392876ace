//go:build desktop && linux

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/castray/castray/ipc/protocol"
)

// A page that came by https from a listed origin follows the patient over the loopback WebSocket. The same page from
// another origin is refused, with the right key too, and so is the listed one with a wrong key.
func aWebPageFollows(s *session) {
	s.env["BROWSER"] = s.browserScript()
	hospital := s.startSandbox("--auto-approve")
	listed, foreign := s.servePage(), s.servePage()
	s.configure("[local]\nwebsocket = true\norigins = [\"" + listed + "\"]\n")
	agent := s.startAgent()
	s.castray("login").ends(0, "Signed in as Ada Reader.")
	person := s.attach()
	keys := s.keys()
	fragment := fmt.Sprintf("/#%d,%s", keys.Port, keys.AppKey)

	page := person.open(listed + fragment)
	s.untilApp("page", "")
	ehr := person.open(hospital.EHRURL)
	for _, patient := range []string{"p02", "p01"} {
		person.do(ehr, chromedp.Click(chromedp.CSS("#open-Patient-"+patient)))
		person.shows(page, "patient "+patient)
	}
	st := s.untilPhase(protocol.PhaseInSync)
	if !slices.ContainsFunc(st.Apps, func(a protocol.AppRow) bool {
		return a.Name == "page" && a.Via == "websocket" && a.PID != 0 && a.Outcome == protocol.OutcomeAcknowledged
	}) {
		s.Errorf("the page's row is not among %+v", st.Apps)
	}

	watching := s.start(s.castrayFile, "watch", "--json", "--socket", fmt.Sprintf("ws://127.0.0.1:%d/v1", keys.Port))
	watching.eventually("our own command is told who is current, over the WebSocket", func() bool { return watching.opened("p01") })
	watching.stop()
	s.until("it has left", func(st protocol.Status) bool { return len(st.Apps) == 1 })

	refused := person.open(foreign + fragment)
	person.shows(refused, "out of sync")
	guess := person.open(listed + fmt.Sprintf("/#%d,%s", keys.Port, "guess"))
	person.shows(guess, "out of sync")
	if !strings.Contains(agent.stderr(), "not among local.origins") || strings.Contains(agent.stderr(), keys.AppKey) {
		s.Errorf("the log says %s", agent.stderr())
	}
	if st = s.status(); len(st.Apps) != 1 || st.Phase != protocol.PhaseInSync {
		s.Errorf("pages that were refused change the status: %+v", st)
	}

	person.do(page, chromedp.Navigate("about:blank"))
	st = s.until("the page's row goes with the page", func(st protocol.Status) bool { return len(st.Apps) == 0 })
	if slices.ContainsFunc(st.Problems, func(p protocol.Problem) bool { return p.App != "" }) {
		s.Errorf("a page that was left is a problem: %+v", st.Problems)
	}
	for range 2 {
		page = person.open(listed + fragment)
		person.shows(page, "patient p01")
	}
	s.until("there is a row for each page", func(st protocol.Status) bool { return len(st.Apps) == 2 })
	if err := chromedp.Cancel(page); err != nil { // closes the tab
		s.Fatal(err)
	}
	s.until("the row of the closed tab goes", func(st protocol.Status) bool { return len(st.Apps) == 1 })
	page = person.open(listed + fragment)
	person.shows(page, "patient p01")
	s.quit(agent)
	person.shows(page, "out of sync")
}

// servePage serves the page at an origin of its own.
func (s *session) servePage() (origin string) {
	s.Helper()
	page, err := os.ReadFile("testdata/desktop/page.html")
	if err != nil {
		s.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	}))
	s.Cleanup(server.Close)
	return server.URL
}

// configure adds to the agent's configuration.
func (s *session) configure(text string) {
	s.Helper()
	f, err := os.OpenFile(s.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		s.Fatal(err)
	}
}

// keys are those of castray.json.
func (s *session) keys() protocol.Keys {
	s.Helper()
	text, err := os.ReadFile(s.path("run/castray/castray.json"))
	if err != nil {
		s.Fatal(err)
	}
	var k protocol.Keys
	if err := json.Unmarshal(text, &k); err != nil || k.Port == 0 {
		s.Fatalf("castray.json tells no port: %v", err)
	}
	return k
}

// shows waits until the page shows that.
func (b *browser) shows(page tab, want string) {
	b.Helper()
	b.eventually("the page shows: "+want, func() bool {
		words, err := chromedp.Run(page, chromedp.Text(chromedp.CSS("#patient")))
		if err != nil {
			b.Fatal(err)
		}
		return words == want
	})
}
