package agent_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/agent/sandbox"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a sandbox, the agent under test and a viewer, joined by real sockets.
type world struct {
	*testing.T
	ctx     context.Context
	sandbox *sandbox.Sandbox
	address string
	store   oauth.Store
	state   string
	running *running
	stopHub func() // waits until the sandbox has gone
	wall    func() time.Time
	log     logs
	browser func(context.Context, string) error // instead of the one that says yes to everything
	tune    func(*agent.Config)                 // changes what the agent is made of
}

// logs is what the agents of a test have logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type running struct {
	agent *agent.Agent
	stop  context.CancelFunc
	ended chan error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	w := &world{T: t, ctx: ctx, address: filepath.Join(dir, "s"), store: agent.Memory(), state: filepath.Join(dir, "state")}
	var err error
	w.sandbox, err = sandbox.New(ctx, sandbox.Config{AutoApprove: true, Users: 2, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { ended <- w.sandbox.Run(serving) }()
	w.stopHub = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		w.end()
		w.stopHub()
		cancel()
	})
	return w
}

// start runs an agent: by sign-in, or joined to the hub without.
func (w *world) start(static bool) *agent.Agent {
	w.Helper()
	file := w.sandbox.Info().ConfigFile
	if static {
		var err error
		if file, err = w.sandbox.WriteStaticConfig(); err != nil {
			w.Fatal(err)
		}
	}
	return w.run(file, w.sandbox.CertPool())
}

// run runs an agent with that configuration and a browser that trusts those authorities.
func (w *world) run(file string, authorities *x509.CertPool) *agent.Agent {
	w.Helper()
	return w.runs(w.settings(file), authorities)
}

func (w *world) settings(file string) *config.Config {
	w.Helper()
	settings, err := config.Load(config.Sources{File: file})
	if err != nil {
		w.Fatal(err)
	}
	return settings
}

func (w *world) runs(settings *config.Config, authorities *x509.CertPool) *agent.Agent {
	w.Helper()
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}, DisableKeepAlives: true}}
	ctx, stop := context.WithCancel(w.ctx)
	cfg := agent.Config{
		Settings: settings, Address: w.address, StateDir: w.state, Host: "desk", Version: "test", Store: w.store,
		Wall: w.wall, Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OpenURL: func(ctx context.Context, url string) error {
			if w.browser != nil {
				return w.browser(ctx, url)
			}
			req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			if err != nil {
				return err
			}
			resp, err := browser.Do(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return errors.Join(err, resp.Body.Close())
		},
	}
	if w.tune != nil {
		w.tune(&cfg)
	}
	r := &running{stop: stop, ended: make(chan error, 1), agent: agent.New(cfg)}
	go func() { r.ended <- r.agent.Run(ctx) }()
	w.running = r
	return r.agent
}

func (w *world) end() {
	if w.running == nil {
		return
	}
	w.running.stop()
	if err := <-w.running.ended; err != nil {
		w.Errorf("agent: %v", err)
	}
	w.running = nil
}

// until waits for a Status.
func (w *world) until(what string, ok func(protocol.Status) bool) protocol.Status {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		s := w.running.agent.Status()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			text, _ := json.Marshal(s)
			w.Fatalf("%s did not happen: %s", what, text)
		}
		wait(w.ctx)
	}
}

// wait lets a little real time pass: sockets and processes cannot be faked.
func wait(ctx context.Context) {
	t := time.NewTimer(5 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// rest waits for as long as an app has to, which may not ask more than a hundred times in a second.
func (w *world) rest() {
	for range 10 {
		wait(w.ctx)
	}
}

func (w *world) phase(want protocol.Phase) protocol.Status {
	w.Helper()
	return w.until("phase "+string(want), func(s protocol.Status) bool { return s.Phase == want })
}

// A viewer is a native app that remembers what it was told.
type viewer struct {
	*client.Client
	mu     sync.Mutex
	told   []string
	events []json.RawMessage // of the notifications, as they came
	answer int
}

func (w *world) viewer(name string, o client.Options) *viewer {
	w.Helper()
	v := &viewer{answer: 200}
	o.Name, o.Answers = name, true
	if o.Address == "" {
		o.Address = w.address
	}
	note := func(s string) protocol.EventAnswer {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.told = append(v.told, s)
		return protocol.EventAnswer{Status: v.answer}
	}
	o.Event = func(_ context.Context, e *client.Event) protocol.EventAnswer {
		var event struct {
			Name  string `json:"hub.event"`
			Topic string `json:"hub.topic"`
		}
		_ = json.Unmarshal(e.Event.Event, &event)
		if event.Topic != "castray" {
			w.Errorf("an app was told a topic")
		}
		v.mu.Lock()
		v.events = append(v.events, e.Event.Event)
		v.mu.Unlock()
		return note(event.Name)
	}
	o.Clear = func(_ context.Context, r protocol.Reason) protocol.EventAnswer { return note("clear:" + string(r)) }
	for deadline := time.Now().Add(10 * time.Second); ; wait(w.ctx) {
		var err error
		if v.Client, err = client.Dial(w.ctx, o); err == nil {
			break
		}
		if time.Now().After(deadline) {
			w.Fatal(err)
		}
	}
	w.Cleanup(func() { v.Close(); _ = v.Wait() })
	return v
}

func (v *viewer) last() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.told) == 0 {
		return ""
	}
	return v.told[len(v.told)-1]
}

func (w *world) sees(v *viewer, want string) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); v.last() != want; wait(w.ctx) {
		if time.Now().After(deadline) {
			v.mu.Lock()
			w.Fatalf("told %v, not %s", v.told, want)
		}
	}
}

// reads signs a user in, opens a patient and returns the viewer that follows.
func (w *world) reads() *viewer {
	w.Helper()
	w.start(false)
	v := w.viewer("viewer", client.Options{})
	w.do("signin", `{}`)
	w.phase(protocol.PhaseNoContext)
	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
	return v
}

func (w *world) do(method string, params string) {
	w.Helper()
	if _, err := w.running.agent.Do(w.ctx, method, json.RawMessage(params)); err != nil {
		w.Fatalf("%s: %v", method, err)
	}
}

func (w *world) opens(kind, id string) {
	w.Helper()
	if _, err := w.sandbox.Open(w.ctx, "", kind, id); err != nil {
		w.Fatal(err)
	}
}

func (w *world) key() string {
	w.Helper()
	keys, err := ipc.ReadKeys(w.address)
	if err != nil {
		w.Fatal(err)
	}
	return keys.Key
}

func has(s protocol.Status, code string) bool {
	return slices.ContainsFunc(s.Problems, func(p protocol.Problem) bool { return p.Code == code })
}

func contains(s, part string) bool { return strings.Contains(s, part) }
