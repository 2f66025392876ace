package main

import (
	"context"
	"encoding/json"
	"runtime"
	"testing"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

// An agent that has just started listens before castray.json is its own.
func TestACommandThatReadTheKeysOfTheRunBeforeReadsThemAgain(t *testing.T) {
	address := demoAddress(runtime.GOOS, tempFolder(t))
	listener, err := ipc.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	keys := func(key string) {
		if err := ipc.WriteKeys(address, protocol.Keys{Key: key, AppKey: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	keys("old")
	hello := func(_ context.Context, _ *ipc.Conn, method string, params json.RawMessage, _ bool) (any, error) {
		var h protocol.Hello
		if method == protocol.MethodHello && (protocol.Decode(params, &h) != nil || h.Key != "new") {
			keys("new")
			return nil, &protocol.Error{Code: protocol.CodeNotAllowed, Message: "Not this key."}
		}
		return protocol.HelloResult{Protocol: protocol.Version, App: h.Name}, nil
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range 2 {
			conn, err := listener.Accept(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Serve(context.WithoutCancel(t.Context()), hello)
		}
	}()
	tool, _, stderr := newTool()
	tool.environ = []string{"CASTRAY_SOCKET=" + address}
	if code := tool.run(t.Context(), []string{"resync"}); code != exitDone {
		t.Errorf("ended with %d: %s", code, stderr)
	}
	<-served
}
