package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

var sprintf = fmt.Sprintf

// A board holds the last Status and wakes those who watch. Newest wins: who is slow sees only the last.
type board struct {
	mu       sync.Mutex
	status   protocol.Status
	full     []byte // as JSON, for those with control
	public   []byte // without the user
	watchers map[chan struct{}]bool
}

// set tells whether it says anything new.
func (b *board) set(s protocol.Status) bool {
	full, _ := json.Marshal(s)
	public, _ := json.Marshal(s.ForApps())
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes.Equal(full, b.full) {
		return false
	}
	b.status, b.full, b.public = s, full, public
	for w := range b.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	return true
}

func (b *board) get() protocol.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

func (b *board) text(control bool) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if control {
		return b.full
	}
	return b.public
}

// watch gives a channel that has a value when there is a newer Status.
func (b *board) watch() (changed chan struct{}, stop func()) {
	changed = make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == nil {
		b.watchers = make(map[chan struct{}]bool)
	}
	b.watchers[changed] = true
	return changed, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, changed)
	}
}

// status puts the Status together from what the owner knows and what the relay shows.
func (a *Agent) assemble() protocol.Status {
	v := a.relay.View()
	s := protocol.Status{
		Version: a.cfg.Version, Test: v.Test || a.test(), Site: a.siteName, Hub: a.hubHost,
		SignedIn: a.session != nil || a.static() && a.line != nil, Pending: v.Pending, LastEvent: v.LastEvent,
		Apps: slices.Clone(v.Rows), Counters: v.Counters,
	}
	s.Counters.LaunchesRefused, s.Counters.StrayRedirects = int(a.launches.refused.Load()), int(a.launches.strays.Load())
	if a.session != nil {
		if g := a.session.Grant(); g.User.Name != "" || g.User.FHIRUser != "" {
			s.User = &protocol.User{Name: g.User.Name}
			if !a.session.Renews() {
				s.User.Until = a.session.Until()
			}
		}
	}
	s.Phase = a.facts(v.Phase).phase()
	s.Sentence = sentence(s.Phase, v)
	for _, p := range v.Problems {
		s.Problems = append(s.Problems, problem(p.Code, p.App, p.Name, p.Since))
	}
	for code, n := range a.notices {
		s.Problems = append(s.Problems, n.problem(code))
	}
	if s.Phase == protocol.PhaseOffline && !a.stuck {
		s.Problems = append(s.Problems, a.offline())
	}
	slices.SortFunc(s.Problems, func(a, b protocol.Problem) int {
		return cmp.Or(cmp.Compare(rank(a.Code), rank(b.Code)), a.Since.Compare(b.Since), cmp.Compare(a.Code, b.Code), cmp.Compare(a.App, b.App))
	})
	return s
}

// A notice is a problem that the owner raised; words stand for the table's sentence where they say more.
type notice struct {
	since time.Time
	words string
}

func (n notice) problem(code string) protocol.Problem {
	p := problem(code, "", "", n.since)
	if n.words != "" {
		p.Sentence = n.words
	}
	return p
}

// rank puts what may show a wrong patient before what is merely in the way: a view shows only the first few.
func rank(code string) int {
	if i := slices.Index(worstFirst, code); i >= 0 {
		return i
	}
	return len(worstFirst)
}

// offline says why there is no connection, as far as the subscriber knows.
func (a *Agent) offline() protocol.Problem {
	since := time.Now() // about: when the phase is published
	if last := a.board.get(); last.Phase == protocol.PhaseOffline {
		since = last.Since
	}
	p := problem(problemOffline, "", "", since)
	if why := a.line.client.Trouble(); why != "" {
		p.Sentence = "No connection to the hub: " + why + ". It is tried again by itself."
	}
	return p
}

func problem(code, app, name string, since time.Time) protocol.Problem {
	words := problemSentences[code]
	if name != "" {
		words = sprintf(words, name)
	}
	return protocol.Problem{Code: code, App: app, Sentence: words, Since: since}
}

// notify raises a problem, or changes its words; it keeps the time at which it began.
func (a *Agent) notify(code, words string) {
	n, there := a.notices[code]
	if !there {
		n.since = time.Now()
	}
	n.words = words
	a.notices[code] = n
}

func (a *Agent) solved(codes ...string) {
	for _, code := range codes {
		delete(a.notices, code)
	}
}

func (a *Agent) facts(desk protocol.Phase) facts {
	return facts{
		stopping:  a.stopping,
		locked:    a.locked,
		paused:    a.paused,
		signingIn: a.attempt != nil && a.session == nil,
		ended:     a.ended,
		signedIn:  a.session != nil || a.static() || a.resuming != nil,
		waiting:   a.line != nil && a.line.client.State().Waiting() || a.line == nil && a.stuck,
		desk:      desk,
	}
}

// publish makes the newest Status known if it says anything new.
func (a *Agent) publish() {
	s := a.assemble()
	last := a.board.get()
	s.Since = last.Since
	if s.Phase != last.Phase {
		s.Since = time.Now()
		a.cfg.Log.Info("phase", "was", string(last.Phase), "is", string(s.Phase))
	}
	if !a.board.set(s) {
		return
	}
	if a.cfg.Changed != nil {
		a.cfg.Changed(s, a.attempt != nil)
	}
}
