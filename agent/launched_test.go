package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// launchable is a hospital whose agent listens for launches at a port, with more lines of configuration.
func launchable(t *testing.T, more string) (h *hospital, port string) {
	t.Helper()
	h = newHospital(t)
	port = freePort(t)
	h.write(h.file, append(h.config, "[launch]\nport = "+port+"\n"+more...))
	return h, port
}

// freePort is one that nobody has on either loopback address.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// launch is the query of an EHR launch of this hospital.
func (h *hospital) launch(handle string) string {
	return "?" + url.Values{"iss": {h.server.URL + "/fhir/"}, "launch": {handle}}.Encode()
}

// page makes one request, as a browser does, and gives status and body.
func (h *hospital) page(r *http.Request) (int, http.Header, string) {
	h.Helper()
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Do(r.WithContext(h.ctx))
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func (h *hospital) get(address string) (int, string) {
	h.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		h.Fatal(err)
	}
	status, _, body := h.page(r)
	return status, body
}

// shown are the pages that the browser is told to open; nobody is there to do anything with them.
func (h *hospital) shown() <-chan string {
	pages := make(chan string, 100)
	h.browser = func(_ context.Context, address string) error {
		pages <- address
		return nil
	}
	return pages
}

// authorized are the launch parameters that the sign-in server was sent.
func (h *hospital) authorized() (handles []string) {
	for _, r := range h.auth.Requests() {
		if strings.HasSuffix(r.Path, "/authorize") {
			handles = append(handles, r.Form.Get("launch"))
		}
	}
	return handles
}

func (h *hospital) launches(raw string) error {
	params, _ := json.Marshal(protocol.LaunchParams{URL: raw})
	_, err := h.running.agent.Do(h.ctx, protocol.MethodLaunch, params)
	return err
}

// answers the question that is shown: at once that would be by chance, and does not count.
func (h *hospital) answers(method string) {
	h.Helper()
	if _, err := h.running.agent.Do(h.ctx, method, nil); code(err) != protocol.CodeBusy {
		h.Errorf("%s before it can have been read: %v", method, err)
	}
	h.until("an answer that counts", func(protocol.Status) bool {
		_, err := h.running.agent.Do(h.ctx, method, nil)
		return err == nil
	})
}

func problemOf(s protocol.Status, code string) string {
	i := slices.IndexFunc(s.Problems, func(p protocol.Problem) bool { return p.Code == code })
	if i < 0 {
		return ""
	}
	return s.Problems[i].Sentence
}

// SM-LCH-01, SM-LCH-04, SM-LCH-05: by each way in, the browser signs the user in with what the EHR gave, and the app follows.
func TestEachWayInLaunches(t *testing.T) {
	const handle = `canary+a/b= ;%"<script>`
	for way, knock := range map[string]func(h *hospital, port string){
		"loopback": func(h *hospital, port string) {
			status, body := h.get("http://127.0.0.1:" + port + "/launch" + h.launch(handle))
			if status != http.StatusOK || !contains(body, "sign-in page opens by itself") || contains(body, "canary") {
				h.Errorf("%d %s", status, body)
			}
		},
		"scheme": func(h *hospital, _ string) {
			if err := h.launches("castray://launch" + h.launch(handle)); err != nil {
				h.Error(err)
			}
		},
		"command line or file": func(h *hospital, _ string) {
			if err := h.launches(h.launch(handle)); err != nil {
				h.Error(err)
			}
		},
	} {
		t.Run(way, func(t *testing.T) {
			h, port := launchable(t, "")
			h.starts()
			v := h.viewer("viewer", client.Options{})
			knock(h, port)
			h.phase(protocol.PhaseNoContext)
			if got := h.authorized(); len(got) != 1 || got[0] != handle {
				t.Errorf("authorized %q", got)
			}
			if asked := strings.Fields(h.asked()); asked[len(asked)-1] != "launch" {
				t.Errorf("asked for %q", asked)
			}
			h.opensPatient("p1")
			h.sees(v, "Patient-open")
			h.phase(protocol.PhaseInSync)
			h.keepsSecrets()
		})
	}
}

// SM-LCH-06, SM-LCH-07: somebody is signed in, so the person is asked. No changes nothing; yes signs the other user in, and
// the apps are cleared in between (S8). A launch is used once.
func TestALaunchAsksBeforeItTakesTheSession(t *testing.T) {
	t.Parallel()
	h, port := launchable(t, "")
	h.starts()
	v := h.viewer("viewer", client.Options{})
	if err := h.launches(h.launch("first")); err != nil {
		t.Fatal(err)
	}
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	h.phase(protocol.PhaseInSync)
	h.auth.Misbehave(oauthtest.Faults{Claims: map[string]any{"sub": "eve", "fhirUser": "Practitioner/eve", "name": "Eve"}})

	for _, handle := range []string{"second", "third"} {
		status, body := h.get("http://127.0.0.1:" + port + "/launch" + h.launch(handle))
		if status != http.StatusOK || !contains(body, "asks you first") {
			t.Errorf("%d %s", status, body)
		}
		if s := h.running.agent.Status(); !contains(problemOf(s, "launch_waiting"), "Hospital wants to launch") || s.User.Name != "Ada" || s.Phase != protocol.PhaseInSync {
			t.Errorf("status %+v", s)
		}
		if handle == "second" {
			h.answers(protocol.MethodLaunchDecline)
		} else {
			h.answers(protocol.MethodLaunchAccept)
		}
		if s := h.running.agent.Status(); has(s, "launch_waiting") {
			t.Errorf("problems %v", s.Problems)
		}
	}
	h.until("the other user", func(s protocol.Status) bool {
		return s.User != nil && s.User.Name == "Eve" && s.Phase == protocol.PhaseInSync
	})
	v.clearedBetween(t)
	if got := strings.Join(h.authorized(), " "); got != "first third" {
		t.Errorf("authorized %q", got)
	}
	for _, handle := range []string{"first", "second", "third"} {
		if err := h.launches(h.launch(handle)); code(err) != protocol.CodeTooLate && code(err) != protocol.CodeBusy {
			t.Errorf("%s again: %v", handle, err)
		}
	}
	if _, err := h.running.agent.Do(h.ctx, protocol.MethodLaunchAccept, nil); code(err) != protocol.CodeTooLate {
		t.Errorf("nothing waits: %v", err)
	}
}

// SM-LCH-07: while its sign-in waits in the browser, the same launch only shows that page again; another one asks.
func TestTheSameLaunchShowsItsPageAgain(t *testing.T) {
	t.Parallel()
	h, _ := launchable(t, "")
	shown := h.shown()
	h.starts()
	h.viewer("viewer", client.Options{})
	for range 2 {
		if err := h.launches(h.launch("canary-one")); err != nil {
			t.Fatal(err)
		}
		h.until("the browser", func(s protocol.Status) bool { return s.Phase == protocol.PhaseSigningIn })
	}
	first, again := <-shown, <-shown
	if first != again || !strings.HasPrefix(first, h.server.URL+"/auth/authorize?") {
		t.Error("two pages for one launch")
	}
	// Whoever wants a link, since no browser opened, gets one with the launch in it; and the launch again shows that page.
	result, err := h.running.agent.Do(h.ctx, protocol.MethodSignin, json.RawMessage(`{"browser":false}`))
	link, ok := result.(protocol.SigninResult)
	if err != nil || !ok || link.URL == first || !contains(link.URL, "launch=canary-one") {
		t.Errorf("the link has nothing of the launch, %v", err)
	}
	h.until("the pace", func(protocol.Status) bool { return h.launches(h.launch("canary-one")) == nil })
	if <-shown != link.URL {
		t.Error("the launch again shows another page")
	}
	// A page that sends it on and on fills no browser.
	for range 4 {
		h.until("the pace", func(protocol.Status) bool { return h.launches(h.launch("canary-one")) == nil })
	}
	h.until("another launch", func(protocol.Status) bool { return h.launches(h.launch("canary-two")) == nil }) // two in a second
	if <-shown != link.URL || len(shown) != 0 {
		t.Errorf("%d pages more than thrice the same", len(shown))
	}
	if s := h.running.agent.Status(); !has(s, "launch_waiting") || len(shown) != 0 {
		t.Errorf("%d pages more, problems %v", len(shown), s.Problems)
	}
	h.keepsSecrets()
}

// A keychain that takes its time to say what is in it.
type slowDrawer struct {
	drawer
	opened chan struct{}
}

func (d *slowDrawer) Load(ctx context.Context, key string) ([]byte, error) {
	select {
	case <-d.opened:
	case <-ctx.Done():
	}
	return d.drawer.Load(ctx, key)
}

// SM-LCH-06: at the start a launch waits for what is stored to be read; where there is nothing, there is nothing to ask.
func TestALaunchAtTheStartAsksOnlyAboutWhatIsThere(t *testing.T) {
	h, _ := launchable(t, "")
	kept := &slowDrawer{opened: make(chan struct{})}
	h.store = kept
	h.starts()
	h.viewer("viewer", client.Options{})
	launched := make(chan error, 1)
	go func() { launched <- h.launches(h.launch("early")) }()
	h.rest()
	if s := h.running.agent.Status(); has(s, "launch_waiting") || len(h.authorized()) != 0 {
		t.Errorf("status %+v", s)
	}
	close(kept.opened)
	if err := <-launched; err != nil {
		t.Error(err)
	}
	h.phase(protocol.PhaseNoContext)
	h.end()
	// With a sign-in that is stored, it asks.
	h.starts()
	h.viewer("viewer", client.Options{})
	if err := h.launches(h.launch("second")); err != nil {
		t.Error(err)
	}
	h.until("the question", func(s protocol.Status) bool { return has(s, "launch_waiting") })
	h.phase(protocol.PhaseNoContext)
}

// SM-LCH-07: a launch that could not begin has not been used: nothing of it left this machine.
func TestALaunchThatCouldNotBegin(t *testing.T) {
	h, _ := launchable(t, "")
	h.auth.Misbehave(oauthtest.Faults{ConfigurationStatus: 503})
	h.starts()
	h.viewer("viewer", client.Options{})
	if err := h.launches(h.launch("one")); err != nil {
		t.Fatal(err)
	}
	h.until("that it failed", func(s protocol.Status) bool { return has(s, "signin_failed") })
	h.auth.Misbehave(oauthtest.Faults{})
	if err := h.launches(h.launch("one")); err != nil {
		t.Fatal(err)
	}
	h.phase(protocol.PhaseNoContext)
}

// A redirect by the scheme comes in by the same method as a launch, and signs in; one that nobody waits for is dropped.
func TestTheRedirectByTheSchemeComesBack(t *testing.T) {
	h, _ := launchable(t, "")
	const scheme = "io.github.castray://callback"
	h.auth.Redirects = []string{scheme}
	h.write(h.file, append(h.config, "redirect = \""+scheme+"\"\n"...))
	h.browser = func(ctx context.Context, address string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		resp, err := h.server.Client().Transport.RoundTrip(r)
		if err != nil {
			return err
		}
		resp.Body.Close()
		return h.launches(resp.Header.Get("Location")) // as castray launch does, which the system starts
	}
	h.starts()
	h.viewer("viewer", client.Options{})
	// SM-REDIR-04: no effect, and counted.
	for range 3 {
		if err := h.launches(scheme + "?state=canary&code=canary"); err != nil {
			t.Error(err)
		}
	}
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	if err := h.launches(strings.ToUpper(scheme) + "?state=canary"); err != nil {
		t.Error(err)
	}
	h.until("four strays", func(s protocol.Status) bool {
		return s.Counters.StrayRedirects == 4 && s.Counters.LaunchesRefused == 0 && len(s.Problems) == 0
	})
	h.keepsSecrets()
}

// FC-LCH-01, FC-LCH-02, SM-FC-04: a session that is handed over is joined when the person says so, with the sign-in that is
// there; and at the hub of the configuration, as if that named it.
func TestASessionThatIsHandedOver(t *testing.T) {
	t.Parallel()
	h, _ := launchable(t, "hub_handover = true\n")
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	other, err := h.hub.Hub().NewTopic(h.ctx, "ada")
	if err != nil {
		t.Fatal(err)
	}
	first := h.topic
	h.topic = other
	h.opensPatient("p2")
	hand := "castray://launch?" + url.Values{"hub.url": {h.server.URL + "/hub"}, "hub.topic": {other.Reveal()}}.Encode()
	if err := h.launches(hand); err != nil {
		t.Fatal(err)
	}
	s := h.running.agent.Status()
	if !contains(problemOf(s, "launch_waiting"), "names another session at Hospital") || s.Phase != protocol.PhaseInSync {
		t.Errorf("status %+v", s)
	}
	h.answers(protocol.MethodLaunchAccept)
	h.until("the other session", func(protocol.Status) bool { return len(h.forms(hubtest.Subscribe)) == 2 })
	h.phase(protocol.PhaseInSync)
	h.sees(v, "Patient-open")
	v.clearedBetween(t) // S8: whose session that is, nobody knows
	topics := h.forms(hubtest.Subscribe)
	if len(topics) != 2 || topics[0]["hub.topic"] != first.Reveal() || topics[1]["hub.topic"] != other.Reveal() || len(h.authorized()) != 1 {
		t.Errorf("%d subscriptions, %d sign-ins", len(topics), len(h.authorized()))
	}
	h.keepsSecrets()
	// The next sign-in names its own session again.
	h.topic = first
	h.do("signin", `{}`)
	h.until("its own session", func(protocol.Status) bool { return len(h.forms(hubtest.Subscribe)) == 3 })
	if topic := h.forms(hubtest.Subscribe)[2]["hub.topic"]; topic != first.Reveal() {
		t.Error("the handed-over session outlived its sign-in")
	}
}

// FC-LCH-01: handed over to an agent that is not signed in, a session waits for the sign-in; to one that joins a hub without
// sign-in, for nothing.
func TestASessionThatIsHandedOverFirst(t *testing.T) {
	t.Parallel()
	h, _ := launchable(t, "hub_handover = true\n")
	h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.url": nil, "hub.topic": nil}})
	h.starts()
	h.viewer("viewer", client.Options{})
	if err := h.launches("?" + url.Values{"hub.url": {h.server.URL + "/hub"}, "hub.topic": {h.topic.Reveal()}}.Encode()); err != nil {
		t.Fatal(err)
	}
	if s := h.running.agent.Status(); !has(s, "launch_waiting") || s.Phase != protocol.PhaseSignedOut {
		t.Errorf("status %+v", s)
	}
	h.answers(protocol.MethodLaunchAccept)
	h.phase(protocol.PhaseNoContext)
	h.do("signout", `{}`)
	h.do("signin", `{}`)
	h.until("none of its own", func(s protocol.Status) bool { return has(s, "no_fhircast_session") })
	h.keepsSecrets()
}

// FC-LCH-01, SM-FC-04: an agent that joins the configured hub without sign-in joins another session there when the person says
// so, with the same token; whose that is nobody knows, so the apps are cleared (S8). It lasts until the sign-out.
func TestASessionOfTheConfiguredHubIsHandedOver(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	token := filepath.Join(h.dir, "token")
	h.write(token, []byte(h.auth.Issue("ada", []string{"fhircast/*.*"}, time.Hour)))
	h.write(h.file, fmt.Appendf(nil, "[hub]\nurl = %q\ntopic = %q\ntoken_file = %q\nca_file = %q\n[launch]\nhub_handover = true\n",
		h.server.URL+"/hub", h.topic.Reveal(), token, filepath.Join(h.dir, "ca.pem")))
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.phase(protocol.PhaseNoContext)
	h.opensPatient("p1")
	h.sees(v, "Patient-open")
	other, err := h.hub.Hub().NewTopic(h.ctx, "ada")
	if err != nil {
		t.Fatal(err)
	}
	first := h.topic
	h.topic = other
	h.opensPatient("p2")
	if err := h.launches("?" + url.Values{"hub.url": {"https://evil.example/hub"}, "hub.topic": {"canary"}}.Encode()); code(err) != protocol.CodeNotAllowed {
		t.Errorf("another hub: %v", err)
	}
	if err := h.launches("?" + url.Values{"hub.url": {h.server.URL + "/hub"}, "hub.topic": {other.Reveal()}}.Encode()); err != nil {
		t.Fatal(err)
	}
	h.answers(protocol.MethodLaunchAccept)
	h.until("the other session", func(protocol.Status) bool { return len(h.forms(hubtest.Subscribe)) == 2 })
	h.sees(v, "Patient-open")
	h.phase(protocol.PhaseInSync)
	v.clearedBetween(t)
	h.do("signout", `{}`)
	h.do("resync", `{}`)
	h.until("the configured session", func(protocol.Status) bool { return len(h.forms(hubtest.Subscribe)) == 3 })
	for i, want := range []fhircast.Secret{first, other, first} {
		if h.forms(hubtest.Subscribe)[i]["hub.topic"] != want.Reveal() {
			t.Errorf("subscription %d is to another session", i+1)
		}
	}
	h.keepsSecrets()
}

// A port that another program has is told, and the agent goes on.
func TestThePortOfLaunchesIsTaken(t *testing.T) {
	h, port := launchable(t, "")
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.starts()
	h.viewer("viewer", client.Options{})
	if s := h.running.agent.Status(); !contains(problemOf(s, "launch_off"), "another program uses their port") {
		t.Errorf("problems %v", s.Problems)
	}
	if err := h.launches(h.launch("x")); err != nil {
		t.Error(err)
	}
	h.phase(protocol.PhaseNoContext)
	h.do("signout", `{}`)
	if s := h.running.agent.Status(); !has(s, "launch_off") {
		t.Error("the next user is not told")
	}
}

// A connection that says nothing does not hold up the end of the agent.
func TestASilentConnectionDoesNotHoldUpTheEnd(t *testing.T) {
	h, port := launchable(t, "")
	h.starts()
	h.viewer("viewer", client.Options{})
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	if h.end(); time.Since(begun) > 3*time.Second {
		t.Errorf("it took %v", time.Since(begun))
	}
}
