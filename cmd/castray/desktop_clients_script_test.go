//go:build desktop && linux

package main_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The scripted agent writes to an app what no real one would, byte by byte.
type scriptedAgent struct {
	*session
	l    net.Listener
	app  *speaker
	conn net.Conn
	in   *bufio.Reader
	id   string // of the last hello
}

// silent is how long the apps of these tests wait for a line, instead of 75 s.
const silent = 3 * time.Second

// withAScript lets a library live through what the wire can do.
func withAScript(t *testing.T, l library) {
	a := newScriptedAgent(t, l)
	a.pieces()
	a.largeLine()
	a.asked()
	a.halfALine()
	if l.language != "go" { // ipc tests how it reads, in virtual time the 75 s
		a.reads()
		a.rubbish()
		a.silence()
	}
	a.tooLong()
	a.refuses()
}

func newScriptedAgent(t *testing.T, l library) *scriptedAgent {
	s := newSession(t, "")
	s.env["CASTRAY_SOCKET"] = s.path("run/s")
	listener, err := net.Listen("unix", s.path("run/s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	a := &scriptedAgent{session: s, l: listener}
	a.app = s.join(l, fmt.Sprint(silent.Seconds()))
	return a
}

// accepts takes the next connection and reads its hello.
func (a *scriptedAgent) accepts() {
	a.Helper()
	if err := a.l.(*net.UnixListener).SetDeadline(time.Now().Add(patience)); err != nil {
		a.Fatal(err)
	}
	var err error
	if a.conn, err = a.l.Accept(); err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { a.conn.Close() })
	if err := a.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		a.Fatal(err)
	}
	a.in = bufio.NewReader(a.conn)
	var hello struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Protocol       int
			Name, Version  string
			Answers, Shows bool
		}
	}
	line := a.line()
	if err := json.Unmarshal([]byte(line), &hello); err != nil {
		a.Fatal(err)
	}
	a.id = string(hello.ID)
	p := hello.Params
	if hello.Method != "hello" || p.Protocol != 1 || p.Name != "app-"+a.app.language || p.Version != "1" || !p.Answers || !p.Shows {
		a.Errorf("hello of %s: %s", a.app.language, line)
	}
}

// admits takes the next connection and answers its hello.
func (a *scriptedAgent) admits() {
	a.Helper()
	a.accepts()
	a.writes(a.welcome() + "\n")
	a.app.says("admitted one")
}

// welcome is the answer to the last hello.
func (a *scriptedAgent) welcome() string {
	return `{"jsonrpc":"2.0","id":` + a.id + `,"result":{"protocol":1,"agent":"x","app":"one","status":{"phase":"no_context"},"context":null}}`
}

func (a *scriptedAgent) writes(text string) {
	a.Helper()
	if _, err := io.WriteString(a.conn, text); err != nil {
		a.Fatal(err)
	}
}

func (a *scriptedAgent) line() string {
	a.Helper()
	line, err := a.in.ReadString('\n')
	if err != nil {
		a.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// answers wants the next line of the app to be this, whatever the order of its members.
func (a *scriptedAgent) answers(want string) {
	a.Helper()
	normal := func(text string) string {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			a.Fatalf("%v in %s", err, text)
		}
		b, err := json.Marshal(v)
		if err != nil {
			a.Fatal(err)
		}
		return string(b)
	}
	if got := a.line(); normal(got) != normal(want) {
		a.Errorf("%s answered %s, want %s", a.app.language, got, want)
	}
}

// event is a Patient-open, with blanks where JSON may have some; text is the inside of a string.
func event(id int, text, filler string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"event","params":{"timestamp":"2026-01-02T03:04:05Z","id":"e%[1]d",`+
		` "event" :	{"filler":[[],{},-1.5e+3,null,true,"%s"],"hub.\u0065vent":"Patient-open","context":[{"key":"x"},{"key":"patient","resource":`+
		`{"resourceType":"Patient","id":"%s"}}]}}}`, id, filler, text)
}

// pieces: half lines, byte by byte, CRLF, blank lines, every kind of escape.
func (a *scriptedAgent) pieces() {
	a.Helper()
	a.accepts()
	text := a.welcome() + "\r\n\r\n\n" + event(1, `\u00e4\ud83d\ude00\/ö😀`, `\"\\\b\f\n\r\t\u0000`) + "\r\n"
	for i := range len(text) {
		a.writes(text[i : i+1])
	}
	a.app.says("admitted one")
	a.app.says("event Patient-open e1 ä😀/ö😀 live")
	a.answers(`{"jsonrpc":"2.0","id":1,"result":{"status":200}}`)
	a.writes(`{"jsonrpc":"2.0","id":"a string","method":"clear","params":{"reason":"closed"}}` + "\n" + `{"jsonrpc":"2.0","method":"status","params":{"phase":"x"}}` + "\n")
	a.app.says("clear closed")
	a.app.says("status x")
	a.answers(`{"jsonrpc":"2.0","id":"a string","result":{"status":200}}`)
}

// largeLine is as long as a line may be.
func (a *scriptedAgent) largeLine() {
	a.Helper()
	a.writes(event(2, "big", strings.Repeat("x", 6<<20-len(event(2, "big", "")))) + "\n")
	a.app.says("event Patient-open e2 big live")
	a.answers(`{"jsonrpc":"2.0","id":2,"result":{"status":200}}`)
}

// asked: what it shows, a method of a later version, an event that it refuses, one that it answers later, its own call.
func (a *scriptedAgent) asked() {
	a.Helper()
	ask := func(method string) string {
		return `{"jsonrpc":"2.0","id":9,"method":"` + method + `","params":{},"later":[{"a":"}"}]}`
	}
	for _, row := range []struct{ does, asked, answer string }{
		{"show", ask("shown"), `"result":{"windows":[]}`},
		{`show urn:test:mrn pä"\1`, ask("shown"), `"result":{"windows":[{"patient":[{"system":"urn:test:mrn","value":"pä\"\\1"}]}]}`},
		{"show", ask("dance"), `"error":{"code":-32601,"message":"this app knows no such method"}`},
		{"answer 409", event(9, "p", ""), `"result":{"status":409,"reason":"as told"}`},
		{"answer 0", event(9, "p", ""), `"result":{"status":200}`},
	} {
		a.app.does(row.does)
		a.writes(row.asked + "\n")
		a.answers(`{"jsonrpc":"2.0","id":9,` + row.answer + "}")
	}
	a.app.tell("context")
	var asked struct{ ID json.RawMessage }
	if err := json.Unmarshal([]byte(a.line()), &asked); err != nil {
		a.Fatal(err)
	}
	a.writes(`{"jsonrpc":"2.0","id":` + string(asked.ID) + `,"error":{"code":-32003,"message":"unknown"}}` + "\n")
	a.app.says("error -32003")
}

// halfALine is what an agent leaves that dies while it writes: a message without its line end is none.
func (a *scriptedAgent) halfALine() {
	a.Helper()
	a.writes(`{"jsonrpc":"2.0","method":"clear","params":{"reason":"user"}}`)
	a.lost()
}

// lost closes the connection and wants the app to have said nothing but that it is out of sync.
func (a *scriptedAgent) lost() {
	a.Helper()
	if err := a.conn.Close(); err != nil {
		a.Fatal(err)
	}
	before := a.app.seen
	a.app.says("lost")
	for _, line := range a.app.lines()[before : a.app.seen-1] {
		if line != "obeyed" {
			a.Errorf("before it was lost the app in %s said %q", a.app.language, line)
		}
	}
}

// drops waits until the app has hung up by itself, and how long that took.
func (a *scriptedAgent) drops() time.Duration {
	a.Helper()
	began := time.Now()
	_, err := io.Copy(io.Discard, a.in)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		a.Fatalf("the app in %s does not hang up: %v", a.app.language, err)
	}
	took := time.Since(began)
	a.lost()
	return took
}

// reads asks the library's reader what is JSON; Python's is not ours.
func (a *scriptedAgent) reads() {
	a.Helper()
	if a.app.language == "python" {
		return
	}
	for text, want := range map[string]string{
		` {"a" : [ ] , "b":{}} `: "yes", `[-0, 1.5, 2e9, -3E-2, 0.0]`: "yes", `"\u00e4\ud83d\ude00\/"`: "yes", `true`: "yes",
		`{"a":1} x`: "no", `{"method":"clear",}`: "no", `[1,]`: "no", `{"a":tru}`: "no", `{"a":01}`: "no", `"\x"`: "no", `[1`: "no", `{"a":`: "no",
		`["\ud80"]`: "no", "\"\x01\"": "no", `{"a" 1}`: "no", `{a:1}`: "no", `[1}`: "no", `-`: "no", `1.`: "no", `1e`: "no", `"`: "no", `.5`: "no", `+1`: "no",
		`[1 2]`: "no", `nul`: "no", `}`: "no", `"\`: "no", `"\u12`: "no", `{"a":1,"b"}`: "no", `NaN`: "no", `--1`: "no",
	} {
		a.app.does("parse " + text)
		if got := a.app.says("json"); got != want {
			a.Errorf("whether %s is JSON the library of %s answers %s", text, a.app.language, got)
		}
	}
}

// rubbish: what is no message may have been a change of patient; what is nested deeply must not cost the app its stack.
func (a *scriptedAgent) rubbish() {
	a.Helper()
	a.admits()
	a.writes(strings.Repeat(`{"a":[`, 1<<18) + "\n")
	a.drops()
}

// tooLong is a line of more than 6 MiB, which has no end yet.
func (a *scriptedAgent) tooLong() {
	a.Helper()
	a.admits()
	_, err := io.WriteString(a.conn, strings.Repeat(" ", 6<<20+200<<10))
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		a.Fatal(err)
	}
	if took := a.drops(); took > silent/2 {
		a.Errorf("the app in %s has read %v of a line that is too long", a.app.language, took)
	}
}

// silence: bytes that make no line are no sign of life.
func (a *scriptedAgent) silence() {
	a.Helper()
	a.admits()
	stop := make(chan struct{})
	dripped := make(chan struct{})
	go func() {
		defer close(dripped)
		drip := time.NewTicker(200 * time.Millisecond)
		defer drip.Stop()
		for {
			select {
			case <-stop:
				return
			case <-drip.C:
				_, _ = io.WriteString(a.conn, "{") // the app hangs up meanwhile
			}
		}
	}()
	if took := a.drops(); took < silent-500*time.Millisecond || took > silent+5*time.Second {
		a.Errorf("the app in %s was lost after %v of silence", a.app.language, took)
	}
	close(stop)
	<-dripped
}

// refuses for good: the app ends and says why.
func (a *scriptedAgent) refuses() {
	a.Helper()
	a.accepts()
	a.writes(`{"jsonrpc":"2.0","id":` + a.id + `,"error":{"code":-32009,"message":"busy"}}` + "\n")
	a.conn.Close()
	a.accepts() // which was not for good
	a.writes(`{"jsonrpc":"2.0","id":` + a.id + `,"error":{"code":-32001,"message":"update the older of the two"}}` + "\n")
	a.app.says("refused -32001")
	if code := a.app.wait(); code != 0 {
		a.Errorf("the app in %s ended with %d: %s", a.app.language, code, a.app.stderr())
	}
}

// slowCallback loses an app while its callback runs, by more messages than may wait: out of sync is said at once, not when
// the callback is done, and again after it, so that it has the last word. A callback that fails is told as 500. In C, where
// the callback has the only thread, the app hears of the loss when it returns.
func slowCallback(t *testing.T, l library) {
	a := newScriptedAgent(t, l)
	a.admits()
	if l.language != "c" && l.language != "go" {
		a.app.does("answer 2")
		a.writes(event(1, "p", "") + "\n")
		a.answers(`{"jsonrpc":"2.0","id":1,"result":{"status":500,"reason":"the app's callback failed"}}`)
	}
	a.app.does("answer 1")
	a.writes(event(2, "p", "") + "\n")
	a.app.says("event Patient-open e2 p live")
	want := []string{"lost", "returned", "lost"}
	switch l.language {
	case "c":
		want = []string{"returned", "lost"}
		a.conn.Close()
	case "go": // whose callback sees the end of its context
		want = []string{"lost", "returned"}
		fallthrough
	default:
		for range 257 {
			a.writes(`{"jsonrpc":"2.0","method":"status","params":{"phase":"x"}}` + "\n")
		}
		if _, err := io.Copy(io.Discard, a.in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("the app in %s keeps up: %v", l.language, err)
		}
	}
	from := a.app.seen
	for _, line := range want {
		a.app.says(line)
	}
	if got := a.app.lines()[from:a.app.seen]; !slices.Equal(got, want) {
		t.Errorf("the app in %s said %q, want %q", l.language, got, want)
	}
}

// trustNoOtherUser puts a program of another user where the agent should be. As root, to be one.
func trustNoOtherUser(t *testing.T, all []library) {
	const nobody = 65534
	s := newSession(t, "")
	s.env["CASTRAY_SOCKET"] = s.path("run/s")
	for _, folder := range []string{".", "run"} {
		if err := os.Chmod(s.path(folder), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const listen = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen(64)
print("listening", flush=True)
while True:
    print("heard", s.accept()[0].recv(1 << 16), flush=True)
`
	imposter := exec.Command("/usr/bin/python3", "-c", listen, s.path("run/s"))
	imposter.Dir, imposter.Env = "/", []string{"PATH=/usr/bin:/bin"}
	imposter.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := imposter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := imposter.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	go func() {
		defer close(heard)
		for in := bufio.NewScanner(out); in.Scan(); {
			heard <- in.Text()
		}
	}()
	<-heard
	var apps []*speaker
	for _, l := range all {
		apps = append(apps, s.join(l, "75"))
	}
	for _, c := range apps {
		c.says("lost")
		if got := <-heard; got != "heard b''" {
			t.Errorf("a program of another user has %s", got)
		}
		if len(c.lines()) > c.seen {
			t.Errorf("the app in %s said %q", c.language, c.lines())
		}
	}
	if err := imposter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for line := range heard {
		if line != "heard b''" {
			t.Errorf("a program of another user has %s", line)
		}
	}
	_ = imposter.Wait()
}
