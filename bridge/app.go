package bridge

import (
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// An App describes who wants to follow. The caller has decided who it is and what it may do.
type App struct {
	Name     string          // what it calls itself
	Via      string          // "pipe", "websocket", "fhircast" or an adapter's kind
	PID      int             // 0 = unknown
	Exe      string          // its executable, for telling that a lost app is back; "" = unknown
	Rule     string          // the administrator's rule that it falls under; "" = none
	Sees     []fhircast.Name // what it may see; nil = everything
	Events   []fhircast.Name // what it asks for; nil = all that it may see
	Answers  bool            // it answers events and clears
	Shows    bool            // it can be asked what it shows
	Required string          // protocol.RequiredConnected ("" too), RequiredAlways or RequiredNever
	OnLoss   string          // OnLossMark ("" too) or OnLossClear
	MaySend  bool            // it may request context changes
	Sends    []fhircast.Name // which of those that are configured; nil = all
	Hidden   bool            // a command of ours: it follows nothing and has no row
	Adapter  bool            // it drives an unmodified app
	Bare     bool            // it is told events and nothing else, so it can be cleared by those only that it asks for
	Test     bool            // an adapter that may be driven from a test hub
}

// What becomes of an app when the hub is lost for longer than 10 s.
const (
	OnLossMark  = "mark"
	OnLossClear = "clear"
)

// A Message is one thing to be told to an app. Params is one line of JSON, shared and not to be changed.
type Message struct {
	Method string // protocol.MethodEvent or MethodClear
	Params []byte
	Answer bool // an answer is awaited
}

// A Sink is the way to one app. The relay calls Write from one goroutine, one message at a time, and never again after
// Close. Write returns when the message is written or surely is not; answer is called at most once, from any goroutine,
// also after Write has returned: with a status as in HTTP, 0 for an answer that was an error or made no sense. Close
// says why, in a sentence for a developer, and makes a Write that hangs return.
type Sink interface {
	Write(m Message, answer func(status int)) error
	Close(reason string)
	// Shown asks what the app shows, as Write tells; not ok is an answer that is none. It is called only of apps that say
	// that they can tell.
	Shown(answer func(windows []protocol.Window, ok bool)) error
}

// Limits of an app's queue. When it is full the app is cut off and finds the context when it returns.
const (
	queueMessages = 256
	queueBytes    = 8 << 20
)

// message is a Message in an app's queue.
type message struct {
	Message
	seq    int
	what   named // what the app believes once it is written; for a close, what is closed
	open   bool  // may be superseded
	close  bool
	clear  bool
	change bool // of the context, or a clear: the row shows what comes of it

	question bool // what the app shows; what it had been told by then, and what was current
	asked    int
	age      int

	round *round

	within   time.Duration    // for its answer
	due      *timer           // when that is over
	bad      protocol.Outcome // without one
	old      bool             // something newer was queued for the app
	done     bool             // its outcome is known, or it was taken out
	outcome  protocol.Outcome // once it is known; a late answer changes it
	why      string
	answered bool
	reached  bool // the app has it
	empties  bool // a close of what it was at
}

// app is the relay's side of an App.
type app struct {
	App
	id   string
	sink Sink

	believes  belief
	share     share // of what it believes
	queue     []*message
	bytes     int
	writing   *message
	unread    map[int]*message // written, answer awaited
	about     []*message       // what the row is about: the newest about the context
	told      int              // messages about the context queued for it so far
	clearTold bool             // it was told to clear and cannot confirm

	lastOpen int      // number of the newest open that it has
	newest   int      // of what was sent to it, or withheld
	voidTo   int      // what was sent up to this number says nothing of what it shows
	asked    *request // its newest wish to change the context

	outcome protocol.Outcome
	why     string // problem code that goes with a bad outcome, where it is not the outcome itself
	at      time.Time
	since   time.Time
	paused  bool
	leaves  bool // it asked for nothing any more, and is to show no patient
	returns bool // its hello brought back one that was lost
	lost    bool // gone while its process lives; the row stays
	inWork  int  // requests in flight

	proof proof

	lastSyncError time.Time
}

func (a *app) wants(n fhircast.Name) bool {
	return (a.Events == nil || n.In(a.Events)) && (a.Sees == nil || n.In(a.Sees))
}

func (a *app) asks(resource string) bool {
	return a.Events == nil && a.Sees == nil || a.wants(fhircast.Name(resource+"-"+string(fhircast.Open)))
}

// asksAny tells whether the app asked for any anchor at all.
func (a *app) asksAny() bool {
	list := a.asksFor()
	if list == nil {
		return true
	}
	for _, n := range list {
		if n.Resource() != "" && n.Verb() == fhircast.Open {
			return true
		}
	}
	return false
}

func (a *app) agrees(current named) bool { return a.believes.agrees(current, a.asks, a.asksAny()) }

// distrust is for an app of which nobody can say what it shows, whatever it has been sent so far.
func (a *app) distrust() {
	a.believes, a.clearTold, a.voidTo = belief{}, false, a.newest
	if a.proof.found == protocol.OutcomeVerified { // what was seen on its screen was before
		a.proof.found = ""
	}
}

// isVoid tells whether a message was sent too early to say anything of what the app shows.
func (a *app) isVoid(m *message) bool { return m.seq <= a.voidTo }

// idle tells whether the app has answered all that it was sent. What it is only asked moves it nowhere.
func (a *app) idle() bool {
	for _, m := range a.queue {
		if !m.question {
			return false
		}
	}
	for _, m := range a.unread {
		if !m.question {
			return false
		}
	}
	return a.writing == nil || a.writing.question
}

// reached is a message that the app has. A clear counts when it is answered.
func (a *app) reached(m *message) {
	if m.reached || m.clear {
		return
	}
	m.reached = true
	if a.isVoid(m) {
		return
	}
	m.empties = m.close && a.believes.sure && a.believes.names(m.what) && a.believes.what.anchor == m.what.anchor
	a.believes = m.after(a.believes, !a.Answers)
	if m.open {
		a.lastOpen, a.clearTold = m.seq, false
	}
}

// expects is what the app will believe when all that is on its way is written: planning looks at this, so that nothing
// is told twice.
func (a *app) expects() belief {
	b := a.believes
	if a.clearTold {
		b = noPatient
	}
	for _, m := range a.unread {
		if m.clear && !m.done && !a.isVoid(m) {
			b = noPatient
		}
	}
	if a.writing != nil && !a.isVoid(a.writing) {
		b = a.writing.after(b, !a.Answers)
	}
	for _, m := range a.queue {
		if !a.isVoid(m) {
			b = m.after(b, !a.Answers)
		}
	}
	return b
}

// after is the belief of an app that had b and was told m. One that did not say that it follows what is closed now may
// show what it had before.
func (m *message) after(b belief, sure bool) belief {
	switch {
	case m.clear:
		return noPatient
	case m.open:
		return belief{known: true, sure: sure, what: m.what}
	case m.close && b.names(m.what) && b.sure && b.what.anchor == m.what.anchor:
		return noPatient // of something that its context only names, nobody knows what it makes
	case m.close && b.names(m.what):
		return belief{}
	}
	return b
}

// adrift is an app whose row waits for something that was taken out of its queue.
func (a *app) adrift() bool { return a.outcome == protocol.OutcomePending && !a.busy() }

// counts tells whether the app's outcome says something about the desk.
func (a *app) counts() bool { return !a.paused && a.Required != protocol.RequiredNever }

// follows tells whether it is an app by which the desk is in sync.
func (a *app) follows() bool { return a.asksAny() && !a.lost && a.counts() }

func (a *app) row() protocol.AppRow {
	outcome, at := a.known()
	r := protocol.AppRow{ID: a.id, Name: a.Name, Via: a.Via, PID: a.PID, Required: a.Required, Can: []string{}, Outcome: outcome, At: at, Since: a.since}
	if r.Required == "" {
		r.Required = protocol.RequiredConnected
	}
	if a.Answers {
		r.Can = append(r.Can, protocol.CanAnswer)
	}
	if a.Shows {
		r.Can = append(r.Can, protocol.CanShow)
	}
	if (a.Answers || !a.Adapter) && (!a.Bare || a.closes()) {
		r.Can = append(r.Can, protocol.CanClear)
	}
	if a.paused {
		r.Outcome = protocol.OutcomePaused
	}
	return r
}

// closes tells whether the app asks for an event that leaves it without a patient, whatever it was told to open.
func (a *app) closes() bool {
	if a.wants(fhircast.HomeOpen) {
		return true
	}
	for _, c := range clinical {
		if a.asks(c.resource) && !a.wants(fhircast.Name(c.resource+"-"+string(fhircast.Close))) {
			return false
		}
	}
	return a.asksAny()
}
