package oauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (e *ending) visit(ctx context.Context) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, e.path, nil))
	return w
}

func TestEndingHoldsThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnding()
		began := time.Now()
		w := e.visit(t.Context())
		if d := time.Since(began); d != holdPage || w.Header().Get("Refresh") != "1" || !strings.Contains(w.Body.String(), "One moment") ||
			strings.Contains(w.Body.String(), "signed in") {
			t.Errorf("after %v: %v, %s", d, w.Header(), w.Body)
		}
		go func() {
			time.Sleep(time.Second)
			e.failed(answer{err: ErrDeclined})
			e.tell(noticeSignedIn, facts{}) // too late: what was said stays
		}()
		began = time.Now()
		w = e.visit(t.Context())
		if d := time.Since(began); d != time.Second || w.Header().Get("Refresh") != "" || !strings.Contains(w.Body.String(), "Not signed in") {
			t.Errorf("after %v: %v, %s", d, w.Header(), w.Body)
		}
	})
}

func TestEndingLingers(t *testing.T) {
	for _, c := range []struct {
		name              string
		sent, shown, over bool
		want              time.Duration
	}{
		{name: "nobody was sent there"},
		{name: "the page was shown", sent: true, shown: true},
		{name: "the browser does not come", sent: true, want: lingerPage},
		{name: "the sign-in was cancelled", sent: true, over: true, want: lingerLate},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEnding()
			e.sent.Store(c.sent)
			e.tell(noticeSuperseded, facts{})
			if c.shown {
				e.visit(t.Context())
			}
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.over {
				cancel()
			}
			e.linger(ctx)
			if d := time.Since(began); d != c.want {
				t.Errorf("%s: %v", c.name, d)
			}
		})
	}
}

func TestNoticesAreWholeInEachLanguage(t *testing.T) {
	full := facts{user: "U", site: "S", reason: "R", warning: "W", said: "Q", help: "H"}
	for _, n := range []notice{noticeSignedIn, noticeNotSignedIn, noticeBusy, noticeSuperseded, noticeStateless, noticeNeutral} {
		if len(n.en) != len(n.de) || len(n.en) < 2 || signs[n.sign] == "" {
			t.Errorf("%q: %d lines, in German %d", n.en[0], len(n.en), len(n.de))
			continue
		}
		for i := range n.en {
			en, _ := full.fill(n.en[i])
			de, _ := full.fill(n.de[i])
			if strings.Contains(en+de, "{") || strings.Count(n.en[i], "{") != strings.Count(n.de[i], "{") {
				t.Errorf("%q and %q do not tell the same", n.en[i], n.de[i])
			}
		}
		if page := n.html(true, facts{}); strings.Contains(page, "{") && strings.Contains(page, "{user}") {
			t.Errorf("a place is left: %s", page)
		}
	}
}

func TestSpeaksGerman(t *testing.T) {
	for accepted, want := range map[string]bool{"": false, "de": true, "DE-at": true, "en,de": false, "fr-CH, de;q=0.7, en;q=0.5": true, "*": false} {
		if got := speaksGerman(accepted); got != want {
			t.Errorf("%q: %v", accepted, got)
		}
	}
}

func TestHelpIsHTTPS(t *testing.T) {
	// SM-ERR-04: also for a developer whose server has no TLS.
	a := &Attempt{state: "s3cr3t", meta: &metadata{authorize: "http://127.0.0.1:8080/authorize"}}
	if _, help := a.told(url.Values{"error_uri": {"http://127.0.0.1:8080/help"}}); help != "" {
		t.Errorf("%q is offered", help)
	}
}
