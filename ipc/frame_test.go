package ipc

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/castray/castray/ipc/protocol"
)

func lines(t *testing.T, r io.Reader) ([]string, error) {
	t.Helper()
	return all(newFrames(r, agentBuffer).next)
}

// all reads to the end and says what that was.
func all(next func() ([]byte, error)) (messages []string, err error) {
	for {
		m, err := next()
		if err != nil {
			return messages, err
		}
		messages = append(messages, string(m))
	}
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 3*chunk+17)
	limit := strings.Repeat("x", protocol.MaxLine)
	for _, row := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"lines end with LF or CRLF", "{}\n[]\r\n", []string{"{}", "[]"}, io.EOF},
		{"a half line at hang-up is thrown away", "{}\n{\"a\":", []string{"{}"}, io.EOF},
		{"a long half line too", "{}\n" + long, []string{"{}"}, io.EOF},
		{"blank lines are passed over", "\n\r\n  \n{}\n\n", []string{"{}"}, io.EOF},
		{"a byte order mark before the first line is passed over", "\xef\xbb\xbf{}\n", []string{"{}"}, io.EOF},
		{"a line longer than the buffer is whole", long + "\n{}\n", []string{long, "{}"}, io.EOF},
		{"a line of exactly the limit passes", limit + "\r\n{}\n", []string{limit, "{}"}, io.EOF},
		{"a line one byte longer ends it", limit + "x\n{}\n", nil, errTooLong},
		{"an endless line ends it", limit + limit, nil, errTooLong},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := lines(t, strings.NewReader(row.in))
			if !errors.Is(err, row.err) {
				t.Errorf("ended with %v, want %v", err, row.err)
			}
			if len(got) != len(row.want) {
				t.Fatalf("%d lines, want %d", len(got), len(row.want))
			}
			for i := range got {
				if got[i] != row.want[i] {
					t.Errorf("line %d has %d bytes, want %d", i, len(got[i]), len(row.want[i]))
				}
			}
		})
	}
}

func TestFramesDoNotShareMemory(t *testing.T) {
	f := newFrames(iotest.OneByteReader(strings.NewReader("first\nother\n")), agentBuffer)
	first, _ := f.next()
	if _, err := f.next(); err != nil || string(first) != "first" {
		t.Errorf("the first line became %q (%v)", first, err)
	}
}

// endless is a line that never ends, without the memory for one.
type endless struct{ sent int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	e.sent += len(b)
	return len(b), nil
}

func TestAnEndlessLineCostsNoMoreThanTheLimit(t *testing.T) {
	var before, after runtime.MemStats
	source := &endless{}
	f := newFrames(source, agentBuffer)
	runtime.ReadMemStats(&before)
	_, err := f.next()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errTooLong) {
		t.Fatal(err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > protocol.MaxLine+64<<10 {
		t.Errorf("allocated %d bytes for a line of at most %d", grown, protocol.MaxLine)
	}
	if source.sent > protocol.MaxLine+64<<10 {
		t.Errorf("read %d bytes", source.sent)
	}
}

func FuzzFrames(f *testing.F) {
	for _, seed := range []string{"{}\n[]\r\n", "\xef\xbb\xbf{}\n", "{", "\n\n", `{"jsonrpc":"2.0","id":1,"method":"hello"}` + "\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := lines(t, bytes.NewReader(in))
		if !errors.Is(err, io.EOF) {
			t.Fatalf("ended with %v", err)
		}
		pieces, _ := lines(t, iotest.OneByteReader(bytes.NewReader(in)))
		if strings.Join(whole, "\n") != strings.Join(pieces, "\n") {
			t.Fatalf("other lines when the bytes come one by one: %q and %q", whole, pieces)
		}
		p := newParser()
		for _, line := range whole {
			if strings.Contains(line, "\n") || line == "" {
				t.Fatalf("not one line: %q", line)
			}
			m, bad := p.parse([]byte(line))
			if bad == nil && m.method == nil && !m.isAnswer() {
				t.Fatalf("neither answer nor request passed: %q", line)
			}
			if len(m.id) > maxID {
				t.Fatalf("an id of %d bytes passed", len(m.id))
			}
		}
	})
}
