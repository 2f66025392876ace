package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// later is time.AfterFunc in a goroutine: the race detector of Go 1.26 crashes now and then on many timers that call
// functions in bubbles (golang/go#78156).
func later(d time.Duration, do func()) {
	go func() {
		time.Sleep(d)
		do()
	}()
}

// simHub is a hub that says what is current. What it broadcasts is current, but for stragglers where it is said so.
type simHub struct {
	s       *schedule
	offered bool // GET
	steady  bool // GET never fails nor takes time, so that a straggler is always found out

	mu        sync.Mutex
	current   string
	name      fhircast.Name
	fails     bool
	delay     time.Duration
	n, ids    int
	up        bool
	confirmed time.Time
	last      *fhircast.Event             // broadcast on this subscription
	marks     map[fhircast.Name]time.Time // newest open that was surely taken
	next      string                      // fate of the next request
	reports   map[string]*simReport       // open ones, by the id of their anchor
	granted   []fhircast.Name             // nil: all
	versions  int
	derives   bool // opens and closes of what a report names go before and after it
}

// simReport is what is shared in one report.
type simReport struct {
	version string
	shared  []string
}

func newSimHub(s *schedule) *simHub {
	h := &simHub{s: s, offered: s.IntN(4) != 0, steady: s.IntN(2) == 0, derives: s.IntN(3) == 0, reports: make(map[string]*simReport)}
	s.note("hub: GET offered %v, steady %v", h.offered, h.steady)
	return h
}

func (h *simHub) now() string { h.mu.Lock(); defer h.mu.Unlock(); return h.current }

func (h *simHub) subscribed() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.up }

func (h *simHub) heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails, h.delay, h.granted = false, 0, nil
}

func (h *simHub) grants() []fhircast.Name { h.mu.Lock(); defer h.mu.Unlock(); return h.granted }

// humour changes how it answers a GET.
func (h *simHub) humour() {
	fails, delay := h.s.IntN(3) == 0, time.Duration(h.s.IntN(700))*time.Millisecond
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.steady {
		h.fails, h.delay = fails, delay
		h.s.note("GET fails %v, takes %v", fails, delay)
	}
}

func (h *simHub) subscribe() {
	again := h.s.IntN(3) != 0
	h.mu.Lock()
	h.n++
	h.up, h.confirmed, h.last, h.marks = true, time.Now(), nil, make(map[fhircast.Name]time.Time)
	h.s.note("subscription %d, %q is current", h.n, h.current)
	n, current, name := h.n, h.current, h.name
	h.mu.Unlock()
	h.s.relay.Subscribed(n, h.grants())
	if current != "" && again { // it tells what is current to a new subscriber
		h.send(h.event(name, current, 0))
	}
}

func (h *simHub) leave() { h.mu.Lock(); h.up = false; h.mu.Unlock() }

func (h *simHub) lose() {
	h.mu.Lock()
	up, n := h.up, h.n
	h.up = false
	h.mu.Unlock()
	if up {
		h.s.note("lost")
		h.s.relay.Lost(n, "lost")
	}
}

// event is an event of now, by a clock that is off by skew. Where the newest initial open decides, clocks agree.
func (h *simHub) event(name fhircast.Name, what string, skew time.Duration) *fhircast.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids++
	if h.steady || !h.offered && time.Since(h.confirmed) < initialWindow {
		skew = 0
	}
	e, err := fhircast.NewEvent(fhircast.Draft{ID: fmt.Sprint("h", h.ids), At: time.Now().Add(skew), Topic: topic, Name: name,
		Context: json.RawMessage(contextOf(what)), Version: h.versionOf(name, what)})
	if err != nil {
		panic(err)
	}
	return e
}

// send delivers an event, if there is a line, and sees that it is answered once and in time.
func (h *simHub) send(e *fhircast.Event) {
	h.mu.Lock()
	n, up := h.n, h.up
	h.mu.Unlock()
	if !up || h.grants() != nil && !e.Name.In(h.grants()) {
		return
	}
	var answers atomic.Int32
	h.s.relay.Deliver(fhircast.NewDelivery(e, n, func(fhircast.Answer) { answers.Add(1) }))
	later(801*time.Millisecond, func() {
		if got := answers.Load(); got != 1 {
			h.s.Errorf("%v was answered %d times within 800 ms", e, got)
		}
	})
}

func (h *simHub) become(name fhircast.Name, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name, h.current = name, what
}

func (h *simHub) open(name fhircast.Name, what string, skew time.Duration) {
	if name.Is("DiagnosticReport-open") {
		h.openReport(what)
	}
	e := h.event(name, what, skew)
	h.s.note("%s %s %s, skew %v", e.ID, name, what, skew)
	h.become(name, what)
	h.mu.Lock()
	if h.last = e; time.Since(h.confirmed) > initialWindow {
		h.marks[name] = e.Timestamp.At
	}
	h.mu.Unlock()
	if name.Is("DiagnosticReport-open") {
		h.derived(fhircast.Open, what)
	}
	h.send(e)
}

func (h *simHub) close(what string) {
	if what == "" {
		return
	}
	anchor, _, _ := strings.Cut(what, "/")
	name := map[byte]fhircast.Name{'p': "Patient-close", 's': "ImagingStudy-close", 'r': "DiagnosticReport-close"}[anchor[0]]
	if name == "" {
		return
	}
	e := h.event(name, what, 0)
	h.s.note("%s %s %s", e.ID, name, what)
	current := anchorIn(h.now()) == anchor
	h.closes(anchor)
	h.mu.Lock()
	h.last = e
	h.mu.Unlock()
	h.send(e)
	if current && anchor[0] == 'r' {
		h.derived(fhircast.Close, what)
	}
}

func (h *simHub) closes(anchor string) {
	h.mu.Lock()
	delete(h.reports, anchor)
	h.mu.Unlock()
	if now, _, _ := strings.Cut(h.now(), "/"); now == anchor {
		h.become("", "")
	}
}

func (h *simHub) home(skew time.Duration) {
	e := h.event("Home-open", "", skew)
	h.s.note("%s Home-open", e.ID)
	h.become("", "")
	h.send(e)
}

func (h *simHub) repeat() {
	h.mu.Lock()
	e := h.last
	h.mu.Unlock()
	if e != nil {
		h.s.note("%s again", e.ID)
		h.send(e)
	}
}

// straggle is an open that is no news to the hub: older than one of its type that surely was taken.
func (h *simHub) straggle() {
	p := places[h.s.IntN(len(places))]
	h.mu.Lock()
	mark, ok := h.marks[p.name]
	ok = ok && h.steady && h.offered && h.up
	h.ids++
	id := fmt.Sprint("h", h.ids)
	h.mu.Unlock()
	if !ok {
		return
	}
	h.s.note("%s straggles: %s %s", id, p.name, p.what)
	h.send(evAt(p.name, id, mark.Add(-time.Millisecond), contextOf(p.what)))
}

// nonsense is an event that cannot be followed, or is not for us.
func (h *simHub) nonsense() {
	e := h.event("ImagingStudy-open", "p1", 0)
	switch h.s.IntN(3) {
	case 0:
		m, _ := fhircast.Decode([]byte(strings.Replace(string(h.event("Patient-open", "p3", 0).Wire()), topic, "T-other", 1)))
		e = m.(*fhircast.Event)
	case 1:
		e = h.event("Encounter-close", "e1/p1", 0)
	}
	h.s.note("%s nonsense: %s", e.ID, e.Name)
	h.send(e)
}

func (h *simHub) complain() {
	h.mu.Lock()
	last := h.last
	h.ids++
	id := fmt.Sprint("h", h.ids)
	h.mu.Unlock()
	if last == nil {
		return
	}
	h.s.note("SyncError about %s", last.ID)
	e, _ := fhircast.NewSyncError(id, time.Now(), topic, fhircast.Failure{EventID: last.ID, EventName: last.Name, Subscriber: "other"})
	h.send(e)
}

// Context answers with what was current when it was asked.
func (h *simHub) Context(ctx context.Context, id string) (*fhircast.Event, bool, error) {
	h.mu.Lock()
	name, current, fails, delay := h.name, h.current, h.fails, h.delay
	version, text := h.versionOf(name, current), contextOf(current)
	if r := h.reports[anchorIn(current)]; r != nil && version != "" {
		text = withContent(text, r.shared)
	}
	h.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
	switch {
	case !h.offered:
		return nil, false, nil
	case fails:
		return nil, true, errors.New("x")
	case current == "":
		return nil, true, nil
	}
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: topic, Name: name, Context: json.RawMessage(text), Version: version})
	return e, true, err
}

// fate draws what becomes of the next request.
func (h *simHub) fate() string {
	f := []string{"taken", "taken", "taken", "echoed first", "refused", "lost", "lost but taken", "accepted and dropped"}[h.s.IntN(8)]
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = f
	return f
}

// Publish is somebody's request: an app's, or a SyncError of the relay.
func (h *simHub) Publish(_ context.Context, e *fhircast.Event) (int, error) {
	if e.Name.Is(fhircast.SyncError) {
		return 202, nil
	}
	h.mu.Lock()
	fate := h.next
	h.mu.Unlock()
	take := func() {
		if e.Name.Verb() == fhircast.Update {
			h.takes(e)
			return
		}
		var items []string
		for _, item := range e.Context {
			who, _ := identify(item)
			items = append(items, who.id)
		}
		if e.Name.Verb() == fhircast.Close {
			h.closes(items[0])
		} else {
			h.become(e.Name, strings.Join(items, "/"))
		}
		h.send(e)
	}
	switch fate {
	case "echoed first":
		take()
		time.Sleep(50 * time.Millisecond)
	case "taken", "lost but taken":
		later(120*time.Millisecond, take)
	}
	time.Sleep(30 * time.Millisecond)
	switch fate {
	case "refused":
		return 409, nil
	case "lost", "lost but taken":
		return 0, errors.New("reset")
	}
	return 202, nil
}
