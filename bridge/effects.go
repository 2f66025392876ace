package bridge

import (
	"context"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// answer tells the hub what became of an event.
type answer struct {
	delivery *fhircast.Delivery
	status   int
}

func (e answer) do(*Relay) { e.delivery.Answer(e.status) }

// reply calls back somebody who waits, once the View shows what came of it. The callback must not block.
type reply struct{ call func() }

func (e reply) do(*Relay) { e.call() }

// preview shows what the first context of a session changes, before the apps are told.
type preview struct {
	show func(apps []string)
	apps []string
}

func (e preview) do(*Relay) { e.show(e.apps) }

// signal tells the agent what the hub wants of the whole session.
type signal struct{ name fhircast.Name }

func (e signal) do(r *Relay) {
	if r.cfg.Signal != nil {
		r.cfg.Signal(e.name)
	}
}

// hangUp ends the questions that are out: their answers belong to something that is over.
type hangUp struct{}

func (hangUp) do(r *Relay) {
	r.hangUp()
	r.asking, r.hangUp = context.WithCancel(r.running)
}

// ask reads the current context.
type ask struct {
	gen, number int
	id          string
}

func (e ask) do(r *Relay) {
	hub, asking := r.core.session.Hub, r.asking
	r.wait.Go(func() {
		event, offered, err := hub.Context(asking, e.id)
		r.post(read{e.gen, e.number, event, offered, err})
	})
}

// publish asks for an event to be broadcast.
type publish struct {
	gen   int
	hub   Hub
	event *fhircast.Event
}

func (e publish) do(r *Relay) {
	asking, done := context.WithTimeout(r.asking, toldWithin)
	r.wait.Go(func() {
		defer done()
		status, err := e.hub.Publish(asking, e.event)
		r.post(published{e.gen, e.event.ID, status, err})
	})
}

// A writer is the goroutine that writes to one app. The core gives it one message at a time.
type writer struct {
	sink Sink
	todo chan write
}

func (w *writer) stop(reason string) {
	close(w.todo)
	w.sink.Close(reason)
}

// start makes an app's writer.
type start struct {
	id   string
	sink Sink
}

func (e start) do(r *Relay) {
	w := &writer{sink: e.sink, todo: make(chan write, 1)}
	r.writers[e.id] = w
	r.wait.Go(func() {
		for m := range w.todo {
			r.post(written{m.app, m.seq, m.send(r)})
		}
	})
}

// write hands a message to an app's writer, which is idle.
type write struct {
	app     string
	sink    Sink
	seq     int
	message Message
}

func (e write) do(r *Relay) { r.writers[e.app].todo <- e }

// send is the writer's part.
func (e write) send(r *Relay) error {
	if e.message.Method == protocol.MethodShown {
		return e.sink.Shown(func(windows []protocol.Window, ok bool) { r.post(showed{e.app, e.seq, windows, ok}) })
	}
	return e.sink.Write(e.message, func(status int) { r.post(answered{e.app, e.seq, status}) })
}

// shut ends an app's writer and closes its sink.
type shut struct {
	id     string
	sink   Sink
	reason string
}

func (e shut) do(r *Relay) {
	if w := r.writers[e.id]; w != nil && w.sink == e.sink {
		delete(r.writers, e.id)
		w.stop(e.reason)
	}
}
