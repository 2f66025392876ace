//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// wrongFor is for how long an app may believe something wrong while a fault is found, told and mended on a machine that
// has other work too. It is far below what a person takes to act on a screen, and far above what is measured.
const wrongFor = 1500 * time.Millisecond

// TestSoakKilledHub kills the hub at random times, also while it is being come back to and while an event is on its way.
// It is back without subscriptions, with the topic, and with the patient it had, another or none. Every app has to show
// what the hub has then, without doing anything, and nothing may be left over. Every second time the user asks for the
// way back, which takes the schedule to its beginning: without a healthy minute between two ends its waits get longer,
// as they should.
//
// FM-09
func TestSoakKilledHub(t *testing.T) {
	kills := max(2, 100*soakPercent(t)/100)
	if kills < 10 {
		t.Parallel()
	}
	w := newSoakWorld(t, 1)
	w.startAgent()
	w.attach(5)
	w.whole(20*time.Second, w.apps...)
	w.order(soakOrder{Do: "open", Patient: "p-0"})
	w.whole(5*time.Second, w.apps...)
	goroutines, descriptors := w.goroutines(), w.agent.descriptors()
	var alone, asked []time.Duration
	patient := "p-0"
	for n := range kills {
		soakPause(rand.N(400 * time.Millisecond))
		if n%3 == 0 { // the event may get to some apps, to all or to none
			_, err := fmt.Fprintf(w.hub.in, `{"Do":"open","Patient":"p-on-its-way-%d"}`+"\n", n)
			benchCheck(t, err)
			soakPause(rand.N(3 * time.Millisecond))
		}
		w.killHub()
		soakPause(rand.N(200 * time.Millisecond))
		if n%5 == 4 { // and once more, perhaps on our way back
			w.startHub(patient)
			soakPause(rand.N(2 * time.Second))
			w.killHub()
		}
		patient = []string{patient, fmt.Sprintf("p-%d", n), ""}[rand.N(3)]
		w.startHub(patient)
		if n%2 == 1 {
			w.resync()
			asked = append(asked, w.whole(10*time.Second, w.apps...))
		} else {
			alone = append(alone, w.whole(40*time.Second, w.apps...))
		}
	}
	w.flat("goroutines", goroutines, w.goroutines)
	w.flat("descriptors", descriptors, w.agent.descriptors)
	w.judge()
	soakResult{
		What: "the hub killed, back without subscriptions", HowMuch: fmt.Sprintf("%d times, 5 apps", kills),
		Result:   "every app on the hub's context each time; no goroutine, descriptor or subscription left over",
		Measured: []string{"back by itself: " + spread(alone), "when the user asks: " + spread(asked), w.longestWrong()},
	}.tell(t)
}

// TestSoakKilledAgent kills the agent at random times, starts it again at once, and wants every app back on the hub's
// context by its library alone, and one subscription at the hub.
//
// FM-24
func TestSoakKilledAgent(t *testing.T) {
	kills := max(2, 500*soakPercent(t)/100)
	if kills < 10 {
		t.Parallel()
	}
	w := newSoakWorld(t, 1)
	w.order(soakOrder{Do: "open", Patient: "p-0"})
	w.startAgent()
	w.attach(5)
	w.whole(20*time.Second, w.apps...)
	hubGoroutines, hubDescriptors := w.order(soakOrder{Do: "state"}).Goroutines, w.hub.descriptors()
	goroutines, descriptors := w.goroutines(), w.agent.descriptors()
	// One app lives through it all. Its library waits up to 15 s between tries by then, since none of the agents has lived
	// that long; the others are started anew for each agent.
	young := w.apps[1:]
	var back []time.Duration
	for n := range kills {
		soakPause(rand.N(300 * time.Millisecond))
		if n%3 == 0 {
			_, err := fmt.Fprintf(w.hub.in, `{"Do":"open","Patient":"p-%d"}`+"\n", n)
			benchCheck(t, err)
			soakPause(rand.N(3 * time.Millisecond))
		}
		w.agent.kill()
		if n%3 == 0 {
			w.hub.line() // of the open
		}
		w.order(soakOrder{Do: "open", Patient: fmt.Sprintf("p-missed-%d", n)})
		w.startAgent()
		back = append(back, w.whole(20*time.Second, young...))
		for _, a := range young {
			a.restart()
		}
		w.whole(20*time.Second, young...)
	}
	w.whole(20*time.Second, w.apps...)
	w.flat("goroutines", goroutines, w.goroutines)
	w.flat("descriptors", descriptors, w.agent.descriptors)
	w.flat("the hub's goroutines", hubGoroutines, func() int { return w.order(soakOrder{Do: "state"}).Goroutines })
	w.flat("the hub's descriptors", hubDescriptors, w.hub.descriptors)
	w.judge()
	soakResult{
		What: "the agent killed, started again", HowMuch: fmt.Sprintf("%d times, 5 apps", kills),
		Result:   "every app on the hub's context each time; no descriptor or subscription left over, at the hub neither",
		Measured: []string{"from start to the last app: " + spread(back), w.longestWrong()},
	}.tell(t)
}

// slack is what may be more than at the beginning and is no leak: lines to the hub that are kept for the next request, a
// descriptor and two goroutines each.
const slack = 8

// flat wants a number to be back where it was, once what is under way has ended.
func (w *soakWorld) flat(what string, was int, now func() int) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; soakPause(100 * time.Millisecond) {
		is := now()
		if is <= was+slack {
			return
		}
		if time.Now().After(deadline) {
			w.Errorf("%d %s, %d at the beginning; the agent says:\n%s", is, what, was, w.agent.log)
			return
		}
	}
}

// judge wants the third state not to have been there: an app that shows something else than the hub has, and that has not
// been told that it may be wrong.
func (w *soakWorld) judge() {
	w.Helper()
	if longest, about := w.watch.longest(); longest > wrongFor {
		w.Errorf("for %v %s and had not been told; the agent says:\n%s", longest, about, w.agent.log)
	}
}

func (w *soakWorld) longestWrong() string {
	longest, _ := w.watch.longest()
	return fmt.Sprintf("longest that an app was wrong and not told: %v", longest.Round(time.Millisecond))
}
