package bridge

import (
	"errors"
	"net/http"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A request is a context change that an app asked for. It is posted once; it outlives its answer for as long as its id
// returns the first result (DESIGN 3.2).
type request struct {
	session *Session
	since   time.Time // when it was first asked
	by      *app      // not its id: under that another may return
	event   *fhircast.Event
	gen     int
	told    int  // what had been queued for the app when it asked
	certain bool // the app is where this asks to go, unless it is told something else
	out     bool // posted, the hub's answer is awaited
	result  *protocol.SendResult
	err     *protocol.Error
	waiters []func(protocol.SendResult, error)

	over      bool // its broadcast is not waited for: it came, or was given up
	confirmed bool // it came
	withheld  bool // from the app that asked
	rejected  bool // by a SyncError, whatever the answer was
}

// send is an app's request. What an app may ask for is decided here and nowhere else.
type send struct {
	app    string
	params protocol.SendParams
	reply  func(protocol.SendResult, error)
}

func (in send) apply(c *core) {
	a := c.app(in.app)
	if a == nil || a.lost {
		in.refuse(c, &protocol.Error{Code: protocol.CodeNotConnected, Message: "The connection of this app has ended; say hello again."})
		return
	}
	if q := c.requests[in.params.ID]; q != nil && in.params.ID != "" {
		c.again(a, q, in)
		return
	}
	e, fault := c.permitted(a, in.params)
	if fault != nil {
		in.refuse(c, fault)
		return
	}
	q := &request{session: c.session, since: c.now, event: e}
	c.requests[e.ID] = q
	c.post(a, q, in.reply)
}

func (in send) refuse(c *core, fault *protocol.Error) {
	c.emit(reply{func() { in.reply(protocol.SendResult{}, fault) }})
}

// again is the same id once more: the first result, or, where the first answer of the hub was lost, the same event once
// more (S12).
func (c *core) again(a *app, q *request, in send) {
	switch {
	case q.by.id != a.id:
		in.refuse(c, &protocol.Error{Code: protocol.CodeInvalidParams, Message: "This id was used by another app; leave id out or make a new one."})
	case q.out:
		q.waiters = append(q.waiters, in.reply)
	case q.unknown() && q.session == c.session:
		if fault := c.mayAsk(a, q.event.Name); fault != nil {
			in.refuse(c, fault)
		} else if c.now.Sub(q.since) >= keptFor {
			in.refuse(c, &protocol.Error{Code: protocol.CodeTooLate, Message: "This request is older than 30 s; look at the context and make a new one."})
		} else {
			c.post(a, q, in.reply)
		}
	default:
		c.emit(reply{func() { in.reply(q.answer()) }})
	}
}

func (q *request) answer() (protocol.SendResult, error) {
	if q.err != nil {
		return protocol.SendResult{}, q.err
	}
	return *q.result, nil
}

// mayAsk tells why an app may not ask for an event now, nil = it may.
func (c *core) mayAsk(a *app, event fhircast.Name) *protocol.Error {
	fault := func(code int, sentence string) *protocol.Error { return &protocol.Error{Code: code, Message: sentence} }
	switch {
	case !a.MaySend:
		return fault(protocol.CodeNotAllowed, "This app may follow but not send; say the key in hello, or ask the administrator for a rule that permits it.")
	case a.Sends != nil && !event.In(a.Sends):
		return fault(protocol.CodeNotAllowed, "The administrator's rule for this app does not permit this event.")
	case c.sub == 0 || c.session == nil:
		return notConnected()
	case a.paused:
		return fault(protocol.CodeNotConnected, "This app is paused; resume it, then ask again.")
	case !event.In(c.session.Send):
		return fault(protocol.CodeNotAllowed, "The configuration does not permit this event; add it to hub.send.")
	case c.session.Scopes != nil && !c.session.Scopes.Write(event):
		return fault(protocol.CodeNotGranted, "The sign-in did not grant the write scope of this event.")
	case a.inWork >= inFlight:
		return fault(protocol.CodeBusy, "Too many requests at once; wait for an answer before the next.")
	}
	return nil
}

// permitted checks a request and makes its event.
func (c *core) permitted(a *app, p protocol.SendParams) (*fhircast.Event, *protocol.Error) {
	event := fhircast.Name(p.Event)
	if fault := c.mayAsk(a, event); fault != nil {
		return nil, fault
	}
	id := p.ID
	if id == "" {
		id = c.cfg.NewID()
	}
	draft := fhircast.Draft{ID: id, At: c.now, Topic: c.session.Topic, Name: event, Context: p.Context, Version: p.Version}
	e, err := fhircast.NewEvent(draft)
	if err != nil {
		return nil, unfit(err)
	}
	switch event.Verb() {
	case fhircast.Update:
		if draft.Version, err = c.mayUpdate(e); err == nil && draft.Version != e.Version {
			e, err = fhircast.NewEvent(draft)
		}
	case fhircast.Select:
		err = c.maySelect(e)
	}
	if err == nil {
		_, err = fhircast.Encode(e)
	}
	switch fault := (*protocol.Error)(nil); {
	case errors.As(err, &fault):
		return nil, fault
	case err != nil:
		return nil, unfit(err)
	case len(e.Wire()) > eventLimit:
		return nil, &protocol.Error{Code: protocol.CodeRefused, Message: "The event is larger than 4 MiB, which nobody would be given; share less at once.",
			Data: &protocol.ErrorData{Status: http.StatusRequestEntityTooLarge}}
	}
	return e, nil
}

// eventLimit is what the agent itself relays to apps (DESIGN 5): what is larger would come back and be refused by us.
const eventLimit = 4 << 20

func unfit(err error) *protocol.Error {
	return &protocol.Error{Code: protocol.CodeInvalidParams, Message: "The event cannot be sent: " + err.Error() + "."}
}

// post asks the hub. What was asked on one subscription is not waited for on the next (S12).
func (c *core) post(a *app, q *request, reply func(protocol.SendResult, error)) {
	q.by, q.gen, q.out, q.result, q.err = a, c.gen, true, nil, nil
	q.told, q.over, q.confirmed, q.withheld, q.rejected = a.told, false, false, false, false
	if q.event.Name.Changes() {
		if a.asked != nil {
			a.asked.certain = false // its echo would find the app further on
		}
		a.asked = q
		q.certain = a.Answers && a.idle()
	}
	q.waiters = append(q.waiters, reply)
	a.inWork++
	c.emit(publish{gen: c.gen, hub: c.session.Hub, event: q.event})
}

// published is the hub's answer to a request, or to a SyncError of ours, which nobody waits for.
type published struct {
	gen    int
	id     string
	status int
	err    error
}

func (in published) apply(c *core) {
	q := c.requests[in.id]
	if q == nil || !q.out || q.gen != in.gen {
		return
	}
	q.out = false
	q.by.inWork--
	if !q.rejected {
		q.result, q.err = meaning(q.event.ID, in.status, in.err)
	}
	if q.confirmed && q.unknown() { // our own echo confirms a request
		q.result, q.err = &protocol.SendResult{ID: in.id, Status: 202}, nil
	}
	for _, waiter := range q.waiters {
		c.emit(reply{func() { waiter(q.answer()) }})
	}
	q.waiters = nil
	c.after(sentFor, func() {
		if c.requests[in.id] == q && !q.out {
			delete(c.requests, in.id)
		}
	})
	switch {
	case q.gen != c.gen:
	case q.event.Name.Verb() == fhircast.Update:
		c.updated(q)
	case q.err == nil:
		c.after(echoWithin, func() { c.missed(q) })
	case q.withheld: // refused, and yet it was broadcast
		q.by.distrust()
		c.doubt()
	default:
		q.certain = false
	}
}

// unknown tells whether the hub's answer was lost.
func (q *request) unknown() bool { return q.err != nil && q.err.Data != nil && q.err.Data.Unknown }

// meaning is what a hub's answer means to the app that asked.
func meaning(id string, status int, err error) (*protocol.SendResult, *protocol.Error) {
	var unsent interface{ NotSent() bool }
	switch {
	case status >= 200 && status < 300:
		return &protocol.SendResult{ID: id, Status: status}, nil
	case status == 401:
		return nil, &protocol.Error{Code: protocol.CodeSigninNeeded, Message: "The hub wants a new sign-in.", Data: &protocol.ErrorData{Status: status}}
	case status != 0:
		return nil, &protocol.Error{Code: protocol.CodeRefused, Message: "The hub refused the event.", Data: &protocol.ErrorData{Status: status}}
	case errors.As(err, &unsent) && unsent.NotSent():
		return nil, notConnected()
	}
	return nil, &protocol.Error{Code: protocol.CodeNotConnected, Message: "The hub's answer was lost: the event may have been taken or not. Send the same id again, or look at the context.",
		Data: &protocol.ErrorData{Unknown: true}}
}
