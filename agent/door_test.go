package agent_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A raw app writes what it likes.
type raw struct {
	*testing.T
	net.Conn
	lines *bufio.Scanner
}

func (w *world) raw() *raw {
	w.Helper()
	conn, err := net.Dial("unix", w.address)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	r := &raw{w.T, conn, bufio.NewScanner(conn)}
	r.lines.Buffer(nil, 8<<20)
	return r
}

func (r *raw) writes(text string) {
	r.Helper()
	if _, err := fmt.Fprint(r, text); err != nil {
		r.Log("write:", err) // it may have been cut off, which the answers show
	}
}

// codes reads n answers: by id the error's code, 0 = a result.
func (r *raw) codes(n int) map[string][]int {
	r.Helper()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.Fatal(err)
	}
	got := make(map[string][]int)
	for n > 0 {
		if !r.lines.Scan() {
			r.Fatalf("%d answers are missing after %v: %v", n, got, r.lines.Err())
		}
		var m struct {
			ID     json.RawMessage
			Method string
			Error  *protocol.Error
		}
		if err := json.Unmarshal(r.lines.Bytes(), &m); err != nil {
			r.Fatal(err)
		}
		if m.Method != "" {
			continue
		}
		code := 0
		if m.Error != nil {
			code = m.Error.Code
		}
		got[string(m.ID)] = append(got[string(m.ID)], code)
		n--
	}
	return got
}

const hello = `{"jsonrpc":"2.0","id":%d,"method":"hello","params":{"protocol":1,"name":"raw"}}` + "\n"

// After a first message that is no hello, the next ones are handled at once.
func TestOfManyHellosOneIsTheFirst(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	for range 20 {
		app := w.raw()
		text := `{"jsonrpc":"2.0","id":1,"method":"status"}` + "\n"
		for i := range 6 {
			text += fmt.Sprintf(hello, i+2)
		}
		app.writes(text)
		admitted, refused := 0, 0
		for id, codes := range app.codes(7) {
			switch {
			case id == "1" && codes[0] == protocol.CodeHelloFirst:
			case codes[0] == 0:
				admitted++
			case codes[0] == protocol.CodeInvalidRequest:
				refused++
			}
		}
		if admitted != 1 || refused != 5 {
			t.Fatalf("%d admitted, %d refused", admitted, refused)
		}
		app.Close()
	}
}

func TestWhatAnAppMayNotAsk(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	app := w.raw()
	app.writes(fmt.Sprintf(hello, 1))
	app.codes(1)
	for method, want := range map[string]int{
		"launch": protocol.CodeNotAllowed, "lock": protocol.CodeNotAllowed, "user_switch": protocol.CodeNotAllowed, "apps": protocol.CodeNotAllowed,
		"quit": protocol.CodeNotAllowed, "frobnicate": protocol.CodeMethodNotFound, "event": protocol.CodeMethodNotFound, "send": protocol.CodeInvalidParams,
		"status": 0,
	} {
		app.writes(fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q}`+"\r\n", method))
		if got := app.codes(1)["7"][0]; got != want {
			t.Errorf("%s: %d, want %d", method, got, want)
		}
	}
}

// Half a line and a hang-up, rubbish, a line of 7 MiB: it costs the one who wrote it, and no other app an event.
func TestARudeAppHurtsNobodyElse(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	v := w.viewer("viewer", client.Options{})
	w.phase(protocol.PhaseNoContext)

	half := w.raw()
	half.writes(fmt.Sprintf(hello, 1))
	half.codes(1)
	half.writes(`{"jsonrpc":"2.0","id":2,"method":"subscr`)
	half.Close()

	rubbish := w.raw()
	rubbish.writes(fmt.Sprintf(hello, 1) + "{]\n[{}]\n\xff\n")
	if got := rubbish.codes(4)["null"]; fmt.Sprint(got) != "[-32700 -32600 -32700]" {
		t.Errorf("rubbish: %v", got)
	}

	huge := w.raw()
	huge.writes(fmt.Sprintf(hello, 1))
	huge.codes(1)
	huge.writes(`{"jsonrpc":"2.0","id":2,"method":"status","params":{"x":"` + strings.Repeat("x", 7<<20))
	if got := huge.codes(1)["null"]; len(got) != 1 || got[0] != protocol.CodeInvalidRequest {
		t.Errorf("7 MiB: %v", got)
	}

	w.opens("Patient", "p01")
	w.sees(v, "Patient-open")
}

// Of an app that is cut off while its process lives, the row says so: here the process is this test.
func TestAnAppThatHangsUpAndLives(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	app := w.raw()
	app.writes(fmt.Sprintf(hello, 1))
	app.codes(1)
	app.Close()
	s := w.phase(protocol.PhaseAttention)
	if !has(s, "app_lost") || len(s.Apps) != 1 || s.Apps[0].Outcome != protocol.OutcomeFailed {
		t.Errorf("status %+v", s)
	}
}

func TestNobodyIsSignedIn(t *testing.T) {
	w := newWorld(t)
	w.start(false)
	w.phase(protocol.PhaseSignedOut)
	asks := w.viewer("asks", client.Options{Key: w.key()})
	if _, err := asks.send("", "Patient-open", json.RawMessage(`[]`)); code(err) != protocol.CodeSigninNeeded {
		t.Errorf("send: %v", err)
	}
	if err := asks.Call(w.ctx, protocol.MethodResync, protocol.Empty{}, nil); code(err) != protocol.CodeSigninNeeded {
		t.Errorf("resync: %v", err)
	}
	if err := asks.Call(w.ctx, protocol.MethodContext, protocol.Empty{}, nil); code(err) != protocol.CodeContextUnknown {
		t.Errorf("context: %v", err)
	}
}
