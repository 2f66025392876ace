package oauth_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// rewrite changes what is stored, as another program of the user can.
func (s *store) rewrite(change func(string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, item := range s.items {
		s.items[key] = []byte(change(string(item)))
	}
}

// elsewhere is a launcher whose web has another host, which counts what it gets
// and answers as the sign-in server would.
func (w *world) elsewhere() (l *oauth.Launcher, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	l = w.launcher()
	here := w.ts.Client().Transport
	l.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Hostname() == "elsewhere.example" {
			asked.Add(1)
			to, err := url.Parse(w.ts.URL)
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.URL.Scheme, r.URL.Host, r.Host = to.Scheme, to.Host, to.Host
		}
		return here.RoundTrip(r)
	})}
	return l, asked
}

const sentenceElsewhere = "names another server"

func TestPlantedEndpoints(t *testing.T) {
	// An item whose endpoints are at another host was planted there,
	// if the site does not name that host. Nothing is sent to it.
	for name, plant := range map[string]func(string) string{
		"token":  func(s string) string { return strings.Replace(s, "/auth/token", "PLANTED/auth/token", 1) },
		"revoke": func(s string) string { return strings.Replace(s, "/auth/revoke", "PLANTED/auth/revoke", 1) },
	} {
		w := newWorld(t)
		w.signIn(t)
		w.store.rewrite(func(s string) string {
			return strings.Replace(plant(s), w.ts.URL+"PLANTED", "https://elsewhere.example", 1)
		})
		if !strings.Contains(w.store.all(), "https://elsewhere.example/auth/"+name) {
			t.Fatalf("%s: nothing is planted in %s", name, w.store.all())
		}
		l, asked := w.elsewhere()
		tokens := w.as.Count("/auth/token")
		_, err := l.Resume(t.Context())
		if !errors.Is(err, oauth.ErrLoginNeeded) || !strings.Contains(oauth.Sentence(err), sentenceElsewhere) {
			t.Errorf("%s: %v, %q", name, err, oauth.Sentence(err))
		}
		if asked.Load() != 0 || w.as.Count("/auth/token") != tokens {
			t.Errorf("%s: %d requests to the other host", name, asked.Load())
		}
		if items, _ := w.store.count(); items != 0 || strings.Contains(w.logs.String(), "elsewhere.example") {
			t.Errorf("%s: %d items left; the log tells the host: %v", name, items, strings.Contains(w.logs.String(), "elsewhere.example"))
		}
	}
}

func TestEndpointsElsewhereThatTheSiteNames(t *testing.T) {
	// SM-DISC-10: as vendors do. What is stored is believed when the site still
	// says so, and until it can be asked the sign-in is kept and not used.
	w := newWorld(t)
	l, _ := w.elsewhere()
	w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{
		"token_endpoint": "https://elsewhere.example/auth/token", "revocation_endpoint": "https://elsewhere.example/auth/revoke"}})
	if _, err := l.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.as.Misbehave(oauthtest.Faults{ConfigurationStatus: http.StatusServiceUnavailable})
	l, asked := w.elsewhere()
	s, err := l.Resume(t.Context())
	if err != nil || asked.Load() != 0 || !s.Renews() {
		t.Fatalf("the site cannot be asked: %v, %d requests", err, asked.Load())
	}
	w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{
		"token_endpoint": "https://elsewhere.example/auth/token", "revocation_endpoint": "https://elsewhere.example/auth/revoke"}})
	if err := s.Refresh(t.Context()); err != nil || asked.Load() != 1 {
		t.Errorf("the site names it: %v, %d requests", err, asked.Load())
	}
	before := len(w.as.Requests())
	if err := s.Refresh(t.Context()); err != nil || len(w.as.Requests()) != before+1 {
		t.Errorf("asked again: %v", err)
	}
	if err := s.SignOut(t.Context()); err != nil || asked.Load() != 3 {
		t.Errorf("signed out: %v, %d requests", err, asked.Load())
	}
}

func TestSignOutOfWhatWasNotBelieved(t *testing.T) {
	// SM-REV-01: neither is a token sent to a planted endpoint in order to revoke
	// it. The sign-in could not be refreshed, so nothing was checked before.
	w := newWorld(t)
	w.signIn(t)
	w.store.rewrite(func(s string) string {
		return strings.Replace(s, w.ts.URL+"/auth/revoke", "https://elsewhere.example/auth/revoke", 1)
	})
	l, asked := w.elsewhere()
	there := l.HTTP.Transport
	down := true
	l.HTTP.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if down {
			return nil, io.ErrUnexpectedEOF
		}
		return there.RoundTrip(r)
	})
	s, err := l.Resume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	down = false
	if err := s.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, _ := w.store.count(); asked.Load() != 0 || items != 0 || !strings.Contains(w.logs.String(), "did not confirm the sign-out") {
		t.Errorf("%d requests, %d items", asked.Load(), items)
	}
}
