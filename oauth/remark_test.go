package oauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestClockOfThisComputer(t *testing.T) {
	// SM-ID-05: up to five minutes is nobody's concern; more is said, with how
	// much, until it is set right.
	for _, c := range []struct {
		ahead time.Duration
		want  string
	}{
		{0, ""}, {5 * time.Minute, ""}, {-5 * time.Minute, ""},
		{7 * time.Minute, "7m0s ahead of"}, {-3 * time.Hour, "3h0m0s behind"},
	} {
		bubble(t, honest, func(t *testing.T, w *world, _ *oauth.Session) {
			ahead := c.ahead
			server := direct(w.ts.Config.Handler)
			l := w.launcher()
			l.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := server.RoundTrip(r)
				if err == nil {
					resp.Header.Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
				}
				return resp, err
			})}
			s, err := l.Resume(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			said := s.Remarks()[oauth.RemarkClock]
			if (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("%v: %q", c.ahead, said)
			}
			// It costs nothing else: the token lives as long as by the right clock.
			if left := time.Until(s.Until()); left < 59*time.Minute || left > time.Hour {
				t.Errorf("%v: the token lives %v", c.ahead, left)
			}
			ahead = 0
			if err := s.Refresh(t.Context()); err != nil || s.Remarks()[oauth.RemarkClock] != "" {
				t.Errorf("%v: set right: %v, %q", c.ahead, err, s.Remarks())
			}
			if n := strings.Count(w.logs.String(), "clock of this computer"); n != min(1, len(c.want)) {
				t.Errorf("%v: logged %d times", c.ahead, n)
			}
		})
	}
}

func TestTokenThatIsTooLarge(t *testing.T) {
	// SM-API-04: it is tried, and a refusal that may come from it names the size.
	for _, c := range []struct {
		name   string
		size   int
		status int
		said   string
	}{
		{"8 kB and refused: not the size", 8 << 10, 431, ""},
		{"12 kB and taken", 12 << 10, 200, ""},
		{"12 kB and refused as bad", 12 << 10, 400, "12 KB"},
		{"12 kB and refused as large", 12 << 10, 431, "12 KB"},
		{"12 kB and forbidden", 12 << 10, 403, ""},
	} {
		w := newWorld(t)
		large := strings.Repeat("a", c.size)
		w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"access_token": large}, NoID: true})
		s := w.signIn(t)
		status, got := c.status, ""
		w.ts.Config.Handler.(*http.ServeMux).HandleFunc("/fhir/large", func(rw http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization")
			rw.WriteHeader(status)
		})
		ask := func() {
			resp, err := s.Client().Get(w.ts.URL + "/fhir/large")
			if err != nil || resp.StatusCode != status || got != "Bearer "+large {
				t.Fatalf("%s: %v", c.name, err)
			}
			resp.Body.Close()
		}
		ask()
		said := s.Remarks()[oauth.RemarkTokenSize]
		if (said == "") != (c.said == "") || !strings.Contains(said, c.said) {
			t.Errorf("%s: %q", c.name, said)
		}
		status = 200
		if ask(); len(s.Remarks()) != 0 {
			t.Errorf("%s: taken now, and still said", c.name)
		}
	}
}

func TestTokenThatLooksLikeOneWeCouldRead(t *testing.T) {
	// SM-API-05: a JWT that has expired, for somebody else, signed by nobody. What
	// the server says of it counts, and nothing is read in it.
	w := newWorld(t)
	const expired = "eyJhbGciOiJub25lIn0.eyJleHAiOjEsImF1ZCI6ImFub3RoZXIiLCJzY29wZSI6IiJ9."
	w.as.Misbehave(oauthtest.Faults{Body: map[string]any{"access_token": expired}, NoID: true})
	w.hub.check = func(token string) bool { return token == expired }
	s := w.signIn(t)
	resp, err := s.Client().Get(w.ts.URL + "/hub/")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(err)
	}
	resp.Body.Close()
	if left := time.Until(s.Until()); left < 59*time.Minute || len(s.Grant().Scopes) == 0 || w.as.Count("/auth/token") != 1 {
		t.Errorf("it lives %v, scopes %v, asked %d times", left, s.Grant().Scopes, w.as.Count("/auth/token"))
	}
}
