package bridge

import (
	"encoding/json"
	"slices"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// alias stands for the topic in what apps get: the real one opens doors.
const alias = "castray"

// tellEvent queues an event for an app. What is named becomes its belief when the event is written.
func (c *core) tellEvent(a *app, e *fhircast.Event, what named, mark protocol.Mark, r *round) {
	m := newMessage(e, what)
	m.Params = c.line(e, mark)
	if m.open {
		a.share = c.shareOf(e)
	}
	c.tell(a, m, r)
}

func newMessage(e *fhircast.Event, what named) *message {
	return &message{
		Message: Message{Method: protocol.MethodEvent},
		what:    what,
		open:    e.Name.Resource() != "" && e.Name.Verb() == fhircast.Open,
		close:   e.Name.Verb() == fhircast.Close,
		change:  e.Name.Changes(),
		within:  silentAfter,
		bad:     protocol.OutcomeSilent,
	}
}

// tellClear queues the wish that the app shows no patient.
func (c *core) tellClear(a *app, why protocol.Reason, r *round) {
	params, _ := json.Marshal(protocol.Clear{Reason: why})
	m := &message{
		Message: Message{Method: protocol.MethodClear, Params: params},
		clear:   true,
		change:  true,
		within:  clearWithin,
		bad:     protocol.OutcomeFailed,
	}
	c.tell(a, m, r)
}

// line remembers the last text made, for one event goes to many apps.
type line struct {
	event *fhircast.Event
	mark  protocol.Mark
	text  []byte
}

// line is an event as apps get it, made once for all who get the same.
func (c *core) line(e *fhircast.Event, mark protocol.Mark) []byte {
	if c.lastLine.event == e && c.lastLine.mark == mark {
		return c.lastLine.text
	}
	c.lastLine = line{e, mark, e.Relay(alias, inJSON(mark))}
	return c.lastLine.text
}

// inJSON is "" for a mark that says nothing.
func inJSON(mark protocol.Mark) string {
	if mark == (protocol.Mark{}) {
		return ""
	}
	text, _ := json.Marshal(mark)
	return string(text)
}

// tell puts a message into the app's queue and starts the clock on its answer. A full queue cuts the app off: it finds
// the context when it returns. No other app notices (S10).
func (c *core) tell(a *app, m *message, r *round) {
	if len(a.queue) >= queueMessages || a.bytes+len(m.Params) > queueBytes {
		c.lose(a, "cut off: it did not read what it was sent")
		if r != nil && a.counts() {
			r.failed = true
		}
		return
	}
	c.seq++
	m.seq, m.round = c.seq, r
	if !m.question {
		a.newest = c.seq
	}
	if m.change {
		a.proof.doubt = false
		c.willAsk(a, showAfter)
		a.told++
		a.outdate(r)
		a.about = append(a.about, m)
		a.show(c.now)
		c.after(c.cfg.AnswerWithin, func() {}) // pending looks worse from then on
	}
	m.Answer = m.question || a.Answers && (r != nil || m.change)
	switch {
	case m.Answer:
		m.due = c.after(m.within, func() { c.overdue(a, m) })
		if r != nil && a.counts() {
			r.waiting[m] = a
		}
	case r != nil && a.counts():
		r.sent = true
	}
	a.queue = append(a.queue, m)
	a.bytes += len(m.Params)
	c.next(a)
}

// outdate marks what the app was told before as history: an answer to it is late and changes no row. Messages of the
// same round stand beside each other.
func (a *app) outdate(r *round) {
	a.about = slices.DeleteFunc(a.about, func(m *message) bool {
		m.old = r == nil || m.round != r
		return m.old
	})
	for seq, m := range a.unread {
		if m.old {
			delete(a.unread, seq) // its answer is only counted
		}
	}
}

// next hands the oldest message to the app's writer, one at a time.
func (c *core) next(a *app) {
	if a.writing != nil || len(a.queue) == 0 || a.lost {
		return
	}
	a.writing = a.queue[0]
	a.queue = slices.Delete(a.queue, 0, 1)
	a.bytes -= len(a.writing.Params)
	c.emit(write{a.id, a.sink, a.writing.seq, a.writing.Message})
}

// supersede takes opens out of the queues that nobody has seen yet, for a newer change is here. Nothing else ever is. An
// app whose row was about one of them is adrift until it is told something.
func (c *core) supersede() {
	for _, a := range c.apps {
		isOut := func(m *message) bool { return m.open && slices.Contains(a.queue, m) }
		if slices.ContainsFunc(a.about, isOut) {
			a.about = slices.DeleteFunc(a.about, isOut)
			a.set(protocol.OutcomePending, "", c.now)
		}
		a.queue = slices.DeleteFunc(a.queue, func(m *message) bool {
			if m.open {
				c.counters.Superseded++
				a.bytes -= len(m.Params)
				m.Params = nil
				m.done = true
			}
			return m.open
		})
	}
}

// written is the writer's report.
type written struct {
	app string
	seq int
	err error
}

func (in written) apply(c *core) {
	a := c.app(in.app)
	if a == nil || a.writing == nil || a.writing.seq != in.seq {
		return
	}
	m := a.writing
	a.writing = nil
	if in.err != nil {
		c.lose(a, "cut off: it could not be written to")
		return
	}
	a.reached(m)
	m.Params = nil // while its answer is awaited the event is not
	switch {
	case m.answered || m.old: // answered before the writer came back, or of no interest any more
	case m.Answer:
		a.unread[m.seq] = m
	default:
		a.clearTold = a.clearTold || m.clear && !a.isVoid(m)
		c.outcome(a, m, protocol.OutcomeSent, "")
	}
	c.calm = !m.change
	c.next(a)
	c.checkClearing()
}
