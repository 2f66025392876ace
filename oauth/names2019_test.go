package oauth_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/castray/castray/oauth/oauthtest"
)

// FC-DISC-09, FC-OLD-01, FC-OLD-02, FC-OLD-12, SM-FC-03: three token responses of drafts up to May 2019 give the session that
// today's gives, where the names of 2019 are switched on, and none of it where they are not.
func TestTokenResponsesOf2019NameTheSameSession(t *testing.T) {
	const hub, topic = "https://hub.example/fc", "https://hub.example/fc/T-7f3a"
	for name, said := range map[string]map[string]any{
		"today":                              {"hub.url": hub, "hub.topic": topic},
		"slides of January 2019":             {"hub.url": nil, "hub.topic": nil, "cast-hub": hub, "cast-session": topic},
		"draft of March 2019, an address":    {"hub.url": nil, "cast-hub": hub, "hub.topic": topic},
		"the slip of the pen":                {"hub.topic": nil, "hub.url": hub, "hub.opic": topic},
		"both names: the present one counts": {"hub.url": hub, "cast-hub": "https://other.example", "hub.topic": topic, "hub.opic": "other", "cast-session": "other"},
	} {
		for _, on := range []bool{true, false} {
			w := newWorld(t)
			w.l.Site.Names2019 = on
			w.as.Hub = nil
			w.as.Misbehave(oauthtest.Faults{Body: said})
			g := w.signIn(t).Grant()
			same := g.HubURL == hub && g.HubTopic.Reveal() == topic
			old := said["hub.url"] != hub || said["hub.topic"] != topic
			if same != (on || !old) {
				t.Errorf("%s, switched on %v: hub %q, topic %q", name, on, g.HubURL, g.HubTopic.Reveal())
			}
			for _, member := range []string{"cast-hub", "cast-session", "hub.opic"} {
				if _, kept := g.Launch.Extra[member]; kept && on {
					t.Errorf("%s: %s is kept as something unknown", name, member)
				}
			}
			if all := w.store.all(); on && (!strings.Contains(all, `"hub.url":"`+hub+`"`) || !strings.Contains(all, `"hub.topic":"`+topic+`"`)) {
				t.Errorf("%s: a restart would not find the session", name)
			}
		}
	}
}

// A topic of 2019 is an address to post to (FC-OLD-02), so its origin gets the token, if it is https and the names of 2019
// are switched on.
func TestATopicThatIsAnAddressGetsTheToken(t *testing.T) {
	w := newWorld(t)
	h := &hub{check: func(token string) bool { _, ok := w.as.Check(token); return ok }}
	other := httptest.NewTLSServer(h)
	defer other.Close()
	for _, c := range []struct {
		topic   string
		on, got bool
	}{
		{other.URL + "/T-7f3a", false, false},
		{strings.Replace(other.URL, "https", "http", 1) + "/T-7f3a", true, false},
		{other.URL + "/T-7f3a", true, true},
	} {
		w.l.Site.Names2019 = c.on
		w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"hub.topic": c.topic}})
		resp, err := w.signIn(t).Client().Get(c.topic)
		if (err == nil) != c.got || h.count() > 0 != c.got {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}
