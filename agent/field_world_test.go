package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/bridge/subscriber"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// A ward is this agent at a hub that is not quite as it should be: owner, relay and subscriber as they run, and a colleague
// at another workstation. All of it is in a bubble of synctest, so the hub is in memory, and apps are met where the relay
// meets them: the pipe is a kernel's socket, which no bubble can wait for.
type ward struct {
	*testing.T
	ctx       context.Context
	hub       *hubtest.Server
	store     *hub.Memory // what the hub itself knows
	net       *hubtest.Network
	topic     fhircast.Secret
	agent     *Agent
	line      *line
	apps      []*screen
	viewer    *screen // of patients and studies
	chart     *screen // of patients; it asks for them, too
	reporter  *screen // of reports, and what is shared in them
	colleague *colleague
	lies      map[string]string // what the hub says is current where that is not what it knows
	problems  map[string]bool   // that the user was told of, by code
	events    int
	journal   []string
}

// inWard runs a test in a ward where nobody has joined the hub yet.
func inWard(t *testing.T, test func(w *ward)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &ward{T: t, store: &hub.Memory{}, problems: map[string]bool{}}
		var stop context.CancelFunc
		w.ctx, stop = context.WithCancel(t.Context())
		var err error
		if w.hub, err = hubtest.New(hub.Config{Store: w.store, Lease: 5 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		w.net = hubtest.Pipe(w.hub)
		if w.topic, err = w.hub.Hub().NewTopic(w.ctx, hubtest.User); err != nil {
			t.Fatal(err)
		}
		settings := &config.Config{}
		settings.Local.AnswerWithin = 800 * time.Millisecond
		settings.Local.UnknownApps = "allow"
		w.agent = New(Config{Settings: settings, Host: "desk", Networks: func() ([]netip.Prefix, error) { return nil, nil }})
		ended := w.agent.inBubble(w.ctx)
		w.viewer = w.attach(bridge.App{Name: "viewer", Events: fhircast.Names([]string{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close"})})
		w.chart = w.attach(bridge.App{Name: "chart", Events: fhircast.Names([]string{"Patient-open", "Patient-close"}), MaySend: true})
		w.reporter = w.attach(bridge.App{Name: "reporter", MaySend: true, Events: fhircast.Names([]string{"DiagnosticReport-open",
			"DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select", "SyncError", "heartbeat"})})
		defer func() {
			if w.Failed() {
				t.Log(strings.Join(w.journal, "\n"))
			}
		}()
		defer w.net.Close()
		defer w.hub.Close()
		defer func() { stop(); <-ended }()
		defer func() { w.colleague.leave() }()
		test(w)
	})
}

// inBubble is Run without the pipe, which needs a kernel.
func (a *Agent) inBubble(ctx context.Context) (ended <-chan struct{}) {
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	a.running = ctx
	a.wait.Go(func() { _ = a.relay.Run(late) })
	a.publish()
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.own(ctx)
		a.leave()
		end()
		a.wait.Wait()
		close(a.done)
	}()
	return done
}

// joins joins the hub as a configuration with those quirks would, by the network in memory.
func (w *ward) joins(quirks ...string) {
	w.Helper()
	at := config.Hub{URL: w.hub.URL(), Topic: w.hub.Told(w.topic), Quirks: quirks, Name: "Castray",
		Events: fhircast.Names([]string{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close", "DiagnosticReport-open",
			"DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select", "Home-open", "UserLogout", "UserHibernate"}),
		Send: fhircast.Names([]string{"Patient-open", "Patient-close", "Home-open", "DiagnosticReport-update", "DiagnosticReport-select"})}
	err := w.agent.do(w.ctx, func() {
		a := w.agent
		a.cfg.Settings.Hub, a.stuck = at, false
		a.solved(problemDenied, problemRefused, problemNoSession)
		ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
		l := &line{cancel: cancel, ended: make(chan struct{}), origin: origin{ask: a.cfg.Networks}}
		l.client = w.subscriber(at, ears{a.relay, l, a.changed})
		a.line, w.line = l, l
		a.relay.Join(bridge.Session{User: "configured", Topic: at.Topic, Name: at.Name, Events: at.Events, Send: at.Send, Hub: l.client})
		a.wait.Go(func() {
			err := l.client.Run(ctx)
			close(l.ended)
			if err != nil {
				a.post(func() { a.lineEnded(l, err) })
			}
		})
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *ward) subscriber(at config.Hub, to subscriber.Handler) *subscriber.Client {
	signed := oauth.Static(oauth.NewSecret(hubtest.Token), w.net.Client(), at.URL)
	w.Cleanup(signed.CloseIdleConnections)
	return subscriber.New(subscriber.Config{HubURL: at.URL, Topic: at.Topic, Events: at.Events, Name: at.Name, Quirks: at.Quirks,
		HTTP: signed, TLS: w.net.TLS(), Dial: w.net.Dial, Handler: to})
}

// A screen is an app that shows what it is told to.
type screen struct {
	bridge.App
	w      *ward
	id     string
	asks   []string // keys of what it asks for, the most specific first
	mu     sync.Mutex
	twice  bool              // it may be told the same event twice
	status int               // of its answers
	shows  map[string]string // ids by key
	told   []telling
}

// A telling is one thing that an app was told.
type telling struct {
	what, id string // "Patient-open", "clear:closed"
	about    string // id of the anchor
	mark     protocol.Mark
}

func (w *ward) attach(a bridge.App) *screen {
	w.Helper()
	a.Answers = true
	s := &screen{App: a, w: w, status: 200, shows: map[string]string{}}
	for _, level := range levels {
		if fhircast.Name(level.resource + "-open").In(a.Events) {
			s.asks = append(s.asks, level.key)
		}
	}
	var err error
	if s.id, _, err = w.agent.relay.Attach(a, s); err != nil {
		w.Fatal(err)
	}
	w.apps = append(w.apps, s)
	return s
}

// levels are what can be current here, the most specific first.
var levels = []struct{ key, resource string }{{"report", "DiagnosticReport"}, {"study", "ImagingStudy"}, {"patient", "Patient"}}

// Write is of bridge.Sink.
func (s *screen) Write(m bridge.Message, answer func(int)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t telling
	if m.Method == protocol.MethodClear {
		var c protocol.Clear
		_ = json.Unmarshal(m.Params, &c)
		t.what = "clear:" + string(c.Reason)
		clear(s.shows)
	} else {
		s.event(m.Params, &t)
	}
	if n := len(s.told); n > 0 && !s.twice && t.mark == (protocol.Mark{}) && s.told[n-1].what == t.what && s.told[n-1].id == t.id {
		s.w.Errorf("%s was told %s of %s twice in a row", s.Name, t.what, t.about)
	}
	s.told = append(s.told, t)
	if m.Answer {
		answer(s.status)
	}
	return nil
}

func (s *screen) event(text []byte, t *telling) {
	var m protocol.Event
	_ = json.Unmarshal(text, &m)
	t.id = m.ID
	if m.Castray != nil {
		t.mark = *m.Castray
	}
	var e struct {
		Name    string `json:"hub.event"`
		Topic   string `json:"hub.topic"`
		Context []item
	}
	if err := json.Unmarshal(m.Event, &e); err != nil || e.Topic != alias {
		s.w.Errorf("%s was told %s", s.Name, text)
	}
	t.what = string(fhircast.Name(e.Name).Canonical())
	named := ids(e.Context)
	resource, verb, _ := strings.Cut(t.what, "-")
	for _, level := range levels {
		if level.resource == resource {
			t.about = named[level.key]
		}
		if level.resource == resource && verb == "close" && t.about == s.shows[level.key] {
			clear(s.shows)
		}
	}
	if verb == "open" {
		s.shows = named
	}
}

const alias = "castray" // stands for the topic

// Close is of bridge.Sink.
func (s *screen) Close(reason string) {
	if s.w.ctx.Err() == nil {
		s.w.Errorf("%s was cut off: %s", s.Name, reason)
	}
}

type item struct {
	Key      string
	Resource struct{ ID string }
}

// ids are the resources that a context holds, by key, of those that can be current.
func ids(context []item) map[string]string {
	named := map[string]string{}
	for _, level := range levels {
		for _, i := range context {
			if i.Key == level.key {
				named[i.Key] = i.Resource.ID
			}
		}
	}
	return named
}

func (s *screen) showing() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	shows := map[string]string{}
	for key, id := range s.shows {
		shows[key] = id
	}
	return shows
}

// tellings are what the app was told from the nth on.
func (s *screen) tellings(from int) []telling {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told[from:])
}

func (s *screen) answers(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// right tells whether the app is where the hub is: at the most specific of what it asks for, or, where the hub is at nothing
// of that, at nothing of another patient.
func (s *screen) right(current map[string]string) bool {
	shows := s.showing()
	for _, key := range s.asks {
		if id, named := current[key]; named {
			return shows[key] == id && shows["patient"] == current["patient"]
		}
	}
	return len(shows) == 0 || len(current) > 0 && shows["patient"] == current["patient"]
}

// sends has the app ask for an event. Where it is taken the app goes there by itself, for the echo is not for it (S9), unless
// it has been told something else by then.
func (s *screen) sends(name, context, version string) (protocol.SendResult, error) {
	told := len(s.tellings(0))
	result, err := s.w.agent.relay.Send(s.id, protocol.SendParams{Event: name, Context: json.RawMessage(context), Version: version})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(s.told) == told && strings.HasSuffix(name, "-open") {
		var items []item
		_ = json.Unmarshal([]byte(context), &items)
		s.shows = ids(items)
	}
	return result, err
}

// A colleague is another subscriber.
type colleague struct {
	*subscriber.Client
	w      *ward
	topic  fhircast.Secret
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	status  int
	refuses bool // it has refused something
	heard   []*fhircast.Event
}

func (w *ward) colleagueJoins(quirks ...string) {
	ctx, cancel := context.WithCancel(w.ctx)
	c := &colleague{w: w, topic: w.hub.Told(w.topic), cancel: cancel, ended: make(chan struct{}), status: 200}
	c.Client = w.subscriber(config.Hub{URL: w.hub.URL(), Topic: c.topic, Name: "Colleague", Quirks: quirks,
		Events: fhircast.Names([]string{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close", "DiagnosticReport-open",
			"DiagnosticReport-close", "DiagnosticReport-update", "Home-open", "UserLogout"})}, c)
	w.colleague = c
	go func() {
		defer close(c.ended)
		_ = c.Run(ctx)
	}()
}

func (c *colleague) leave() {
	if c != nil {
		c.cancel()
		<-c.ended
	}
}

func (c *colleague) Subscribed(int, []fhircast.Name)   {}
func (c *colleague) Refused(int, *fhircast.FrameError) {}
func (c *colleague) Lost(int, string)                  {}
func (c *colleague) State(subscriber.State)            {}
func (c *colleague) Deliver(d *fhircast.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, d.Event)
	if d.Event.Name.Changes() {
		c.refuses = c.refuses || c.status >= 400
		d.Answer(c.status)
		return
	}
	d.Answer(200)
}

func (c *colleague) answers(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

func (c *colleague) refused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuses
}

// Contexts as they are published. A study and a report are of the patient of that letter.
func patientItem(id string) string {
	return `{"key":"patient","resource":{"resourceType":"Patient","id":"` + id + `","identifier":[{"system":"urn:oid:2.999.1","value":"` + id + `"}]}}`
}

func studyItem(id string) string {
	return `{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s-` + id + `","identifier":[{"system":"urn:oid:2.999.2","value":"` + id + `"}],` +
		`"status":"unknown","subject":{"reference":"Patient/` + id + `"}}}`
}

func reportItem(id string) string {
	return `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r-` + id + `","identifier":[{"system":"urn:oid:2.999.3","value":"` + id + `"}],` +
		`"status":"unknown","code":{"text":"x"},"subject":{"reference":"Patient/` + id + `"}}}`
}

func list(items ...string) string { return "[" + strings.Join(items, ",") + "]" }

func updateOf(id, observation string) string {
	return `[{"key":"report","reference":{"reference":"DiagnosticReport/r-` + id + `"}},{"key":"patient","reference":{"reference":"Patient/` + id + `"}},` +
		`{"key":"updates","resource":{"resourceType":"Bundle","id":"b-` + observation + `","type":"transaction","entry":[{"fullUrl":"urn:x:` + observation + `",` +
		`"request":{"method":"PUT","url":"Observation/` + observation + `"},"resource":{"resourceType":"Observation","id":"` + observation + `",` +
		`"identifier":[{"system":"urn:x","value":"` + observation + `"}],"status":"preliminary","code":{"text":"y"},"subject":{"reference":"Patient/` + id + `"}}}]}}]`
}

// happens has the colleague change the context, or somebody else at the hub where the hub does not let the colleague.
func (w *ward) happens(name, context string) {
	w.Helper()
	w.happensAt(name, context, "")
}

func (w *ward) happensAt(name, context, version string) {
	w.Helper()
	event := func(topic fhircast.Secret) *fhircast.Event {
		w.events++
		e, err := fhircast.NewEvent(fhircast.Draft{ID: fmt.Sprint("event-", w.events), At: time.Now(), Topic: topic, Name: fhircast.Name(name),
			Context: json.RawMessage(context), Version: version})
		if err != nil {
			w.Fatal(err)
		}
		return e
	}
	status, err := 0, error(nil)
	if w.colleague != nil {
		status, err = w.colleague.Publish(w.ctx, event(w.colleague.topic))
	}
	if err == nil && status/100 == 2 {
		return
	}
	w.note("the colleague may not: %d %v", status, err)
	if err := w.hub.Publish(w.ctx, w.topic, event(w.topic)); err != nil {
		w.note("nor the hub: %v", err)
	}
}

func (w *ward) note(format string, args ...any) {
	w.journal = append(w.journal, fmt.Sprintf("%v ", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))+fmt.Sprintf(format, args...))
}

// session is what the hub itself knows.
func (w *ward) session() hub.Session {
	w.Helper()
	s, err := w.store.Load(w.ctx, w.topic)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// current is what the hub itself says is current, ids by key.
func (w *ward) current() map[string]string {
	e := w.session().Current
	if e == nil {
		return map[string]string{}
	}
	var m struct {
		Event struct{ Context []item }
	}
	_ = json.Unmarshal(e.Wire(), &m)
	return ids(m.Event.Context)
}

// settles is long enough for a line that fell silent to be noticed, and what failed to be tried again.
const settles = 40 * time.Second

// quiet waits until nothing is under way any more, and then holds the one invariant: each app is where the hub is, or the
// user and the apps have been told otherwise. It tells whether all is well.
func (w *ward) quiet(after string) bool {
	w.Helper()
	time.Sleep(settles)
	synctest.Wait()
	s, current := w.agent.Status(), w.current()
	right := w.everybodyAt(current) || w.lies != nil && w.everybodyAt(w.lies)
	codes := []string{}
	for _, p := range s.Problems {
		codes = append(codes, p.Code)
		w.problems[p.Code] = true
	}
	w.note("%s: %s %v, subscription %d; hub %v, viewer %v, chart %v, reporter %v", after, s.Phase, codes, w.line.number.Load(),
		current, w.viewer.showing(), w.chart.showing(), w.reporter.showing())
	well := s.Phase == protocol.PhaseInSync || s.Phase == protocol.PhaseNoContext
	if !right && (well || s.Phase == protocol.PhaseUnconfirmed) {
		w.Errorf("after %s: %s, and an app is elsewhere than the hub", after, s.Phase)
	}
	return well && right && len(s.Problems) == 0
}

func (w *ward) everybodyAt(current map[string]string) bool {
	for _, app := range w.apps {
		if !app.right(current) {
			return false
		}
	}
	return true
}
