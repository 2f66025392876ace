package ipc

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/castray/castray/ipc/protocol"
)

// errTooLong ends a connection: what follows in the stream is the rest of that line.
var errTooLong = errors.New("a line is longer than 6 MiB")

// chunk is the step in which a long line grows. Doubling instead would let a peer that sends no line end cost us more
// than twice the limit before we notice.
const chunk = 64 << 10

// frames cuts a byte stream into lines.
type frames struct {
	r     *bufio.Reader
	begun bool
}

// newFrames reads through a buffer of the given size. Lines that fit in it cost one allocation of their own length.
func newFrames(r io.Reader, buffer int) *frames {
	return &frames{r: bufio.NewReaderSize(r, buffer)}
}

// next returns the next line that is not blank, without its line end, in memory of its own. A half line before the
// end of the stream is thrown away: its sender died while writing, and half a message must never be believed.
func (f *frames) next() ([]byte, error) {
	for {
		line, err := f.line()
		if err != nil {
			return nil, err
		}
		if !f.begun {
			// .NET's StreamWriter with Encoding.UTF8 puts a byte order mark before the first line.
			line, f.begun = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), true
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

func (f *frames) line() ([]byte, error) {
	part, err := f.r.ReadSlice('\n')
	if err == nil {
		return bytes.Clone(part), nil
	}
	var parts [][]byte
	n := 0
	for err == bufio.ErrBufferFull {
		if n += len(part); n > protocol.MaxLine+1 { // its last byte may be the \r of the line end
			return nil, errTooLong
		}
		parts = grow(parts, part)
		part, err = f.r.ReadSlice('\n')
	}
	if err != nil {
		return nil, err
	}
	if n+len(bytes.TrimRight(part, "\r\n")) > protocol.MaxLine {
		return nil, errTooLong
	}
	return bytes.Join(append(parts, part), nil), nil
}

// grow appends a copy of b, opening a new chunk when the last is full.
func grow(parts [][]byte, b []byte) [][]byte {
	for len(b) > 0 {
		if len(parts) == 0 || len(parts[len(parts)-1]) == chunk {
			parts = append(parts, make([]byte, 0, chunk))
		}
		last := &parts[len(parts)-1]
		n := min(len(b), chunk-len(*last))
		*last = append(*last, b[:n]...)
		b = b[n:]
	}
	return parts
}
