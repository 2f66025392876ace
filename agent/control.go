package agent

import (
	"context"
	"encoding/json"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// Do does what the menu does: the methods of the local protocol that need control (DESIGN 3.2), with their params and
// results. The error is a *protocol.Error, or ctx's.
func (a *Agent) Do(ctx context.Context, method string, params json.RawMessage) (any, error) {
	switch method {
	case protocol.MethodSignin:
		var p protocol.SigninParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		url, err := a.signIn(ctx, p)
		return protocol.SigninResult{URL: url}, err
	case protocol.MethodSignout:
		return nil, a.signOut(ctx, protocol.ReasonSignedOut)
	case protocol.MethodPause:
		var p protocol.PauseParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		return nil, a.pause(ctx, p)
	case protocol.MethodResume:
		var p protocol.ResumeParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		changes, err := a.resume(ctx, p.App)
		return protocol.ResumeResult{Changes: changes}, err
	case protocol.MethodResync:
		return nil, a.resync(ctx)
	case protocol.MethodClear:
		_, err := a.relay.Clear(protocol.ReasonUser)
		return nil, err
	case protocol.MethodApps:
		return protocol.AppsResult{Apps: a.Status().Apps}, nil
	case protocol.MethodQuit:
		a.quit()
		return nil, nil
	}
	return nil, &protocol.Error{Code: protocol.CodeMethodNotFound, Message: "This version of Castray has no method of that name."}
}

// pause takes one app out of those that count, or leaves the session for all of them.
func (a *Agent) pause(ctx context.Context, p protocol.PauseParams) error {
	var wait time.Duration
	if p.For != "" {
		var err error
		if wait, err = time.ParseDuration(p.For); err != nil || wait <= 0 {
			return &protocol.Error{Code: protocol.CodeInvalidParams, Message: `for must be a time such as "15m".`}
		}
	}
	if p.App != "" {
		_, err := a.relay.Pause(p.App, true)
		if err == nil && wait > 0 {
			app := p.App
			return a.do(ctx, func() {
				a.later(wait, func() { _, _ = a.relay.Pause(app, false) })
			})
		}
		return err
	}
	return a.do(ctx, func() {
		if a.paused {
			return
		}
		a.paused = true
		a.leave()
		if wait > 0 {
			a.later(wait, func() {
				a.post(func() {
					if a.paused {
						a.rejoin(nil)
					}
				})
			})
		}
	})
}

// later does something after a while, unless the agent ends before.
func (a *Agent) later(d time.Duration, what func()) {
	a.wait.Go(func() {
		select {
		case <-time.After(d):
			what()
		case <-a.running.Done():
		}
	})
}

// joinWithin is how long resume waits to say what will change.
const joinWithin = 15 * time.Second

// resume brings one app back, or all: the context is read before anything is told, and what will change is returned
// before it is pushed (DESIGN 1).
func (a *Agent) resume(ctx context.Context, app string) ([]string, error) {
	if app != "" {
		return a.relay.Pause(app, false)
	}
	changes := make(chan []string, 1)
	paused := false
	err := a.do(ctx, func() {
		if paused = a.paused; paused {
			a.rejoin(func(ids []string) { changes <- ids })
		}
	})
	if err != nil || !paused {
		return nil, err
	}
	select {
	case ids := <-changes:
		return ids, nil
	case <-time.After(joinWithin):
		return nil, &protocol.Error{Code: protocol.CodeNotConnected, Message: "Resumed, but the hub has not answered yet; apps are told as soon as it does."}
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.done:
		return nil, errStopping
	}
}

// rejoin joins again what was left: the configured hub, or the one of the sign-in.
func (a *Agent) rejoin(preview func([]string)) {
	a.paused = false
	switch {
	case a.static():
		a.joinStatic(preview)
	case a.session != nil:
		a.joinSession(a.site(a.siteName), preview)
	}
	if a.line == nil && preview != nil {
		preview(nil)
	}
}

// resync reads the context again and tells it to everyone; without a subscription it tries at once to have one.
func (a *Agent) resync(ctx context.Context) error {
	joins := false
	err := a.do(ctx, func() {
		switch {
		case a.paused:
		case a.line == nil && a.stuck:
			a.rejoin(nil)
			joins = true
		case a.line != nil && !a.line.client.State().Subscribed():
			a.line.client.Reconnect("the user asked")
			joins = true
		}
	})
	if err != nil || joins {
		return err
	}
	return a.relay.Resync()
}
