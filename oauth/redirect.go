package oauth

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	queryLimit = 64 << 10 // bytes; codes of 1 kB are common
	maxRetired = 16       // states of replaced attempts that we remember
)

// answer is what the browser brought: a code, or why there is none.
type answer struct {
	code       string
	err        error
	said, help string // what the server adds to its error, cleaned; see told
}

// receiver listens on the loopback for the redirect of one attempt (RFC 8252,
// 7.3). An attempt that replaces another shares its listener, so that a late
// redirect of the older one finds a page that says so. The listener ends when
// the last attempt that holds it lets go.
type receiver struct {
	uri   string
	host  string // the only Host we answer: a page that rebinds its DNS name has another
	stray func() // nil = nobody counts
	srv   *http.Server
	end   chan struct{} // closed when Serve has returned

	mu      sync.Mutex
	holders int
	current *Attempt
	retired []string // states
	endings []*ending
}

// listen opens a receiver on the first port that is free. ports nil = any.
func listen(ctx context.Context, ports []int, stray func()) (*receiver, error) {
	var lc net.ListenConfig
	var ln net.Listener
	var err error
	if ports == nil {
		// [::1] serves the rare machine without IPv4.
		for _, host := range []string{"127.0.0.1", "::1"} {
			if ln, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err == nil {
				break
			}
		}
		if err != nil {
			return nil, &failure{doing: "redirect: no loopback address can be listened on",
				sentence: "Castray cannot receive the answer of the browser on this computer: your administrator has to look at the local firewall."}
		}
		return serve(ln, stray), nil
	}
	for _, p := range ports {
		if ln, err = lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err == nil {
			return serve(ln, stray), nil
		}
	}
	busy := strings.Trim(fmt.Sprint(ports), "[]")
	return nil, &failure{doing: "redirect: ports " + busy + " are taken",
		sentence: "Other programs use the ports that the sign-in needs (" + busy + "): close them, or have your administrator register another port."}
}

func serve(ln net.Listener, stray func()) *receiver {
	host := ln.Addr().String()
	rc := newReceiver(host, "http://"+host+redirectPath)
	rc.stray = stray
	rc.srv = &http.Server{
		Handler:           rc,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      5 * time.Second,
		MaxHeaderBytes:    2 * queryLimit,
		ErrorLog:          log.New(io.Discard, "", 0), // it would print what others send
	}
	// A kept connection would hold the port after the last page.
	rc.srv.SetKeepAlivesEnabled(false)
	go func() { // close waits for it
		defer close(rc.end)
		_ = rc.srv.Serve(ln)
	}()
	return rc
}

func newReceiver(host, uri string) *receiver {
	return &receiver{uri: uri, host: host, end: make(chan struct{})}
}

// hold makes a the attempt that answers belong to, and retires the one before.
func (rc *receiver) hold(a *Attempt) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.holders++
	if rc.current != nil {
		rc.retire(rc.current)
	}
	rc.current = a
	rc.endings = append(rc.endings, a.ending)
	if len(rc.endings) > maxRetired {
		rc.endings = rc.endings[1:]
	}
}

func (rc *receiver) retire(a *Attempt) {
	rc.retired = append(rc.retired, a.state)
	if len(rc.retired) > maxRetired {
		rc.retired = rc.retired[1:]
	}
}

// release lets go. The last one closes the listener and waits for its end.
func (rc *receiver) release(a *Attempt) {
	rc.mu.Lock()
	if rc.current == a {
		rc.current = nil
	}
	rc.holders--
	last := rc.holders == 0
	rc.mu.Unlock()
	if !last || rc.srv == nil {
		return
	}
	// Not Shutdown: browsers open connections in advance and say nothing on
	// them. Pages are flushed as they are written, so none is cut off.
	_ = rc.srv.Close()
	<-rc.end
}

// ServeHTTP answers the browser. Whatever comes with a wrong state gets a
// neutral page and changes nothing.
func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ending := rc.ending(r.URL.Path)
	switch {
	case r.Host != rc.host:
		rc.strayed()
		page(w, r, http.StatusForbidden, noticeNeutral, facts{})
	case rc.posts(w, r):
	case r.URL.Path != redirectPath && ending == nil:
		page(w, r, http.StatusNotFound, noticeNeutral, facts{}) // /favicon.ico
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		page(w, r, http.StatusMethodNotAllowed, noticeNeutral, facts{})
	case len(r.URL.RawQuery) > queryLimit:
		page(w, r, http.StatusRequestURITooLong, noticeNeutral, facts{})
	case ending != nil:
		ending.ServeHTTP(w, r)
	default:
		rc.callback(w, r)
	}
}

// ending is that of an attempt whose browser was sent to path, nil if none was.
func (rc *receiver) ending(path string) *ending {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	for _, e := range rc.endings {
		if subtle.ConstantTimeCompare([]byte(e.path), []byte(path)) == 1 {
			return e
		}
	}
	return nil
}

func (rc *receiver) callback(w http.ResponseWriter, r *http.Request) {
	a, reached := rc.take(r.URL.RawQuery)
	if reached != reachedAttempt {
		rc.strayed()
	}
	switch reached {
	case reachedOlder:
		page(w, r, http.StatusGone, noticeSuperseded, facts{})
	case reachedNobody:
		page(w, r, http.StatusBadRequest, noticeNeutral, facts{})
	case reachedPort:
		page(w, r, http.StatusBadRequest, noticeStateless, facts{})
	default:
		// To an address without query, so that the code does not stay in the
		// browser's history.
		w.Header().Set("Location", a.ending.path)
		page(w, r, http.StatusSeeOther, noticeBusy, facts{})
	}
}

func (rc *receiver) strayed() {
	if rc.stray != nil {
		rc.stray()
	}
}

// reached is whom a redirect found.
type reached int

const (
	reachedNobody  reached = iota
	reachedPort            // an error without state, where an attempt waits: it may be its own, so it ends nothing
	reachedOlder           // an attempt that was replaced or has ended
	reachedAttempt         // the one that waits, which has its answer now
)

// take gives a redirect to the attempt whose state it brings.
func (rc *receiver) take(query string) (*Attempt, reached) {
	q, err := url.ParseQuery(query)
	if err != nil || len(q["state"]) > 1 {
		return nil, reachedNobody
	}
	if !q.Has("state") && q.Get("error") != "" && rc.waits() {
		return nil, reachedPort
	}
	a, old := rc.match(q.Get("state"))
	switch {
	case old:
		return nil, reachedOlder
	case a == nil:
		return nil, reachedNobody
	}
	a.ending.sent.Store(rc.host != "") // by the scheme no browser comes to us
	a.answer <- a.judge(q)             // has room for the one answer: match gives an attempt once
	return a, reachedAttempt
}

func (rc *receiver) waits() bool {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.current != nil
}

// match finds whose state this is, in constant time per state, and takes the
// current attempt out: its first answer is its only one.
func (rc *receiver) match(state string) (a *Attempt, old bool) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	for _, s := range rc.retired {
		if subtle.ConstantTimeCompare([]byte(s), []byte(state)) == 1 {
			old = true
		}
	}
	if c := rc.current; c != nil && subtle.ConstantTimeCompare([]byte(c.state), []byte(state)) == 1 {
		rc.retire(c)
		rc.current = nil
		return c, false
	}
	return nil, old
}

// judge reads a redirect whose state was right (RFC 6749, 4.1.2; RFC 9207).
func (a *Attempt) judge(q url.Values) answer {
	for _, name := range []string{"code", "error", "iss"} {
		if len(q[name]) > 1 {
			return answer{err: oddRedirect("a parameter came twice")}
		}
	}
	// Nothing is compared where discovery named no issuer: then the port of
	// its own is what tells one server's answer from another's.
	if a.meta.issuer != "" {
		iss, there := issuer(q.Get("iss")), q.Has("iss")
		if there && iss != a.meta.issuer {
			return answer{err: oddRedirect("it names another issuer")}
		}
		if !there && a.meta.issInAnswer {
			return answer{err: oddRedirect("it names no issuer")}
		}
	}
	if q.Has("error") {
		said, help := a.told(q)
		return answer{err: authorizeError(q.Get("error"), a.site.Scopes), said: said, help: help}
	}
	if q.Get("code") == "" {
		return answer{err: oddRedirect("it brings neither code nor error")}
	}
	return answer{code: q.Get("code")}
}

func oddRedirect(what string) error {
	return &failure{doing: "redirect: " + what,
		sentence: "The sign-in server sent an answer that cannot be trusted (" + what + "): try again, and tell your administrator if it stays so."}
}
