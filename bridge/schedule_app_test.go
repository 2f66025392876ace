package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// simApp is a program at the desk. It reads its pipe in order and shows what it follows.
type simApp struct {
	s        *schedule
	id, name string
	pid      int
	events   string
	required string
	answers  bool
	proves   bool // it can say what it shows

	mu        sync.Mutex
	gone      bool
	pipe      []letter
	seat      *simSeat
	shows     string   // what it shows
	shared    []string // in that, if it takes part
	missed    bool     // it did not take an update, and knows it
	told      string   // what it was last told and followed, or had confirmed
	read      int
	asks      int
	status    int
	lag       time.Duration // before it reads
	late      time.Duration // after that, before it answers
	stuck     chan struct{}
	badClears bool
}

type letter struct {
	m      Message
	answer func(int)
	shown  func([]protocol.Window, bool) // not nil: it is only asked what it shows
}

// simSeat is one connection of an app.
type simSeat struct{ *simApp }

func newSimApp(s *schedule) *simApp {
	a := &simApp{s: s, pid: len(s.apps) + 1, name: fmt.Sprint("app", 1+s.IntN(3))}
	a.recover()
	return a
}

func (a *simApp) attach() {
	app := App{Name: a.name, Via: "pipe", PID: a.pid, Answers: a.answers, Shows: a.proves, MaySend: true, Required: a.required}
	if a.events == "-" {
		app.Events = []fhircast.Name{}
	} else if a.events != "" {
		app.Events = fhircast.Names(strings.Fields(a.events))
	}
	a.mu.Lock()
	a.seat, a.pipe, a.gone = &simSeat{a}, nil, false
	a.mu.Unlock()
	a.id, _, _ = a.s.relay.Attach(app, a.seat)
}

func (a *simApp) recover() {
	a.status, a.late, a.lag, a.badClears = 200, 0, 0, false
	if a.stuck != nil {
		close(a.stuck)
		a.stuck = nil
	}
}

func (a *simApp) heal() { a.mu.Lock(); defer a.mu.Unlock(); a.recover() }

func (a *simApp) screen() string { a.mu.Lock(); defer a.mu.Unlock(); return a.shows }

func (a *simApp) isGone() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.gone }

// Write is for Sink: into the pipe, where the app reads it later.
func (a *simSeat) Write(m Message, answer func(int)) error {
	return a.put(letter{m: m, answer: answer})
}

// Shown is for Sink.
func (a *simSeat) Shown(answer func([]protocol.Window, bool)) error {
	return a.put(letter{shown: answer})
}

func (a *simSeat) put(l letter) error {
	a.mu.Lock()
	stuck := a.stuck
	a.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone || a.seat != a {
		return errors.New("closed")
	}
	a.pipe = append(a.pipe, l)
	later(a.lag, a.open)
	return nil
}

// Close is for Sink: the app has lost its connection and lives on.
func (a *simSeat) Close(string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seat != a {
		return
	}
	a.gone, a.pipe = true, nil
	if a.stuck != nil {
		close(a.stuck)
		a.stuck = nil
	}
}

// open reads the oldest letter, and does what it says if the app is well.
func (a *simSeat) open() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seat != a || len(a.pipe) == 0 {
		return
	}
	l := a.pipe[0]
	a.pipe = a.pipe[1:]
	status := a.status
	if l.shown != nil {
		if screen := windows(a.shows); status != 0 {
			later(a.late, func() { l.shown(screen, true) })
		}
		return
	}
	if l.m.Method == protocol.MethodClear && a.badClears {
		status = 500
	}
	if status == 200 {
		a.follow(inWords(l.m), l.m)
	}
	if word := inWords(l.m); strings.Contains(word, "-update") && status != 200 {
		a.missed = true
	} else if strings.Contains(word, "-open") && status == 200 {
		a.missed = false
	}
	if !l.m.Answer || status == 0 {
		return
	}
	later(a.late, func() { l.answer(status) })
}

func (a *simApp) follow(word string, m Message) {
	verb, _, _ := strings.Cut(word, ":")
	switch {
	case m.Method == protocol.MethodClear:
		a.told = ""
	case strings.HasSuffix(verb, "-close"):
		_, closed, _ := strings.Cut(word, ":")
		if strings.Contains("/"+a.told+"/", "/"+closed+"/") {
			a.told = ""
		}
		a.read++
		if strings.Contains("/"+a.shows+"/", "/"+closed+"/") {
			a.shows = ""
		}
		return
	case strings.HasSuffix(verb, "-open") && verb != "Home-open":
		message, _ := fhircast.Decode([]byte(string(m.Params)))
		a.heard(message.(*fhircast.Event))
		var items []string
		for _, item := range message.(*fhircast.Event).Context {
			if item.Key == "content" {
				continue
			}
			who, _ := identify(item)
			items = append(items, who.id)
		}
		a.told = strings.Join(items, "/")
	case strings.HasSuffix(verb, "-update"):
		message, _ := fhircast.Decode([]byte(string(m.Params)))
		a.heard(message.(*fhircast.Event))
		return
	default:
		return
	}
	a.read++
	a.shows = a.told
}

// ask shows at once what it asks for, and goes back where it is told that it cannot be.
func (a *simApp) ask(name fhircast.Name, what string) {
	a.mu.Lock()
	a.asks++
	asks, read, seat := a.asks, a.read, a.seat
	if name.Verb() == fhircast.Open {
		a.shows = what
	} else if strings.Contains("/"+a.shows+"/", "/"+what+"/") {
		a.shows = ""
	}
	wish := a.shows
	a.mu.Unlock()
	go func() {
		_, err := a.s.relay.Send(a.id, protocol.SendParams{Event: string(name), Context: json.RawMessage(contextOf(what))})
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case seat != a.seat:
		case err == nil && read == a.read:
			a.told = wish
		case err != nil && asks == a.asks:
			a.shows = a.told
		}
	}()
}
