package hubtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// echo answers a GET with its path and a WebSocket with what it sends.
func echo(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		io.WriteString(w, r.URL.Path)
		return
	}
	var up websocket.Upgrader
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, frame, err := c.ReadMessage()
		if err != nil {
			return
		}
		if c.WriteMessage(kind, frame) != nil {
			return
		}
	}
}

func dialSocket(t *testing.T, n *hubtest.Network) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{NetDialContext: n.Dial, TLSClientConfig: n.TLS(), HandshakeTimeout: 10 * time.Second}
	c, resp, err := d.Dial("wss://hub.example.test/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return c
}

func TestPipeCarriesHTTPAndSocketsOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hubtest.Pipe(http.HandlerFunc(echo))
		defer n.Close()
		client := n.Client()
		defer client.CloseIdleConnections()
		resp, err := client.Get(hubtest.PipeURL + "/fc")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "/fc" {
			t.Errorf("got %q", body)
		}
		if year := time.Now().Year(); year != 2000 {
			t.Fatalf("not in a bubble: %d", year)
		}

		c := dialSocket(t, n)
		defer c.Close()
		big := bytes.Repeat([]byte("x"), 5<<20) // far above what a direction holds: both ends have to read
		if err := c.WriteMessage(websocket.TextMessage, big); err != nil {
			t.Fatal(err)
		}
		_, back, err := c.ReadMessage()
		if err != nil || !bytes.Equal(back, big) {
			t.Fatalf("got %d bytes, %v", len(back), err)
		}
	})
}

func TestPipeFrozenIsSilentUntilThawed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hubtest.Pipe(http.HandlerFunc(echo))
		defer n.Close()
		c := dialSocket(t, n)
		defer c.Close()
		n.Freeze()
		if err := c.WriteMessage(websocket.TextMessage, []byte("one")); err != nil {
			t.Fatal(err) // taken, as a kernel takes it
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := n.Dial(ctx, "tcp", "hub.example.test:443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial into a black hole: %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
		time.AfterFunc(time.Hour, n.Thaw)
		_, back, err := c.ReadMessage()
		if err != nil || string(back) != "one" || time.Since(start) != time.Hour+10*time.Second {
			t.Errorf("got %q, %v after %v", back, err, time.Since(start))
		}
		n.Freeze()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		start = time.Now()
		_, _, err = c.ReadMessage()
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() || time.Since(start) != time.Minute {
			t.Errorf("read by a deadline: %v after %v", err, time.Since(start))
		}
	})
}

func TestPipeCutBreaksBothEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hubtest.Pipe(http.HandlerFunc(echo))
		defer n.Close()
		c := dialSocket(t, n)
		defer c.Close()
		time.AfterFunc(time.Second, func() { n.Cut() })
		start := time.Now()
		if _, _, err := c.ReadMessage(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if time.Since(start) != time.Second {
			t.Errorf("after %v", time.Since(start))
		}
		n.Refuse(true)
		if _, err := n.Dial(t.Context(), "tcp", "hub.example.test:443"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial where nobody listens: %v", err)
		}
		n.Refuse(false)
		again := dialSocket(t, n)
		again.Close()
	})
}

func TestPipeIsNotTrustedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, other := hubtest.Pipe(http.HandlerFunc(echo)), hubtest.Pipe(http.HandlerFunc(echo))
		defer n.Close()
		defer other.Close()
		client := &http.Client{Transport: &http.Transport{DialContext: n.Dial, TLSClientConfig: other.TLS()}}
		defer client.CloseIdleConnections()
		if resp, err := client.Get(hubtest.PipeURL); err == nil {
			resp.Body.Close()
			t.Error("a stranger's certificate was taken")
		}
	})
}
