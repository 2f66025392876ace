package agent

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// twoSites is a configuration with two sites, of which the second names a hub.
func twoSites() *config.Config {
	c := new(config.Config)
	c.Launch.Scheme, c.Launch.HubHandover = true, true
	c.Sites = []config.Site{
		{Name: "General", FHIRURL: "https://ehr.example.org/fhir", ClientID: "castray"},
		{Name: "Other", FHIRURL: "https://other.example.org/r4", ClientID: "castray", Hub: config.Hub{URL: "https://hub.example.org/v2"}},
	}
	return c
}

// SM-LCH-04: whichever way it comes, the same input gives the same launch, or the same refusal.
// SM-LCH-01, SM-LCH-03, FC-LCH-01, FC-LCH-02
func TestWhatALaunchSays(t *testing.T) {
	const iss = "iss=https%3A%2F%2Fehr.example.org%2Ffhir"
	for _, row := range []struct {
		name, query string
		why         *refusal
		site        string
		handle      string
		hub         string
	}{
		{"an EHR launch", iss + "&launch=xyz", nil, "General", "xyz", ""},
		{"the other site, other spelling", "launch=xyz&iss=HTTPS://Other.example.org:443/r4/", nil, "Other", "xyz", ""},
		{"every byte of the launch is kept", iss + "&launch=a%2Bb%2Fc%3D%25%20;%22%3Cscript%3E", nil, "General", `a+b/c=% ;"<script>`, ""},
		{"four kilobytes", iss + "&launch=" + strings.Repeat("x", 4<<10), nil, "General", strings.Repeat("x", 4<<10), ""},
		{"what we do not know may be there", iss + "&launch=xyz&redirect=https://evil.example&app=7", nil, "General", "xyz", ""},
		{"a session beside an EHR launch is not taken", iss + "&launch=xyz&hub.url=https://evil.example&hub.topic=t", nil, "General", "xyz", ""},
		{"a fragment is no part of it", iss + "&launch=xyz#&launch=abc", nil, "General", "xyz", ""},
		{"no launch", iss, refusedShape, "", "", ""},
		{"no iss", "launch=xyz", refusedShape, "", "", ""},
		{"an empty launch", iss + "&launch=", refusedShape, "", "", ""},
		{"two launches", iss + "&launch=a&launch=b", refusedShape, "", "", ""},
		{"two sites", iss + "&" + iss + "&launch=a", refusedShape, "", "", ""},
		{"half an escape", iss + "&launch=%4", refusedShape, "", "", ""},
		{"nothing", "", refusedShape, "", "", ""},
		{"more than 64 kB", iss + "&launch=" + strings.Repeat("x", 64<<10), refusedShape, "", "", ""},
		{"another server", "iss=https://evil.example/fhir&launch=xyz", refusedSite, "", "", ""},
		{"our server as a user of another", "iss=https://ehr.example.org@evil.example/fhir&launch=xyz", refusedSite, "", "", ""},
		{"our server as a part of another", "iss=https://ehr.example.org.evil.example/fhir&launch=xyz", refusedSite, "", "", ""},
		{"without TLS", "iss=http://ehr.example.org/fhir&launch=xyz", refusedSite, "", "", ""},
		{"script", "iss=javascript:alert(1)&launch=xyz", refusedSite, "", "", ""},
		{"a file", "iss=file:///etc/passwd&launch=xyz", refusedSite, "", "", ""},
		{"a session at a site's own host", "hub.url=https://ehr.example.org/hub&hub.topic=t", nil, "General", "", "https://ehr.example.org/hub"},
		{"a session at a site's hub", "hub.url=https://hub.example.org/any&hub.topic=t", nil, "Other", "", "https://hub.example.org/any"},
		{"a session at another hub", "hub.url=https://evil.example/hub&hub.topic=t", refusedHub, "", "", ""},
		{"a session without TLS", "hub.url=http://hub.example.org/any&hub.topic=t", refusedHub, "", "", ""},
		{"a hub without a topic", "hub.url=https://hub.example.org/any", refusedShape, "", "", ""},
		{"a topic without a hub", "hub.topic=t", refusedShape, "", "", ""},
		{"a topic that is a header", "hub.url=https://hub.example.org/any&hub.topic=a%0d%0ab", refusedShape, "", "", ""},
	} {
		for _, way := range []string{"?", "castray://launch?", "castray://launch/?", "castray:launch?", "CASTRAY://LAUNCH?"} {
			l, why := readLaunch(way+row.query, twoSites())
			if (why == nil) != (row.why == nil) || why != nil && why.sentence != row.why.sentence {
				t.Errorf("%s, by %s: refused %+v", row.name, way, why)
				continue
			}
			if why != nil {
				continue
			}
			hub := ""
			if l.hub != nil {
				hub = l.hub.url
			}
			if l.site.Name != row.site || l.ehr.Launch.Reveal() != row.handle || hub != row.hub {
				t.Errorf("%s, by %s: %s %q %q", row.name, way, l.site.Name, l.ehr.Launch.Reveal(), hub)
			}
			if text := fmt.Sprintf("%+v %#v", l.ehr, l.hub); row.handle != "" && strings.Contains(text, row.handle) {
				t.Errorf("%s: it shows under fmt", row.name)
			}
		}
	}
	for _, raw := range []string{"", "castray:", "castray://", "castray://elsewhere?" + iss + "&launch=x", "https://127.0.0.1/launch?" + iss + "&launch=x",
		"file:///launch?" + iss, "castrayx://launch?" + iss + "&launch=x", "--config=x"} {
		if _, why := readLaunch(raw, twoSites()); why != refusedShape {
			t.Errorf("%q: %+v", raw, why)
		}
	}
}

// FC-LCH-01: each way but SMART is off by default; SM-LCH-03: the log gets the host that was named and no more.
func TestWhatIsSwitchedOffIsRefused(t *testing.T) {
	c := twoSites()
	c.Launch.Scheme, c.Launch.HubHandover = false, false
	const ehr = "?iss=https://ehr.example.org/fhir&launch=xyz"
	if _, why := readLaunch("castray://launch"+ehr, c); why != refusedScheme {
		t.Errorf("by the scheme: %+v", why)
	}
	if _, why := readLaunch(ehr, c); why != nil {
		t.Errorf("another way: %+v", why)
	}
	if _, why := readLaunch("?hub.url=https://hub.example.org/v2&hub.topic=t", c); why != refusedHandover {
		t.Errorf("handed over: %+v", why)
	}
	c = &config.Config{Hub: config.Hub{URL: "https://hub.example.org/v2", Topic: "t"}}
	c.Launch.HubHandover = true
	if l, why := readLaunch("?hub.url=https://hub.example.org/v2&hub.topic=u", c); why != nil || l.site != nil {
		t.Errorf("at the hub of the configuration: %+v", why)
	}
	for iss, host := range map[string]string{
		"https://evil.example/fhir?token=canary": "evil.example", "https://a:canary@evil.example": "evil.example",
		"https://" + strings.Repeat("a", 101): "(not shown)", "%": "", "https://evil%C3%A4.example": "(not shown)",
	} {
		if _, why := readEHR(iss, "canary", c); why == nil || why.host != host {
			t.Errorf("%s: %+v", iss, why)
		}
	}
}

// SM-LCH-06, SM-LCH-07: the state table. Nothing that is there is replaced without a question, and what came before is not
// done again; so it is in every state.
func TestWhatBecomesOfALaunch(t *testing.T) {
	for _, row := range []struct {
		name  string
		facts launchFacts
		want  course
	}{
		{"nobody is signed in", launchFacts{}, courseStart},
		{"somebody is, or is just signing in", launchFacts{session: true}, courseAsk},
		{"a session is handed over", launchFacts{handover: true}, courseAsk},
		{"it comes again while its question waits", launchFacts{session: true, again: true, asking: true}, courseAsked},
		{"it comes again while its sign-in waits", launchFacts{session: true, again: true, waiting: true}, courseRaise},
		{"it comes again afterwards", launchFacts{session: true, again: true}, courseUsed},
		{"it comes again, and nobody is signed in", launchFacts{again: true}, courseUsed},
		{"the session is locked", launchFacts{closed: true}, courseClosed},
	} {
		if got := row.facts.course(); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
	for n := range 64 {
		bit := func(i int) bool { return n>>i&1 == 1 }
		f := launchFacts{closed: bit(0), session: bit(1), handover: bit(2), again: bit(3), asking: bit(4), waiting: bit(5)}
		to := f.course()
		if to == courseStart && (f.closed || f.session || f.handover || f.again) || to == courseAsk && (f.closed || f.again) ||
			f.closed && to != courseClosed {
			t.Errorf("%+v: %d", f, to)
		}
	}
}

// SM-LCH-05: two in a second, in any second.
func TestThePaceOfLaunches(t *testing.T) {
	var p pace
	start := time.Now()
	for _, row := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Millisecond, true}, {2 * time.Millisecond, false}, {999 * time.Millisecond, false}, {time.Second, true},
		{time.Second, false}, {1001 * time.Millisecond, true}, {1500 * time.Millisecond, false}, {time.Hour, true}} {
		if got := p.allows(start.Add(row.after)); got != row.want {
			t.Errorf("after %v: %v", row.after, got)
		}
	}
}

// SM-LCH-06, SM-LCH-07: somebody is signed in. Each launch waits for an answer, the first is shown, eight at most; one that
// comes again asks nothing new; after five minutes it is forgotten; an answer counts for the question that was seen.
func TestQuestionsWaitAndAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Settings: twoSites()})
		a.session = new(oauth.Session)
		came := func(handle string) (course, *refusal) {
			l, why := readLaunch("?iss=https://ehr.example.org/fhir&launch="+handle, a.cfg.Settings)
			if why != nil {
				t.Fatal(why)
			}
			return a.consider(l)
		}
		for i := range launchesWait {
			if to, why := came(fmt.Sprint(i)); to != courseAsk || why != nil {
				t.Fatalf("%d: %d %+v", i, to, why)
			}
			time.Sleep(time.Second)
		}
		if _, why := came("one more"); why != refusedMany {
			t.Errorf("the ninth: %+v", why)
		}
		if to, why := came("0"); to != courseAsked || why != nil || len(a.launches.asking) != launchesWait {
			t.Errorf("again: %d %+v", to, why)
		}
		n := a.notices[problemLaunchWaiting]
		if !strings.Contains(n.words, "General wants to launch") || time.Since(n.since) != launchesWait*time.Second {
			t.Errorf("shown %q for %v", n.words, time.Since(n.since))
		}
		time.Sleep(launchLife - launchesWait*time.Second)
		if a.lookAtLaunches(); len(a.launches.asking) != launchesWait {
			t.Errorf("%d wait, though none is over five minutes old", len(a.launches.asking))
		}
		time.Sleep(time.Millisecond)
		if a.lookAtLaunches(); len(a.launches.asking) != launchesWait-1 || time.Since(a.launches.asking[0].shown) != 0 {
			t.Errorf("%d wait after five minutes", len(a.launches.asking))
		}
		if to, why := came("0"); to != courseAsk || why != nil {
			t.Errorf("a launch that was forgotten: %d %+v", to, why)
		}
		time.Sleep(2 * launchLife)
		if a.lookAtLaunches(); len(a.launches.asking) != 0 || len(a.launches.seen) != 0 || len(a.notices) != 0 {
			t.Errorf("left: %d %d %v", len(a.launches.asking), len(a.launches.seen), a.notices)
		}
	})
}

// SM-LCH-06: what the desktop has locked, or policy blocked, nobody can launch.
func TestNoLaunchIntoALockedSession(t *testing.T) {
	for _, p := range []protocol.Phase{protocol.PhaseLocked, protocol.PhaseBlocked, protocol.PhaseStopping} {
		a := New(Config{Settings: twoSites()})
		a.board.set(protocol.Status{Phase: p})
		l, _ := readLaunch("?iss=https://ehr.example.org/fhir&launch=x", a.cfg.Settings)
		if to, why := a.consider(l); to != courseClosed || why != refusedNow || len(a.launches.seen) != 0 {
			t.Errorf("%s: %d %+v", p, to, why)
		}
	}
}

func FuzzLaunch(f *testing.F) {
	for _, s := range []string{"?iss=https://ehr.example.org/fhir&launch=x", "castray://launch?hub.url=https://hub.example.org&hub.topic=t", "castray:", "?%zz", "io.github.castray://callback?state=x"} {
		f.Add(s)
	}
	settings := twoSites()
	f.Fuzz(func(t *testing.T, raw string) {
		l, why := readLaunch(raw, settings)
		if why != nil {
			return
		}
		site := siteOf(l.site)
		if l.hub == nil && (!site.Launched(l.ehr.FHIRURL) || l.ehr.Launch.IsZero()) || l.hub != nil && (!site.Reaches(l.hub.url) || l.hub.topic == "") {
			t.Fatalf("taken: %q", raw)
		}
	})
}
