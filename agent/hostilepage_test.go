package agent_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// What a hostile web page can make a browser do: send it to the port of launches, to that of a sign-in, and to links. All of
// it is refused, counted and said in one sentence; nothing leaves this machine, nothing of it is in a page of ours.

// SM-LCH-03, SM-LCH-05, SM-LCH-08, SM-REDIR-10
func TestAHostilePageAtTheLaunchPort(t *testing.T) {
	h, port := launchable(t, "")
	var another atomic.Bool // user's are the callers
	var opened atomic.Int32
	h.tune = func(c *agent.Config) {
		open := c.OpenURL
		c.OpenURL = func(ctx context.Context, address string) error {
			opened.Add(1)
			if !strings.HasPrefix(address, h.server.URL+"/auth/authorize?") {
				t.Error("the browser is sent to an address that is not ours")
			}
			return open(ctx, address)
		}
		c.Caller = func(net.Conn) error {
			if another.Load() {
				return errors.New("another user")
			}
			return nil
		}
	}
	h.starts()
	h.viewer("viewer", client.Options{})
	good := h.launch("canary-handle")
	const request, site, shape = "a way that is not allowed", "an address that is not configured", "cannot be read"
	for n, row := range []struct {
		name, method, host, query string
		header                    http.Header
		status                    int
		says                      string
	}{
		{"a name bound to the loopback", "GET", "evil.example:" + port, good, nil, 403, request},
		{"our address with a dot", "GET", "127.0.0.1.:" + port, good, nil, 403, request},
		{"our address without the port", "GET", "127.0.0.1", good, nil, 403, request},
		{"another port", "GET", "localhost:1", good, nil, 403, request},
		{"a form", "POST", "", good, nil, 405, request},
		{"asking whether it may", "OPTIONS", "", good, http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Private-Network": {"true"}}, 405, request},
		{"only the head", "HEAD", "", good, nil, 405, ""},
		{"a script that fetches", "GET", "", good, http.Header{"Sec-Fetch-Mode": {"cors"}}, 403, request},
		{"an image", "GET", "", good, http.Header{"Sec-Fetch-Mode": {"no-cors"}}, 403, request},
		{"a socket", "GET", "", good, http.Header{"Sec-Fetch-Mode": {"websocket"}}, 403, request},
		{"two modes", "GET", "", good, http.Header{"Sec-Fetch-Mode": {"navigate", "cors"}}, 403, request},
		{"another server", "GET", "", "?iss=https://evil.example/fhir&launch=canary", nil, 403, site},
		{"our server as a user of another", "GET", "", "?iss=https://127.0.0.1@evil.example/fhir&launch=canary", nil, 403, site},
		{"script in a parameter", "GET", "", "?iss=<script>alert(1)</script>&launch=<script>", nil, 403, site},
		{"a program to start", "GET", "", "?iss=ms-settings:evil&launch=canary", nil, 403, site},
		{"nothing", "GET", "", "", nil, 403, shape},
		{"two of one", "GET", "", good + "&launch=canary-other", nil, 403, shape},
		{"more than 64 kB", "GET", "", good + "&x=" + strings.Repeat("x", 65<<10), nil, 414, shape},
		{"a hub that gets the token", "GET", "", "?hub.url=https://evil.example/hub&hub.topic=canary", nil, 403, "switched off"},
	} {
		r, err := http.NewRequest(row.method, "http://127.0.0.1:"+port+"/launch"+row.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host, r.Header = row.host, row.header
		status, header, body := h.page(r)
		if status != row.status || !contains(body, row.says) {
			t.Errorf("%s: %d %s", row.name, status, body)
		}
		h.isOurs(row.name, header, body)
		if s := h.until("the count", func(s protocol.Status) bool { return s.Counters.LaunchesRefused > n }); s.Counters.LaunchesRefused != n+1 {
			t.Errorf("%s: %d refused", row.name, s.Counters.LaunchesRefused)
		}
	}
	refused := h.running.agent.Status().Counters.LaunchesRefused

	// Another user of this machine, on a terminal server say, is told where theirs is.
	another.Store(true)
	r, err := http.NewRequest("GET", "http://127.0.0.1:"+port+"/launch"+good, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, header, body := h.page(r)
	if status != 403 || !contains(body, "belongs to another user of this computer") {
		t.Errorf("another user's: %d %s", status, body)
	}
	h.isOurs("another user's", header, body)
	another.Store(false)

	// Other paths are nothing, and no attempt either: browsers ask for an icon.
	if status, body := h.get("http://127.0.0.1:" + port + "/favicon.ico"); status != 404 || !contains(body, "nothing to see") {
		t.Errorf("another path: %d %s", status, body)
	}
	s := h.until("the last count", func(s protocol.Status) bool { return s.Counters.LaunchesRefused == refused+1 })
	if problemOf(s, "launch_refused") == "" || s.Phase != protocol.PhaseSignedOut || len(s.Problems) != 1 {
		t.Errorf("status %+v", s)
	}
	if n := len(h.auth.Requests()); n != 0 || opened.Load() != 0 {
		t.Errorf("%d requests left this machine, %d pages opened", n, opened.Load())
	}
	h.keepsSecrets()

	// A good one still works; where to go afterwards is not for it to say.
	r, err = http.NewRequest("GET", "http://127.0.0.1:"+port+"/launch"+good+"&next=https://evil.example&redirect_uri=https://evil.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	status, header, body = h.page(r)
	if status != 200 || !contains(body, "sign-in page opens") {
		t.Errorf("a good one: %d %s", status, body)
	}
	h.isOurs("a good one", header, body)
	if s := h.phase(protocol.PhaseNoContext); has(s, "launch_refused") || opened.Load() != 1 {
		t.Errorf("%d pages, problems %v", opened.Load(), s.Problems)
	}
}

// isOurs: a static page with its guards, and nothing of what was sent.
func (h *hospital) isOurs(name string, header http.Header, body string) {
	h.Helper()
	for _, part := range []string{"canary", "evil", "<script", h.server.URL, "alert"} {
		if contains(body, part) {
			h.Errorf("%s: the page has %q", name, part)
		}
	}
	if body != "" && !(contains(body, " – Castray</title>") && contains(body, `<svg`)) { // the look of the page that a sign-in ends with
		h.Errorf("%s: the page is %s", name, body)
	}
	csp := header.Get("Content-Security-Policy")
	if header.Get("Location") != "" || header.Get("Access-Control-Allow-Origin") != "" || header.Get("Set-Cookie") != "" ||
		header.Get("Referrer-Policy") != "no-referrer" || header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" ||
		!contains(csp, "default-src 'none'") || contains(csp, "script-src") || !contains(csp, "frame-ancestors 'none'") {
		h.Errorf("%s: headers %v", name, header)
	}
}

// SM-LCH-05, SM-LCH-06: a hundred launches of an allowed site open one page, and the rest is refused by the dozen.
func TestAHostilePageFloods(t *testing.T) {
	h, port := launchable(t, "")
	pages := h.shown()
	h.starts()
	h.viewer("viewer", client.Options{})
	codes := map[int]int{}
	for i := range 100 {
		status, _ := h.get("http://127.0.0.1:" + port + "/launch" + h.launch("canary"+strings.Repeat("x", i)))
		codes[status]++
	}
	if codes[200] < 2 || codes[200] > 10 || codes[200]+codes[429] != 100 {
		t.Errorf("answered %v", codes)
	}
	s := h.until("the count", func(s protocol.Status) bool { return s.Counters.LaunchesRefused == codes[429] })
	if !contains(problemOf(s, "launch_refused"), "Too many launches") || !has(s, "launch_waiting") {
		t.Errorf("problems %v", s.Problems)
	}
	if n := strings.Count(h.log.String(), "a launch was refused"); n < 1 || n > 30 {
		t.Errorf("%d lines in the log", n)
	}
	if <-pages; len(pages) != 0 {
		t.Errorf("%d pages more than one", len(pages))
	}
	h.keepsSecrets()

	// Connections that say nothing keep nobody out but themselves, and their number is limited.
	var idle []net.Conn
	for range 16 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil { // one that was let in has 5 s
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the seventeenth was let in: %d, %v", n, err)
	}
	for _, c := range idle {
		c.Close()
	}
	h.until("a place", func(protocol.Status) bool {
		resp, err := http.Get("http://127.0.0.1:" + port + "/launch")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 403
	})
}

// SM-REDIR-06, SM-REDIR-07, SM-REDIR-10, SM-REDIR-11: at the port where a sign-in waits, a page guesses, replays and rebinds.
// Each is counted, none ends the sign-in, and its code is exchanged once.
func TestAHostilePageAtTheRedirect(t *testing.T) {
	h, _ := launchable(t, "")
	waits := h.shown()
	h.starts()
	h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	authorize, err := url.Parse(<-waits)
	if err != nil {
		t.Fatal(err)
	}
	back, state := authorize.Query().Get("redirect_uri"), authorize.Query().Get("state")
	strays := 0
	tries := func(name, query, host string, want int) {
		t.Helper()
		r, err := http.NewRequest("GET", back+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		status, header, body := h.page(r)
		if status != want || header.Get("Location") != "" || contains(body, "evil") || contains(body, "canary") || contains(body, state) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		strays++
		h.until(name+" is counted", func(s protocol.Status) bool { return s.Counters.StrayRedirects == strays })
	}
	tries("a wrong state", "?code=canary&state="+strings.Repeat("A", len(state)), "", 400)
	tries("no state", "?code=canary&next=https://evil.example", "", 400)
	tries("an error of nobody", "?error=access_denied&error_description=canary", "", 400)
	tries("a name bound to the loopback", "?code=canary&state="+state, "evil.example", 403)
	if s := h.running.agent.Status(); s.Phase != protocol.PhaseSigningIn || h.auth.Count("/auth/token") != 0 {
		t.Errorf("status %+v", s)
	}

	r, err := http.NewRequestWithContext(h.ctx, "GET", authorize.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.server.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	_, query, _ := strings.Cut(resp.Header.Get("Location"), "?")
	if r, err = http.NewRequest("GET", back+"?"+query, nil); err != nil {
		t.Fatal(err)
	}
	status, header, _ := h.page(r)
	done := header.Get("Location")
	if status != 303 || !strings.HasPrefix(done, "/done/") {
		t.Errorf("the right answer: %d to %q", status, done)
	}
	tries("the code again", "?"+query, "", 410)
	if status, _ := h.get(strings.Replace(back, "/callback", done, 1)); status != 200 {
		t.Errorf("the last page: %d", status)
	}
	h.phase(protocol.PhaseNoContext)
	if n := h.auth.Count("/auth/token"); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	h.keepsSecrets()
}
