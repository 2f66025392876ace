package ipc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// wire is the raw other end of a connection, as an app sees it that knows nothing of this package.
type wire struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// newWire makes an accepted connection and its other end, for use in a synctest bubble.
func newWire(t *testing.T) (*Conn, *wire) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	return newConn(ours, Peer{}, newLimits()), &wire{t: t, Conn: theirs, r: bufio.NewReader(theirs)}
}

func (w *wire) write(line string) {
	w.t.Helper()
	if _, err := fmt.Fprintln(w.Conn, line); err != nil {
		w.t.Errorf("write: %v", err)
	}
}

func (w *wire) read() string {
	w.t.Helper()
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Errorf("read: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// wants reads a line and compares it.
func (w *wire) wants(want string) {
	w.t.Helper()
	if got := w.read(); got != want {
		w.t.Errorf("read  %s\nwanted %s", got, want)
	}
}

// served runs Serve and gives its error.
func served(c *Conn, h Handler) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(context.Background(), h) }()
	return ended
}

// echo answers with its params.
func echo(_ context.Context, _ *Conn, _ string, params json.RawMessage, _ bool) (any, error) {
	return params, nil
}

func TestEachBadLineIsAnsweredAndTheConnectionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		ended := served(c, echo)
		for _, row := range [][2]string{
			{`{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}` + "\r", `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`},
			{`{"jsonrpc":"2.0","id":2,"method":"x"}`, `{"jsonrpc":"2.0","id":2,"result":{}}`},
			{`rubbish`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not valid JSON: one object a line, UTF-8, no name twice"}}`},
			{`[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batches are not supported: send one object a line"}}`},
			{`{"id":3,"method":"x"}`, `{"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"\"jsonrpc\" must be \"2.0\""}}`},
			{`{"jsonrpc":"2.0","id":"z","method":"x"}`, `{"jsonrpc":"2.0","id":"z","result":{}}`},
		} {
			app.write(row[0])
			app.wants(row[1])
		}
		app.Close()
		if err := <-ended; err != nil {
			t.Errorf("a peer that hangs up is no error: %v", err)
		}
	})
}

func TestAHalfLineAndAHangUpHandleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		ended := served(c, func(context.Context, *Conn, string, json.RawMessage, bool) (any, error) {
			t.Error("half a message was believed")
			return nil, nil
		})
		fmt.Fprint(app.Conn, `{"jsonrpc":"2.0","id":1,"method":"signout"}`)
		app.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestALineOverTheLimitIsToldAndCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		ended := served(c, echo)
		go func() {
			block := []byte(strings.Repeat("x", 1<<20))
			for range 100 {
				if _, err := app.Conn.Write(block); err != nil {
					return
				}
			}
		}()
		app.wants(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a line may have at most 6 MiB; the connection is closed"}}`)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "6 MiB") {
			t.Errorf("Serve gave %v", err)
		}
	})
}

func TestHandlerErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		served(c, func(_ context.Context, _ *Conn, method string, _ json.RawMessage, _ bool) (any, error) {
			switch method {
			case "refuse":
				return nil, fmt.Errorf("hub: %w", &protocol.Error{Code: protocol.CodeRefused, Message: "the hub refused", Data: &protocol.ErrorData{Status: 409}})
			case "spill":
				return nil, errors.New("CANARY")
			case "big":
				return json.RawMessage(`"` + strings.Repeat("x", protocol.MaxLine) + `"`), nil
			}
			return make(chan int), nil
		})
		app.write(`{"jsonrpc":"2.0","id":1,"method":"refuse"}`)
		app.wants(`{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"the hub refused","data":{"status":409}}}`)
		// S11: the text of a foreign error may hold anything.
		app.write(`{"jsonrpc":"2.0","id":2,"method":"spill"}`)
		app.wants(`{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"the request could not be carried out"}}`)
		for id, method := range []string{"big", "mistake"} {
			app.write(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q}`, id, method))
			if got := app.read(); !strings.Contains(got, `-32603,"message":"the answer cannot be written`) {
				t.Errorf("%s: %.200s", method, got)
			}
		}
		c.Close("done")
	})
}

func TestAnswersComeOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		hold := make(chan struct{})
		served(c, func(_ context.Context, _ *Conn, method string, _ json.RawMessage, _ bool) (any, error) {
			if method == "slow" {
				<-hold
			}
			return nil, nil
		})
		app.write(`{"jsonrpc":"2.0","id":1,"method":"hello"}`)
		app.wants(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		app.write(`{"jsonrpc":"2.0","id":2,"method":"slow"}`)
		app.write(`{"jsonrpc":"2.0","id":3,"method":"fast"}`)
		app.wants(`{"jsonrpc":"2.0","id":3,"result":{}}`)
		close(hold)
		app.wants(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		c.Close("done")
	})
}

func TestTheFirstMessageIsHandledAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		admitted := false
		served(c, func(_ context.Context, c *Conn, method string, _ json.RawMessage, _ bool) (any, error) {
			if method == "hello" {
				time.Sleep(time.Second) // within the bubble
				return Reply{Result: "welcome", Written: func() { admitted = true; go c.Notify("event", []byte(`{}`)) }}, nil
			}
			return admitted, nil
		})
		go app.write(`{"jsonrpc":"2.0","id":1,"method":"hello"}` + "\n" + `{"jsonrpc":"2.0","id":2,"method":"status"}`)
		app.wants(`{"jsonrpc":"2.0","id":1,"result":"welcome"}`)
		rest := app.read() + app.read()
		for _, want := range []string{`{"jsonrpc":"2.0","method":"event","params":{}}`, `{"jsonrpc":"2.0","id":2,"result":true}`} {
			if !strings.Contains(rest, want) {
				t.Errorf("%s lacks %s", rest, want)
			}
		}
		c.Close("done")
	})
}

func TestServeInOrderStartsInOrderAndAnswersLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		var order []string
		hold := make(chan struct{})
		ended := make(chan error)
		go func() {
			ended <- c.ServeInOrder(context.Background(), func(_ context.Context, _ *Conn, method string, _ json.RawMessage, _ bool) (any, error) {
				order = append(order, method) // one goroutine, so no lock
				return Later(func() (any, error) {
					if method == "a" {
						<-hold
					}
					return method, nil
				}), nil
			})
		}()
		for _, m := range []string{"a", "b", "c"} {
			app.write(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q}`, m))
			if m != "a" {
				app.wants(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":%q}`, m))
			}
		}
		close(hold)
		app.wants(`{"jsonrpc":"2.0","id":1,"result":"a"}`)
		c.Close("done")
		<-ended
		if got := strings.Join(order, ""); got != "abc" {
			t.Errorf("handled in the order %s", got)
		}
	})
}

func TestTheNinthRequestAtOnceIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		hold := make(chan struct{})
		served(c, func(_ context.Context, _ *Conn, method string, _ json.RawMessage, _ bool) (any, error) {
			if method == "slow" {
				<-hold
			}
			return nil, nil
		})
		app.write(`{"jsonrpc":"2.0","id":100,"method":"hello"}`)
		app.read()
		for id := range maxHandling {
			app.write(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"slow"}`, id+1))
		}
		app.write(`{"jsonrpc":"2.0","id":9,"method":"fast"}`)
		if got := app.read(); !strings.Contains(got, `"id":9,"error":{"code":-32009`) {
			t.Errorf("the ninth got %s", got)
		}
		close(hold)
		for range maxHandling {
			app.read()
		}
		app.write(`{"jsonrpc":"2.0","id":10,"method":"fast"}`)
		app.wants(`{"jsonrpc":"2.0","id":10,"result":{}}`)
		c.Close("done")
	})
}

func TestMoreThanAHundredASecondAreBusyAndAFloodIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		ended := served(c, echo)
		ask := func() string {
			app.write(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
			return app.read()
		}
		for range maxPerSec {
			if got := ask(); !strings.Contains(got, "result") {
				t.Fatal(got)
			}
		}
		if got := ask(); !strings.Contains(got, "-32009") {
			t.Errorf("one too many got %s", got)
		}
		time.Sleep(time.Second) // within the bubble
		if got := ask(); !strings.Contains(got, "result") {
			t.Errorf("in the next second: %s", got)
		}
		for range floodPerSec - 1 {
			ask()
		}
		app.write(`{"jsonrpc":"2.0","id":1,"method":"x"}`)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "1,000") {
			t.Errorf("a flood ended with %v", err)
		}
	})
}

func TestGoSettlesEachRequestExactlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		ended := served(c, echo)
		settled := map[string][]string{}
		ask := func(name string) {
			go func() {
				err := c.Go("event", []byte(`{"n":"`+name+`"}`), func(result json.RawMessage, err error) {
					settled[name] = append(settled[name], fmt.Sprint(string(result), err))
				})
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}()
			app.read()
		}
		for _, name := range []string{"a", "b", "c"} { // ids 1, 2, 3
			ask(name)
		}
		app.write(`{"jsonrpc":"2.0","id":2,"result":{"status":200}}`)
		app.write(`{"jsonrpc":"2.0","id":2,"result":{"status":409}}`)
		app.write(`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no","data":"x"}}`)
		app.write(`{"jsonrpc":"2.0","id":99,"result":{}}`)
		app.write(`{"jsonrpc":"2.0","id":"2","result":{}}`)
		app.Close()
		<-ended
		for name, want := range map[string]string{"a": "no (-1)", "b": `{"status":200}<nil>`, "c": "connection ended: the other side hung up"} {
			if got := settled[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s was settled with %q, want once %q", name, got, want)
			}
		}
		if c.Stray() != 3 {
			t.Errorf("%d stray answers, want 3", c.Stray())
		}
		err := c.Go("event", nil, func(json.RawMessage, error) { t.Error("settled though Go gave an error") })
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestCloseWithoutServeSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		got := make(chan error, 1)
		go app.read()
		if err := c.Go("event", nil, func(_ json.RawMessage, err error) { got <- err }); err != nil {
			t.Fatal(err)
		}
		c.Close("cut off")
		if err := <-got; !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "cut off") {
			t.Error(err)
		}
		if err := c.Serve(t.Context(), echo); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("Serve after Close: %v", err)
		}
	})
}

func TestS10_APeerThatDoesNotReadIsCutAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newWire(t)
		ended := served(c, echo)
		start := time.Now()
		settled := make(chan error, 2)
		err := c.Go("event", []byte(`{}`), func(_ json.RawMessage, err error) { settled <- err })
		if err == nil { // Serve was faster to notice, and has settled it
			err = <-settled
		}
		if took := time.Since(start); !errors.Is(err, net.ErrClosed) || took != writeTimeout {
			t.Errorf("%v after %v", err, took)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "does not read") {
			t.Errorf("Serve gave %v", err)
		}
		if len(settled) != 0 {
			t.Error("settled twice, or though Go gave an error")
		}
	})
}

func TestSilenceEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		c.CloseAfterSilence(75 * time.Second)
		start := time.Now()
		ended := served(c, echo)
		time.Sleep(74 * time.Second) // within the bubble
		app.write(`{"jsonrpc":"2.0","method":"status"}`)
		time.Sleep(30 * time.Second)
		fmt.Fprint(app.Conn, `{"half a line`) // is no line
		err := <-ended
		if took := time.Since(start); took != 149*time.Second || !strings.Contains(err.Error(), "no line came for 1m15s") {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestServeEndsWithItsContextAndItsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		handled := false
		go func() {
			ended <- c.Serve(ctx, func(ctx context.Context, _ *Conn, method string, _ json.RawMessage, notify bool) (any, error) {
				if !notify {
					return nil, nil
				}
				<-ctx.Done()
				time.Sleep(time.Second) // within the bubble
				handled = true
				return nil, nil
			})
		}()
		app.write(`{"jsonrpc":"2.0","id":1,"method":"hello"}`)
		app.read()
		app.write(`{"jsonrpc":"2.0","method":"wait"}`)
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !handled {
			t.Errorf("%v, handler done: %v", err, handled)
		}
	})
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, app := Pipe()
		agentEnded := served(agent, func(ctx context.Context, _ *Conn, method string, params json.RawMessage, _ bool) (any, error) {
			switch method {
			case "refuse":
				return nil, &protocol.Error{Code: protocol.CodeNotAllowed, Message: "no"}
			case "never":
				<-ctx.Done()
			}
			return params, nil
		})
		appEnded := served(app, echo)
		var got protocol.Clear
		if err := app.Call(t.Context(), "echo", protocol.Clear{Reason: "user"}, &got); err != nil || got.Reason != "user" {
			t.Errorf("%v %v", got, err)
		}
		if err := app.Call(t.Context(), "echo", nil, nil); err != nil {
			t.Error(err)
		}
		var e *protocol.Error
		if err := app.Call(t.Context(), "refuse", nil, nil); !errors.As(err, &e) || e.Code != protocol.CodeNotAllowed {
			t.Error(err)
		}
		var wrong []string
		if err := app.Call(t.Context(), "echo", protocol.Clear{Reason: "CANARY"}, &wrong); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("an answer of another shape: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := app.Call(ctx, "never", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := app.Notify("big", []byte(`"`+strings.Repeat("x", protocol.MaxLine)+`"`)); !errors.Is(err, errTooBig) {
			t.Errorf("too big: %v", err)
		}
		if err := app.Call(t.Context(), "echo", nil, nil); err != nil {
			t.Errorf("after a message that was too big: %v", err)
		}
		app.Close("done")
		<-agentEnded
		<-appEnded
	})
}

func TestLineBreaksBetweenTokensBecomeSpacesAndTheBodyStaysAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, app := newWire(t)
		body := []byte("{\r\n  \"a\": \"\\n\"\n}")
		before := string(body)
		go c.Notify("event", body)
		app.wants(`{"jsonrpc":"2.0","method":"event","params":{    "a": "\n" }}`)
		if string(body) != before {
			t.Error("the shared body was changed")
		}
		large := []byte(`{"a":"` + strings.Repeat("x", 2*keepBuffer) + `"}`)
		go c.Notify("event", large)
		app.wants(`{"jsonrpc":"2.0","method":"event","params":` + string(large) + `}`)
		c.Close("done")
	})
}
