package bridge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A desk test has one relay, one hub and some apps, in a bubble of fake time that starts at a whole second.
type deskTest struct {
	*testing.T
	relay *Relay
	hub   *fakeHub
	n     int // subscription
	ids   int
	views []*View
}

const topic = "T-canary"

func onDesk(t *testing.T, body func(d *deskTest)) {
	t.Helper()
	onDeskWith(t, Config{}, body)
}

func onDeskWith(t *testing.T, cfg Config, body func(d *deskTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &deskTest{T: t, hub: &fakeHub{offered: true}}
		cfg.Rand = func() float64 { return 0.5 }
		cfg.NewID = func() string { d.ids++; return fmt.Sprintf("own-%d", d.ids) }
		cfg.Changed = func(v *View) { d.views = append(d.views, v) }
		d.relay = New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.relay.Run(ctx) }()
		body(d)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (d *deskTest) session() Session {
	return Session{User: "Practitioner/1", Topic: topic, Name: "Castray on test", Hub: d.hub,
		Events: fhircast.Names(strings.Fields("Patient-open Patient-close Encounter-open ImagingStudy-open ImagingStudy-close DiagnosticReport-open DiagnosticReport-close DiagnosticReport-update DiagnosticReport-select Home-open UserLogout UserHibernate")),
		Send:   fhircast.Names(strings.Fields("Patient-open Patient-close ImagingStudy-open Home-open DiagnosticReport-update DiagnosticReport-select"))}
}

// subscribe starts a session and confirms its subscription; what the hub says is current is read.
func (d *deskTest) subscribe() {
	d.relay.Join(d.session())
	d.confirm()
}

func (d *deskTest) confirm() {
	d.n++
	d.relay.Subscribed(d.n, nil)
	synctest.Wait()
}

func (d *deskTest) phase() protocol.Phase { synctest.Wait(); return d.relay.View().Phase }

func (d *deskTest) wantPhase(want protocol.Phase) {
	d.Helper()
	if got := d.phase(); got != want {
		d.Errorf("phase %q, want %q (problems %v)", got, want, d.relay.View().Problems)
	}
}

func (d *deskTest) outcome(id string) protocol.Outcome {
	d.Helper()
	synctest.Wait()
	for _, r := range d.relay.View().Rows {
		if r.ID == id {
			return r.Outcome
		}
	}
	d.Errorf("no row %q", id)
	return ""
}

// deliver sends an event as the hub would and returns a function for the status of its answer, 0 = none yet.
func (d *deskTest) deliver(e *fhircast.Event) func() int {
	var mu sync.Mutex
	status := 0
	d.relay.Deliver(fhircast.NewDelivery(e, d.n, func(a fhircast.Answer) {
		mu.Lock()
		defer mu.Unlock()
		if status != 0 {
			d.Errorf("%v answered twice", e)
		}
		status = a.Status
	}))
	synctest.Wait()
	return func() int { mu.Lock(); defer mu.Unlock(); return status }
}

// afterAll waits until all deadlines are over.
func (d *deskTest) afterAll() {
	time.Sleep(40 * time.Second)
	synctest.Wait()
}

func (d *deskTest) wantAnswer(what string, got func() int, want int) {
	d.Helper()
	synctest.Wait()
	if got() != want {
		d.Errorf("%s: answered %d, want %d", what, got(), want)
	}
}

// fakeHub says what is current and takes what is published.
type fakeHub struct {
	mu        sync.Mutex
	offered   bool
	current   string // an event as text, "" = none
	name      fhircast.Name
	version   string   // of what is current, with
	content   []string // these observations shared in it
	err       error
	delay     time.Duration
	asked     int
	published []*fhircast.Event
	publish   func(e *fhircast.Event) (int, error)
}

func (h *fakeHub) set(name fhircast.Name, context string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name, h.current, h.version = name, context, ""
}

// share says what is current, in which version, and what is shared in it.
func (h *fakeHub) share(name fhircast.Name, what, version string, content ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name, h.current, h.version, h.content = name, contextOf(what), version, content
}

// withContent is a context as a hub that shares content gives it.
func withContent(context string, content []string) string {
	var entries []string
	for _, o := range content {
		entries = append(entries, `{"fullUrl":"urn:shared:`+o+`","resource":`+observation(o)+`}`)
	}
	return strings.TrimSuffix(context, "]") + `,{"key":"content","resource":{"resourceType":"Bundle","type":"collection","entry":[` + strings.Join(entries, ",") + `]}}]`
}

func (h *fakeHub) Context(ctx context.Context, id string) (*fhircast.Event, bool, error) {
	h.mu.Lock()
	h.asked++
	name, current, offered, err, delay, version := h.name, h.current, h.offered, h.err, h.delay, h.version
	if version != "" {
		current = withContent(current, h.content)
	}
	h.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
	if !offered || err != nil {
		return nil, offered, err
	}
	if current == "" {
		return nil, true, nil
	}
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: topic, Name: name, Context: json.RawMessage(current), Version: version})
	return e, true, err
}

func (h *fakeHub) Publish(ctx context.Context, e *fhircast.Event) (int, error) {
	h.mu.Lock()
	h.published = append(h.published, e)
	publish := h.publish
	h.mu.Unlock()
	if publish != nil {
		return publish(e)
	}
	return 202, nil
}

func (h *fakeHub) sent() []*fhircast.Event {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*fhircast.Event(nil), h.published...)
}

func (h *fakeHub) questions() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// fakeApp is a Sink that remembers, in words, and answers as it is told.
type fakeApp struct {
	id          string
	mu          sync.Mutex
	told        []string
	params      []string
	status      int           // 0 = never answers
	clears      int           // status for clears, 0 = as status
	after       time.Duration // before it answers
	clearsAfter time.Duration // the same for clears, 0 = as after
	stuck       chan struct{} // while not nil, writing hangs
	closed      string
	screen      []protocol.Window // what it shows
	mute        bool              // it does not say what it shows
	garbled     bool              // it says something else
	says        time.Duration     // how long it takes to
	asked       []time.Time       // when it was asked
}

// Shown is for Sink.
func (a *fakeApp) Shown(answer func([]protocol.Window, bool)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, time.Now())
	screen, ok := a.screen, !a.garbled
	switch {
	case a.mute:
	case a.says == 0:
		answer(screen, ok)
	default:
		time.AfterFunc(a.says, func() { answer(screen, ok) })
	}
	return nil
}

// shows sets what is on its screen: "p1", "s1/p1", one word a window.
func (a *fakeApp) shows(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.screen = windows(what)
}

func windows(what string) []protocol.Window {
	list := []protocol.Window{}
	for _, window := range strings.Fields(what) {
		var w protocol.Window
		for _, id := range strings.Split(window, "/") {
			switch id[0] {
			case 'p':
				w.Patient = []protocol.Identifier{{System: "urn:mrn", Value: "MRN-" + id}}
			case 's':
				w.Study = "2.999." + id[1:]
			case 'm': // a number without its system
				w.Patient = []protocol.Identifier{{Value: "MRN-p" + id[1:]}}
			}
		}
		list = append(list, w)
	}
	return list
}

func (a *fakeApp) questions() int {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func (a *fakeApp) Write(m Message, answer func(int)) error {
	a.mu.Lock()
	stuck := a.stuck
	a.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	a.mu.Lock()
	if a.closed != "" {
		a.mu.Unlock()
		return errors.New("closed")
	}
	a.told = append(a.told, inWords(m))
	a.params = append(a.params, string(m.Params))
	status, after := a.status, a.after
	if m.Method == protocol.MethodClear {
		status, after = cmp.Or(a.clears, status), cmp.Or(a.clearsAfter, after)
	}
	a.mu.Unlock()
	if status == 0 || !m.Answer {
		return nil
	}
	if after == 0 {
		answer(status)
	} else {
		time.AfterFunc(after, func() { answer(status) })
	}
	return nil
}

func (a *fakeApp) Close(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = "closed"
	if reason != "" {
		a.closed = reason
	}
	if a.stuck != nil {
		close(a.stuck)
		a.stuck = nil
	}
}

// news is what the app was told since it was last asked, one word each, as "Patient-open:p1" or "clear:closed".
func (a *fakeApp) news() string {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := strings.Join(a.told, " ")
	a.told = nil
	return s
}

func inWords(m Message) string {
	if m.Method == protocol.MethodClear {
		var c protocol.Clear
		_ = json.Unmarshal(m.Params, &c)
		return "clear:" + string(c.Reason)
	}
	message, err := fhircast.Decode([]byte(string(m.Params)))
	if err != nil {
		return "unreadable"
	}
	e := message.(*fhircast.Event)
	word := string(e.Name)
	if item, ok := e.Anchor(); ok {
		if who, ok := identify(item); ok {
			word += ":" + who.id
		} else if anchor, ok := about(e); ok {
			word += ":" + anchor[strings.Index(anchor, "/")+1:]
		}
	}
	var marked struct{ Castray protocol.Mark }
	_ = json.Unmarshal(m.Params, &marked)
	for _, m := range []struct {
		flag string
		on   bool
	}{{"/replay", marked.Castray.Replay}, {"/derived", marked.Castray.Derived}, {"/snapshot", marked.Castray.Snapshot}} {
		if m.on {
			word += m.flag
		}
	}
	return word
}

func (d *deskTest) wantNews(what string, a *fakeApp, want string) {
	d.Helper()
	if got := a.news(); got != want {
		d.Errorf("%s: %s was told %q, want %q", what, a.id, got, want)
	}
}

// attach lets an app in; events "" means all, "-" none.
func (d *deskTest) attach(name, events string, a *fakeApp) *fakeApp {
	d.Helper()
	return d.attachAs(App{Name: name, Via: "pipe", Answers: a.status != 0, MaySend: true}, events, a)
}

func (d *deskTest) attachAs(app App, events string, a *fakeApp) *fakeApp {
	d.Helper()
	switch events {
	case "":
	case "-":
		app.Events = []fhircast.Name{}
	default:
		app.Events = fhircast.Names(strings.Fields(events))
	}
	id, _, err := d.relay.Attach(app, a)
	if err != nil {
		d.Fatal(err)
	}
	a.id = id
	synctest.Wait()
	return a
}

// An event of a made-up patient. what is "p1" for a patient, "s1/p1" for a study of a patient, "e1/p1" an encounter,
// "r1/s1/p1" a report. The second of its timestamp orders it.
func ev(name fhircast.Name, id string, second int, what string) *fhircast.Event {
	return evAt(name, id, time.Date(2026, 1, 2, 3, 0, second, 0, time.UTC), contextOf(what))
}

func evAt(name fhircast.Name, id string, at time.Time, context string) *fhircast.Event {
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: at, Topic: topic, Name: name, Context: json.RawMessage(context)})
	if err != nil {
		panic(err)
	}
	return e
}

// up is an update of a report or another anchor, "r1", from version prior to version: it puts the observations "o1" and
// so on, and deletes those with a "-".
func up(id, anchor, prior, version string, changes ...string) *fhircast.Event {
	resource := map[byte]string{'p': "Patient", 'r': "DiagnosticReport"}[anchor[0]]
	var entries []string
	for _, o := range changes {
		if name, gone := strings.CutPrefix(o, "-"); gone {
			entries = append(entries, `{"fullUrl":"Observation/`+name+`","request":{"method":"DELETE","url":"Observation/`+name+`"}}`)
			continue
		}
		entries = append(entries, `{"request":{"method":"PUT","url":"Observation/`+o+`"},"resource":`+observation(o)+`}`)
	}
	event := `{"hub.topic":"` + topic + `","hub.event":"` + resource + `-update","context.versionId":"` + version + `","context.priorVersionId":"` + prior + `",`
	if version == "" {
		event = `{"hub.topic":"` + topic + `","hub.event":"` + resource + `-update",`
	}
	return decoded(`{"timestamp":"2026-01-02T03:00:00.000Z","id":"` + id + `","event":` + event + `"context":[` + anchorOf(anchor) +
		`,{"key":"updates","resource":{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}}]}}`)
}

// anchorOf is the entry by which an update or a select names its anchor.
func anchorOf(anchor string) string {
	resource := map[byte]string{'p': "Patient", 'r': "DiagnosticReport"}[anchor[0]]
	return `{"key":"` + fhircast.Key(resource) + `","reference":{"reference":"` + resource + `/` + anchor + `"}}`
}

func observation(id string) string {
	return `{"resourceType":"Observation","id":"` + id + `","status":"preliminary","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}`
}

func decoded(text string) *fhircast.Event {
	m, err := fhircast.Decode([]byte(text))
	if err != nil {
		panic(err)
	}
	return m.(*fhircast.Event)
}

func contextOf(what string) string {
	if what == "" {
		return "[]"
	}
	var items []string
	subject := ""
	if p := what[strings.LastIndex(what, "/")+1:]; p[0] == 'p' {
		subject = `,"subject":{"reference":"Patient/` + p + `"}`
	}
	for _, id := range strings.Split(what, "/") {
		items = append(items, map[byte]string{
			'p': `{"key":"patient","resource":{"resourceType":"Patient","id":"` + id + `","identifier":[{"system":"urn:mrn","value":"MRN-` + id + `"}]}}`,
			's': `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"` + id + `","identifier":[{"system":"urn:dicom:uid","value":"urn:oid:2.999.` + id[1:] + `"}]` + subject + `}}`,
			'e': `{"key":"encounter","resource":{"resourceType":"Encounter","id":"` + id + `","identifier":[{"system":"urn:visit","value":"V-` + id + `"}]` + subject + `}}`,
			'r': `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"` + id + `","identifier":[{"system":"urn:report","value":"R-` + id + `"}]` + subject + `}}`,
		}[id[0]])
	}
	return "[" + strings.Join(items, ",") + "]"
}
