package ipc

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

const (
	// writeTimeout is how long a peer may leave its end full before the connection is cut.
	writeTimeout = 10 * time.Second
	// keepBuffer is the largest write buffer that an idle connection keeps. Longer bodies are written from where they
	// are, in three pieces.
	keepBuffer = 32 << 10
)

// errTooBig refuses to write what the other side would have to refuse to read. Nothing was written.
var errTooBig = errors.New("the message is longer than the 6 MiB of a line")

// writer writes whole lines, one at a time.
type writer struct {
	conn net.Conn
	mu   sync.Mutex
	buf  []byte
}

// line writes one message and returns when the transport has taken all of it. After an error other than errTooBig part
// of a line may be out, and the connection is of no more use. The body is never changed.
func (w *writer) line(h head, body []byte) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	body = oneLine(body)
	w.mu.Lock()
	defer w.mu.Unlock()
	buf := h.append(w.buf[:0])
	if len(buf)+len(body)+1 > protocol.MaxLine {
		return errTooBig
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if len(body) > keepBuffer {
		w.buf = buf[:0]
		pieces := net.Buffers{buf, body, []byte("}\n")}
		_, err := pieces.WriteTo(w.conn)
		return err
	}
	buf = append(append(buf, body...), "}\n"...)
	w.buf = buf[:0]
	_, err := w.conn.Write(buf)
	return err
}

// oneLine makes line breaks spaces. In valid JSON they stand only between tokens, so the value stays the same.
func oneLine(body []byte) []byte {
	if bytes.IndexByte(body, '\n') < 0 && bytes.IndexByte(body, '\r') < 0 {
		return body
	}
	flat := bytes.Clone(body)
	for i, b := range flat {
		if b == '\n' || b == '\r' {
			flat[i] = ' '
		}
	}
	return flat
}
