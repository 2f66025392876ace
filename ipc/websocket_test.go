package ipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/ipc/protocol"
)

// handover gives the connection of a request away, as the HTTP server does.
type handover struct {
	http.ResponseWriter
	conn net.Conn
}

func (h handover) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReaderSize(h.conn, agentBuffer), bufio.NewWriter(h.conn)), nil
}

// upgrade is the agent's end of the WebSocket that is asked for.
func upgrade(t testing.TB, conn net.Conn, request io.Reader) *socket {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	ws, err := (&websocket.Upgrader{}).Upgrade(handover{conn: conn}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return newSocket(ws, Peer{}, newLimits())
}

// newPage is an accepted WebSocket and the app's end, for use in a synctest bubble.
func newPage(t *testing.T) (*Conn, *websocket.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	dialled := make(chan *websocket.Conn)
	go func() {
		// Frames of at most some 100 bytes: what is longer comes in fragments.
		d := websocket.Dialer{WriteBufferSize: 100, NetDial: func(string, string) (net.Conn, error) { return theirs, nil }}
		app, _, err := d.Dial("ws://127.0.0.1:1/v1", nil)
		if err != nil {
			t.Error(err)
		}
		dialled <- app
	}()
	s := upgrade(t, ours, ours)
	return newConn(s, Peer{}, newLimits()), <-dialled
}

// send writes a message from the app, read what comes back.
func send(t *testing.T, app *websocket.Conn, message string) {
	t.Helper()
	if err := app.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		t.Errorf("write: %v", err)
	}
}

func read(t *testing.T, app *websocket.Conn, want string) {
	t.Helper()
	if _, got, err := app.ReadMessage(); err != nil || string(got) != want {
		t.Errorf("read  %.200s (%v)\nwanted %.200s", got, err, want)
	}
}

func TestMessagesOfAWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newPage(t)
		ended := served(c, echo)
		long := strings.Repeat("x", 3*chunk+17)
		for _, row := range []struct{ name, in, out string }{
			{"a message", `{"jsonrpc":"2.0","id":1,"method":"x"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
			{"blank ones are passed over", "", ""},
			{"also with a line end", "\r\n", ""},
			{"a line end after it", `{"jsonrpc":"2.0","id":2,"method":"x"}` + "\r\n", `{"jsonrpc":"2.0","id":2,"result":{}}`},
			{"line ends within", "{\"jsonrpc\":\"2.0\",\n\"id\":3,\r\n\"method\":\"x\",\"params\":{\n}}", "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{ }}"},
			{"fragments", `{"jsonrpc":"2.0","id":4,"method":"x","params":{"x":"` + long + `"}}`, `{"jsonrpc":"2.0","id":4,"result":{"x":"` + long + `"}}`},
			{"of exactly the buffer", `{"jsonrpc":"2.0","id":5,"method":"x"}` + strings.Repeat(" ", agentBuffer-37), `{"jsonrpc":"2.0","id":5,"result":{}}`},
			{"two in one", `{"jsonrpc":"2.0","id":6,"method":"x"}` + "\n" + `{"jsonrpc":"2.0","id":7,"method":"x"}`,
				`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not valid JSON: one object a line, UTF-8, no name twice"}}`},
			{"no UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"\xff\"}",
				`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not valid JSON: one object a line, UTF-8, no name twice"}}`},
		} {
			t.Log(row.name)
			send(t, app, row.in)
			if row.out != "" {
				read(t, app, row.out)
			}
		}
		app.Close()
		if err := <-ended; err != nil {
			t.Errorf("a page that is closed is no error: %v", err)
		}
	})
}

// What the agent sends is one frame, however long: the app may be fifteen lines that know of no fragments.
func TestWhatIsSentIsOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newPage(t)
		body := `{"x":"` + strings.Repeat("y", 2*keepBuffer) + `"}`
		go func() {
			if err := c.Notify("event", []byte(body)); err != nil {
				t.Error(err)
			}
		}()
		wire := bufio.NewReader(app.NetConn())
		head := make([]byte, 10)
		if _, err := io.ReadFull(wire, head); err != nil {
			t.Fatal(err)
		}
		want := `{"jsonrpc":"2.0","method":"event","params":` + body + `}`
		if head[0] != 0x81 || head[1] != 127 || int(head[7])<<16|int(head[8])<<8|int(head[9]) != len(want) {
			t.Errorf("the frame begins %x, wanted the whole text, %x bytes", head, len(want))
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(wire, got); err != nil || string(got) != want {
			t.Errorf("%.100s %v", got, err)
		}
		c.Close("done")
	})
}

// frame is a frame as a page sends it, masked with zeros.
func frame(first byte, payload string) []byte {
	head := []byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	if len(payload) > 125 {
		head = []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	}
	return append(head, payload...)
}

// Each of these costs the page that does it its connection, and says why.
func TestWhatEndsAWebSocket(t *testing.T) {
	block := strings.Repeat("x", 60_000)
	for _, row := range []struct {
		name   string
		frames func(n int) []byte // the nth
		reason string
		code   int // of the close frame
	}{
		{"a binary frame", func(n int) []byte { return frame(0x82, "{}") }, "a binary frame came: every message is a text frame", 1008},
		{"a message without end in fragments", func(n int) []byte { return frame(byte(min(n, 1))^1, block) }, "a line is longer than 6 MiB", 1008},
		{"a flood of pings", func(n int) []byte { return frame(0x89, "") }, "more than 1,000 pings in a second", 1008},
		{"a flood of pongs", func(n int) []byte { return frame(0x8a, "") }, "more than 1,000 pings in a second", 1008},
		{"a flood of pings amid a message", func(n int) []byte {
			if n == 0 {
				return frame(0x01, block)
			}
			return frame(0x89, "")
		}, "more than 1,000 pings in a second", 1008},
		{"a flood of messages", func(n int) []byte { return frame(0x81, `{"jsonrpc":"2.0","method":"x"}`) }, "more than 1,000 messages in a second", 1008},
		{"a frame that is not masked", func(n int) []byte { return []byte{0x81, 2, '{', '}'} }, "what came is no frame of a WebSocket", 1002},
		{"a frame of no known kind", func(n int) []byte { return frame(0x83, "{}") }, "what came is no frame of a WebSocket", 1002},
		{"a message within another", func(n int) []byte { return frame(0x01, "{") }, "what came is no frame of a WebSocket", 1002},
		{"compressed, which was not agreed", func(n int) []byte { return frame(0xc1, "{}") }, "what came is no frame of a WebSocket", 1002},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, app := newPage(t)
				ended := served(c, echo)
				go func() {
					defer app.NetConn().Close()
					for n := range 3000 { // more than any of it takes
						if _, err := app.NetConn().Write(row.frames(n)); err != nil {
							return
						}
					}
				}()
				closed := websocket.CloseError{}
				for {
					_, _, err := app.ReadMessage()
					if e := new(websocket.CloseError); errors.As(err, &e) {
						closed = *e
					}
					if err != nil {
						break
					}
				}
				if err := <-ended; err == nil || err.Error() != "connection ended: "+row.reason {
					t.Errorf("Serve gave %v", err)
				}
				if closed.Code != row.code || row.code == 1008 && closed.Text != row.reason {
					t.Errorf("the page is told %v", closed)
				}
			})
		})
	}
}

// Hanging up is no error, and half a message is never believed.
func TestAPageThatHangsUp(t *testing.T) {
	for name, last := range map[string][]byte{
		"with a word":                  frame(0x88, "\x03\xe9"),
		"without":                      nil,
		"within a frame":               frame(0x81, `{"jsonrpc":"2.0","id":1,"method":"signout"}`)[:20],
		"between fragments":            frame(0x01, `{"jsonrpc":"2.0","id":1,"method":"signout"}`),
		"within the head of a frame":   {0x81, 0xfe, 1},
		"after a ping, within another": append(frame(0x89, ""), 0x89),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, app := newPage(t)
				ended := served(c, func(context.Context, *Conn, string, json.RawMessage, bool) (any, error) {
					t.Error("half a message was believed")
					return nil, nil
				})
				go io.Copy(io.Discard, app.NetConn())
				if _, err := app.NetConn().Write(last); err != nil {
					t.Error(err)
				}
				app.NetConn().Close()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPingsAreAnsweredAndAreNoMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newPage(t)
		c.CloseAfterSilence(time.Minute)
		ended := served(c, echo)
		pongs := 0
		app.SetPongHandler(func(text string) error {
			if text != "are you there" {
				t.Errorf("ponged %q", text)
			}
			pongs++
			return nil
		})
		go func() {
			for range 150 {
				app.WriteControl(websocket.PingMessage, []byte("are you there"), time.Time{})
			}
		}()
		began := time.Now()
		if _, _, err := app.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
			t.Errorf("ended with %v", err)
		}
		if pongs != maxPerSec {
			t.Errorf("%d of 150 pings in a second were answered, want %d", pongs, maxPerSec)
		}
		if err := <-ended; err == nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v: a ping is not a word of the app", err, time.Since(began))
		}
	})
}

// S10: a page that does not read is cut off after 10 s, whoever closes it meanwhile does not wait, and another page
// hears all.
func TestAPageThatDoesNotReadIsCutOffAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, _ := newPage(t)
		other, reads := newPage(t)
		stuckEnded, otherEnded := served(stuck, echo), served(other, echo)
		began := time.Now()
		wrote := make(chan error)
		go func() { wrote <- stuck.Notify("event", []byte(`{"id":"e1"}`)) }()
		for range 50 {
			go other.Notify("event", []byte(`{"id":"e1"}`))
			read(t, reads, `{"jsonrpc":"2.0","method":"event","params":{"id":"e1"}}`)
		}
		if time.Since(began) != 0 {
			t.Errorf("the other waited %v", time.Since(began))
		}
		if err := <-wrote; err == nil || err.Error() != "connection ended: the other side does not read" || time.Since(began) != writeTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		<-stuckEnded

		late, _ := newPage(t)
		lateEnded := served(late, echo)
		go late.Notify("event", []byte(`{}`))
		synctest.Wait()
		began = time.Now()
		late.Close("cut off: it did not read what it was sent")
		<-lateEnded
		if time.Since(began) != 0 {
			t.Errorf("who closed it waited %v", time.Since(began))
		}
		reads.Close()
		<-otherEnded
	})
}

func TestAPageIsToldWhyItIsClosed(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(c *Conn, stop context.CancelFunc)
		code int
		text string
	}{
		{"cut off", func(c *Conn, _ context.CancelFunc) { c.Close("no hello within 10 s") }, 1008, "no hello within 10 s"},
		{"a long reason", func(c *Conn, _ context.CancelFunc) { c.Close(strings.Repeat("ü", 100)) }, 1008, strings.Repeat("ü", 61)},
		{"the agent stops", func(_ *Conn, stop context.CancelFunc) { stop() }, 1001, "stopping"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, app := newPage(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error)
			go func() { ended <- c.Serve(ctx, echo) }()
			go row.end(c, stop)
			_, _, err := app.ReadMessage()
			if e := new(websocket.CloseError); !errors.As(err, &e) || e.Code != row.code || e.Text != row.text {
				t.Errorf("%s: %v", row.name, err)
			}
			<-ended
		})
	}
}

// scripted is a connection on which that is read, and what is written is gone.
type scripted struct {
	net.Conn
	io.Reader
}

func (s scripted) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s scripted) Write(b []byte) (int, error)      { return len(b), nil }
func (s scripted) Close() error                     { return nil }
func (s scripted) SetDeadline(time.Time) error      { return nil }
func (s scripted) SetWriteDeadline(time.Time) error { return nil }

const handshake = "GET /v1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func messages(t testing.TB, wire io.Reader) ([]string, error) {
	t.Helper()
	return all(upgrade(t, scripted{Reader: wire}, strings.NewReader(handshake)).next)
}

func TestAMessageWithoutEndCostsNoMoreThanTheLimit(t *testing.T) {
	// One frame that says it has 2 GiB.
	claim := []byte{0x81, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0}
	source := &endless{}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := messages(t, io.MultiReader(bytes.NewReader(claim), source))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errTooLong) {
		t.Fatal(err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > protocol.MaxLine+256<<10 {
		t.Errorf("allocated %d bytes for a message of at most %d", grown, protocol.MaxLine)
	}
	if source.sent > protocol.MaxLine+64<<10 {
		t.Errorf("read %d bytes", source.sent)
	}
	limit := bytes.Repeat([]byte{'x'}, protocol.MaxLine)
	for n, want := range map[int]error{protocol.MaxLine: nil, protocol.MaxLine + 1: errTooLong} {
		head := []byte{0x81, 0xff, 0, 0, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0}
		got, err := messages(t, io.MultiReader(bytes.NewReader(head), bytes.NewReader(limit), strings.NewReader("x")))
		if errors.Is(err, errTooLong) != (want != nil) || (len(got) == 1) != (want == nil) {
			t.Errorf("%d bytes: %d messages, %v", n, len(got), err)
		}
	}
}

func FuzzWebSocket(f *testing.F) {
	f.Add(frame(0x81, `{"jsonrpc":"2.0","id":1,"method":"hello"}`))
	f.Add(append(frame(0x01, "{"), frame(0x80, "}")...))
	f.Add(append(frame(0x89, "ping"), frame(0x88, "\x03\xe8bye")...))
	f.Add(append(frame(0x82, "binary"), frame(0x8a, "")...))
	f.Add(append(frame(0x81, " \n"), frame(0x81, strings.Repeat("x", agentBuffer))...))
	f.Add([]byte{0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := messages(t, bytes.NewReader(in))
		if err == nil {
			t.Fatal("no end")
		}
		pieces, _ := messages(t, iotest.OneByteReader(bytes.NewReader(in)))
		if fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", pieces) {
			t.Fatalf("other messages when the bytes come one by one: %q and %q", whole, pieces)
		}
		for _, m := range whole {
			if m == "" || len(m) > len(in) {
				t.Fatalf("a message of %d bytes in %d", len(m), len(in))
			}
		}
	})
}
