package agent

import (
	"runtime/debug"
	"time"
)

// clockEvery is how often the clocks are compared. A shorter one would wake an idle machine for nothing.
const clockEvery = 5 * time.Second

// heldUp is how long after the last one a look at the clocks comes when nothing ran in between. A busy machine is not that
// late.
const heldUp = 3 * clockEvery

// watchSleep starts to compare the wall clock, which goes on while the machine sleeps, with Go's own, which does not.
func (a *Agent) watchSleep() *time.Ticker {
	a.wall, a.mono = a.cfg.Wall(), time.Now()
	a.networks, _ = a.cfg.Networks() // none known is none to miss
	return time.NewTicker(clockEvery)
}

// lookAtClock notices that the machine has slept, that this process was held up, or that somebody has set the clock: what
// was alive before may not be any more, so the subscription is made anew and the context read (S2).
func (a *Agent) lookAtClock() {
	a.lookAtEnd()
	a.lookAtLaunches()
	a.giveBack()
	wall, mono := a.cfg.Wall(), time.Now()
	gap, late := wall.Round(0).Sub(a.wall.Round(0))-mono.Sub(a.mono), mono.Sub(a.mono)
	a.wall, a.mono = wall, mono
	a.lookAtNetwork()
	// Windows' own clock goes on in sleep, so there only the look is late; and so it is for a process that was stopped.
	if gap.Abs() < clockEvery && late < heldUp {
		return
	}
	a.cfg.Log.Info("the clock has jumped, perhaps by a sleep", "seconds", int(gap.Seconds()), "late", int(late.Seconds()))
	a.reconnect("resumed")
	if session := a.session; session != nil {
		a.wait.Go(func() { _ = session.Refresh(a.running) })
	}
}

// giveBack returns memory to the operating system once it has been quiet for two looks: on a terminal server fifty agents
// share the machine, and Go by itself keeps for minutes what one large event took.
func (a *Agent) giveBack() {
	if events := a.relay.View().Counters.Events; events != a.seen {
		a.seen, a.quiet = events, 0
		return
	}
	if a.quiet++; a.quiet == 2 {
		debug.FreeOSMemory()
	}
}
