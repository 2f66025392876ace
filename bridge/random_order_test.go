package bridge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// FM-19: whatever order the network makes of a hub's events, and however often they come, the apps end at the patient
// that is current at the hub, are told no event twice, and what was no news is counted. The oracle is the hub's own
// history in the order in which it happened.
func TestS4_PermutedAndRepeatedEventsEndAtTheHubsPatient(t *testing.T) {
	for seed := range uint64(soak(t, 10_000, 4)) {
		if said := playShuffled(seed); said != "" {
			t.Errorf("seed %d: %s", seed, said)
		}
	}
}

func playShuffled(seed uint64) (complaint string) {
	draw := rand.New(rand.NewPCG(seed, 19))
	history := randomHistory(draw)
	d := &shuffled{core: newCore(Config{Rand: draw.Float64}), truth: history[len(history)-1]}
	d.do(join{Session{User: "u", Topic: topic, Hub: nil, Events: fhircast.Names(strings.Fields(
		"Patient-open Patient-close ImagingStudy-open ImagingStudy-close DiagnosticReport-open DiagnosticReport-close Encounter-open Home-open"))}})
	d.do(attach{App{Name: "viewer", Answers: true}, &fakeApp{}, func(string, *protocol.ContextResult, error) {}})
	d.do(subscribed{1, nil})
	d.pass(3 * time.Second)

	// In another order, some of them more than once.
	order := draw.Perm(len(history))
	for range draw.IntN(4) {
		order = append(order, draw.IntN(len(history)))
	}
	for _, i := range order {
		d.do(deliver{fhircast.NewDelivery(history[i].event(i), 1, func(fhircast.Answer) { d.answered++ })})
		d.pass(time.Duration(draw.IntN(300)) * time.Millisecond)
	}
	d.pass(time.Minute)

	switch patient, want := d.patient(), history[len(history)-1].patient(); {
	case patient != want:
		return fmt.Sprintf("the app shows %q, and %q is current: %v in the order %v: told %v", patient, want, history, order, d.told)
	case d.core.verdict != "in_sync" && d.core.verdict != "no_context":
		return fmt.Sprintf("the desk is %s", d.core.verdict)
	case d.answered != len(order):
		return fmt.Sprintf("%d answers to %d events", d.answered, len(order))
	case d.core.counters.Events > len(history):
		return fmt.Sprintf("%d of %d events counted", d.core.counters.Events, len(history))
	}
	for event, times := range d.times {
		if times > 1 {
			return fmt.Sprintf("told %s %d times", event, times)
		}
	}
	return ""
}

// step is one event of a hub's history: an open (place), a close of it, or, without a place, Home-open.
type step struct {
	what  string
	close bool
}

func (s step) patient() string {
	if s.close || s.what == "" {
		return ""
	}
	return s.what[strings.LastIndex(s.what, "/")+1:]
}

func (s step) name() fhircast.Name {
	if s.what == "" {
		return fhircast.HomeOpen
	}
	resource := map[byte]string{'p': "Patient", 's': "ImagingStudy", 'r': "DiagnosticReport", 'e': "Encounter"}[s.what[0]]
	if s.close {
		return fhircast.Name(resource + "-close")
	}
	return fhircast.Name(resource + "-open")
}

func (s step) event(i int) *fhircast.Event { return ev(s.name(), fmt.Sprint("h", i), i, s.what) }

// randomHistory is what happens at a hub: opens, and closes of what is current then.
func randomHistory(draw *rand.Rand) (list []step) {
	what := []string{"p1", "p2", "p3", "s1/p1", "s2/p2", "s3/p3", "r1/s1/p1", "r2/s2/p2", "e1/p1", "e3/p3"}
	for range 2 + draw.IntN(10) {
		last := step{}
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		switch n := draw.IntN(12); {
		case n == 0:
			list = append(list, step{})
		case n < 4 && last.patient() != "" && last.what[0] != 'e':
			list = append(list, step{last.what, true})
		default:
			list = append(list, step{what: what[draw.IntN(len(what))]})
		}
	}
	return list
}

// shuffled is a core whose effects are done at once: its one app follows, and its hub says what is current.
type shuffled struct {
	core     *core
	now      time.Duration
	truth    step
	answered int
	shows    string
	told     []string
	times    map[string]int
}

func (d *shuffled) do(in input) {
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, e := range d.core.step(start.Add(d.now), in) {
		switch e := e.(type) {
		case answer:
			e.do(nil)
		case reply:
			e.do(nil)
		case ask:
			var current *fhircast.Event
			if d.truth.patient() != "" {
				current = ev(d.truth.name(), e.id, 0, d.truth.what)
			}
			d.do(read{e.gen, e.number, current, true, nil})
		case write:
			d.follow(e.message)
			d.do(written{e.app, e.seq, nil})
			d.do(answered{e.app, e.seq, 200})
		}
	}
}

func (d *shuffled) follow(m Message) {
	word := inWords(m)
	d.told = append(d.told, word)
	if m.Method != "event" {
		d.shows = ""
		return
	}
	e := decoded(string(m.Params))
	if d.times == nil {
		d.times = make(map[string]int)
	}
	d.times[e.ID+" "+word]++
	switch {
	case e.Name.Verb() == fhircast.Close:
		// What it does when something is closed that its context only names is its own affair: here, nothing.
		if anchor, _ := e.Anchor(); strings.HasPrefix(d.shows, idIn(anchor)) {
			d.shows = ""
		}
	case e.Name.Resource() != "":
		var ids []string
		for _, item := range e.Context {
			ids = append(ids, idIn(item))
		}
		d.shows = strings.Join(ids, "/")
	}
}

func idIn(item fhircast.Item) string {
	r, _ := item.Resource()
	return r.ID
}

func (d *shuffled) patient() string { return step{what: d.shows}.patient() }

// pass lets time go by, from one deadline to the next.
func (d *shuffled) pass(t time.Duration) {
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for end := d.now + t; ; {
		at, any := d.core.due()
		if !any || at.Sub(start) > end {
			d.now = end
			return
		}
		d.now = max(d.now, at.Sub(start))
		d.do(tick{})
	}
}
