//go:build unix

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

func TestOverARealSocket(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	if _, err := client.Dial(t.Context(), client.Options{Name: "viewer", Address: address}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no agent: %v", err)
	}
	l, err := ipc.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answers, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Peer().Release()
		conn.Serve(ctx, func(_ context.Context, c *ipc.Conn, _ string, _ json.RawMessage, _ bool) (any, error) {
			push := func() {
				err := c.Go(protocol.MethodEvent, []byte(`{"timestamp":"","id":"e1","event":{}}`), func(result json.RawMessage, err error) {
					answers <- string(result)
				})
				if err != nil {
					t.Error(err)
				}
			}
			return ipc.Reply{Result: protocol.HelloResult{Protocol: protocol.Version, App: "viewer"}, Written: push}, nil
		})
	}()
	t.Setenv("CASTRAY_SOCKET", address)
	c, err := client.Dial(ctx, client.Options{
		Name: "viewer", Answers: true,
		Event: func(context.Context, *client.Event) protocol.EventAnswer { return protocol.EventAnswer{Status: 200} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got != `{"status":200}` {
		t.Errorf("answered %s", got)
	}
	c.Close()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	<-ended
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The key is new each time that the agent starts, so one that is refused is no reason to give up.
func TestOverAWebSocketWithTheKeyOfTheDay(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	t.Setenv("HOME", base)
	if err := os.MkdirAll(filepath.Join(base, "Library", "Application Support"), 0o700); err != nil { // of macOS
		t.Fatal(err)
	}
	address, err := ipc.DefaultAddress()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ipc.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	web, port, err := l.ListenWebSocket(0, nil, "today")
	if err != nil {
		t.Fatal(err)
	}
	keys := protocol.Keys{Key: "k", AppKey: "yesterday", Port: port, PID: 1}
	if err := ipc.WriteKeys(address, keys); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := web.Accept(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		if via := conn.Peer().Via; via != ipc.ViaWebSocket {
			t.Errorf("via %s", via)
		}
		conn.Serve(ctx, func(_ context.Context, c *ipc.Conn, _ string, _ json.RawMessage, _ bool) (any, error) {
			push := func() {
				if err := c.Notify(protocol.MethodClear, []byte(`{"reason":"closed"}`)); err != nil {
					t.Error(err)
				}
			}
			return ipc.Reply{Result: protocol.HelloResult{Protocol: protocol.Version, App: "viewer"}, Written: push}, nil
		})
	}()
	running, leave := context.WithCancel(ctx)
	err = client.Run(running, client.Options{
		Name: "viewer", Address: fmt.Sprintf("ws://127.0.0.1:%d/v1", port),
		OutOfSync: func(error) {
			keys.AppKey = "today"
			if err := ipc.WriteKeys(address, keys); err != nil {
				t.Error(err)
			}
		},
		Clear: func(context.Context, protocol.Reason) protocol.EventAnswer {
			leave()
			return protocol.EventAnswer{Status: 200}
		},
	})
	if !errors.Is(err, context.Canceled) || ctx.Err() != nil || keys.AppKey != "today" {
		t.Errorf("%v, with the key of %s", err, keys.AppKey)
	}
	<-served
	if err := errors.Join(web.Close(), l.Close()); err != nil {
		t.Error(err)
	}
}
