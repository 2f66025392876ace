package agent

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

const (
	helloWithin  = 10 * time.Second
	statusEvery  = 29 * time.Second      // an app is promised 30 s
	statusPause  = 50 * time.Millisecond // between two statuses to one app: newest wins. A loss is told within 100 ms, also right after another status
	lookForEnd   = 5 * time.Second       // of a process whose connection has ended
	keyBytes     = 32
	secondsClose = time.Second
)

func newKeys() (protocol.Keys, error) {
	key := func() string {
		var b [keyBytes]byte
		rand.Read(b[:])
		return hex.EncodeToString(b[:])
	}
	return protocol.Keys{Key: key(), AppKey: key(), PID: pid()}, nil
}

// A door lets apps in.
type door struct {
	agent    *Agent
	listener *ipc.Listener
}

// openWebSocket is the door beside the pipe, if there is to be one. When its port cannot be had the agent runs without: the
// apps at the pipe must not lose it over that, and those that would have come here know that they are not connected.
func (a *Agent) openWebSocket(pipe *ipc.Listener) *door {
	local := a.cfg.Settings.Local
	if !local.WebSocket {
		return nil
	}
	web, port, err := pipe.ListenWebSocket(local.WebSocketPort, local.Origins, a.keys.AppKey)
	if err != nil {
		a.cfg.Log.Error("no WebSocket for apps: its port cannot be had; choose another local.websocket_port, or 0", "because", err.Error())
		return nil
	}
	a.keys.Port = port
	return &door{agent: a, listener: web}
}

func (d *door) serve(ctx context.Context) {
	for {
		conn, err := d.listener.Accept(ctx)
		switch {
		case err == nil:
			d.agent.wait.Go(func() { (&guest{agent: d.agent, conn: conn}).serve(ctx) })
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			_ = d.listener.Close()
			return
		default: // no more file descriptors, say: an app that was turned away tries again
			d.agent.cfg.Log.Warn("an app could not be let in")
			select {
			case <-time.After(secondsClose):
			case <-ctx.Done():
			}
		}
	}
}

// A guest is one connection, before and after hello.
type guest struct {
	agent   *Agent
	conn    *ipc.Conn
	id      string // among the relay's apps, "" before hello
	control bool
	ours    bool // it said the key: a command of ours, which is told who is signed in
	sink    *sink
	greeted chan struct{}
}

func (g *guest) serve(ctx context.Context) {
	g.greeted = make(chan struct{})
	impatient := time.AfterFunc(helloWithin, func() { g.conn.Close("no hello within 10 s") })
	defer impatient.Stop()
	pushing := make(chan struct{})
	go func() {
		defer close(pushing)
		select {
		case <-g.greeted:
			impatient.Stop()
			g.push()
		case <-g.conn.Done():
		}
	}()
	err := g.conn.ServeInOrder(ctx, g.handle)
	<-pushing
	if g.id == "" {
		g.conn.Peer().Release()
		return
	}
	if err != nil && ctx.Err() == nil {
		g.agent.cfg.Log.Warn("an app was cut off", "app", g.id, "because", err.Error())
	}
	g.leave(ctx, err != nil)
}

// leave tells the relay that the app is gone, and looks at its process for as long as that makes a difference: while it
// lives, and the app has not come back, it may still show a patient. So may one that was cut off, where that cannot be told: a page
// has not been closed by it.
func (g *guest) leave(ctx context.Context, cut bool) {
	defer g.conn.Peer().Release()
	look := time.NewTicker(lookForEnd)
	defer look.Stop()
	for {
		alive, known := g.conn.Peer().Alive()
		if !g.agent.relay.Detach(g.id, g.sink, known && alive || !known && cut && !g.conn.Peer().Ended()) {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// push sends the Status on change and at least every 30 s, newest wins.
func (g *guest) push() {
	changed, stop := g.agent.board.watch()
	defer stop()
	regular := time.NewTicker(statusEvery)
	defer regular.Stop()
	for {
		if g.conn.Notify(protocol.MethodStatus, g.agent.board.text(g.ours)) != nil {
			return
		}
		select {
		case <-time.After(statusPause):
		case <-g.conn.Done():
			return
		}
		select {
		case <-changed:
		case <-regular.C:
		case <-g.conn.Done():
			return
		}
		regular.Reset(statusEvery)
	}
}

// handle takes one message. It is called by the goroutine that reads the app's answers too, so that the relay hears in
// which order the app answered and asked (S9): an app that asks before it has answered what it was sent is not yet where
// it asks to go. What takes time, or may be long, is given later.
func (g *guest) handle(ctx context.Context, _ *ipc.Conn, method string, params json.RawMessage, notify bool) (any, error) {
	if method == protocol.MethodHello {
		return g.hello(params, notify)
	}
	if g.id == "" {
		return nil, &protocol.Error{Code: protocol.CodeHelloFirst, Message: "The first message must be hello."}
	}
	switch method {
	case protocol.MethodContext:
		current, err := g.agent.relay.Context(g.id)
		if err == nil && current == nil {
			err = &protocol.Error{Code: protocol.CodeContextUnknown, Message: "The current context is not known; a status tells when it is."}
		}
		return ipc.Later(func() (any, error) { return current, err }), nil
	case protocol.MethodSend:
		var p protocol.SendParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		if p.Event == "" {
			return nil, &protocol.Error{Code: protocol.CodeInvalidParams, Message: `params member "event" must name an event, such as "Patient-open".`}
		}
		wait := g.agent.relay.Ask(g.id, p)
		return ipc.Later(func() (any, error) {
			result, err := wait()
			return result, g.agent.blame(err)
		}), nil
	case protocol.MethodSubscribe:
		var p protocol.SubscribeParams
		if err := protocol.Decode(params, &p); err != nil {
			return nil, err
		}
		return nil, g.agent.relay.Subscribe(g.id, names(p.Events))
	case protocol.MethodStatus:
		return ipc.Later(func() (any, error) { return json.RawMessage(g.agent.board.text(g.ours)), nil }), nil
	}
	if !g.control && slices.Contains(controls, method) {
		return nil, &protocol.Error{Code: protocol.CodeNotAllowed, Message: "This needs control: say the key of castray.json in hello."}
	}
	return ipc.Later(func() (any, error) { return g.agent.Do(ctx, method, params) }), nil
}

// hello admits an app. Events go out only when the answer is written.
func (g *guest) hello(params json.RawMessage, notify bool) (any, error) {
	var h protocol.Hello
	if err := protocol.Decode(params, &h); err != nil {
		return nil, err
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	switch {
	case g.id != "":
		return nil, &protocol.Error{Code: protocol.CodeInvalidRequest, Message: "hello was said already."}
	case notify:
		return nil, nil
	}
	key := h.Key != "" && subtle.ConstantTimeCompare([]byte(h.Key), []byte(g.agent.keys.Key)) == 1
	if h.Key != "" && !key {
		return nil, &protocol.Error{Code: protocol.CodeNotAllowed, Message: "The key is not that of this run; read castray.json again."}
	}
	peer := g.conn.Peer()
	app := bridge.App{
		Name: h.Name, Via: peer.Via, PID: peer.PID, Exe: peer.Exe, Events: names(h.Events), Answers: h.Answers, Shows: h.Shows,
		Hidden: key && h.Events != nil && len(h.Events) == 0,
	}
	rule := ruleFor(g.agent.cfg.Settings.Apps, peer)
	switch {
	case rule != nil:
		follow(rule, &app)
	case !key && g.agent.cfg.Settings.Local.UnknownApps == "deny":
		return nil, &protocol.Error{Code: protocol.CodeNotAllowed, Message: "The configuration lets no unknown app follow; ask the administrator for a rule."}
	}
	if key { // says who is the user's own hand: a rule takes nothing away from it
		app.MaySend, app.Sends = true, nil
	}
	g.sink = &sink{conn: g.conn, ready: g.greeted}
	g.ours, g.control = key, key || rule != nil && rule.Control
	id, current, err := g.agent.relay.Attach(app, g.sink)
	if err != nil {
		return nil, err
	}
	g.id = id
	status := g.agent.Status()
	if !key {
		status = status.ForApps()
	}
	result := protocol.HelloResult{Protocol: protocol.Version, Agent: g.agent.cfg.Version, App: id, Status: status, Context: current}
	return ipc.Later(func() (any, error) { return ipc.Reply{Result: result, Written: func() { close(g.greeted) }}, nil }), nil
}

// names keeps the difference between no list, which is everything, and an empty one, which is nothing.
func names(words []string) []fhircast.Name {
	if words == nil {
		return nil
	}
	return append([]fhircast.Name{}, fhircast.Names(words)...)
}
