//go:build unix

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
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
