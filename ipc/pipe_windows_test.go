//go:build desktop && windows

package ipc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"github.com/castray/castray/ipc/protocol"
	"golang.org/x/sys/windows"
)

// These run on a Windows PC, and on Linux in Wine:
//
//	GOOS=windows CGO_ENABLED=0 go test -tags desktop -exec /usr/lib/wine/wine64 ./ipc
//
// Wine 8 enforces no access rule of a pipe and lets two processes make the first instance of one name, so neither is
// tested here; their text and the policy are, on every system.

// underWine tells Wine from Windows.
func underWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// listenPipe listens at a pipe of this test. Wine lets one client connect to the instance by which go-winio holds the
// name, where Windows lets none, and that client would hang for ever: here it is a client of the test.
func listenPipe(t *testing.T) (*Listener, string) {
	t.Helper()
	name := fmt.Sprintf(`\\.\pipe\castray-test-%d-%s`, os.Getpid(), t.Name())
	l, err := Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	if underWine() {
		ghost, err := winio.DialPipe(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ghost.Close() })
	}
	return l, name
}

func servePipe(t *testing.T, l *Listener, accepted func(*Conn)) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			if accepted != nil {
				accepted(conn)
			}
			all.Go(func() { conn.Serve(ctx, echo) })
		}
	})
	t.Cleanup(func() { cancel(); all.Wait(); l.Close() })
}

func TestPipeCarriesCallsBothWays(t *testing.T) {
	l, name := listenPipe(t)
	accepted := make(chan *Conn, 1)
	servePipe(t, l, func(c *Conn) { accepted <- c })
	app, err := Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Serve(context.Background(), echo) }()
	agent := <-accepted
	body := json.RawMessage(`{"x":"` + strings.Repeat("y", 1<<20) + `"}`)
	var all sync.WaitGroup
	for range 4 {
		for _, from := range []*Conn{app, agent} {
			all.Go(func() {
				var got json.RawMessage
				if err := from.Call(t.Context(), "echo", body, &got); err != nil || string(got) != string(body) {
					t.Errorf("%v, %d bytes", err, len(got))
				}
			})
		}
	}
	all.Wait()
	us, err := self()
	if err != nil {
		t.Fatal(err)
	}
	for side, p := range map[string]Peer{"app": agent.Peer(), "agent": app.Peer()} {
		exe, _ := os.Executable()
		if p.User != us.User || p.Session != us.Session || p.PID != os.Getpid() || !strings.EqualFold(p.Exe, exe) {
			t.Errorf("the %s is %+v, want %+v with %s", side, p, us, exe)
		}
	}
	app.Close("done")
	<-ended
	agent.Peer().Release()
}

func TestPipeWithoutAgent(t *testing.T) {
	if _, err := Dial(t.Context(), `\\.\pipe\castray-test-nobody`); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no pipe: %v", err)
	}
	l, name := listenPipe(t)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if underWine() {
		return // the ghost of the test keeps the name
	}
	if _, err := Dial(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestASecondAgentFindsTheFirstAtItsPipe(t *testing.T) {
	l, name := listenPipe(t)
	servePipe(t, l, nil)
	if _, err := Listen(name); !errors.Is(err, ErrInUse) {
		t.Errorf("a second agent: %v", err)
	}
}

func TestAPipePeerThatNapsAndHalfLines(t *testing.T) {
	l, name := listenPipe(t)
	accepted := make(chan *Conn, 1)
	servePipe(t, l, func(c *Conn) { accepted <- c })
	raw, err := winio.DialPipe(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(raw, "rubbish\r\n"+`{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}`+"\r\n"+`{"half`)
	r := bufio.NewReader(raw)
	for _, want := range []string{`-32700`, `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`} {
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Errorf("%q %v", line, err)
		}
	}
	agent := <-accepted
	start := time.Now()
	var cut error
	for range 200 { // until what the system buffers is full
		if cut = agent.Notify("event", []byte(`{"x":"`+strings.Repeat("y", 64<<10)+`"}`)); cut != nil {
			break
		}
	}
	if took := time.Since(start); !errors.Is(cut, net.ErrClosed) || took < 9*time.Second || took > 15*time.Second {
		t.Errorf("a peer that does not read: %v after %v", cut, took)
	}
	raw.Close()
	agent.Peer().Release()
}

func TestPipePeerOfAnotherProcess(t *testing.T) {
	l, name := listenPipe(t)
	accepted := make(chan *Conn, 1)
	servePipe(t, l, func(c *Conn) { accepted <- c })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	app := exec.Command(exe)
	app.Env = append(os.Environ(), appVariable+"="+name)
	in, err := app.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	peer := (<-accepted).Peer()
	if peer.PID != app.Process.Pid || !strings.EqualFold(peer.Exe, exe) {
		t.Errorf("%+v, want pid %d of %s", peer, app.Process.Pid, exe)
	}
	if alive, known := peer.Alive(); !alive || !known {
		t.Errorf("alive %v known %v", alive, known)
	}
	in.Close()
	if err := app.Wait(); err != nil {
		t.Error(err)
	}
	if alive, known := peer.Alive(); alive || !known {
		t.Errorf("gone: alive %v known %v", alive, known)
	}
	peer.Release()
	if alive, known := peer.Alive(); alive || known {
		t.Errorf("released: alive %v known %v", alive, known)
	}
}

func TestKeysInTheProfile(t *testing.T) {
	dir, err := os.MkdirTemp("", "castray") // Wine 8 lacks what t.TempDir removes files with
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LOCALAPPDATA", dir)
	t.Cleanup(func() {
		left, _ := filepath.Glob(filepath.Join(dir, "Castray", "run", "*", "*"))
		if len(left) != 2 {
			t.Errorf("left behind: %v", left)
		}
		for _, path := range left {
			os.Remove(path)
			for path != dir {
				path = filepath.Dir(path)
				os.Remove(path)
			}
		}
	})
	address, err := DefaultAddress()
	if err != nil || !strings.HasPrefix(address, `\\.\pipe\castray-S-1-`) {
		t.Fatalf("%s %v", address, err)
	}
	for n, at := range []string{address, `\\.\pipe\other`} {
		want := protocol.Keys{Key: "k", AppKey: "a", PID: n + 1}
		if _, err := ReadKeys(at); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: no file yet: %v", at, err)
		}
		for range 2 { // the second replaces the first
			if err := WriteKeys(at, want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := ReadKeys(at); err != nil || got != want {
			t.Errorf("%s: other keys than written: %v", at, err)
		}
	}
}
