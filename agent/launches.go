package agent

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

const (
	launchLife     = 5 * time.Minute // of a question, and for which a launch is remembered
	launchesWait   = 8               // at most, for an answer or for the browser
	launchesTaken  = 2               // in a second
	lookAtQuestion = time.Second     // that a person has at least, before an answer counts
	raisesAtMost   = 3               // of a page for one launch: whoever sends the same one on and on shall not fill the browser
	storedWithin   = 3 * time.Second // that a launch waits for a stored sign-in to be read
)

// launches are those under way. All but the counters and the paces, which floods meet first, is the owner's.
type launches struct {
	refused, strays atomic.Int64
	taken, told     pace // of launches, and of what is said about refused ones

	seen   map[[sha256.Size]byte]*seenLaunch // at the pace of taking, some 600 at most
	asking []*question                       // the first is the one that is shown
}

// A seenLaunch is remembered, since a launch is used once.
type seenLaunch struct {
	until    time.Time
	asking   bool
	starting bool // the sign-in server is being asked
	raised   int  // how often its page was shown again
}

// A pace lets so many through in a second.
type pace struct {
	mu   sync.Mutex
	last [launchesTaken]time.Time
}

func (p *pace) allows(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last[0].IsZero() && now.Sub(p.last[0]) < time.Second {
		return false
	}
	p.last = [launchesTaken]time.Time{p.last[1], now}
	return true
}

// A course is what becomes of a launch.
type course int

const (
	courseStart  course = iota // a sign-in in the browser
	courseAsk                  // a question in the tray first
	courseRaise                // its sign-in waits already: the page is shown again
	courseAsked                // its question waits already
	courseUsed                 // refused: it was used, or declined
	courseClosed               // refused: not in this phase
)

// launchFacts are what the course of a launch depends on.
type launchFacts struct {
	closed   bool // locked, blocked or stopping
	session  bool // somebody is signed in or signs in, or a stored sign-in is being read: not to be replaced without a word
	handover bool
	again    bool // it came before
	asking   bool // and its question waits
	waiting  bool // and its sign-in waits
}

// course is the first that holds. A sign-in that waits in the browser counts as a session: any page may send launches, and
// must neither end it nor open one page after another.
func (f launchFacts) course() course {
	switch {
	case f.closed:
		return courseClosed
	case f.again && f.asking:
		return courseAsked
	case f.again && f.waiting:
		return courseRaise
	case f.again:
		return courseUsed
	case f.session || f.handover:
		return courseAsk
	}
	return courseStart
}

// take is the one way in of launches and of redirects by the scheme, whoever brings them. It returns what becomes of it; the
// sign-in itself begins afterwards.
func (a *Agent) take(ctx context.Context, raw string) (course, *refusal, error) {
	if isSchemeRedirect(raw) {
		return courseRaise, nil, a.redirected(ctx, raw)
	}
	l, why := readLaunch(raw, a.cfg.Settings)
	if why == nil && !a.launches.taken.allows(time.Now()) {
		why = refusedMany
	}
	to := courseClosed
	if why == nil {
		a.afterReading(ctx)
		if err := a.do(ctx, func() { to, why = a.consider(l) }); err != nil {
			return to, nil, err
		}
	}
	if why != nil {
		a.refuse(ctx, why)
	}
	return to, why, nil
}

// afterReading waits a moment for a stored sign-in that is being read: mostly there is none, or it is signed in by then, and
// only what is there has to be asked about.
func (a *Agent) afterReading(ctx context.Context) {
	var read <-chan struct{}
	if a.do(ctx, func() {
		if a.resuming != nil {
			read = a.stored
		}
	}) != nil || read == nil {
		return
	}
	moment := time.NewTimer(storedWithin)
	defer moment.Stop()
	select {
	case <-read:
	case <-moment.C:
	case <-ctx.Done():
	}
}

// refuse counts a refused launch and says so, but not as often as a flood would like.
func (a *Agent) refuse(ctx context.Context, why *refusal) {
	a.launches.refused.Add(1)
	a.changed()
	if !a.launches.told.allows(time.Now()) {
		return
	}
	facts := []any{"because", why.log}
	if why.host != "" {
		facts = append(facts, "host", why.host)
	}
	a.cfg.Log.Warn("a launch was refused", facts...)
	_ = a.do(ctx, func() { a.notify(problemLaunchRefused, why.sentence) })
}

// consider decides about a launch that may come.
func (a *Agent) consider(l launch) (course, *refusal) {
	a.lookAtLaunches()
	old := a.launches.seen[l.mark]
	f := launchFacts{handover: l.hub != nil, session: a.session != nil || a.resuming != nil || a.attempt != nil, again: old != nil}
	for _, other := range a.launches.seen {
		f.session = f.session || other.starting
	}
	switch a.board.get().Phase {
	case protocol.PhaseLocked, protocol.PhaseBlocked, protocol.PhaseStopping:
		f.closed = true
	}
	if old != nil {
		f.asking, f.waiting = old.asking, old.starting || a.waitsFor(l)
	}
	to := f.course()
	switch to {
	case courseClosed:
		return to, refusedNow
	case courseUsed:
		return to, refusedUsed
	case courseRaise:
		if a.waitsFor(l) && old.raised < raisesAtMost {
			old.raised++
			a.attempt.Open(a.running)
		}
		return to, nil
	case courseAsked:
		return to, nil
	}
	if len(a.launches.asking) >= launchesWait {
		return to, refusedMany
	}
	seen := &seenLaunch{until: time.Now().Add(launchLife), asking: to == courseAsk}
	a.launches.seen[l.mark] = seen
	if to == courseStart {
		a.startLaunch(l, seen)
		return to, nil
	}
	a.launches.asking = append(a.launches.asking, &question{launch: l, seen: seen})
	a.ask()
	return to, nil
}

// waitsFor tells whether the sign-in that waits in the browser came of that launch.
func (a *Agent) waitsFor(l launch) bool {
	return a.attempt != nil && a.attempt.launch != nil && a.attempt.launch.mark == l.mark
}

// startLaunch does what was launched. Nobody waits for the sign-in server here: how it went shows in the Status.
func (a *Agent) startLaunch(l launch, seen *seenLaunch) {
	a.solved(problemLaunchRefused)
	switch {
	case l.site == nil:
		a.handed = l.hub
		a.rejoin(nil)
		return
	case l.hub != nil && a.session != nil && !a.expired && a.siteName == l.site.Name:
		a.handed = l.hub
		a.rejoin(nil)
		return
	}
	seen.starting = true
	signOuts := a.signOuts
	a.wait.Go(func() {
		begun, err := a.startSignIn(a.running, l.site, l.starter(), &l, signOuts) // what went wrong is a problem by now
		if err == nil {
			begun.Open(a.running)
		}
		a.post(func() {
			seen.starting = false
			if err != nil && a.launches.seen[l.mark] == seen {
				delete(a.launches.seen, l.mark) // nothing of it has left: it may come again
			}
		})
	})
}

// lookAtLaunches forgets what is too old.
func (a *Agent) lookAtLaunches() {
	now := time.Now()
	for mark, s := range a.launches.seen {
		if now.After(s.until) {
			delete(a.launches.seen, mark)
		}
	}
	waited := len(a.launches.asking)
	a.launches.asking = slices.DeleteFunc(a.launches.asking, func(q *question) bool { return now.After(q.seen.until) })
	if len(a.launches.asking) != waited {
		a.ask()
	}
	if n, told := a.notices[problemLaunchRefused]; told && now.Sub(n.since) > launchLife {
		a.solved(problemLaunchRefused)
	}
}
