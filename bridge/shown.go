package bridge

import (
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// When an app that can say what it shows is asked (DESIGN 2).
const (
	showAfter = time.Second     // after it was told something, or the context has changed without it: viewers load
	showAgain = 2 * time.Second // after it named another patient: only twice in a row counts
	showBad   = 3 * time.Second // while it shows another patient
	showEvery = 3 * time.Minute
)

// What a screen can hold, and the numbers of one patient. The one who weighs it answers the hub too, and all other apps.
const (
	windowsAtMost = 256
	numbersAtMost = 64
)

// A proof is what an app says that it shows, weighed against the context.
type proof struct {
	found protocol.Outcome // verified, mismatch, or "" where neither is known
	since time.Time
	part  bool // verified, but of what is current a window cannot name all: a report, an encounter
	doubt bool // its last answer named another patient
	asked *message
	next  *timer

	lastSyncError time.Time
}

// know sets what is known, and keeps since when.
func (p *proof) know(o protocol.Outcome, now time.Time) {
	if p.found != o {
		p.found, p.since = o, now
	}
}

// known is what is known of an app: what it says that it shows counts more than what it said when it was told. It never
// mends a refusal, a failure or silence: those end with the next answer about the context itself.
func (a *app) known() (o protocol.Outcome, at time.Time) {
	p := a.proof
	switch {
	case p.found == protocol.OutcomeMismatch,
		p.found == protocol.OutcomeVerified && a.outcome == protocol.OutcomeAcknowledged,
		p.found == protocol.OutcomeVerified && a.outcome == protocol.OutcomeSent && !p.part:
		return p.found, p.since
	}
	return a.outcome, a.at
}

// unproven is a context that nobody has seen on any screen yet.
func (c *core) unproven() {
	for _, a := range c.apps {
		a.proof.found, a.proof.doubt = "", false
		c.willAsk(a, showAfter)
	}
}

// willAsk asks an app what it shows, once, so much later: what was to be asked before then is part of it.
func (c *core) willAsk(a *app, later time.Duration) {
	if !a.Shows || !a.asksAny() {
		return
	}
	c.stop(a.proof.next)
	a.proof.next = c.after(later, func() { c.askShown(a) })
}

func (c *core) askShown(a *app) {
	switch {
	case c.app(a.id) != a || a.lost || a.proof.asked != nil:
	case a.paused || c.sub == 0 || !c.desk.known:
		c.willAsk(a, showEvery) // sooner when there is something to compare with
	case a.busy() || c.waits() || c.reading.active:
		c.willAsk(a, showAfter)
	default:
		m := &message{Message: Message{Method: protocol.MethodShown, Params: []byte("{}")}, question: true, within: silentAfter, asked: a.told, age: c.desk.age}
		a.proof.asked = m
		c.tell(a, m, nil)
	}
}

// showed is what an app says that it shows; not ok, that it cannot say.
type showed struct {
	app     string
	seq     int
	windows []protocol.Window
	ok      bool
}

func (in showed) apply(c *core) {
	a := c.app(in.app)
	if a == nil || a.proof.asked == nil || a.proof.asked.seq != in.seq {
		c.counters.LateAnswers++
		return
	}
	m := a.proof.asked
	a.proof.asked, m.answered = nil, true
	delete(a.unread, m.seq)
	c.stop(m.due)
	switch {
	case a.paused || c.sub == 0 || !c.desk.known || m.asked != a.told || m.age != c.desk.age || a.busy():
		a.proof.doubt = false
		c.willAsk(a, showAfter) // something came between, and it says nothing of that
	case !in.ok || beyondAnyScreen(in.windows):
		c.cannotSay(a)
	default:
		is := c.weigh(in.windows)
		if is == unclear && a.proof.found == protocol.OutcomeMismatch && !c.mends(in.windows) {
			is = different // who was named before may be shown still
		}
		c.weighed(a, is)
	}
}

// cannotSay takes back what was proven. A mismatch is not mended by silence.
func (c *core) cannotSay(a *app) {
	a.proof.doubt = false
	if a.proof.found == protocol.OutcomeMismatch {
		c.willAsk(a, showBad)
		return
	}
	a.proof.found = ""
	c.willAsk(a, showEvery)
}

func (c *core) weighed(a *app, is verdict) {
	p := &a.proof
	switch {
	case is == different && p.found == protocol.OutcomeMismatch:
		c.willAsk(a, showBad)
	case is == different && p.doubt:
		p.know(protocol.OutcomeMismatch, c.now)
		c.accuse(a)
		c.willAsk(a, showBad)
	case is == different:
		p.doubt = true
		c.willAsk(a, showAgain)
	case is == same:
		p.doubt = false
		p.know(protocol.OutcomeVerified, c.now)
		p.part = c.desk.what.anchor != "patient" && c.desk.what.anchor != "study"
		a.believes.sure = a.believes.sure || a.believes.known && !p.part // it shows it, whatever it did not confirm
		c.willAsk(a, showEvery)
	default:
		p.doubt = false
		p.know("", c.now)
		c.willAsk(a, showEvery)
	}
}

func beyondAnyScreen(windows []protocol.Window) bool {
	return len(windows) > windowsAtMost ||
		slices.ContainsFunc(windows, func(w protocol.Window) bool { return len(w.Patient) > numbersAtMost })
}

// weigh compares what is on screen with what is current. Same means that every window shows the current patient and, where
// a study is current, one of them that study; different, that some window shows another patient. Another study of the same
// patient is a prior, and no patient at all is nothing to compare.
func (c *core) weigh(windows []protocol.Window) verdict {
	study, wanted := c.desk.what.by["study"]
	proven, seen := len(windows) > 0, false
	for _, w := range windows {
		patient, images, blank := onScreen(w)
		is := unclear
		if current, ok := c.desk.what.by["patient"]; ok && !patient.blank() {
			is = compare(current, patient)
		}
		if wanted && compare(study, images) == same {
			seen = true
			if is == unclear {
				is = same
			}
		}
		if c.desk.event == nil && !blank {
			is = different // whoever it is, nobody is current
		}
		if is == different {
			return different
		}
		proven = proven && is == same
	}
	if proven && (seen || !wanted) {
		return same
	}
	return unclear
}

// mends tells whether windows that name no other patient are the end of one that did: a window shows what is current, or
// none shows anything. A number without its system may still be that patient's.
func (c *core) mends(windows []protocol.Window) bool {
	empty := true
	for _, w := range windows {
		patient, images, blank := onScreen(w)
		if compare(c.desk.what.by["patient"], patient) == same || compare(c.desk.what.by["study"], images) == same {
			return true
		}
		empty = empty && blank
	}
	return empty
}

// onScreen is what a window shows as it is compared. An identifier without a system is compared with none, but a window that
// gives one is not blank.
func onScreen(w protocol.Window) (patient, study identity, blank bool) {
	blank = w.Study == "" && w.Accession == ""
	patient = identity{resource: "Patient", systems: make(map[string][]string)}
	for _, i := range w.Patient {
		patient.add(fhircast.Identifier{System: i.System, Value: i.Value})
		blank = blank && i.Value == ""
	}
	study = identity{resource: "ImagingStudy", systems: make(map[string][]string)}
	study.add(fhircast.Identifier{System: dicomUID, Value: strings.TrimSpace(w.Study)})
	if w.Accession != "" {
		study.accessions = []string{w.Accession}
	}
	return patient, study, blank
}

// accuse tells the hub of an app that shows another patient, by the event that made current what is. What was only read
// has no event that others know.
func (c *core) accuse(a *app) {
	if by := c.desk.by; by != nil && a.counts() && c.mayComplain(a.proof.lastSyncError) {
		c.tellHub(a, by, " shows another patient")
		a.proof.lastSyncError = c.now
	}
}
