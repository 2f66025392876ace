package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// Conn is one connection of the local protocol: JSON-RPC 2.0, a message a line, both ways. All methods may be called
// concurrently; Serve or ServeInOrder must be called once, for without it nothing is read.
type Conn struct {
	transport transport
	peer      Peer
	limits    *limits // nil: the other end is the agent, whose queues are bounded
	parser    *parser
	writer    writer
	calls     calls
	silence   time.Duration
	stray     atomic.Int64

	once     sync.Once
	over     chan struct{} // closed when the connection has ended
	why      *endError     // written before over is closed
	released func()        // gives the Listener its place back
}

// buffer sizes: the agent reads mostly short answers and holds up to 64 connections, an app reads events.
const (
	agentBuffer = 4 << 10
	appBuffer   = 32 << 10
)

func newConn(raw net.Conn, peer Peer, l *limits) *Conn {
	size := appBuffer
	if l != nil {
		size = agentBuffer
	}
	t := transportOf(raw, size)
	return &Conn{transport: t, peer: peer, limits: l, parser: newParser(), writer: writer{transport: t}, over: make(chan struct{})}
}

// Pipe is a connection within one process, without a queue between its ends: the agent's end, with the limits of an
// accepted connection, and the app's. It works in synctest bubbles.
func Pipe() (agent, app *Conn) {
	a, b := net.Pipe()
	peer := Peer{Via: ViaPipe}
	return newConn(a, peer, newLimits()), newConn(b, peer, nil)
}

// Peer is who is at the other end, found when the connection was made.
func (c *Conn) Peer() Peer { return c.peer }

// Stray counts answers that nobody waited for: second ones, late ones, and those to no request of ours.
func (c *Conn) Stray() int64 { return c.stray.Load() }

// CloseAfterSilence makes Serve end the connection when no line came for d. Call it before Serve.
func (c *Conn) CloseAfterSilence(d time.Duration) { c.silence = d }

// Close ends the connection. The reason, a few words without patient data, becomes the error of Serve and of every
// request that still waits. A second Close does nothing.
func (c *Conn) Close(reason string) { c.end(&endError{reason: reason}) }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.over }

// endError says why there is no connection any more. errors.Is(err, net.ErrClosed) holds.
type endError struct {
	reason string
	cause  error
	hungUp bool // by the peer, which is no error to Serve
}

func (e *endError) Error() string        { return "connection ended: " + e.reason }
func (e *endError) Is(target error) bool { return target == net.ErrClosed }
func (e *endError) Unwrap() error        { return e.cause }

func (c *Conn) end(why *endError) {
	c.once.Do(func() {
		c.why = why
		close(c.over)
		_ = c.transport.close(why) // an error here changes nothing: the connection is over
		if c.released != nil {
			c.released()
		}
	})
	c.settleAll(false)
}

// settleAll tells all requests that wait that no answer will come.
func (c *Conn) settleAll(serve bool) {
	for _, done := range c.calls.drain(serve) {
		done(nil, c.why)
	}
}

// Go writes a request with params, a JSON object already encoded, which is not changed and not kept. It returns when
// the request is written. done is then called exactly once: with the result; with a *protocol.Error; or with an error
// for which errors.Is(err, net.ErrClosed) holds, when the connection ended first. It is called by the reading
// goroutine, must not block, and result is its own. When Go returns an error, done is not called.
//
// A peer that does not read for 10 s loses its connection.
func (c *Conn) Go(method string, params []byte, done func(result json.RawMessage, err error)) error {
	_, err := c.request(method, params, done)
	return err
}

func (c *Conn) request(method string, params []byte, done func(json.RawMessage, error)) (uint64, error) {
	id, ok := c.calls.add(done)
	if !ok {
		<-c.over
		return 0, c.why
	}
	if err := c.write(head{method: method, id: id}, params); err != nil && c.calls.take(id) != nil {
		return 0, err
	}
	return id, nil
}

// Notify writes a notification; see Go for params and for what happens to a peer that does not read.
func (c *Conn) Notify(method string, params []byte) error {
	return c.write(head{method: method}, params)
}

// Call sends a request and waits for its answer, which is decoded into result unless that is nil. The error is a
// *protocol.Error when the peer answered with one. After ctx ends a late answer counts as stray.
func (c *Conn) Call(ctx context.Context, method string, params, result any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if params == nil {
		body = nil
	}
	type answer struct {
		result json.RawMessage
		err    error
	}
	got := make(chan answer, 1)
	id, err := c.request(method, body, func(result json.RawMessage, err error) { got <- answer{result, err} })
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var a answer
	select {
	case a = <-got:
	case <-ctx.Done():
		c.calls.take(id)
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
	if a.err != nil {
		return fmt.Errorf("%s: %w", method, a.err)
	}
	if result == nil {
		return nil
	}
	if json.Unmarshal(a.result, result) != nil {
		return fmt.Errorf("%s: the answer has another shape than expected", method)
	}
	return nil
}

// write ends the connection when a line could not be written whole.
func (c *Conn) write(h head, body []byte) error {
	select {
	case <-c.over:
		return c.why
	default:
	}
	err := c.writer.line(h, body)
	switch {
	case err == nil || errors.Is(err, errTooBig):
		return err
	case isTimeout(err):
		c.end(&endError{reason: "the other side does not read"})
	default:
		c.end(&endError{reason: "the other side hung up", hungUp: true})
	}
	return c.why
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// settle hands an answer to the request that waits for it; false when there is none.
func (c *Conn) settle(m message) bool {
	id, err := strconv.ParseUint(string(m.id), 10, 64)
	var done func(json.RawMessage, error)
	if err == nil {
		done = c.calls.take(id)
	}
	switch {
	case done == nil:
		c.stray.Add(1)
		return false
	case m.err == nil:
		done(m.result, nil)
	default:
		e := &protocol.Error{}
		if json.Unmarshal(m.err, e) != nil || bytes.Equal(m.err, []byte("null")) {
			e = &protocol.Error{Code: protocol.CodeInternal, Message: "the answer is an error of unknown shape"}
		}
		done(nil, e)
	}
	return true
}
