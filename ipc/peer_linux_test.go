package ipc

import (
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
