package keychain

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// A desk is a workstation where another program of the user means harm: a sign-in, kept in pieces in a keychain that the
// other program writes to as well, with a lock file that it can take.
type desk struct {
	*testing.T
	auth     *oauthtest.Server
	keychain *fake
	dir      string // of the lock file
	mu       sync.Mutex
	log      bytes.Buffer
	foreign  int // requests to another host than the site's
}

const ehr = "ehr.example"

// newDesk signs in, which needs a real browser's way back, outside of any bubble.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, keychain: newFake(), dir: folder(t)}
	d.auth = &oauthtest.Server{ClientID: "castray", AutoApprove: true, Users: []oauthtest.User{{ID: "ada", Name: "Ada"}}}
	l := d.launcher()
	l.OpenURL = func(ctx context.Context, page string) error {
		resp, err := d.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, page, nil))
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, resp.Header.Get("Location"), nil)
		if err != nil {
			return err
		}
		here := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if resp, err = here.Do(req); err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if _, err := l.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// launcher is a new start of the agent.
func (d *desk) launcher() *oauth.Launcher {
	return &oauth.Launcher{Site: oauth.Site{FHIRURL: "https://" + ehr + "/fhir", ClientID: "castray", Scopes: []string{"openid", "offline_access"}},
		HTTP: &http.Client{Transport: d}, Store: Shared{Store: d.keychain.os(), Dir: d.dir}, Log: slog.New(slog.NewTextHandler(d, nil))}
}

// Write is the log's.
func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *desk) said(what string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.log.String(), what)
}

// RoundTrip is the web without a network.
func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != ehr {
		d.foreign++
		return nil, errors.New("nobody is there")
	}
	in := r.Clone(r.Context())
	in.Host, in.TLS, in.RequestURI = r.URL.Host, &tls.ConnectionState{}, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	d.auth.ServeHTTP(answer, in)
	return answer.Result(), nil
}

// item is the name of the header.
func (d *desk) item() string {
	for account := range d.keychain.items {
		if !strings.Contains(account, ".") {
			return account
		}
	}
	d.Fatal("nothing is stored")
	return ""
}

// SM-REF-04: another process takes the lock and keeps it. The start and each refresh go on without, which is said once.
func TestAProcessThatHoldsTheLockForEver(t *testing.T) {
	d := newDesk(t)
	key := d.item()
	holderOf(t, d.dir, key)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s, err := d.launcher().Resume(t.Context())
		if err != nil || time.Since(began) > time.Minute {
			t.Fatalf("resumed: %v after %v", err, time.Since(began))
		}
		for range 3 {
			began = time.Now()
			if err := s.Refresh(t.Context()); err != nil || time.Since(began) > 2*time.Second {
				t.Errorf("refreshed: %v after %v", err, time.Since(began))
			}
		}
		if n := d.said("cannot be locked"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// SM-STORE-04, SM-STORE-11: pieces are deleted, changed, or put in the place of others while the agent runs, and before it
// starts. What it has in memory goes on and says that it is not kept; a start finds nothing, and asks for a sign-in.
func TestAProcessThatSpoilsPieces(t *testing.T) {
	for name, spoil := range map[string]func(items map[string]string, key string){
		"all deleted":     func(items map[string]string, _ string) { clear(items) },
		"header deleted":  func(items map[string]string, key string) { delete(items, key) },
		"a piece deleted": func(items map[string]string, key string) { delete(items, piece(key, 1, 0)) },
		"a piece changed": func(items map[string]string, key string) { items[piece(key, 1, 0)] = "{}" },
		"a header of its own": func(items map[string]string, key string) {
			items[key] = header{generation: 1, count: maxPieces, length: MaxValue}.text()
		},
		"a value of its own": func(items map[string]string, key string) {
			items[key], items[piece(key, 1, 0)] = headerFor(1, []byte("rubbish")).text(), "rubbish"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			key := d.item()
			synctest.Test(t, func(t *testing.T) {
				s, err := d.launcher().Resume(t.Context()) // generation 2
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Refresh(t.Context()); err != nil { // generation 3, in the slot of 1
					t.Fatal(err)
				}
				spoil(d.keychain.items, key)
				for range 2 {
					if err := s.Refresh(t.Context()); err != nil {
						t.Errorf("what is in memory: %v", err)
					}
				}
				if !strings.Contains(s.Warning(), "removed or replaced") || d.said("sign-in is not stored") != 1 {
					t.Errorf("warning %q, said %d times", s.Warning(), d.said("sign-in is not stored"))
				}
				asked := d.auth.Count("/auth/token")
				if _, err := d.launcher().Resume(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || oauth.Sentence(err) != "Please sign in again." {
					t.Errorf("a start: %v, %q", err, oauth.Sentence(err))
				}
				if d.auth.Count("/auth/token") != asked {
					t.Error("it asked the server with what was spoilt")
				}
				if err := s.SignOut(t.Context()); err != nil || len(d.keychain.items) != 0 {
					t.Errorf("signed out: %v, %d items left", err, len(d.keychain.items))
				}
			})
		})
	}
}

// SM-DISC-10: an item is planted whose token endpoint is at another host. Nothing is sent there, at a start nor in a session
// that runs, and one sentence says why.
func TestAProcessThatPlantsAnItem(t *testing.T) {
	d := newDesk(t)
	key := d.item()
	plant := func(t *testing.T) {
		old, err := d.keychain.os().Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		value := bytes.ReplaceAll(old, []byte("https://"+ehr+"/auth/token"), []byte("https://evil.example/token"))
		if err := d.keychain.os().Save(t.Context(), key, bytes.Replace(value, []byte(`"turn":`), []byte(`"turn":9`), 1)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := d.launcher().Resume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plant(t)
	if err := s.Refresh(t.Context()); err != nil || d.foreign != 0 || !strings.Contains(s.Warning(), "removed or replaced") {
		t.Errorf("a session that runs: %v, %d requests, warning %q", err, d.foreign, s.Warning())
	}
	_, err = d.launcher().Resume(t.Context())
	if !errors.Is(err, oauth.ErrLoginNeeded) || !strings.Contains(oauth.Sentence(err), "names another server") || d.foreign != 0 {
		t.Errorf("a start: %v, %q, %d requests", err, oauth.Sentence(err), d.foreign)
	}
	if len(d.keychain.items) != 0 || d.said("evil") != 0 {
		t.Errorf("%d items left, the other host was logged %d times", len(d.keychain.items), d.said("evil"))
	}
}
