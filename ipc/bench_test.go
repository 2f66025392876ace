//go:build unix

package ipc

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkEvent is the hot path: an event of 10 KB over a real socket, and its answer.
func BenchmarkEvent(b *testing.B) {
	l, err := Listen(filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	app, err := Dial(b.Context(), l.raw.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	agent, err := l.Accept(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer agent.Peer().Release()
	ok := json.RawMessage(`{"status":200}`)
	ended := make(chan error, 2)
	go func() {
		ended <- app.ServeInOrder(context.Background(), func(context.Context, *Conn, string, json.RawMessage, bool) (any, error) { return ok, nil })
	}()
	go func() { ended <- agent.Serve(context.Background(), echo) }()
	body := []byte(`{"event":"` + strings.Repeat("x", 10<<10) + `"}`)
	answered := make(chan error)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if err := agent.Go("event", body, func(_ json.RawMessage, err error) { answered <- err }); err != nil {
			b.Fatal(err)
		}
		if err := <-answered; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	app.Close("done")
	<-ended
	<-ended
}
