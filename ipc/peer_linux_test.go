package ipc

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAliveFollowsTheProcessBeyondItsConnection(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *Conn)
	ctx := t.Context()
	go func() {
		conn, err := l.Accept(ctx)
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	app, leave := startApp(t, address)
	conn := <-accepted
	conn.Close("cut off")
	peer := conn.Peer()
	if alive, known := peer.Alive(); !alive || !known {
		t.Errorf("connection cut, process lives: alive %v known %v", alive, known)
	}
	leave()
	// Nobody has waited for it yet: a dead process that its parent has not noticed is dead all the same.
	deadline := time.Now().Add(10 * time.Second)
	for alive, _ := peer.Alive(); alive; alive, _ = peer.Alive() {
		if time.Now().After(deadline) {
			t.Fatal("still alive")
		}
	}
	if err := app.Wait(); err != nil {
		t.Error(err)
	}
	if alive, known := peer.Alive(); alive || !known {
		t.Errorf("process gone: alive %v known %v", alive, known)
	}
	peer.Release()
	if alive, known := peer.Alive(); alive || known {
		t.Errorf("released: alive %v known %v", alive, known)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestIdentifyFindsTheProcessOfALoopbackConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	app, _ := startApp(t, tcpApp+l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours, theirs, err := ends(c)
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Executable()
	p := identify(Peer{User: "us", Via: ViaWebSocket}, theirs, ours)
	defer p.Release()
	if p.User != "us" || p.PID != app.Process.Pid || p.Exe != exe {
		t.Errorf("%+v, want process %d with %s", p, app.Process.Pid, exe)
	}
	// A rule may ask for the program's digest. That is not to say that the app lives: the process may be a browser's.
	if digest, err := p.Digest(); err != nil || len(digest) != 64 {
		t.Errorf("digest %q, %v", digest, err)
	}
	if alive, known := p.Alive(); alive || known {
		t.Errorf("alive %v, known %v", alive, known)
	}
	ourEnd := identify(Peer{}, ours, theirs)
	defer ourEnd.Release()
	if ourEnd.PID != os.Getpid() {
		t.Errorf("our own end is of process %d", ourEnd.PID)
	}
	c.Close()
	if err := app.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := p.Digest(); err == nil {
		t.Error("a process that has ended has a digest")
	}
	if p := identify(Peer{User: "us"}, theirs, ours); p != (Peer{User: "us"}) {
		t.Errorf("nobody has it open any more: %+v", p)
	}
}
