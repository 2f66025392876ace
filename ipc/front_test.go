package ipc

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
)

// DESIGN 3.2: what holds at the loopback WebSocket holds for what else we serve there.
func TestWhoMayUseAFront(t *testing.T) {
	if _, err := NewFront(17321, nil, ""); err == nil {
		t.Error("a front without a key")
	}
	f, err := NewFront(17321, []string{"https://viewer.example.org"}, "k3y")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		change  func(r *http.Request)
		refused int
		opens   bool
	}{
		{"a program with the key", func(r *http.Request) {}, 0, true},
		{"at any path", func(r *http.Request) { r.URL.Path = "/x" }, 0, true},
		{"without the key", func(r *http.Request) { r.Header.Del("Authorization") }, 0, false},
		{"with another", func(r *http.Request) { r.Header.Set("Authorization", "Bearer k3z") }, 0, false},
		{"the key as a subprotocol is for the WebSocket only", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("Sec-Websocket-Protocol", "castray.key.k3y")
		}, 0, false},
		{"a listed page", func(r *http.Request) { r.Header.Set("Origin", "https://viewer.example.org") }, 0, true},
		{"a foreign page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.org") }, 403, true},
		{"a name that leads here", func(r *http.Request) { r.Host = "evil.example.org:17321" }, 421, true},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:17321/fhircast", nil)
		r.Header.Set("Authorization", "Bearer k3y")
		row.change(r)
		if status, why := f.Refuse(r); status != row.refused || (why == "") != (status == 0) || f.Opens(r) != row.opens {
			t.Errorf("%s: %d %q, opens: %t", row.name, status, why, f.Opens(r))
		}
	}
}

func TestWhoIsAtAFront(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := NewFront(l.Addr().(*net.TCPAddr).Port, nil, "k3y")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	p, err := f.Peer(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	if alive, known := p.Alive(); runtime.GOOS == "linux" && (p.PID != os.Getpid() || p.Exe == "" || !alive || !known) {
		t.Errorf("it is %+v", p)
	}
	f.us.User = "another"
	if p, err := f.Peer(ours); err == nil || p.User != "" {
		t.Errorf("another user's agent takes %+v", p)
	}
	if _, err := f.Peer(&net.TCPConn{}); err == nil {
		t.Error("a connection that is none is taken")
	}
}
