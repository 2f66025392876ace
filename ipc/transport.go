package ipc

import (
	"net"
	"time"
)

// A transport carries whole messages both ways, so that all that is above it is the same for every kind of connection.
type transport interface {
	// next is the next message that is not blank, in memory of its own. An *endError says why the connection must be cut,
	// errTooLong that a message was longer than protocol.MaxLine; any other error is that the peer hung up. One goroutine
	// calls it.
	next() ([]byte, error)
	// send writes one message, line end included, given in pieces. It is called by one goroutine at a time; after an error
	// the connection is of no more use. The pieces are not changed and not kept.
	send(pieces net.Buffers) error
	// close tells the peer why, where the transport can and at no cost, and ends next and send. It does not wait for them.
	close(why *endError) error
}

// writeTimeout is how long a peer may leave its end full before the connection is cut.
const writeTimeout = 10 * time.Second

// transportOf is the connection itself, if it is one that knows where messages end, and else a stream of lines.
func transportOf(raw net.Conn, buffer int) transport {
	if t, ok := raw.(transport); ok {
		return t
	}
	return &stream{frames: newFrames(raw, buffer), conn: raw}
}

// stream is the transport of a socket or pipe, a message a line.
type stream struct {
	*frames
	conn net.Conn
}

func (s *stream) send(pieces net.Buffers) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if len(pieces) == 1 {
		_, err := s.conn.Write(pieces[0])
		return err
	}
	rest := pieces // and not pieces, which would then be allocated for every message
	_, err := rest.WriteTo(s.conn)
	return err
}

func (s *stream) close(*endError) error { return s.conn.Close() }
