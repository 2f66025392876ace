package bridge

import (
	"github.com/castray/castray/bridge/fhircast"
)

// desk is the clinical context: what is current, what else is open, and what tells old news from new.
type desk struct {
	known    bool            // false: unknown, which is not "no patient" (S3)
	event    *fhircast.Event // that made it current; nil: nothing is
	what     named
	snapshot bool              // read from the hub, not sent by it
	open     []opened          // all that is open, the current one last
	marks    map[string]anchor // newest open per anchor's resource
	seen     map[pair]bool
	order    []pair // of seen, oldest first
}

type opened struct {
	event *fhircast.Event
	what  named
}

type anchor struct{ at fhircast.Time }

// pair is what a repeat has in common with its original. A derived event may carry the id of its source (FC-DRV-05).
type pair struct {
	id   string
	name fhircast.Name
}

// forget is the start of a subscription: nothing known, no order marks, nothing seen (S4).
func (d *desk) forget() {
	*d = desk{marks: make(map[string]anchor), seen: make(map[pair]bool)}
}

// unknown forgets what is current and the order marks, but not what was seen.
func (d *desk) unknown() {
	d.known, d.event, d.what, d.snapshot, d.open = false, nil, named{}, false, nil
	d.marks = make(map[string]anchor)
}

// note remembers an event and tells whether it was there before.
func (d *desk) note(e *fhircast.Event) (repeat bool) {
	p := pair{e.ID, e.Name.Canonical()}
	if d.seen[p] {
		return true
	}
	if len(d.order) == seenEvents {
		delete(d.seen, d.order[0])
		d.order = d.order[1:]
	}
	d.seen[p] = true
	d.order = append(d.order, p)
	return false
}

// seenID tells whether an event of that id came on this subscription.
func (d *desk) seenID(id string) bool {
	for _, p := range d.order {
		if p.id == id {
			return true
		}
	}
	return false
}

// isCurrent tells whether the event is the one that made the context current, or closed it.
func (d *desk) isCurrent(e *fhircast.Event) bool {
	return d.known && d.event != nil && d.event.ID == e.ID && d.event.Name.Is(e.Name)
}

// older tells whether an open is old news: older than the last of its anchor type, or older than the current context
// and not surely about the same patient (S4). A snapshot sets no mark, for its time is that of our clock.
func (d *desk) older(e *fhircast.Event, what named) bool {
	if e.Timestamp.Before(d.marks[e.Name.Resource()].at) {
		return true
	}
	return d.known && d.event != nil && !d.snapshot && e.Timestamp.Before(d.event.Timestamp) && !d.what.samePatient(what)
}

// opens makes an open current. The same resource opened again is the same open context (FHIRcast 3.0.0, 4.4).
func (d *desk) opens(e *fhircast.Event, what named, snapshot bool) {
	d.closes(what)
	d.open = append(d.open, opened{e, what})
	d.known, d.event, d.what, d.snapshot = true, e, what, snapshot
	if !snapshot && e.Timestamp.Known() {
		d.marks[e.Name.Resource()] = anchor{e.Timestamp}
	}
}

// closes takes a resource off the list of open ones. What is current is another matter.
func (d *desk) closes(what named) {
	var rest []opened
	for _, o := range d.open {
		if o.what.anchor != what.anchor || o.what.compareKey(what.anchor, what) != same {
			rest = append(rest, o)
		}
	}
	d.open = rest
}

// nothing makes nothing current. Other contexts stay open, and none of them becomes current by itself (S6).
func (d *desk) nothing() {
	d.known, d.event, d.what, d.snapshot = true, nil, named{}, false
}
