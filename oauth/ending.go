package oauth

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	endingPath = "/done/"        // and what only the browser with the answer is told
	holdPage   = 3 * time.Second // how long a page waits for the end, within the listener's WriteTimeout
	lingerPage = 2 * time.Second // how long the end waits for the page
	lingerLate = time.Second / 4 // the same where somebody waits for us
)

// ending is the last page of an attempt: whether, and as whom, somebody is now signed in. It claims nothing before the
// exchange has ended; until then the browser waits, and asks again. Its path cannot be guessed, since it names the user
// and on a terminal server the loopback is everybody's.
type ending struct {
	path  string
	known chan struct{} // closed once notice and facts are there
	shown chan struct{} // room for one
	sent  atomic.Bool   // a browser was sent here

	settle sync.Once
	notice notice
	facts  facts
}

func newEnding() *ending {
	return &ending{path: endingPath + random(), known: make(chan struct{}), shown: make(chan struct{}, 1)}
}

// tell says how it ended. The first word counts.
func (e *ending) tell(n notice, f facts) {
	e.settle.Do(func() {
		e.notice, e.facts = n, f
		close(e.known)
	})
}

func (e *ending) signedIn(site Site, s *Session) {
	name := site.Name
	if site.LoopbackHTTP {
		name += " (TEST)"
	}
	e.tell(noticeSignedIn, facts{user: s.Grant().User.Name, site: name, warning: s.Warning()})
}

func (e *ending) failed(a answer) {
	e.tell(noticeNotSignedIn, facts{reason: Sentence(a.err), said: a.said, help: a.help})
}

// ServeHTTP waits for the end. Where that takes longer than a browser likes, it is asked to come again: without scripts,
// and a screen reader says so in its own time.
func (e *ending) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := time.NewTimer(holdPage)
	defer t.Stop()
	select {
	case <-e.known:
		page(w, r, http.StatusOK, e.notice, e.facts)
		select {
		case e.shown <- struct{}{}:
		default:
		}
	case <-t.C:
		w.Header().Set("Refresh", "1")
		page(w, r, http.StatusOK, noticeBusy, facts{})
	case <-r.Context().Done():
	}
}

// linger gives a browser that was sent here a moment to fetch the page, a short one if ctx has ended.
func (e *ending) linger(ctx context.Context) {
	if !e.sent.Load() {
		return
	}
	wait := lingerPage
	if ctx.Err() != nil {
		wait, ctx = lingerLate, context.WithoutCancel(ctx)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-e.shown:
	case <-t.C:
	case <-ctx.Done():
	}
}
