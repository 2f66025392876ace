package ipc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/ipc/protocol"
)

// ViaWebSocket is Peer.Via of the loopback WebSocket.
const ViaWebSocket = "websocket"

// socket is the transport of a WebSocket, a message a text message. Browsers cut long ones into several frames, so those
// are put together; nothing is compressed.
type socket struct {
	net.Conn // what the WebSocket runs over

	ws       *websocket.Conn
	peer     Peer
	buf      [agentBuffer]byte // the reading goroutine's
	controls *limits           // of pings and pongs, which are no messages; nil as in Conn
	sending  atomic.Bool
}

func newSocket(ws *websocket.Conn, peer Peer, controls *limits) *socket {
	s := &socket{Conn: ws.NetConn(), ws: ws, peer: peer, controls: controls}
	pong := ws.PingHandler()
	ws.SetPingHandler(func(text string) error { return s.control(func() { _ = pong(text) }) }) // if it cannot, the next read tells
	ws.SetPongHandler(func(string) error { return s.control(func() {}) })
	return s
}

// control counts a ping or pong, which the reading goroutine meets between frames. Those that are too many are not
// answered, and a flood ends the connection, as of messages.
func (s *socket) control(answer func()) error {
	switch s.controls.judge(time.Now()) {
	case flood:
		return &endError{reason: "more than 1,000 pings in a second"}
	case fine:
		answer()
	}
	return nil
}

func (s *socket) next() ([]byte, error) {
	for {
		kind, r, err := s.ws.NextReader()
		if err != nil {
			return nil, whyBroken(err)
		}
		if kind != websocket.TextMessage {
			return nil, &endError{reason: "a binary frame came: every message is a text frame"}
		}
		message, err := s.whole(r)
		if err != nil {
			return nil, err
		}
		if message = bytes.TrimSpace(message); len(message) > 0 {
			return message, nil
		}
	}
}

// whole reads one message. Its length is counted as it comes, since of fragments nobody says how many there will be.
func (s *socket) whole(r io.Reader) ([]byte, error) {
	n, err := io.ReadFull(r, s.buf[:])
	if err == io.EOF || err == io.ErrUnexpectedEOF { // the end of the message; a connection that ends is another error
		return bytes.Clone(s.buf[:n]), nil
	}
	var parts [][]byte
	for total := n; err == nil; total += n {
		if total > protocol.MaxLine {
			return nil, errTooLong
		}
		parts = grow(parts, s.buf[:n])
		n, err = r.Read(s.buf[:])
	}
	if err == io.EOF {
		return bytes.Join(parts, nil), nil
	}
	return nil, whyBroken(err)
}

// whyBroken tells a peer that hung up, with or without a word, from one that does not keep to RFC 6455.
func whyBroken(err error) error {
	var closed *websocket.CloseError
	var line net.Error
	var cut *endError
	switch {
	case errors.As(err, &closed), errors.As(err, &line), errors.As(err, &cut):
		return err
	}
	return &endError{reason: "what came is no frame of a WebSocket"}
}

// send writes one frame: what an app makes of fragments is not ours to try.
func (s *socket) send(pieces net.Buffers) error {
	s.sending.Store(true)
	defer s.sending.Store(false)
	if err := s.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	message := pieces[0]
	if len(pieces) > 1 {
		message = bytes.Join(pieces, nil)
	}
	return s.ws.WriteMessage(websocket.TextMessage, bytes.TrimSuffix(message, []byte("\n")))
}

const (
	// farewell is how long the reason for a close may take to be written. It has room at once, or never in time.
	farewell  = 20 * time.Millisecond
	maxReason = 123 // RFC 6455, 5.5: what a close frame holds besides its code
)

// close tells the reason, unless the peer has left or does not read what is being sent: whoever closes must not wait for
// the peer.
func (s *socket) close(why *endError) error {
	if !why.hungUp && !s.sending.Load() {
		code := websocket.ClosePolicyViolation
		switch {
		case s.controls == nil: // we are the app
			code = websocket.CloseNormalClosure
		case why.cause != nil:
			code = websocket.CloseGoingAway
		}
		reason := strings.ToValidUTF8(why.reason[:min(len(why.reason), maxReason)], "")
		_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(farewell))
	}
	return s.ws.Close()
}
