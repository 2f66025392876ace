package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A viewer is the sample app: it joins as any app does, says that it follows, and prints what it would show.
type viewer struct {
	demo    *demo
	changed chan struct{} // has a value when what is below has changed

	mu      sync.Mutex
	last    string // id of the last event
	showing bool   // a patient
}

func newViewer(d *demo) *viewer { return &viewer{demo: d, changed: make(chan struct{}, 1)} }

// run keeps it connected until ctx ends.
func (v *viewer) run(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		return client.Run(ctx, client.Options{Address: address, Name: "viewer", Version: version(), Answers: true,
			Event: v.event, Clear: v.clear, OutOfSync: func(error) { v.show("", false, "out of sync") }})
	}
}

func (v *viewer) event(_ context.Context, e *client.Event) protocol.EventAnswer {
	var body struct {
		Name fhircast.Name `json:"hub.event"`
	}
	if json.Unmarshal(e.Event.Event, &body) != nil {
		return protocol.EventAnswer{Status: 500}
	}
	v.show(e.ID, body.Name.Verb() == fhircast.Open && !body.Name.Is(fhircast.HomeOpen), describeEvent(e.Event))
	return protocol.EventAnswer{Status: v.demo.answer}
}

func (v *viewer) clear(_ context.Context, reason protocol.Reason) protocol.EventAnswer {
	v.show("", false, fmt.Sprintf("no patient (%s)", reason))
	return protocol.EventAnswer{Status: 200}
}

// show prints what the viewer shows from now on, for a person at the demo.
func (v *viewer) show(id string, showing bool, words string) {
	v.mu.Lock()
	v.last, v.showing = id, showing
	v.mu.Unlock()
	newest(v.changed, struct{}{})
	if !v.demo.json {
		v.demo.hint("viewer:    %s", words)
	}
}

// told waits for an event, which has to be the last that the app was told.
func (v *viewer) told(ctx context.Context, id string) error {
	return v.until(ctx, "the app was not told", func() bool { return v.last == id })
}

// empty waits until the app shows no patient.
func (v *viewer) empty(ctx context.Context) error {
	return v.until(ctx, "the app still shows a patient", func() bool { return !v.showing })
}

func (v *viewer) until(ctx context.Context, otherwise string, holds func() bool) error {
	for {
		v.mu.Lock()
		done := holds()
		v.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return errors.New(otherwise)
		}
	}
}
