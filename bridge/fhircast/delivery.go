package fhircast

import "sync/atomic"

// A Delivery is an event that waits for exactly one answer to its hub (FHIRcast 3.0.0, 2.5.2). Answer may be called
// from any goroutine; after the first call it does nothing and says so.
type Delivery struct {
	Event *Event
	// Subscription numbers the subscription on which the event came, from 1, so that what is late can be told apart.
	Subscription int

	answer   func(Answer)
	answered atomic.Bool
}

// NewDelivery wraps an event; answer is called once, with the event's id, and must not block.
func NewDelivery(e *Event, subscription int, answer func(Answer)) *Delivery {
	return &Delivery{Event: e, Subscription: subscription, answer: answer}
}

// Answer sends the status, and tells whether it was the first.
func (d *Delivery) Answer(status int) bool {
	if !d.answered.CompareAndSwap(false, true) {
		return false
	}
	d.answer(Answer{ID: d.Event.ID, Status: status})
	return true
}
