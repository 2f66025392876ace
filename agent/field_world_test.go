package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
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
	patience  time.Duration     // until all is quiet
	events    int
	journal   []string
}

const lease = 3 * time.Minute

// inWard runs a test in a ward where nobody has joined the hub yet.
func inWard(t *testing.T, test func(w *ward)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &ward{T: t, store: &hub.Memory{}, problems: map[string]bool{}, patience: settles}
		var stop context.CancelFunc
		w.ctx, stop = context.WithCancel(t.Context())
		var err error
		if w.hub, err = hubtest.New(hub.Config{Store: w.store, Lease: lease}); err != nil {
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
		w.attachAll()
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

// attachAll attaches the three apps.
func (w *ward) attachAll() {
	w.viewer = w.attach(bridge.App{Name: "viewer", Events: fhircast.Names([]string{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close"})})
	w.chart = w.attach(bridge.App{Name: "chart", Events: fhircast.Names([]string{"Patient-open", "Patient-close"}), MaySend: true})
	w.reporter = w.attach(bridge.App{Name: "reporter", MaySend: true, Events: fhircast.Names([]string{"DiagnosticReport-open",
		"DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select", "SyncError", "heartbeat"})})
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

// follows are the events that both sides ask for.
func follows() []fhircast.Name {
	return fhircast.Names([]string{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close", "DiagnosticReport-open",
		"DiagnosticReport-close", "DiagnosticReport-update", "DiagnosticReport-select", "Home-open", "UserLogout", "UserHibernate"})
}

// joins joins the hub as a configuration with those quirks would, by the network in memory.
func (w *ward) joins(quirks ...string) {
	w.Helper()
	at := config.Hub{URL: w.hub.URL(), Topic: w.hub.Told(w.topic), Quirks: quirks, Name: "Castray", Events: follows(),
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

// settles is long enough for all that a line does that lives, and longLasts for one that fell silent to be noticed, and for
// what failed to be tried again.
const (
	settles   = 12 * time.Second
	longLasts = 40 * time.Second
)

// quiet waits until nothing is under way any more, and then holds the one invariant: each app is where the hub is, or the
// user and the apps have been told otherwise. It tells whether all is well.
func (w *ward) quiet(after string) bool {
	w.Helper()
	time.Sleep(w.patience)
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
