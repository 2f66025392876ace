package sandbox

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// SM-LCH-09: the EHR page launches in a new window, at the port where the agent of its configuration listens; the launch says
// who clicked. Without a port there is no link, and the page is as it was.
func TestThePageLaunchesTheAgent(t *testing.T) {
	s := start(t, Config{Users: 2, LaunchPort: 17330, Dir: t.TempDir()})
	b := browser(t, s)
	_, page := fetch(t, b, "GET", s.info.EHRURL+"?user="+s.users[1].id, nil)
	const link = `<a id="launch" class="launch" href="/ehr/launch?user=`
	if !strings.Contains(page, link+s.users[1].id+`" target="_blank" rel="noopener noreferrer">`) {
		t.Error("no link in a new window")
	}
	resp, _ := fetch(t, b, "GET", s.info.EHRURL+"launch?user="+s.users[1].id, nil)
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther || to.Host != "127.0.0.1:17330" || to.Path != "/launch" || to.Query().Get("iss") != s.info.FHIRURL {
		t.Fatalf("%d to %v", resp.StatusCode, to)
	}
	if user, ok := s.launches.of(to.Query().Get("launch")); !ok || user != s.users[1].id {
		t.Errorf("launched for %q", user)
	}
	if user, ok := s.launches.of("one of their own"); !ok || user != "" {
		t.Errorf("a launch of nobody is for %q", user)
	}
	config, err := os.ReadFile(s.info.ConfigFile)
	if err != nil || !strings.Contains(string(config), "[launch]\nport = 17330\n") {
		t.Errorf("%v: %s", err, config)
	}
	if resp, _ := fetch(t, b, "GET", s.info.EHRURL+"launch?user=nobody", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a user that there is not: %d", resp.StatusCode)
	}

	s = start(t, Config{Dir: t.TempDir()})
	b = browser(t, s)
	if _, page := fetch(t, b, "GET", s.info.EHRURL, nil); strings.Contains(page, "launch") {
		t.Error("a link to nowhere")
	}
	if resp, _ := fetch(t, b, "GET", s.info.EHRURL+"launch?user="+s.users[0].id, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("without a port: %d", resp.StatusCode)
	}
	if config, err := os.ReadFile(s.info.ConfigFile); err != nil || strings.Contains(string(config), "launch") {
		t.Errorf("%v: %s", err, config)
	}
}
