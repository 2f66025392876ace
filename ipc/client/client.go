// Package client is the Go client of the local protocol: it says hello, brings events to callbacks and their answers
// back, and calls the agent. Our own commands use it; a Go viewer may too.
//
// It keeps the app's part of the one invariant: a connection that ends, or is silent for 75 s, is out of sync, and the
// app is told so at once by Options.OutOfSync. Run connects again, and the agent then brings the app to the context by
// an event or a clear, as after every hello.
//
// It leaves to the app what to show, and to the agent what the app may see. Each connection has a reading goroutine
// and one that calls the callbacks, one after another; both have ended when Wait returns.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

const (
	// silence is how long the agent may say nothing; it sends status at least every 30 s.
	silence = 75 * time.Second
	// maxQueue is how many messages wait for a callback that is slow. One more ends the connection: an app that does not
	// follow must not seem to.
	maxQueue = 256
)

// Options say who the app is and what it does with what it is told. Callbacks are called one after another and may be
// called before Dial returns; none begins after OutOfSync or after Wait returned. The ctx of a callback ends with its
// connection. All but Name may be left empty.
type Options struct {
	Address string // $CASTRAY_SOCKET when empty, else ipc.DefaultAddress; or a WebSocket, ws://127.0.0.1:<port>/v1
	AppKey  string // of castray.json, for a WebSocket; when empty it is read there, anew for each connection
	Name    string
	Version string
	Events  []string // nil: all that the app may see; empty: none
	Key     string   // of castray.json, for control; for Run use ReadKey, since each run of the agent has another
	Answers bool     // events and clears are answered, and the agent counts on it

	// ReadKey is asked for the key before each hello, instead of Key. An error ends that try.
	ReadKey func() (string, error)
	// Admitted is told first, once per connection: with c an app that Run keeps connected can call the agent until
	// OutOfSync.
	Admitted func(c *Client)
	// Event is told of a context change and gives the answer. A zero answer means that Event.Answer follows, so that
	// asking the user holds up nothing. Nil: 202, heard.
	Event func(ctx context.Context, e *Event) protocol.EventAnswer
	// Clear is told to show no patient. Nil: 202, heard.
	Clear func(ctx context.Context, reason protocol.Reason) protocol.EventAnswer
	// Shown says what the app shows. Nil: the agent is told that the app cannot say.
	Shown func(ctx context.Context) []protocol.Window
	// Status is told how the agent is, on change and at least every 30 s.
	Status func(s protocol.Status)
	// OutOfSync is called when what the app shows may be wrong from now on, since the agent is not there: once per loss,
	// and not after Close. It may be called while another callback still runs, whose ctx has ended.
	OutOfSync func(why error)
	// Message sees every message of the agent first, as it was received.
	Message func(method string, params json.RawMessage)

	dial func(ctx context.Context) (*ipc.Conn, error) // instead of Address, in tests
}

// Event is a context change.
type Event struct {
	protocol.Event
	answer chan protocol.EventAnswer
}

// Answer answers an event whose callback returned no status. Only the first answer counts. It may be called from any
// goroutine and does not block.
func (e *Event) Answer(a protocol.EventAnswer) {
	select {
	case e.answer <- a:
	default:
	}
}

// Client is one connection to the agent. Its methods may be called concurrently, from callbacks too, but for Wait.
type Client struct {
	options Options
	conn    *ipc.Conn
	hello   protocol.HelloResult
	greeted chan struct{} // closed when hello holds what the agent said
	queue   chan func(context.Context)
	wait    chan struct{} // closed when all has ended
	err     error         // written before
	leave   sync.Once
	closed  chan struct{} // closed when the app leaves
}

// Dial connects to the agent and says hello. errors.Is(err, fs.ErrNotExist) holds when no agent runs; the error is a
// *protocol.Error when it refused, protocol.CodeVersion when it speaks another version.
func Dial(ctx context.Context, o Options) (*Client, error) {
	if o.ReadKey != nil {
		key, err := o.ReadKey()
		if err != nil {
			return nil, fmt.Errorf("the key of the agent: %w", err)
		}
		o.Key = key
	}
	conn, err := connection(ctx, o)
	if err != nil {
		return nil, err
	}
	conn.CloseAfterSilence(silence)
	c := &Client{
		options: o, conn: conn, queue: make(chan func(context.Context), maxQueue),
		greeted: make(chan struct{}), wait: make(chan struct{}), closed: make(chan struct{}),
	}
	admitted := make(chan bool, 1)
	go c.run(context.WithoutCancel(ctx), admitted)
	err = conn.Call(ctx, protocol.MethodHello, protocol.Hello{
		Protocol: protocol.Version, Name: o.Name, Version: o.Version, Events: o.Events,
		Answers: o.Answers, Shows: o.Shown != nil, Key: o.Key,
	}, &c.hello)
	if err == nil && c.hello.Protocol != protocol.Version {
		err = &protocol.Error{Code: protocol.CodeVersion, Message: fmt.Sprintf(
			"the agent speaks local protocol %d and this app %d: update the older of the two", c.hello.Protocol, protocol.Version)}
	}
	admitted <- err == nil
	if err != nil {
		c.Close()
		<-c.wait
		return nil, err
	}
	close(c.greeted)
	return c, nil
}

func connection(ctx context.Context, o Options) (*ipc.Conn, error) {
	if o.dial != nil {
		return o.dial(ctx)
	}
	if o.Address == "" {
		o.Address = os.Getenv("CASTRAY_SOCKET")
	}
	if o.Address == "" {
		var err error
		if o.Address, err = ipc.DefaultAddress(); err != nil {
			return nil, err
		}
	}
	if o.AppKey != "" {
		return ipc.DialWebSocket(ctx, o.Address, o.AppKey)
	}
	return ipc.Dial(ctx, o.Address)
}

// Hello is what the agent said to the app's hello.
func (c *Client) Hello() protocol.HelloResult { return c.hello }

// Call calls a method of the agent; see ipc.Conn.Call.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	return c.conn.Call(ctx, method, params, result)
}

// Close leaves. Wait tells when all has ended.
func (c *Client) Close() {
	c.leave.Do(func() { close(c.closed) })
	c.conn.Close("the app left")
}

// Wait returns when the connection and all callbacks have ended: nil after Close, else why. Not from a callback.
func (c *Client) Wait() error {
	<-c.wait
	return c.err
}

// run reads until the connection ends, with the callbacks in a goroutine beside. Its ctx is Dial's without the end.
func (c *Client) run(ctx context.Context, admitted <-chan bool) {
	defer close(c.wait)
	ctx, cancel := context.WithCancel(ctx) // ends with the connection
	var callbacks sync.WaitGroup
	callbacks.Go(func() { c.callback(ctx) })
	err := c.conn.ServeInOrder(ctx, c.handle)
	cancel()
	if err == nil {
		err = errors.New("the agent closed the connection")
	}
	select {
	case <-c.closed:
	default:
		c.err = err
		if <-admitted && c.options.OutOfSync != nil { // an app that was never in cannot fall out
			c.options.OutOfSync(err)
		}
	}
	callbacks.Wait()
}

// callback calls back, one after another, from the answer to hello until the connection ends.
func (c *Client) callback(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-c.greeted:
	}
	if c.options.Admitted != nil {
		c.options.Admitted(c)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.queue:
			if ctx.Err() == nil {
				f(ctx)
			}
		}
	}
}

// handle takes one message of the agent, in the reading goroutine: it never waits for a callback.
func (c *Client) handle(_ context.Context, _ *ipc.Conn, method string, params json.RawMessage, _ bool) (any, error) {
	if c.options.Message != nil {
		c.options.Message(method, params)
	}
	switch method {
	case protocol.MethodEvent:
		return c.event(params)
	case protocol.MethodClear:
		return c.clear(params)
	case protocol.MethodShown:
		return c.shown()
	case protocol.MethodStatus:
		return c.status(params)
	}
	return nil, &protocol.Error{Code: protocol.CodeMethodNotFound, Message: "this app knows no such method"}
}

// heard is the answer of an app that has nothing to say.
var heard = protocol.EventAnswer{Status: 202}

func (c *Client) event(params json.RawMessage) (any, error) {
	event, err := ipc.ReadEvent(params)
	if err != nil {
		return nil, err
	}
	if c.options.Event == nil {
		return heard, nil
	}
	e := &Event{Event: event, answer: make(chan protocol.EventAnswer, 1)}
	c.enqueue(func(ctx context.Context) {
		if a := c.options.Event(ctx, e); a.Status != 0 {
			e.Answer(a)
		}
	})
	return later(c, e.answer), nil
}

func (c *Client) clear(params json.RawMessage) (any, error) {
	var p protocol.Clear
	if err := protocol.Decode(params, &p); err != nil {
		return nil, err
	}
	if c.options.Clear == nil {
		return heard, nil
	}
	answer := make(chan protocol.EventAnswer, 1)
	c.enqueue(func(ctx context.Context) { answer <- c.options.Clear(ctx, p.Reason) })
	return later(c, answer), nil
}

func (c *Client) shown() (any, error) {
	if c.options.Shown == nil {
		return nil, &protocol.Error{Code: protocol.CodeMethodNotFound, Message: "this app cannot say what it shows"}
	}
	answer := make(chan protocol.ShownResult, 1)
	c.enqueue(func(ctx context.Context) { answer <- protocol.ShownResult{Windows: c.options.Shown(ctx)} })
	return later(c, answer), nil
}

func (c *Client) status(params json.RawMessage) (any, error) {
	if c.options.Status == nil {
		return nil, nil
	}
	var s protocol.Status
	if err := protocol.Decode(params, &s); err != nil {
		return nil, err
	}
	c.enqueue(func(context.Context) { c.options.Status(s) })
	return nil, nil
}

// enqueue hands a callback to its goroutine, or gives up the connection when too many wait.
func (c *Client) enqueue(f func(context.Context)) {
	select {
	case c.queue <- f:
	default:
		c.conn.Close("the app does not keep up: 256 messages wait")
	}
}

// later answers when the callback has; never, when the connection ends before.
func later[A any](c *Client, answer <-chan A) ipc.Later {
	return func() (any, error) {
		select {
		case a := <-answer:
			return a, nil
		case <-c.conn.Done():
			return nil, errors.New("the connection has ended")
		}
	}
}
