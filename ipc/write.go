package ipc

import (
	"bytes"
	"errors"
	"net"
	"sync"

	"github.com/castray/castray/ipc/protocol"
)

// keepBuffer is the largest write buffer that an idle connection keeps. Longer bodies are written from where they are,
// in three pieces.
const keepBuffer = 32 << 10

// errTooBig refuses to write what the other side would have to refuse to read. Nothing was written.
var errTooBig = errors.New("the message is longer than the 6 MiB of a line")

// writer writes whole messages, one at a time.
type writer struct {
	transport transport
	mu        sync.Mutex
	buf       []byte
	pieces    [3][]byte
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
	pieces := append(net.Buffers(w.pieces[:0]), buf)
	if len(body) > keepBuffer {
		pieces = append(pieces, body, []byte("}\n"))
	} else {
		buf = append(append(buf, body...), "}\n"...)
		pieces[0] = buf
	}
	w.buf = buf[:0]
	err := w.transport.send(pieces)
	clear(pieces) // else a body of 6 MiB would stay for as long as the connection idles
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
