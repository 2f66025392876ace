//go:build desktop

package ipc

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asNobody runs the small app of the test binary as another user, which needs root, and gives what it printed.
func asNobody(t *testing.T) (dir string, run func(address string) string) {
	const nobody = 65534
	dir, err := os.MkdirTemp("/tmp", "castray")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe := filepath.Join(dir, "app")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, self, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, exe} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(address string) string {
		app := exec.Command(exe)
		app.Dir, app.Env = "/", []string{appVariable + "=" + address}
		app.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, _ := app.CombinedOutput()
		return string(out)
	}
}

// SM-LCH-05: another user of this machine reaches a port of the loopback, and is known there.
func TestAnotherUserIsNotAdmittedOnTheLoopback(t *testing.T) {
	_, run := asNobody(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	judged := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = AdmitLoopback(c)
			c.Close()
		}
		judged <- err
	}()
	if out := run(tcpApp + l.Addr().String()); !strings.Contains(out, "connected") {
		t.Fatal(out)
	}
	if err := <-judged; !errors.Is(err, errOtherUser) {
		t.Errorf("%v", err)
	}
}

// DESIGN 3.2: at the WebSocket another user is hung up on, whatever he knows, and is named in the log. Our user is let in.
func TestAnotherUserIsNotAdmittedToTheWebSocket(t *testing.T) {
	_, run := asNobody(t)
	l, address := webListening(t)
	log := make(logged, 1)
	l.Log = slog.New(slog.NewTextHandler(log, nil))
	serveAll(t, l, nil)
	if out := run(tcpApp + l.raw.Addr().String()); !strings.Contains(out, "connected") {
		t.Fatal(out)
	}
	if line := <-log; !strings.Contains(line, "user=65534") || l.Refused() != 1 {
		t.Errorf("%d refused, log %q", l.Refused(), line)
	}
	conn, err := DialWebSocket(t.Context(), address, appKey)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close("done")
}

// logged are the lines that a log is told.
type logged chan string

func (l logged) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

func TestAnotherUserIsTurnedAwayByBothSides(t *testing.T) {
	dir, run := asNobody(t)
	address := filepath.Join(dir, "s")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		if peer := conn.Peer(); peer.PID != os.Getpid() {
			t.Errorf("accepted %+v", peer)
		}
		conn.Close("done")
		conn.Peer().Release()
	}()
	if out := run(address); !strings.Contains(out, "permission denied") {
		t.Errorf("the mode of the socket does not hold others off: %s", out)
	}
	if err := os.Chmod(address, 0o666); err != nil {
		t.Fatal(err)
	}
	if out := run(address); !strings.Contains(out, "belongs to another user") {
		t.Errorf("the app talks to another user's agent: %s", out)
	}
	c, err := net.Dial("unix", address) // ours is the first that Accept returns
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	c.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if l.Refused() != 1 || !strings.Contains(log.String(), "user=65534") {
		t.Errorf("%d refused, log %q", l.Refused(), log.String())
	}
}
