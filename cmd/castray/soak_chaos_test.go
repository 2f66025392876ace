//go:build linux

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

var soakSeed = flag.Uint64("chaos", 0, "the seed of TestSoakChaos; 0 takes one by the clock")

// TestSoakChaos lets one agent run for half an hour while everything around it goes wrong at random: the hub misbehaves,
// breaks lines, denies, falls silent, is frozen and killed; the agent is frozen; apps hang and come anew. All the while
// no app may believe something else than the hub has without having been told. Every 45 s all faults end and every app
// has to be on the hub's context, and in the quiet that follows memory, descriptors and goroutines are read, which have to
// stay what they were.
//
// FM-32
func TestSoakChaos(t *testing.T) {
	percent := soakPercent(t)
	lasts := 30 * time.Minute * time.Duration(percent) / 100
	if percent < 10 {
		t.Parallel()
		lasts = 12 * time.Second
	}
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to play the same faults again: -chaos %d", seed)
	c := &chaos{soakWorld: newSoakWorld(t, 1), Rand: rand.New(rand.NewPCG(seed, 1))}
	c.startAgent()
	c.attach(5)
	c.whole(20*time.Second, c.apps...)
	end := time.Now().Add(lasts)
	for round := 0; time.Now().Before(end); round++ {
		for healing := time.Now().Add(min(45*time.Second, time.Until(end))); time.Now().Before(healing); {
			c.act()
			soakPause(time.Duration(c.ExpFloat64() * float64(150*time.Millisecond)))
		}
		c.heal(percent >= 10)
	}
	c.judge()
	c.level(lasts)
	first, last := c.samples[0], c.samples[len(c.samples)-1]
	soakResult{
		What: "random faults against one agent", HowMuch: fmt.Sprintf("%v, %d faults and %d changes of context, 5 apps", lasts, c.faults, c.changes),
		Result: fmt.Sprintf("healed %d of %d times; no app wrong without being told", len(c.samples), len(c.samples)),
		Measured: []string{c.longestWrong(), "whole again after the faults ended: " + spread(c.healed),
			fmt.Sprintf("memory of its own: %.1f MB at first, %.1f MB at last, slope of the second half %+.2f MB/h", mb(first.memory), mb(last.memory), c.slope()/1e6),
			fmt.Sprintf("descriptors %d, then %d; goroutines %d, then %d", first.descriptors, last.descriptors, first.goroutines, last.goroutines)},
	}.tell(t)
}

func mb(n int64) float64 { return float64(n) / 1e6 }

// chaos is a world in which things go wrong. Only the test's goroutine draws random numbers.
type chaos struct {
	*soakWorld
	*rand.Rand
	faults, changes int
	patient         string    // current at the hub, if a Patient-open made it so
	hubRuns         time.Time // since the last change, but for the time in which it was frozen
	denied          time.Time
	healed          []time.Duration
	samples         []chaosSample
}

// A chaosSample is what the agent takes when all is quiet.
type chaosSample struct {
	at                      time.Time
	memory                  int64 // anonymous: of its own, without the program's file
	descriptors, goroutines int
}

// act lets one thing happen: mostly a change of context, so that faults meet some.
func (c *chaos) act() {
	if c.IntN(3) > 0 {
		c.change()
		return
	}
	c.faults++
	switch n := c.IntN(24); {
	case n < 9:
		c.order(soakOrder{Do: "fault", Fault: chaosFaults[c.IntN(len(chaosFaults))]})
	case n < 14:
		c.order(soakOrder{Do: "reply", On: chaosRequests[c.IntN(len(chaosRequests))], Reply: chaosReplies[c.IntN(len(chaosReplies))]})
	case n < 16:
		c.order(soakOrder{Do: "drop"})
	case n < 17:
		c.order(soakOrder{Do: "send", Text: chaosTexts[c.IntN(len(chaosTexts))]})
	case n < 19:
		c.freezeHub()
	case n < 20:
		c.freezeAgent()
	case n < 22:
		c.apps[c.IntN(len(c.apps))].hang(time.Duration(c.IntN(4000)) * time.Millisecond)
	case n < 23:
		c.rare()
	default:
		c.apps[c.IntN(len(c.apps))].restart()
	}
}

// rare faults cost seconds each.
func (c *chaos) rare() {
	switch c.IntN(3) {
	case 0:
		c.killHub()
		soakPause(time.Duration(c.IntN(300)) * time.Millisecond)
		c.startHub(c.patient)
	case 1: // until the watchdog rings nobody can know
		c.watch.excuse(28 * time.Second)
		c.order(soakOrder{Do: "silence"})
	case 2:
		if time.Since(c.denied) > time.Minute { // the second denial in a minute is believed, and ends it
			c.denied = time.Now()
			c.order(soakOrder{Do: "deny"})
		}
	}
}

func (c *chaos) change() {
	c.changes++
	defer func() { c.hubRuns = time.Now() }()
	switch n := c.IntN(8); {
	case n == 0 && c.patient != "":
		c.order(soakOrder{Do: "close", Patient: c.patient})
		c.patient = ""
	case n == 1:
		c.order(soakOrder{Do: "home"})
		c.patient = ""
	default:
		c.patient = fmt.Sprintf("p-%d", c.IntN(50))
		c.order(soakOrder{Do: "open", Patient: c.patient})
	}
}

// freezeAgent stops the agent for a moment: it can tell nobody what happens meanwhile.
func (c *chaos) freezeAgent() {
	c.Helper()
	d := time.Duration(c.IntN(2000)) * time.Millisecond
	c.watch.excuse(d + time.Second)
	c.freeze(c.agent, d, c.change)
}

// freezeHub stops the hub for a moment. What has changed there just before may not be on its way yet.
func (c *chaos) freezeHub() {
	c.Helper()
	d := time.Duration(c.IntN(2000)) * time.Millisecond
	ran := time.Since(c.hubRuns)
	if ran < hubSends {
		c.watch.excuse(d + time.Second)
	}
	c.freeze(c.hub, d, func() {})
	if ran < hubSends {
		c.hubRuns = time.Now().Add(-ran)
	}
}

// hubSends is how long a hub that runs may take to send what has changed there, on a machine with much else to do.
const hubSends = 300 * time.Millisecond

func (c *chaos) freeze(p *soakProcess, d time.Duration, meanwhile func()) {
	c.Helper()
	benchCheck(c, p.Process.Signal(syscall.SIGSTOP))
	meanwhile()
	soakPause(d)
	benchCheck(c, p.Process.Signal(syscall.SIGCONT))
}

// heal ends all faults, and after the time in which a silent line is found every app has to be on the hub's context.
func (c *chaos) heal(quietly bool) {
	c.Helper()
	c.order(soakOrder{Do: "clear"})
	c.change()
	c.resync()
	c.healed = append(c.healed, c.whole(45*time.Second, c.apps...))
	if quietly {
		soakPause(12 * time.Second) // the agent gives memory back after 10 s without events
	}
	c.samples = append(c.samples, chaosSample{time.Now(), c.agent.own(), c.agent.descriptors(), c.goroutines()})
}

// level wants what the agent takes to be what it was when the run was young.
func (c *chaos) level(lasts time.Duration) {
	c.Helper()
	first, last := c.samples[0], c.samples[len(c.samples)-1]
	if last.descriptors > first.descriptors+slack || last.goroutines > first.goroutines+slack {
		c.Errorf("%d descriptors and %d goroutines, %d and %d after the first round", last.descriptors, last.goroutines, first.descriptors, first.goroutines)
	}
	if soakRace { // its shadow of the memory only grows
		return
	}
	if last.memory > first.memory+16<<20 {
		c.Errorf("%d MB, %d after the first round", last.memory>>20, first.memory>>20)
	}
	if slope := c.slope(); lasts >= 30*time.Minute && slope > 1<<20 {
		c.Errorf("memory grows by %.2f MB an hour: %v", slope/1e6, c.samples)
	}
}

// slope is how the memory grew in the second half of the run, in bytes an hour: the median over all pairs of samples, so
// that a few odd ones do not matter.
func (c *chaos) slope() float64 {
	half := c.samples[len(c.samples)/2:]
	var slopes []float64
	for i, a := range half {
		for _, b := range half[i+1:] {
			slopes = append(slopes, float64(b.memory-a.memory)/b.at.Sub(a.at).Hours())
		}
	}
	if slopes == nil {
		return 0
	}
	slices.Sort(slopes)
	return slopes[len(slopes)/2]
}

// chaosFaults are what a hub may do to an event or at a subscribe, but for lies about who is current, which nobody could
// find out, and for answers that are believed and end the subscription.
var chaosFaults = slices.DeleteFunc(hubtest.Faults(), func(f hubtest.Fault) bool {
	return slices.Contains([]hubtest.Fault{hubtest.EndpointPlain, hubtest.EndpointForeign, hubtest.ContextOtherPatient, hubtest.Silent, hubtest.Deny}, f)
})

var chaosRequests = []hubtest.On{hubtest.Subscribe, hubtest.Context, hubtest.Discovery, hubtest.Connect}

var chaosReplies = []hubtest.Reply{
	{Status: 503},
	{Status: 503, RetryAfter: time.Second},
	{Status: 500},
	{Status: 429},
	{Lose: true},
	{Late: time.Second},
	{Delay: 3 * time.Second},
	{Status: 200, Kind: "text/html", Body: "<html><body>Please accept the terms of this network</body></html>"},
}

var chaosTexts = []string{
	``, `{`, `null`, `[]`, `"text"`, `{"id":"x"}`, `{"id":"x","event":null}`, `{"timestamp":"yesterday","id":"x","event":{"hub.topic":"another","hub.event":"Patient-open","context":[]}}`,
	"{\"id\":\"\xff\"}", strings.Repeat(`[`, 100_000), `{"id":"x","id":"y","event":{}}`,
}
