//go:build unix

package ipc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listening is an agent at a fresh address that answers every request with its params.
func listening(t *testing.T) (*Listener, string) {
	t.Helper()
	address := filepath.Join(t.TempDir(), "s")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	serveAll(t, l, nil)
	return l, address
}

// talks reports whether an agent answers at the address.
func talks(t *testing.T, address string) bool {
	t.Helper()
	conn, err := Dial(t.Context(), address)
	if err != nil {
		return false
	}
	ended := make(chan struct{})
	go func() { conn.Serve(context.Background(), echo); close(ended) }()
	defer func() { conn.Close("done"); <-ended }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return conn.Call(ctx, "echo", nil, nil) == nil
}

func TestTheSocketIsForItsUserOnlyAndGoesWithItsListener(t *testing.T) {
	l, address := listening(t)
	fi, err := os.Lstat(address)
	if err != nil || fi.Mode().Perm() != 0o600 || fi.Mode().Type() != fs.ModeSocket {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if !talks(t, address) {
		t.Error("nobody answers")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Dir(address))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestDialWithoutAgent(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	if _, err := Dial(t.Context(), address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	deadSocket(t, address)
	if _, err := Dial(t.Context(), address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dead agent's socket: %v", err)
	}
}

// deadSocket leaves what an agent leaves that was killed.
func deadSocket(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestADeadSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	deadSocket(t, address)
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	serveAll(t, l, nil)
	if _, err := Listen(address); !errors.Is(err, ErrInUse) {
		t.Errorf("a second agent: %v", err)
	}
	// A cleaner of temporary files may remove the lock; then the dial decides.
	if err := os.Remove(address + ".lock"); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(address); !errors.Is(err, ErrInUse) {
		t.Errorf("a second agent without the lock file: %v", err)
	}
	if !talks(t, address) {
		t.Error("the first agent is gone")
	}
}

func TestWhatIsNoSocketIsNotReplaced(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(address, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(address); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
	if b, _ := os.ReadFile(address); string(b) != "precious" {
		t.Error("the file is gone")
	}
	if _, err := Listen(filepath.Join(t.TempDir(), strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Error(err)
	}
}

func TestCloseLeavesSomebodyElsesSocket(t *testing.T) {
	l, address := listening(t)
	if err := os.Remove(address); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(address); err != nil {
		t.Errorf("the other's socket was removed: %v", err)
	}
}

func TestOfEightThatStartAtOnceExactlyOneWins(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	for round := range 50 {
		if round%2 == 0 {
			deadSocket(t, address)
		}
		start := make(chan struct{})
		won := make(chan *Listener, 8)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				<-start
				l, err := Listen(address)
				switch {
				case err == nil:
					won <- l
				case !errors.Is(err, ErrInUse):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		close(start)
		all.Wait()
		close(won)
		n := 0
		for l := range won {
			n++
			if conn, err := Dial(t.Context(), address); err != nil {
				t.Errorf("round %d: the winner is not there: %v", round, err)
			} else {
				conn.Close("done")
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if n != 1 {
			t.Fatalf("round %d: %d agents won", round, n)
		}
	}
}

func TestOnlyOneHoldsTheLockHoweverItChangesHands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.lock")
	var holders, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				unlock, err := lock(path)
				if errors.Is(err, ErrInUse) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				taken.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				runtime.Gosched()
				holders.Add(-1)
				unlock()
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever held the lock")
	}
}

func TestAnotherUserIsTurnedAway(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	l.us.User = "another"
	serveAll(t, l, func(*Conn) { t.Error("accepted") })
	c, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
		t.Errorf("another user read %d bytes: %v", n, err)
	}
	if l.Refused() != 1 {
		t.Errorf("%d refused, want 1", l.Refused())
	}
	if _, err := dialAs(t.Context(), Peer{User: "another"}, address); !errors.Is(err, errOtherUser) {
		t.Errorf("an app talks to another user's agent: %v", err)
	}
}

func TestTheSixtyFifthAppIsToldThatAllPlacesAreTaken(t *testing.T) {
	l, address := listening(t)
	var open []net.Conn
	for range maxConns {
		c, err := net.Dial("unix", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	c, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "-32009") {
		t.Errorf("%q %v", line, err)
	}
	if l.Refused() != 1 {
		t.Errorf("%d refused, want 1", l.Refused())
	}
	open[0].Close()
	deadline := time.Now().Add(10 * time.Second)
	for !talks(t, address) {
		if time.Now().After(deadline) {
			t.Fatal("the place of an app that left is not given to another")
		}
		runtime.Gosched()
	}
}

// startApp starts the test binary as an app of its own process.
func startApp(t *testing.T, address string) (app *exec.Cmd, leave func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	app = exec.Command(exe)
	app.Env = append(os.Environ(), appVariable+"="+address)
	in, err := app.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := app.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "connected\n" {
		t.Fatalf("%q %v", line, err)
	}
	return app, func() { in.Close() }
}

func TestPeerIsTheProcessThatConnected(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *Conn, 1)
	serveAll(t, l, func(c *Conn) { accepted <- c })
	app, leave := startApp(t, address)
	peer := (<-accepted).Peer()
	us, _ := self()
	exe, _ := os.Executable()
	if peer.User != us.User || peer.PID != app.Process.Pid || peer.Via != ViaPipe {
		t.Errorf("%+v", peer)
	}
	if runtime.GOOS == "linux" && peer.Exe != exe {
		t.Errorf("exe %q, want %q", peer.Exe, exe)
	}
	leave()
	if err := app.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCallsOverARealSocketFromManyGoroutines(t *testing.T) {
	_, address := listening(t)
	conn, err := Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- conn.Serve(context.Background(), echo) }()
	body := json.RawMessage(`{"x":"` + strings.Repeat("y", 1<<20) + `"}`)
	var all sync.WaitGroup
	for range maxHandling {
		all.Go(func() {
			var got json.RawMessage
			if err := conn.Call(t.Context(), "echo", body, &got); err != nil || string(got) != string(body) {
				t.Errorf("%v, %d bytes", err, len(got))
			}
		})
	}
	all.Wait()
	conn.Close("done")
	<-ended
}
