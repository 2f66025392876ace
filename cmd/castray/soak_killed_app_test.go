//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/castray/castray/ipc/client"
)

// TestSoakKilledApp kills an app at random times: before it has said hello, while it follows, and with an event on its way
// to it. The others have each event all the same, the agent's status forgets it, and nothing of it may be left over.
//
// FM-16
func TestSoakKilledApp(t *testing.T) {
	kills := max(2, 500*soakPercent(t)/100)
	if kills < 10 {
		t.Parallel()
	}
	w := newSoakWorld(t, 1)
	w.startAgent()
	w.attach(5)
	w.order(soakOrder{Do: "open", Patient: "p-0"})
	w.whole(20*time.Second, w.apps...)
	goroutines, descriptors := w.goroutines(), w.agent.descriptors()
	joined := 0
	for n := range kills {
		app := w.start("castray", "--socket", w.address, "watch", "--answer", "200", "--json")
		if n%2 == 0 {
			app.line() // it has heard of the context
			joined++
		} else {
			soakPause(rand.N(60 * time.Millisecond))
		}
		_, err := fmt.Fprintf(w.hub.in, `{"Do":"open","Patient":"p-%d"}`+"\n", n)
		benchCheck(t, err)
		soakPause(rand.N(3 * time.Millisecond))
		app.kill()
		w.hub.line() // of the open
		w.watch.set(fmt.Sprintf("p-%d", n))
		w.shown(fmt.Sprintf("p-%d", n), time.Now().Add(5*time.Second))
	}
	w.whole(20*time.Second, w.apps...)                // a lost app is told of for some seconds
	w.flat("rows of apps", len(w.apps)-slack, w.rows) // not one too many
	w.flat("goroutines", goroutines, w.goroutines)
	w.flat("descriptors", descriptors, w.agent.descriptors)
	w.judge()
	soakResult{
		What: "an app killed", HowMuch: fmt.Sprintf("%d times, %d of them in step, beside 5 others", kills, joined),
		Result:   "the others on the hub's context each time; no row, goroutine or descriptor left over",
		Measured: []string{w.longestWrong()},
	}.tell(t)
}

// shown waits until all apps show that patient.
func (w *soakWorld) shown(patient string, until time.Time) {
	w.Helper()
	for _, a := range w.apps {
		for {
			shows, _ := a.believes()
			if shows == patient {
				break
			}
			if time.Now().After(until) {
				w.Fatalf("%s shows %q, and %q is open; the agent says:\n%s", a.name, shows, patient, w.agent.log)
			}
			soakPause(time.Millisecond)
		}
	}
}

// rows is how many apps the agent's status has.
func (w *soakWorld) rows() int {
	w.Helper()
	c, err := client.Dial(w.Context(), client.Options{Address: w.address, Name: "soak", Events: []string{}})
	benchCheck(w, err)
	defer hangUp(c)
	return len(c.Hello().Status.Apps)
}
