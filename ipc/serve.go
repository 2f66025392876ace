package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// Handler answers one request, or takes one notification, whose result and error go nowhere. The result is encoded as
// JSON; nil is {}, a json.RawMessage is taken as it is; Later and Reply are special. An error that is no
// *protocol.Error is answered as an internal error, without its text. ctx ends with the connection. params belongs to
// the handler, nil when absent.
type Handler func(ctx context.Context, c *Conn, method string, params json.RawMessage, notify bool) (result any, err error)

// Later, as a Handler's result, gives the answer in a goroutine of its own.
type Later func() (result any, err error)

// Reply, as a Handler's result, calls Written once Result is written, and before another message of this connection is
// handled if it answers the first. It is how the agent begins to send events after, and not before, the answer to
// hello. When the answer cannot be written, Written is not called.
type Reply struct {
	Result  any
	Written func()
}

// Serve reads until the connection ends and returns when all that it started has ended too. It returns nil when the
// peer hung up, ctx.Err() when ctx ended, and otherwise why the connection was cut.
//
// Each message is handled in a goroutine of its own, so that answers may come out of order; but none before the first
// is answered, so that an app need not wait for the answer to its hello. Of an accepted connection at most 8 messages
// are handled at once and 100 a second; more are answered with protocol.CodeBusy, and a peer that sends 1,000 in a
// second is cut off.
func (c *Conn) Serve(ctx context.Context, h Handler) error { return c.serve(ctx, h, false) }

// ServeInOrder is Serve with every message handled in the order of arrival, by the reading goroutine: h must not
// block, and returns a Later for what takes time or has a long answer. (Two readers that both write what the other does
// not read would wait for each other.)
func (c *Conn) ServeInOrder(ctx context.Context, h Handler) error { return c.serve(ctx, h, true) }

func (c *Conn) serve(ctx context.Context, h Handler, inOrder bool) error {
	if !c.calls.begin() {
		<-c.over
		return c.why
	}
	s := &serving{conn: c, handler: h, inOrder: inOrder, first: make(chan struct{})}
	if inOrder {
		close(s.first)
	}
	handling, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		c.end(&endError{reason: "stopping", cause: ctx.Err()})
	})
	c.end(s.read(handling))
	cancel()
	if !stop() {
		<-stopped
	}
	c.settleAll(true)
	s.running.Wait()
	switch {
	case c.why.hungUp:
		return nil
	case c.why.cause != nil:
		return c.why.cause
	}
	return c.why
}

// serving is what one call of Serve needs; its reading goroutine owns it.
type serving struct {
	conn    *Conn
	handler Handler
	inOrder bool
	begun   bool
	first   chan struct{} // closed when the first message is answered; with inOrder from the start
	running sync.WaitGroup
}

// read takes lines until there are no more and says why.
func (s *serving) read(ctx context.Context) *endError {
	c := s.conn
	heard := func() {}
	if c.silence > 0 {
		// Beside the reader: a read deadline would be moved by every half line.
		alarm := time.AfterFunc(c.silence, func() { c.Close("no line came for " + c.silence.String()) })
		defer alarm.Stop()
		heard = func() { alarm.Reset(c.silence) }
	}
	for {
		line, err := c.transport.next()
		if err != nil {
			return c.ended(err)
		}
		heard()
		if why := s.take(ctx, line); why != nil {
			return why
		}
	}
}

// ended says why there is no next message.
func (c *Conn) ended(err error) *endError {
	var cut *endError
	switch {
	case errors.Is(err, errTooLong):
		// The reason is told as well as a peer can hear that does not stop writing.
		c.refuse(json.RawMessage("null"), invalid("a line may have at most 6 MiB; the connection is closed"))
		return &endError{reason: err.Error()}
	case errors.As(err, &cut):
		return cut
	}
	return &endError{reason: "the other side hung up", hungUp: true}
}

// take deals with one line.
func (s *serving) take(ctx context.Context, line []byte) *endError {
	c := s.conn
	m, bad := c.parser.parse(line)
	if bad == nil && m.isAnswer() && c.settle(m) {
		return nil
	}
	switch c.limits.judge(time.Now()) {
	case flood:
		return &endError{reason: "more than 1,000 messages in a second"}
	case busy:
		c.busy(m, "more than 100 messages in a second: wait a little and send it again")
		return nil
	}
	switch {
	case bad != nil:
		c.refuse(m.id, bad)
	case !m.isAnswer():
		s.run(ctx, m)
	}
	return nil
}

// run handles one request or notification, in this goroutine or in its own.
func (s *serving) run(ctx context.Context, m message) {
	c := s.conn
	if !c.limits.enter() {
		c.busy(m, "8 requests of this connection wait for their answer: wait for one of them")
		return
	}
	var method string
	if json.Unmarshal(m.method, &method) != nil {
		method = "" // the parser has judged it before, so this is no method of anyone
	}
	work := Later(func() (any, error) { return s.handler(ctx, c, method, m.params, m.id == nil) })
	if s.inOrder {
		result, err := work()
		later, ok := result.(Later)
		if !ok || err != nil {
			c.reply(m, result, err)
			c.limits.leave()
			return
		}
		work = later
	}
	wait, done := s.first, func() {}
	if !s.begun && !s.inOrder {
		wait, done = nil, func() { close(s.first) }
	}
	s.begun = true
	s.running.Go(func() {
		defer c.limits.leave()
		if wait != nil {
			<-wait
		}
		defer done()
		result, err := work()
		if later, ok := result.(Later); ok && err == nil {
			result, err = later()
		}
		c.reply(m, result, err)
	})
}

// reply writes the answer to a request.
func (c *Conn) reply(m message, result any, err error) {
	written := func() {}
	if r, ok := result.(Reply); ok {
		result = r.Result
		if r.Written != nil {
			written = r.Written
		}
	}
	if m.id == nil {
		return
	}
	if err != nil {
		c.refuse(m.id, err)
		return
	}
	body, err := encode(result)
	if err == nil {
		err = c.write(head{answer: m.id}, body)
	}
	switch {
	case err == nil:
		written()
	case !errors.Is(err, net.ErrClosed):
		c.refuse(m.id, &protocol.Error{Code: protocol.CodeInternal, Message: "the answer cannot be written: too long, or a mistake of the agent"})
	}
}

func encode(result any) ([]byte, error) {
	switch r := result.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return r, nil
	}
	return json.Marshal(result)
}

// refuse answers with an error; id nil is written as null. What is no *protocol.Error keeps its text to itself: it may
// hold what the peer must not see.
func (c *Conn) refuse(id json.RawMessage, err error) {
	var e *protocol.Error
	if !errors.As(err, &e) {
		e = &protocol.Error{Code: protocol.CodeInternal, Message: "the request could not be carried out"}
	}
	if id == nil {
		id = json.RawMessage("null")
	}
	body, err := json.Marshal(e)
	if err == nil {
		c.write(head{answer: id, failed: true}, body) // on failure the connection has ended, which Serve reports
	}
}

// busy refuses a request; a notification that is too much is dropped.
func (c *Conn) busy(m message, sentence string) {
	if m.id != nil && !m.isAnswer() {
		c.refuse(m.id, &protocol.Error{Code: protocol.CodeBusy, Message: sentence})
	}
}
