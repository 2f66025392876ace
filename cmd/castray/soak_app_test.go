//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A soakApp follows as a vendor's app would, with the client library and its reconnect, and knows what it would show.
type soakApp struct {
	name    string
	options client.Options

	mu     sync.Mutex
	shows  string // id of the patient, or of the report, "" for none
	joined bool   // hears the agent
	phase  protocol.Phase
	hangs  time.Duration      // in the next callback
	hung   bool               // in one, in which nobody can tell it anything
	again  context.CancelFunc // ends the library's run, for another
}

func newSoakApp(w *soakWorld, name string) *soakApp {
	a := &soakApp{name: name}
	a.options = client.Options{Address: w.address, Name: name, Answers: true, Event: a.event, Clear: a.clear, Status: a.status, OutOfSync: a.lost}
	return a
}

// run is the app until ctx ends.
func (a *soakApp) run(ctx context.Context) {
	for ctx.Err() == nil {
		life, again := context.WithCancel(ctx)
		a.mu.Lock()
		a.again = again
		a.mu.Unlock()
		_ = client.Run(life, a.options)
		again()
		a.lost(nil) // after an end of its own the library says nothing
	}
}

// restart ends the app and begins it anew: the library waits longer from loss to loss, as long as none lasted 15 s.
func (a *soakApp) restart() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.again()
}

// hang lets the next callback take so long.
func (a *soakApp) hang(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hangs = d
}

// hold is what an app does that hangs, until its connection ends.
func (a *soakApp) hold(ctx context.Context) {
	a.mu.Lock()
	d := a.hangs
	a.hangs, a.hung = 0, d > 0
	a.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (a *soakApp) event(ctx context.Context, e *client.Event) protocol.EventAnswer {
	a.hold(ctx)
	var body struct {
		Name    fhircast.Name `json:"hub.event"`
		Context []struct {
			Resource struct{ ResourceType, ID string }
		}
	}
	if json.Unmarshal(e.Event.Event, &body) != nil {
		return protocol.EventAnswer{Status: 500}
	}
	shows := ""
	switch {
	case body.Name.Is(soakUpdate):
		return protocol.EventAnswer{Status: 200}
	case body.Name.Verb() == fhircast.Open && !body.Name.Is(fhircast.HomeOpen):
		for _, item := range body.Context {
			if item.Resource.ResourceType == body.Name.Resource() {
				shows = item.Resource.ID
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shows, a.hung = shows, false
	return protocol.EventAnswer{Status: 200}
}

func (a *soakApp) clear(ctx context.Context, _ protocol.Reason) protocol.EventAnswer {
	a.hold(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shows, a.hung = "", false
	return protocol.EventAnswer{Status: 200}
}

func (a *soakApp) status(s protocol.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.joined, a.phase = true, s.Phase
}

func (a *soakApp) lost(error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.joined, a.hung, a.phase = false, false, ""
}

// believes is what the app shows, and whether it has been told that this is the context.
func (a *soakApp) believes() (shows string, well bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wellPhase := slices.Contains([]protocol.Phase{protocol.PhaseInSync, protocol.PhaseNoContext, protocol.PhaseUnconfirmed}, a.phase)
	return a.shows, a.joined && !a.hung && wellPhase
}

// nobody is what is current where there is no hub: nothing that an app may show as the context.
const nobody = "\x00"

// A soakWatch holds what the hub says is current, and measures for how long apps believe something else without having
// been told that they may be wrong. Everything takes a moment; what takes longer is the third state, which must not be.
type soakWatch struct {
	mu      sync.Mutex
	current string
	excused time.Time // until then it is known that nobody can know: a line is silent, a process frozen
	worst   time.Duration
	about   string
}

func (w *soakWatch) set(current string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = current
}

// excuse says for how long from now a fault may go unnoticed.
func (w *soakWatch) excuse(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until := time.Now().Add(d); until.After(w.excused) {
		w.excused = until
	}
}

func (w *soakWatch) longest() (time.Duration, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worst, w.about
}

// look compares until ctx ends.
func (w *soakWatch) look(ctx context.Context, apps []*soakApp) {
	since := make([]time.Time, len(apps))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for i, a := range apps {
				shows, well := a.believes()
				w.mu.Lock()
				switch {
				case !well || shows == w.current || now.Before(w.excused):
					since[i] = time.Time{}
				case since[i].IsZero():
					since[i] = now
				case now.Sub(since[i]) > w.worst:
					w.worst, w.about = now.Sub(since[i]), fmt.Sprintf("%s showed %q while the hub had %q", a.name, shows, w.current)
				}
				w.mu.Unlock()
			}
		}
	}
}
