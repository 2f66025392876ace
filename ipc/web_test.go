package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const appKey = "x0Zk3nqv8Yw"

// webListening is a listener for pages of an origin and programs with the key. Nothing is accepted yet.
func webListening(t *testing.T) (l *Listener, address string) {
	t.Helper()
	_, l, address = webBeside(t)
	return l, address
}

// webBeside tells the listener too that it stands beside.
func webBeside(t *testing.T) (base, l *Listener, address string) {
	t.Helper()
	us, err := self()
	if err != nil {
		t.Fatal(err)
	}
	base = &Listener{us: us, places: make(chan struct{}, maxConns)}
	l, port, err := base.ListenWebSocket(0, []string{"https://viewer.example.org"}, appKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return base, l, "ws://127.0.0.1:" + strconv.Itoa(port) + "/v1"
}

// page dials as the browser does for a page.
func page(address, origin, key string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, Subprotocols: []string{"castray.v1", "castray.key." + key}}
	return d.Dial(address, http.Header{"Origin": {origin}})
}

// says sends a request and reads the answer.
func says(t *testing.T, ws *websocket.Conn, line string) string {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(line)); err != nil {
		t.Fatal(err)
	}
	return hears(t, ws)
}

func hears(t *testing.T, ws *websocket.Conn) string {
	t.Helper()
	if err := ws.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, answer, err := ws.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// skipWhereTheServerIsUnknown is for Wine 8, which names no process for a socket that was accepted. Nobody is trusted there.
func skipWhereTheServerIsUnknown(t *testing.T, err error) {
	t.Helper()
	if runtime.GOOS == "windows" && errors.Is(err, errNotInTable) {
		t.Skipf("this system does not tell who serves a port: %v", err)
	}
}

const ping = `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}`

func TestAPageTalksOverTheWebSocket(t *testing.T) {
	l, address := webListening(t)
	serveAll(t, l, func(c *Conn) {
		us, _ := self()
		if peer := c.Peer(); peer.Via != ViaWebSocket || peer.User != us.User || peer.Session != us.Session {
			t.Errorf("the peer is %+v", peer)
		}
		if alive, known := c.Peer().Alive(); alive || known {
			t.Error("of a page nobody knows whether it lives: the process is the browser's")
		}
	})
	ws, resp, err := page(address, "https://viewer.example.org", appKey)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	// S11: an answer that held the key would write it wherever answers are shown.
	if ws.Subprotocol() != "castray.v1" || strings.Contains(fmt.Sprint(resp.Header), appKey) || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the answer has the header %v", resp.Header)
	}
	if got, want := says(t, ws, ping), `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Each refusal as it crosses the wire; TestWhoMayUseTheWebSocket has the rules one by one.
func TestTheWebSocketTurnsAway(t *testing.T) {
	l, address := webListening(t)
	var log strings.Builder
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	serveAll(t, l, func(*Conn) { t.Error("accepted") })
	for _, row := range []struct {
		origin, key string
		status      int
	}{
		{"https://evil.example.org", appKey, 403},
		{"null", appKey, 403},
		{"https://viewer.example.org", "guess", 401},
		{"https://viewer.example.org", "", 401},
	} {
		ws, resp, err := page(address, row.origin, row.key)
		if err == nil {
			ws.Close()
			t.Fatalf("%s with the key %q was let in", row.origin, row.key)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != row.status || len(body) == 0 || strings.Contains(string(body), row.origin) || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s with the key %q: %d %s %v", row.origin, row.key, resp.StatusCode, body, resp.Header)
		}
	}
	// DNS rebinding: the browser believes that it talks to evil.example.org.
	d := websocket.Dialer{NetDial: func(network, _ string) (net.Conn, error) { return net.Dial(network, l.raw.Addr().String()) }}
	_, resp, err := d.Dial("ws://evil.example.org/v1", http.Header{"Authorization": {"Bearer " + appKey}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("rebound: %v", err)
	}
	if l.Refused() != 5 {
		t.Errorf("%d refused, want 5", l.Refused())
	}
	if n := strings.Count(log.String(), "turned a caller away"); n != 1 || strings.Contains(log.String(), appKey) {
		t.Errorf("a page that is refused again and again fills the log: %s", log.String())
	}
}

func TestAnotherUserIsHungUpOnAtTheWebSocket(t *testing.T) {
	l, address := webListening(t)
	l.us.User = "another"
	serveAll(t, l, func(*Conn) { t.Error("accepted") })
	if ws, resp, err := page(address, "https://viewer.example.org", appKey); err == nil {
		ws.Close()
		t.Error("another user was let in")
	} else if resp != nil && resp.StatusCode != 0 {
		t.Errorf("another user was answered %d", resp.StatusCode)
	}
	if l.Refused() != 1 {
		t.Errorf("%d refused, want 1", l.Refused())
	}
	mine, address := webListening(t)
	serveAll(t, mine, nil)
	_, err := dialWebSocketAs(t.Context(), Peer{User: "another"}, address, appKey)
	skipWhereTheServerIsUnknown(t, err)
	if !errors.Is(err, errOtherUser) {
		t.Errorf("an app talks to another user's agent: %v", err)
	}
}

// The 64 places are those of all transports together.
func TestTheWebSocketHasNoPlacesOfItsOwn(t *testing.T) {
	base, l, address := webBeside(t)
	serveAll(t, l, nil)
	ws, _, err := page(address, "https://viewer.example.org", appKey)
	if err != nil {
		t.Fatal(err)
	}
	says(t, ws, ping)
	if len(base.places) != 1 {
		t.Errorf("%d places are taken, want 1", len(base.places))
	}
	for len(base.places) < maxConns {
		base.places <- struct{}{}
	}
	late, _, err := page(address, "https://viewer.example.org", appKey)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if got := hears(t, late); !strings.Contains(got, "-32009") {
		t.Errorf("the 65th is told %s", got)
	}
	if _, _, err := late.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("the 65th ends with %v", err)
	}
	// The tab is gone without a word, and half of the connection stays.
	if err := ws.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(base.places) == maxConns; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a page that left keeps its place")
		}
	}
	ws.Close()
}

// Callers that say nothing take no place of an app, and whoever comes after them is served when one of them has gone.
func TestCallersThatSayNothing(t *testing.T) {
	l, address := webListening(t)
	serveAll(t, l, nil)
	var silent []net.Conn
	for range handshakes + 4 {
		c, err := net.Dial("tcp", l.raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	callers := l.raw.(*web).callers
	until := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); len(callers) != want; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d are let in, want %d", len(callers), want)
			}
		}
	}
	until(handshakes)
	if n := len(l.places); n != 0 {
		t.Errorf("callers that say nothing take %d places", n)
	}
	for _, c := range silent {
		c.Close()
	}
	until(1) // which waits for the next
	// More than there are handshakes at once, one after another.
	for range handshakes + 1 {
		ws, _, err := page(address, "https://viewer.example.org", appKey)
		if err != nil {
			t.Fatal(err)
		}
		ws.Close()
	}
}

func TestCloseGivesThePortBackAndConnectionsLiveOn(t *testing.T) {
	l, address := webListening(t)
	serveAll(t, l, nil)
	ws, _, err := page(address, "https://viewer.example.org", appKey)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	says(t, ws, ping)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	says(t, ws, ping)
	if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := DialWebSocket(t.Context(), address, appKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody listens: %v", err)
	}
	again, err := net.Listen("tcp", strings.TrimSuffix(strings.TrimPrefix(address, "ws://"), "/v1"))
	if err != nil {
		t.Fatalf("the port was not given back: %v", err)
	}
	again.Close()
	if _, _, err := l.ListenWebSocket(0, nil, ""); err == nil {
		t.Error("a WebSocket without a key")
	}
}

func TestDialWebSocket(t *testing.T) {
	l, address := webListening(t)
	serveAll(t, l, nil)
	if _, err := DialWebSocket(t.Context(), address, "guess"); err == nil || !strings.Contains(err.Error(), "castray.json") || strings.Contains(err.Error(), "guess") {
		t.Errorf("a wrong key: %v", err)
	}
	// The key is for this machine: no other is even asked.
	if _, err := DialWebSocket(t.Context(), "ws://hub.example.org/v1", appKey); !errors.Is(err, errNoWebSocket) {
		t.Errorf("another machine: %v", err)
	}
	if _, err := Listen(address); err == nil {
		t.Error("an agent took a WebSocket for its socket")
	}
	conn, err := DialWebSocket(t.Context(), address, appKey)
	skipWhereTheServerIsUnknown(t, err)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- conn.ServeInOrder(context.Background(), echo) }()
	body := map[string]string{"x": strings.Repeat("y", 200<<10)}
	var all sync.WaitGroup
	for range maxHandling {
		all.Go(func() {
			var got map[string]string
			if err := conn.Call(t.Context(), "echo", body, &got); err != nil || got["x"] != body["x"] {
				t.Errorf("%v, %d bytes", err, len(got["x"]))
			}
		})
	}
	all.Wait()
	conn.Close("done")
	<-ended
}

func TestWhichProcessUsesTheWebSocket(t *testing.T) {
	l, address := webListening(t)
	peers := make(chan Peer, 1)
	serveAll(t, l, func(c *Conn) { peers <- c.Peer() })
	ws, _, err := page(address, "https://viewer.example.org", appKey)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	exe, _ := os.Executable()
	peer := <-peers
	if runtime.GOOS != "darwin" && (peer.PID != os.Getpid() || !strings.EqualFold(peer.Exe, exe)) {
		t.Errorf("the peer is %+v, want process %d with %s", peer, os.Getpid(), exe)
	}
}
