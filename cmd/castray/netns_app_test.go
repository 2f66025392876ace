//go:build netns && linux

package main_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// An app is connected to the agent all the time and notes what it is told, and when. The pipe to the agent is no part of
// the network.
type app struct {
	*client.Client
	street *street

	mu       sync.Mutex
	patients []string // of the opens that were delivered, in order
	shows    string   // the patient; "" after a clear
	read     bool     // by a snapshot
	said     []told
}

// A told is a status as it came.
type told struct {
	protocol.Status
	at time.Time
}

// startApp runs the agent and an app that follows it.
func (s *street) startApp() *app {
	s.Helper()
	s.startAgent()
	a := &app{street: s}
	o := client.Options{Address: s.socket(), Name: "viewer", Answers: true,
		Event: func(_ context.Context, e *client.Event) protocol.EventAnswer { return a.open(e.Event) },
		Clear: func(context.Context, protocol.Reason) protocol.EventAnswer {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.shows = ""
			return protocol.EventAnswer{Status: 200}
		},
		Status: func(st protocol.Status) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.said = append(a.said, told{st, time.Now()})
		},
		OutOfSync: func(why error) { s.Errorf("the agent is gone: %v", why) },
	}
	s.eventually("the agent lets the app in", 10*time.Second, func() bool {
		var err error
		a.Client, err = client.Dial(s.ctx, o)
		return err == nil
	})
	s.Cleanup(func() {
		a.Close()
		_ = a.Wait()
	})
	return a
}

// follows starts everything and opens the first patient.
func (s *street) follows() *app {
	s.Helper()
	a := s.startApp()
	s.eventually("subscribed", 15*time.Second, func() bool { return a.last().Phase == protocol.PhaseNoContext })
	s.hub.opens(s)
	a.right(time.Now(), 5*time.Second)
	return a
}

// open notes what is delivered. A snapshot and an event that name the same patient one after the other are one delivery:
// when the line was lost before the app's answer, the agent is not sure that it was heard, and tells what it reads; and a
// hub may tell a new subscriber by an event what the agent reads at the same time.
func (a *app) open(e protocol.Event) protocol.EventAnswer {
	var event struct {
		Name    string `json:"hub.event"`
		Context []struct {
			Key      string              `json:"key"`
			Resource struct{ ID string } `json:"resource"`
		} `json:"context"`
	}
	if err := json.Unmarshal(e.Event, &event); err != nil || event.Name != "Patient-open" {
		a.street.Errorf("this is no open: %v %s", err, event.Name)
		return protocol.EventAnswer{Status: 400}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	snapshot := e.Castray != nil && e.Castray.Snapshot
	for _, c := range event.Context {
		if c.Key != "patient" {
			continue
		}
		if c.Resource.ID != a.shows || !snapshot && !a.read {
			a.patients = append(a.patients, c.Resource.ID)
		}
		a.shows, a.read = c.Resource.ID, snapshot
	}
	return protocol.EventAnswer{Status: 200}
}

func (a *app) last() protocol.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.said) == 0 {
		return protocol.Status{}
	}
	return a.said[len(a.said)-1].Status
}

// told waits for the first status after since that does not say in sync, or tells that it was not meanwhile: of two within
// 50 ms an app hears the newer. It wants that within bar and returns how long it took.
func (a *app) told(since time.Time, bar time.Duration) time.Duration {
	a.street.Helper()
	var at time.Time
	a.street.eventually("told", bar+5*time.Second, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		before := 0
		i := slices.IndexFunc(a.said, func(s told) bool {
			if !s.at.After(since) {
				before = s.Counters.Reconnects
				return false
			}
			return s.Phase != protocol.PhaseInSync || s.Counters.Reconnects > before
		})
		if i >= 0 {
			at = a.said[i].at
		}
		return i >= 0
	})
	a.street.Logf("told after %v", at.Sub(since).Round(time.Millisecond))
	if at.Sub(since) > bar {
		a.street.Errorf("told after %v, later than %v", at.Sub(since), bar)
	}
	return at.Sub(since)
}

// right waits until the app shows the hub's patient and is told that it is in sync, and wants that within bar of since.
// All that was opened so far has then been delivered once and in order, but for those on their way while the line failed:
// they may be missed, for the last counts, or come again, when it was lost before their answer.
func (a *app) right(since time.Time, bar time.Duration, onTheWay ...string) {
	a.street.Helper()
	opened := a.street.hub.opensSoFar()
	want := opened[len(opened)-1]
	a.street.eventually("in sync with "+want, bar+10*time.Second, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.shows == want && len(a.said) > 0 && a.said[len(a.said)-1].Phase == protocol.PhaseInSync
	})
	took := time.Since(since)
	a.street.Logf("in sync with %s after %v", want, took.Round(time.Millisecond))
	if took > bar {
		a.street.Errorf("in sync after %v, later than %v", took, bar)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	expected := slices.DeleteFunc(opened, func(p string) bool { return slices.Contains(onTheWay, p) && !slices.Contains(a.patients, p) })
	delivered := slices.CompactFunc(slices.Clone(a.patients), func(p, next string) bool { return p == next && slices.Contains(onTheWay, p) })
	if !slices.Equal(delivered, expected) {
		a.street.Errorf("delivered %v, not %v", a.patients, expected)
	}
}

// problem waits for a problem whose sentence has those words.
func (a *app) problem(words string, within time.Duration) {
	a.street.Helper()
	a.street.eventually("told: "+words, within, func() bool {
		return slices.ContainsFunc(a.last().Problems, func(p protocol.Problem) bool { return strings.Contains(p.Sentence, words) })
	})
}

// eventually asks until the answer is yes.
func (s *street) eventually(what string, within time.Duration, ask func() bool) {
	s.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	late := time.After(within)
	for !ask() {
		select {
		case <-s.ended:
			s.Fatalf("the agent ended before %s", what)
		case <-late:
			s.Fatalf("waited in vain until %s", what)
		case <-again.C:
		}
	}
}
