package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/bridge/subscriber"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// An office is a ward whose agent has signed in: sign-in server and hub on one network in memory, tokens that live 570 s,
// and a server that ends the sign-in when a refresh token comes twice.
type office struct {
	*ward
	auth     *oauthtest.Server
	keychain oauth.Store
	site     config.Site
	handler  *http.ServeMux
	logs     strings.Builder

	mu       sync.Mutex
	slept    time.Duration // how far the wall clock is ahead of Go's
	networks []netip.Prefix
	phases   []protocol.Phase
}

const officeTopic = fhircast.Secret("office-topic-27182818")

// inOffice signs in before the bubble, since a browser comes back to a kernel's socket, and runs day in it.
func inOffice(t *testing.T, day func(o *office)) {
	t.Helper()
	o := &office{keychain: Memory(), handler: http.NewServeMux(), networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	o.auth = &oauthtest.Server{ClientID: "castray", AutoApprove: true, TokenLife: 570 * time.Second,
		Users: []oauthtest.User{{ID: "ada", Name: "Ada", FHIRUser: "Practitioner/ada"}},
		Hub:   func(string) (string, string) { return hubtest.PipeURL + "/fc", officeTopic.Reveal() }}
	o.handler.Handle("/", o.auth)
	o.site = config.Site{Name: "Hospital", FHIRURL: hubtest.PipeURL + "/fhir", ClientID: "castray",
		Scopes: []string{"openid", "fhirUser", "offline_access"}, Hub: config.Hub{Name: "Castray", Events: follows()}}
	signIn := o.launcher(&http.Client{Transport: straight{o.handler}})
	signIn.OpenURL = func(ctx context.Context, page string) error { return visit(ctx, signIn.HTTP.Transport, page) }
	if _, err := signIn.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o.ward = &ward{T: t, store: &hub.Memory{}, problems: map[string]bool{}, patience: settles, topic: officeTopic}
		var stop context.CancelFunc
		o.ctx, stop = context.WithCancel(t.Context())
		if err := o.store.Save(o.ctx, officeTopic, hub.Session{User: "ada"}); err != nil {
			t.Fatal(err)
		}
		var err error
		if o.hub, err = hubtest.New(hub.Config{Store: o.store, Authorize: o.knows}); err != nil {
			t.Fatal(err)
		}
		o.handler.Handle("/fc", o.hub)
		o.handler.Handle("/fc/", o.hub)
		o.net = hubtest.Pipe(o.handler)
		o.agent = o.newAgent(state)
		ended := o.agent.inBubble(o.ctx)
		o.attachAll()
		defer func() {
			if o.Failed() {
				t.Log(strings.Join(o.journal, "\n"), o.logs.String())
			}
		}()
		defer o.net.Close()
		defer o.hub.Close()
		defer func() { stop(); <-ended; o.agent.transports[0].CloseIdleConnections() }()
		day(o)
	})
}

func (o *office) launcher(web *http.Client) *oauth.Launcher {
	return &oauth.Launcher{Site: oauth.Site{Name: o.site.Name, FHIRURL: o.site.FHIRURL, ClientID: o.site.ClientID, Scopes: config.Scopes(o.site)},
		HTTP: web, Store: o.keychain}
}

// newAgent is one that reaches the network in memory only.
func (o *office) newAgent(state string) *Agent {
	settings := &config.Config{Sites: []config.Site{o.site}}
	settings.Local.AnswerWithin = 800 * time.Millisecond
	settings.Local.UnknownApps = "allow"
	a := New(Config{Settings: settings, StateDir: state, Host: "desk", Store: o.keychain, Networks: o.where, Changed: o.note,
		Wall: o.wall, Log: slog.New(slog.NewTextHandler(&o.logs, nil))})
	a.tune = func(c *subscriber.Config) { c.Dial, c.TLS, c.Proxy = o.net.Dial, o.net.TLS(), nil }
	web := o.net.Client()
	a.transports = append(a.transports, web.Transport.(*http.Transport))
	l := o.launcher(web)
	l.Store, l.Log = a.guarded(), a.cfg.Log
	a.launchers[o.site.Name] = l
	return a
}

// knows is the hub asking the sign-in server.
func (o *office) knows(token string) (hub.Grant, bool) {
	g, ok := o.auth.Check(token)
	return hub.Grant{User: g.User, Scopes: fhircast.ParseScopes(g.Scopes), Expires: g.Expires}, ok
}

func (o *office) where() ([]netip.Prefix, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.networks, nil
}

func (o *office) wall() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Now().Add(o.slept)
}

func (o *office) note(s protocol.Status, _ bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.phases = append(o.phases, s.Phase)
}

// comes is the start of the agent: it goes on with what is stored.
func (o *office) comes() {
	o.Helper()
	if err := o.agent.do(o.ctx, o.agent.begin); err != nil {
		o.Fatal(err)
	}
	time.Sleep(settles)
	if err := o.agent.do(o.ctx, func() { o.line = o.agent.line }); err != nil || o.line == nil {
		o.Fatalf("no session was joined: %v %+v", err, o.agent.Status())
	}
}

// reads opens one patient after the other, every eight minutes or so, and wants the viewer to follow each.
func (o *office) reads(name string, lasts time.Duration) {
	o.Helper()
	for end, n := time.Now().Add(lasts), 0; time.Now().Before(end); n++ {
		o.happens("Patient-open", list(patientItem(fmt.Sprintf("%s-%d", name, n))))
		if !o.quiet(fmt.Sprintf("patient %d of the %s", n, name)) {
			o.Fatalf("%s: %+v", name, o.agent.Status())
		}
		time.Sleep(8 * time.Minute)
	}
}

// SM-REF-04, SM-REF-06, SM-REF-10: a working day of twelve hours, with 570 s tokens, one hub restart, ninety minutes
// of hibernation, one other network, and one hour without any. Nobody signs in again, no refresh token comes twice, and
// the viewer is with the hub all day.
func TestAWorkingDay(t *testing.T) {
	began := time.Now()
	inOffice(t, func(o *office) {
		morning := time.Now()
		o.comes()
		o.reads("morning", 3*time.Hour)

		if err := o.hub.Restart(o.ctx, true); err != nil {
			o.Fatal(err)
		}
		time.Sleep(time.Minute)
		o.reads("forenoon", 2*time.Hour)

		o.hub.Silence("") // asleep: nothing comes, and what was good is not any more
		o.auth.Expire()
		o.mu.Lock()
		o.slept += 90 * time.Minute
		o.mu.Unlock()
		time.Sleep(time.Minute)
		o.reads("afternoon", 2*time.Hour)

		o.mu.Lock()
		o.networks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		o.mu.Unlock()
		o.net.Cut()
		time.Sleep(time.Minute)
		o.reads("late afternoon", 2*time.Hour)

		o.net.Freeze() // longer than a token lives
		time.Sleep(time.Hour)
		// A try may be under way.
		if s := o.agent.Status(); s.Phase != protocol.PhaseOffline && s.Phase != protocol.PhaseConnecting || !s.SignedIn {
			t.Errorf("without a network: %+v", s)
		}
		o.net.Cut() // no TCP tries for an hour: a refresh of then, whose answer nobody waits for, must not arrive now
		o.net.Thaw()
		time.Sleep(6 * time.Minute) // the longest pause between two refreshes is five
		o.reads("evening", 2*time.Hour-6*time.Minute)
		o.judge(time.Since(morning))
	})
	t.Logf("a day took %v", time.Since(began).Round(time.Millisecond))
}

func (o *office) judge(lasted time.Duration) {
	o.Helper()
	seen, refreshes := map[string]bool{}, 0
	for _, r := range o.auth.Requests() {
		if token := r.Form.Get("refresh_token"); r.Path == "/auth/token" && token != "" {
			if seen[token] {
				o.Error("a refresh token came twice")
			}
			seen[token] = true
			refreshes++
		}
	}
	// At 80 % of 560 s, give or take 5 %; not in the hour without a network, once more at the start and after the sleep.
	if lasted < 12*time.Hour || refreshes < 80 || refreshes > 110 {
		o.Errorf("%d refreshes in %v", refreshes, lasted)
	}
	if n := o.line.number.Load(); n < 5 || n > 7 { // the first, and after each of the four
		o.Errorf("%d subscriptions", n)
	}
	o.mu.Lock()
	for _, p := range []protocol.Phase{protocol.PhaseLoginNeeded, protocol.PhaseSigningIn, protocol.PhaseSignedOut} {
		if slices.Contains(o.phases[1:], p) { // the first is before anything began
			o.Errorf("it was %s", p)
		}
	}
	o.mu.Unlock()
	web := o.net.Client()
	another := o.launcher(web)
	another.Store = o.agent.guarded()
	if _, err := another.Resume(o.ctx); err != nil { // what a restart would go on with
		o.Errorf("what is stored at the end of the day: %v", err)
	}
	web.CloseIdleConnections()
	if err := o.agent.signOut(o.ctx, protocol.ReasonSignedOut); err != nil {
		o.Fatal(err)
	}
	if _, err := o.agent.launchers[o.site.Name].Resume(o.ctx); err == nil || o.auth.Count("/auth/revoke") != 1 || len(o.viewer.showing()) != 0 {
		o.Errorf("after the sign-out: resumed %v, revoked %d times, the viewer shows %v", err == nil, o.auth.Count("/auth/revoke"), o.viewer.showing())
	}
	synctest.Wait()
	if strings.Contains(o.logs.String(), officeTopic.Reveal()) {
		o.Error("the log tells the topic")
	}
}

// straight asks a handler without a network.
type straight struct{ http.Handler }

func (s straight) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.Host, in.TLS, in.RequestURI = r.URL.Host, &tls.ConnectionState{}, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, in)
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}

// visit is a browser that says yes: the page is behind there, and what it comes back to on this computer.
func visit(ctx context.Context, there http.RoundTripper, page string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return err
	}
	resp, err := there.RoundTrip(req)
	if err != nil {
		return err
	}
	if req, err = http.NewRequestWithContext(ctx, http.MethodGet, resp.Header.Get("Location"), nil); err != nil {
		return err
	}
	here := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err = here.Do(req); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return err
}
