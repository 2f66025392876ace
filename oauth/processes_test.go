package oauth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// process is another agent of the same user: it has the same store, and has
// gone on with what is stored. before, if any, is called before each request to
// the token endpoint, and may answer it.
func (w *world) process(t *testing.T, before func(url.Values) *http.Response) *oauth.Session {
	t.Helper()
	l := w.launcher()
	server := direct(w.ts.Config.Handler)
	l.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if before != nil && r.URL.Path == "/auth/token" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			form, _ := url.ParseQuery(string(body))
			if resp := before(form); resp != nil {
				return resp, nil
			}
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return server.RoundTrip(r)
	})}
	s, err := l.Resume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reused tells whether a refresh token was presented twice, which ends a
// sign-in at a server that rotates.
func (w *world) reused() bool {
	seen := map[string]bool{}
	for _, form := range w.tokenForms() {
		token := form.Get("refresh_token")
		if token != "" && seen[token] {
			return true
		}
		seen[token] = true
	}
	return false
}

func TestProcessesShareOneSignIn(t *testing.T) {
	// SM-REF-04: three agents of one user, a working day, a server that rotates
	// and ends everything when a token comes twice.
	bubble(t, func(w *world) { w.as.TokenLife = 570 * time.Second }, func(t *testing.T, w *world, first *oauth.Session) {
		sessions := []*oauth.Session{first, w.process(t, nil), w.process(t, nil)}
		w.as.Misbehave(oauthtest.Faults{Slow: 3 * time.Second})
		var ends []func() error
		for _, s := range sessions {
			ends = append(ends, run(t.Context(), s))
		}
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		for i, s := range sessions {
			if !s.Renews() || !time.Now().Before(s.Until()) || s.Warning() != "" {
				t.Errorf("agent %d: renews %v, until %v, warning %q", i, s.Renews(), s.Until(), s.Warning())
			}
		}
		if n := len(w.tokenForms()); w.reused() || n < 3*90 || n > 3*115 {
			t.Errorf("%d requests, one twice: %v", n, w.reused())
		}
		w.as.Misbehave(oauthtest.Faults{})
		for _, end := range ends {
			if err := end(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}

func TestProcessesRefreshAtOnce(t *testing.T) {
	// SM-REF-04, SM-REF-05
	bubble(t, honest, func(t *testing.T, w *world, first *oauth.Session) {
		second := w.process(t, nil)
		w.as.Misbehave(oauthtest.Faults{Slow: 10 * time.Second})
		start := time.Now()
		var both sync.WaitGroup
		for _, s := range []*oauth.Session{first, second} {
			both.Go(func() {
				if err := s.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if took := time.Since(start); w.reused() || took < 20*time.Second {
			t.Errorf("after %v, a token twice: %v", took, w.reused())
		}
	})
}

func TestLockThatIsHeldForEver(t *testing.T) {
	// SM-REF-04: a process that hangs holds nobody up for long, and is named once.
	const sentence = "stored sign-in cannot be locked"
	for name, c := range map[string]struct {
		spoil       func(*store)
		first, next time.Duration
	}{
		"held":       {func(s *store) { s.hold(true) }, 30 * time.Second, time.Second},
		"not usable": {func(s *store) { s.lockErr = errors.New("/home/somebody: no locks available") }, 0, 0},
	} {
		bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
			c.spoil(w.store)
			for _, want := range []time.Duration{c.first, c.next, c.next} {
				start := time.Now()
				if err := s.Refresh(t.Context()); err != nil || time.Since(start) != want {
					t.Errorf("%s: %v after %v", name, err, time.Since(start))
				}
			}
			if log := w.logs.String(); strings.Count(log, sentence) != 1 || strings.Contains(log, "/home") {
				t.Errorf("%s: logged %d times", name, strings.Count(log, sentence))
			}
			start := time.Now()
			if err := s.SignOut(t.Context()); err != nil || time.Since(start) > 5*time.Second {
				t.Errorf("%s: sign-out %v after %v", name, err, time.Since(start))
			}
			if items, _ := w.store.count(); items != 0 || w.as.Count("/auth/revoke") != 1 {
				t.Errorf("%s: it is not signed out", name)
			}
		})
	}
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		for range 2 { // held again is worth a sentence again
			w.store.hold(true)
			_ = s.Refresh(t.Context())
			w.store.hold(false)
			_ = s.Refresh(t.Context())
		}
		if log := w.logs.String(); strings.Count(log, sentence) != 2 || strings.Count(log, "can be locked again") != 2 {
			t.Error("what changes is not said each time")
		}
	})
}

func TestNothingIsTouchedWithoutTheLock(t *testing.T) {
	// SM-REF-04: from the sign-in to the sign-out.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.store.failing(oauth.ErrLocked)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.store.failing(nil)
		end := run(t.Context(), s) // which stores it later
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		_ = end()
		another := w.process(t, nil)
		if err := another.SignOut(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Refresh(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) {
			t.Fatal(err)
		}
		if _, saves := w.store.count(); w.store.bare != 0 || saves < 5 {
			t.Errorf("%d of the calls, among them %d saves, without the lock", w.store.bare, saves)
		}
	})
}

func TestPatienceForAnotherProcess(t *testing.T) {
	// SM-REF-05: who gives up while another process is waited for ends nobody
	// else's wait, and nothing has begun.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		w.store.hold(true)
		before := w.as.Count("/auth/token")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		impatient, patient := make(chan error, 1), make(chan error, 1)
		go func() { impatient <- s.Refresh(ctx) }()
		synctest.Wait()
		go func() { patient <- s.Refresh(t.Context()) }()
		if err := <-impatient; !errors.Is(err, context.DeadlineExceeded) || w.as.Count("/auth/token") != before {
			t.Errorf("the impatient one: %v", err)
		}
		w.store.hold(false)
		if err := <-patient; err != nil || w.as.Count("/auth/token") != before+1 {
			t.Errorf("the patient one: %v", err)
		}
	})
}

func TestRefusedButStoredAnew(t *testing.T) {
	// SM-REF-07: without a lock two agents present a token in one moment. The one
	// that is refused tries what the other has stored, once.
	for name, c := range map[string]struct {
		lenient bool // does not end the sign-in when a token comes twice
		ends    error
		asked   int
	}{
		"a server that forgives": {true, nil, 3},
		"a server that does not": {false, oauth.ErrLoginNeeded, 3},
	} {
		bubble(t, honest, func(t *testing.T, w *world, other *oauth.Session) {
			w.store.lockErr = errors.New("none")
			asked, crossed := 0, false
			s := w.process(t, func(form url.Values) *http.Response {
				if asked++; asked != 2 || crossed {
					return nil
				}
				crossed = true
				if err := other.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				if !c.lenient {
					return nil
				}
				rec := httptest.NewRecorder()
				rec.WriteHeader(http.StatusBadRequest)
				_, _ = rec.WriteString(`{"error":"invalid_grant"}`)
				return rec.Result()
			})
			err := s.Refresh(t.Context())
			if !errors.Is(err, c.ends) || asked != c.asked {
				t.Errorf("%s: %v, asked %d times", name, err, asked)
			}
			for range 3 {
				_ = s.Refresh(t.Context())
			}
			if c.ends != nil && (asked != c.asked || !strings.Contains(oauth.Sentence(err), "sign in again")) {
				t.Errorf("%s: asked %d times, %q", name, asked, oauth.Sentence(err))
			}
		})
	}
}

func TestLateSaveIsNotNews(t *testing.T) {
	// SM-STORE-05, SM-REF-05: a save that was given up takes place after all, when
	// the user has unlocked. It is older than what we have.
	bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
		var late []byte
		w.store.onSave = func(b []byte) { late = b }
		w.store.failing(oauth.ErrLocked)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.store.onSave = nil
		given := late
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.store.mu.Lock()
		for key := range w.store.items {
			w.store.items[key] = given
		}
		w.store.mu.Unlock()
		w.store.failing(nil)
		if err := s.Refresh(t.Context()); err != nil || w.reused() || s.Warning() != "" {
			t.Errorf("%v, a token twice: %v, warning %q", err, w.reused(), s.Warning())
		}
	})
}
