package bridge

import (
	"fmt"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// places are what can be opened, the anchor first.
var places = []struct {
	name fhircast.Name
	what string
}{
	{"Patient-open", "p1"}, {"Patient-open", "p2"}, {"Patient-open", "p3"},
	{"ImagingStudy-open", "s1/p1"}, {"ImagingStudy-open", "s2/p2"}, {"ImagingStudy-open", "s3"}, {"ImagingStudy-open", "s4/p1"},
	{"DiagnosticReport-open", "r1/s1/p1"}, {"DiagnosticReport-open", "r2/p2"}, {"Encounter-open", "e1/p1"},
}

// wishes are what apps ask for.
var wishes = []string{"", "", "", "Patient-open Patient-close", "Patient-open", "ImagingStudy-open ImagingStudy-close",
	"ImagingStudy-open", "Patient-open ImagingStudy-open DiagnosticReport-update", "Patient-open Home-open", "-",
	"DiagnosticReport-open DiagnosticReport-close DiagnosticReport-update DiagnosticReport-select"}

// arrive lets a new app in.
func (s *schedule) arrive() {
	a := newSimApp(s)
	a.proves = s.proofs != nil && s.proofs.IntN(2) == 0
	a.events = wishes[s.IntN(len(wishes))]
	a.answers = s.IntN(8) != 0
	if s.IntN(10) == 0 {
		a.required = protocol.RequiredNever
	}
	a.attach()
	s.apps = append(s.apps, a)
	s.note("%s arrives, asks for %q, answers %v %s", a.id, a.events, a.answers, a.required)
}

// step is one random thing that happens.
func (s *schedule) step() {
	switch n := s.IntN(100); {
	case n < 30:
		p := places[s.IntN(len(places))]
		s.hub.open(p.name, p.what, s.skew())
	case n < 38:
		s.hub.close(places[s.IntN(len(places))].what)
	case n < 44:
		s.hub.close(s.hub.now())
	case n < 46:
		s.hub.home(s.skew())
	case n < 51:
		s.hub.repeat()
	case n < 54:
		s.hub.straggle()
	case n < 57:
		s.hub.nonsense()
	case n < 64:
		s.share()
	case n < 65:
		s.hub.complain()
	case n < 74:
		s.appStep()
	case n < 83:
		s.mood()
	case n < 88:
		s.line()
	case n < 91:
		s.hub.humour()
	case n < 95:
		s.person()
	default:
		s.ask()
	}
}

// share is something shared in a report, by the hub or by an app, in a row with others, or pointed at.
func (s *schedule) share() {
	if _, any := s.hub.shared(); !any && s.IntN(3) != 0 {
		p := places[7+s.IntN(2)]
		s.hub.open(p.name, p.what, 0)
	}
	for range 1 + s.IntN(4) {
		switch s.IntN(6) {
		case 0:
			s.hub.selects()
		case 1:
			s.hub.shrink()
		case 2, 3:
			a, fate, what := s.anApp(), s.hub.fate(), s.wish()
			s.note("%s shares %s, which will be %s", a.id, what, fate)
			a.share(what)
		default:
			s.hub.update()
		}
		s.pass()
	}
}

// skew is how far a sender's clock is off.
func (s *schedule) skew() time.Duration {
	if s.IntN(4) != 0 {
		return 0
	}
	return time.Duration(s.IntN(4000)-2000) * time.Millisecond
}

func (s *schedule) anApp() *simApp { return s.apps[s.IntN(len(s.apps))] }

// appStep is an app that comes, goes, returns or asks for something else.
func (s *schedule) appStep() {
	a := s.anApp()
	switch n := s.IntN(6); {
	case n == 0 && len(s.apps) < 6:
		s.arrive()
	case a.isGone():
		s.note("%s returns", a.id)
		a.heal()
		a.attach()
	case n == 1:
		alive := s.IntN(2) == 0
		s.note("%s vanishes, its process alive: %v", a.id, alive)
		a.seat.Close("")
		s.relay.Detach(a.id, a.seat, alive)
	case n == 2:
		events := wishes[s.IntN(len(wishes))]
		s.note("%s asks for %q", a.id, events)
		a.events = events
		var list []fhircast.Name
		if events == "-" {
			list = []fhircast.Name{}
		} else if events != "" {
			list = fhircast.Names(strings.Fields(events))
		}
		s.relay.Subscribe(a.id, list)
	default:
		paused := s.IntN(2) == 0
		s.note("%s paused: %v", a.id, paused)
		s.relay.Pause(a.id, paused)
	}
}

// mood changes how an app behaves from now on.
func (s *schedule) mood() {
	a := s.anApp()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch s.IntN(8) {
	case 0:
		a.status = []int{202, 409, 500, 0}[s.IntN(4)]
	case 1:
		a.late = time.Duration(s.IntN(12000)) * time.Millisecond
	case 2:
		a.lag = time.Duration(s.IntN(1500)) * time.Millisecond
	case 3:
		if a.stuck == nil && !a.gone {
			a.stuck = make(chan struct{})
		}
	case 4:
		a.badClears = !a.badClears
	default:
		a.recover()
	}
	s.note("%s answers %d, %v after %v, stuck %v, bad clears %v", a.id, a.status, a.late, a.lag, a.stuck != nil, a.badClears)
}

// line is what happens between us and the hub.
func (s *schedule) line() {
	switch s.IntN(5) {
	case 0:
		s.hub.lose()
	case 1:
		s.hub.subscribe() // a new number without a loss
	case 2:
		s.user = s.IntN(3)
		s.note("user %d signs in", s.user)
		s.join()
	default:
		s.hub.lose()
		s.pass()
		s.hub.subscribe()
	}
	if !s.hub.subscribed() && s.IntN(3) != 0 {
		s.pass()
		s.hub.subscribe()
	}
}

// person is what a user does at the tray.
func (s *schedule) person() {
	switch s.IntN(3) {
	case 0:
		s.note("clear all")
		go s.relay.Clear(protocol.ReasonUser)
	case 1:
		s.note("pause and resume")
		s.hub.leave()
		s.relay.Leave()
		s.pass()
		s.preview = s.IntN(2) == 0
		s.join()
		s.preview = false
	default:
		s.note("re-sync")
		s.relay.Resync()
	}
}

// ask is an app's own wish.
func (s *schedule) ask() {
	a := s.anApp()
	if a.isGone() {
		return
	}
	p := places[s.IntN(6)]
	for p.name == "DiagnosticReport-open" {
		p = places[s.IntN(6)]
	}
	name, what := p.name, p.what
	if s.IntN(5) == 0 {
		name, what = "Patient-close", fmt.Sprint("p", 1+s.IntN(3))
	}
	fate := s.hub.fate()
	s.note("%s asks for %s %s, which will be %s", a.id, name, what, fate)
	a.ask(name, what)
}
