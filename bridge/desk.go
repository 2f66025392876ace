package bridge

import (
	"slices"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// What is kept of what a hub opens and never closes. The oldest beyond that is forgotten, as if it had never been opened:
// its close is one of something else, and what is shared in it is not followed.
const (
	openContexts = 32
	openBytes    = 16 << 20
)

// desk is the clinical context: what is current, what else is open, and what tells old news from new.
type desk struct {
	known    bool            // false: unknown, which is not "no patient" (S3)
	event    *fhircast.Event // what is current; nil: nothing is
	what     named
	by       *fhircast.Event   // the open, close or Home-open that made it so; nil: a reading
	snapshot bool              // event was read from the hub, not sent by it
	was      named             // as what, but not forgotten while it is unknown
	age      int               // changes of what is current so far
	open     []opened          // what is open, the current one last; the newest 32
	marks    map[string]anchor // newest open per key of an anchor
	newest   fhircast.Time     // of all opens, closes and Home-opens
	seen     map[pair]sight
	order    []pair // of seen, oldest first
}

// opened is a context that is open, and what is shared in it.
type opened struct {
	event    *fhircast.Event
	what     named
	version  string // context.versionId, the newest of it that we have heard of
	content  content
	moved    bool // content is more than the event says, whatever the versions are
	standing standing
	since    time.Time // of standing, where it is a bad one
}

// name is the resource that was opened as updates call it, "Type/id".
func (o *opened) name() string { return o.resource() + "/" + o.what.by[o.what.anchor].id }

// resource is its type as FHIR spells it, which the event's name need not.
func (o *opened) resource() string { return o.what.by[o.what.anchor].resource }

// size is what it takes to keep it.
func (o *opened) size() int { return len(o.event.Wire()) + o.content.bytes }

// current is what is current as one of those that are open, nil = nothing is. It is valid until the desk changes.
func (d *desk) current() *opened {
	if d.event == nil {
		return nil
	}
	return &d.open[len(d.open)-1]
}

// whole is what is current with what is shared in it by now: the event itself where nothing is, and also where what is
// shared is not known. It must not be called when nothing is current.
func (d *desk) whole(id string) *fhircast.Event {
	o := d.current()
	_, has := d.event.Item(contentKey)
	if o.standing != settled || o.content.over || has && d.event.Version == o.version && !o.moved || !has && len(o.content.entries) == 0 {
		return d.event
	}
	if e := o.content.with(d.event, id, o.version); e != nil {
		return e
	}
	return d.event
}

// find is the open context that an update names.
func (d *desk) find(anchor string) *opened {
	for i := range d.open {
		if d.open[i].name() == anchor {
			return &d.open[i]
		}
	}
	return nil
}

type anchor struct{ at fhircast.Time }

// pair is what a repeat has in common with its original. A derived event may carry the id of its source (FC-DRV-05).
type pair struct {
	id   string
	name fhircast.Name
}

// sight is what is remembered of an event.
type sight struct {
	age   int       // of the desk when the event was taken, 0 = it was not
	at    time.Time // its timestamp
	about string    // the "Type/id" that a change of the context named
}

// forget is the start of a subscription: nothing known, no order marks, nothing seen (S4).
func (d *desk) forget() {
	*d = desk{marks: make(map[string]anchor), seen: make(map[pair]sight)}
}

// unknown forgets what is current and the order marks, but not what was seen.
func (d *desk) unknown() {
	d.known, d.event, d.what, d.by, d.snapshot, d.open = false, nil, named{}, nil, false, nil
	d.marks, d.newest = make(map[string]anchor), fhircast.Time{}
}

// note remembers an event and tells whether it was there before: its id and name. About something else, or of another
// time, it is another event all the same, for senders count from one again when they start anew; only what is current may
// be told again with a new time.
func (d *desk) note(e *fhircast.Event, what named) (repeat, another bool) {
	p, s := pair{e.ID, e.Name.Canonical()}, sight{at: e.Timestamp.At, about: (&opened{what: what}).name()}
	if was, seen := d.seen[p]; seen {
		return true, was.about != s.about || !was.at.Equal(s.at) && !d.isCurrent(e)
	}
	if len(d.order) == seenEvents {
		delete(d.seen, d.order[0])
		d.order = d.order[1:]
	}
	d.seen[p] = s
	d.order = append(d.order, p)
	return false, false
}

// took marks an event as one that apps were told, or would have been.
func (d *desk) took(e *fhircast.Event) {
	p := pair{e.ID, e.Name.Canonical()}
	s := d.seen[p]
	s.age = d.age
	d.seen[p] = s
}

// isHistory tells whether an event of that id was taken here and something else has become current since. A doubtful one
// was never taken: the hub may have made it current by itself.
func (d *desk) isHistory(id string) bool {
	found := false
	for _, p := range d.order {
		if p.id != id {
			continue
		}
		if taken := d.seen[p].age; taken == 0 || taken == d.age {
			return false
		}
		found = true
	}
	return found
}

// isNews tells whether an event of that id was taken here, since what is current became so.
func (d *desk) isNews(id string) bool {
	return slices.ContainsFunc(d.order, func(p pair) bool { return p.id == id && d.seen[p].age != 0 && d.seen[p].age == d.age })
}

// isCurrent tells whether the event is the one that made current what is, or made nothing current.
func (d *desk) isCurrent(e *fhircast.Event) bool {
	return d.known && d.by != nil && d.by.ID == e.ID && d.by.Name.Is(e.Name)
}

// dates remembers the time of a change.
func (d *desk) dates(e *fhircast.Event) {
	if e.Timestamp.Known() && !e.Timestamp.Before(d.newest) {
		d.newest = e.Timestamp
	}
}

// straggles tells whether an open is older than a change that was here before, and not surely about the patient who is
// current. Its place in the hub's order may be long past, also where what is current was read since and has no time.
func (d *desk) straggles(e *fhircast.Event, what named) bool {
	return e.Timestamp.Before(d.newest) && !d.what.samePatient(what)
}

// overtaken tells whether an event is older than the one by which the desk is as it is.
func (d *desk) overtaken(e *fhircast.Event) bool {
	return d.by != nil && e.Timestamp.Before(d.by.Timestamp)
}

// older tells whether an open is old news: older than the last of its anchor type, or older than the current context
// and not surely about the same patient (S4). A snapshot sets no mark, for its time is that of our clock.
func (d *desk) older(e *fhircast.Event, what named) bool {
	if e.Timestamp.Before(d.marks[what.anchor].at) {
		return true
	}
	return d.event != nil && d.overtaken(e) && !d.what.samePatient(what)
}

// opens makes an open current. The same resource opened again is the same open context (FHIRcast 3.0.0, 4.4).
// What was shared in it is still there, unless the hub says otherwise.
func (d *desk) opens(e *fhircast.Event, what named, snapshot bool) {
	o := opened{event: e, what: what, version: e.Version}
	if was := d.closes(what); was != nil {
		o.content, o.standing, o.since = was.content, was.standing, was.since
		if o.standing == settled && e.Version != "" {
			o.standing = unread
		}
	}
	d.isOpen(o, len(d.open))
	if !snapshot || !d.was.is(what) {
		d.age++
	}
	d.known, d.event, d.what, d.was, d.by, d.snapshot = true, e, what, what, nil, snapshot
	if snapshot {
		return
	}
	d.by = e
	d.took(e)
	if e.Timestamp.Known() {
		d.marks[what.anchor] = anchor{e.Timestamp}
	}
}

// isOpen puts a context into the list of open ones.
func (d *desk) isOpen(o opened, at int) {
	d.open = slices.Insert(d.open, at, o)
	bytes := 0
	for i := range d.open {
		bytes += d.open[i].size()
	}
	for len(d.open) > openContexts || bytes > openBytes && len(d.open) > 1 {
		bytes -= d.open[0].size()
		d.open = slices.Delete(d.open, 0, 1)
	}
}

// closes takes a resource off the list of open ones, with what was shared in it. What is current is another matter.
func (d *desk) closes(what named) (closed *opened) {
	d.open = slices.DeleteFunc(d.open, func(o opened) bool {
		is := o.what.anchor == what.anchor && o.what.compareKey(what.anchor, what) == same
		if is {
			closed = &o
		}
		return is
	})
	return closed
}

// nothing makes nothing current, by an event or (nil) a reading. Other contexts stay open, and none of them becomes
// current by itself (S6).
func (d *desk) nothing(by *fhircast.Event) {
	if by != nil || !d.was.is(named{}) {
		d.age++
	}
	d.known, d.event, d.what, d.was, d.by, d.snapshot = true, nil, named{}, named{}, by, false
	if by != nil {
		d.took(by)
	}
}
