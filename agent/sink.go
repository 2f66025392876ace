package agent

import (
	"encoding/json"
	"errors"
	"net"
	"os"

	"github.com/castray/castray/bridge"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

// A sink writes to an app at the pipe or the WebSocket.
type sink struct {
	conn  *ipc.Conn
	ready <-chan struct{} // closed when the answer to hello is written
}

// Write is for bridge.Sink.
func (s *sink) Write(m bridge.Message, answer func(status int)) error {
	select {
	case <-s.ready:
	case <-s.conn.Done():
		return net.ErrClosed
	}
	if !m.Answer {
		return s.conn.Notify(m.Method, m.Params)
	}
	return s.conn.Go(m.Method, m.Params, func(result json.RawMessage, err error) {
		if errors.Is(err, net.ErrClosed) {
			return // who detaches the app says what that means
		}
		var said protocol.EventAnswer
		if err != nil || json.Unmarshal(result, &said) != nil {
			said.Status = 0
		}
		answer(said.Status)
	})
}

// Shown is for bridge.Sink.
func (s *sink) Shown(answer func(windows []protocol.Window, ok bool)) error {
	select {
	case <-s.ready:
	case <-s.conn.Done():
		return net.ErrClosed
	}
	return s.conn.Go(protocol.MethodShown, []byte("{}"), func(result json.RawMessage, err error) {
		if errors.Is(err, net.ErrClosed) {
			return // who detaches the app says what that means
		}
		var said struct {
			Windows *[]protocol.Window `json:"windows"` // an answer without the list says nothing, and not that nothing is shown
		}
		if err != nil || json.Unmarshal(result, &said) != nil || said.Windows == nil {
			answer(nil, false)
			return
		}
		answer(*said.Windows, true)
	})
}

// Close is for bridge.Sink.
func (s *sink) Close(reason string) { s.conn.Close(reason) }

func pid() int { return os.Getpid() }
