package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/agent/sandbox"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A stage is what a demo plays on: the sandbox, the agent and the sample app, each with a life of its own, so that they
// end one after the other: the agent, which still clears the app and tells the hub, the app, and the sandbox.
type stage struct {
	demo         *demo
	dir, address string
	log          *slog.Logger

	box     *sandbox.Sandbox
	browser *http.Client // knows the sandbox's certificate, and follows redirects as a browser does
	open    func(ctx context.Context, page string)

	cockpit *cockpit
	started chan struct{} // closed when cockpit is there
	changed chan struct{} // has a value when there is a newer Status
	control *client.Client
	viewer  *viewer

	hospital, agent, app life
}

func newStage(d *demo, dir, address string) *stage {
	return &stage{demo: d, dir: dir, address: address, started: make(chan struct{}), changed: make(chan struct{}, 1),
		log: slog.New(slog.NewTextHandler(d.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

// A life is something that runs until it is told to end.
type life struct {
	stop  context.CancelFunc
	ended chan struct{}
	err   error // why it ended, once ended is closed
}

// live starts something that outlives ctx and ends by end.
func (l *life) live(ctx context.Context, run func(context.Context) error) {
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		l.err = run(ctx)
	}()
}

// end ends it, if it ever began, and waits for that.
func (l *life) end() error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	<-l.ended
	return l.err
}

// openHospital starts the sandbox and asks its hub what it can do.
func (s *stage) openHospital(ctx context.Context) (err error) {
	s.box, err = sandbox.New(ctx, sandbox.Config{AutoApprove: !s.demo.browser, Dir: s.dir, Log: s.log})
	if err != nil {
		return err
	}
	s.hospital.live(ctx, s.box.Run)
	s.browser = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.box.CertPool(), MinVersion: tls.VersionTLS12}}}
	return s.get(ctx, s.box.Info().HubURL+"/.well-known/fhircast-configuration")
}

// get fetches a page as a browser does.
func (s *stage) get(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("this is no address") // it may be a secret, and the error repeats it
	}
	w, err := s.browser.Do(r)
	if err != nil {
		return fmt.Errorf("the page does not answer: %w", errors.Unwrap(err)) // without the address
	}
	defer w.Body.Close()
	if _, err := io.Copy(io.Discard, w.Body); err != nil {
		return err
	}
	if w.StatusCode != http.StatusOK {
		return fmt.Errorf("the page answers %d", w.StatusCode)
	}
	return nil
}

// startAgent starts the agent with the sandbox's configuration and nothing else, and lets the sample app join.
func (s *stage) startAgent(ctx context.Context) error {
	settings, err := config.Load(config.Sources{File: s.box.Info().ConfigFile})
	if err != nil {
		return err
	}
	cfg := agent.Config{Settings: settings, Address: s.address, Host: "demo", Version: version(), Log: s.log,
		Changed: func(protocol.Status, bool) { newest(s.changed, struct{}{}) }}
	s.demo.machine(&cfg)
	cfg.Store = agent.Memory() // never the real keychain
	s.open = func(ctx context.Context, page string) {
		go func() { _ = cfg.OpenURL(ctx, page) }() // some browsers keep the caller until they end
	}
	s.cockpit = s.demo.cockpit(cfg)
	close(s.started)
	s.agent.live(ctx, s.cockpit.agent.Run)
	select {
	case <-s.changed: // the first Status comes when apps may join
	case <-s.agent.ended:
		return s.agent.err
	case <-ctx.Done():
		return errors.New("it does not start")
	}
	keys, err := ipc.ReadKeys(s.address)
	if err != nil {
		return err
	}
	s.control, err = client.Dial(ctx, client.Options{Address: s.address, Name: "castray-demo", Key: keys.Key, Events: []string{}})
	if err != nil {
		return err
	}
	s.viewer = newViewer(s.demo)
	s.app.live(ctx, s.viewer.run(s.address))
	return s.until(ctx, "the sample app joins", func(st protocol.Status) bool { return len(st.Apps) == 1 })
}

// until waits for a Status.
func (s *stage) until(ctx context.Context, what string, holds func(protocol.Status) bool) error {
	for {
		st := s.cockpit.agent.Status()
		if holds(st) {
			return nil
		}
		select {
		case <-s.changed:
		case <-s.agent.ended:
			return errors.New("the agent has ended")
		case <-ctx.Done():
			return fmt.Errorf("%s: waited in vain; the agent says %q", what, st.Sentence)
		}
	}
}

// signIn follows the redirects of the sign-in itself.
func (s *stage) signIn(ctx context.Context) error {
	page, err := s.startSignIn(ctx, false)
	if err != nil {
		return err
	}
	if err := s.get(ctx, page); err != nil {
		return err
	}
	return s.signedIn(ctx)
}

// signInByBrowser leaves it to a person.
func (s *stage) signInByBrowser(ctx context.Context) error {
	s.demo.hint("Your browser will warn of a certificate, since this demo has made its own: continue all the same, then press Allow.")
	page, err := s.startSignIn(ctx, true)
	if err != nil {
		return err
	}
	s.demo.hint("If no browser opens, go to: %s", page)
	return s.signedIn(ctx)
}

func (s *stage) startSignIn(ctx context.Context, browser bool) (string, error) {
	var r protocol.SigninResult
	err := s.control.Call(ctx, protocol.MethodSignin, protocol.SigninParams{Browser: &browser}, &r)
	return r.URL, err
}

func (s *stage) signedIn(ctx context.Context) error {
	failed := ""
	err := s.until(ctx, "signed in", func(st protocol.Status) bool {
		for _, code := range []string{signinDeclined, signinFailed} {
			if sentence, ok := problemOf(st, code); ok {
				failed = sentence
			}
		}
		return st.SignedIn || failed != ""
	})
	if err == nil && failed != "" {
		return errors.New(failed)
	}
	return err
}

// subscribed waits until both sides say so.
func (s *stage) subscribed(ctx context.Context) error {
	if err := s.box.WaitSubscribers(ctx, "", 1); err != nil {
		return errors.New("the hub has no subscriber")
	}
	return s.until(ctx, "subscribed", func(st protocol.Status) bool { return st.Phase == protocol.PhaseNoContext })
}

// followed waits until the app has followed an event, and the hub and the Status say so too.
func (s *stage) followed(ctx context.Context, event string) error {
	if err := s.viewer.told(ctx, event); err != nil {
		return err
	}
	status, err := s.box.WaitAnswer(ctx, "", event)
	switch {
	case err != nil:
		return errors.New("the hub got no answer")
	case status != http.StatusOK:
		return fmt.Errorf("the hub was answered %d", status)
	}
	return s.until(ctx, "in sync", func(st protocol.Status) bool {
		return st.Phase == protocol.PhaseInSync && st.LastEvent != nil && st.LastEvent.ID == event
	})
}

// close ends everything. What a person has left open is cleared from the app by the agent's end; what the demo itself
// opened is closed first, and the app seen to follow that too.
func (s *stage) close(ctx context.Context) (err error) {
	if s.demo.once {
		err = s.closeContexts(ctx)
	}
	hangUp(s.control)
	return errors.Join(err, s.agent.end(), ended(s.app.end()), s.left(ctx), s.hospital.end())
}

func (s *stage) closeContexts(ctx context.Context) error {
	for {
		_, err := s.box.CloseCurrent(ctx, "")
		if errors.Is(err, sandbox.ErrNothingOpen) {
			break
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(s.viewer.empty(ctx),
		s.until(ctx, "nothing current", func(st protocol.Status) bool { return st.Phase == protocol.PhaseNoContext }))
}

// left wants the agent to have unsubscribed.
func (s *stage) left(ctx context.Context) error {
	if s.box.WaitSubscribers(ctx, "", 0) != nil {
		return errors.New("the hub still has a subscriber")
	}
	return nil
}

// strike ends everything after a failure, which is told already.
func (s *stage) strike() {
	if s.control != nil {
		hangUp(s.control)
	}
	_, _, _ = s.agent.end(), s.app.end(), s.hospital.end()
}

// ended takes the end that was asked for as none.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
