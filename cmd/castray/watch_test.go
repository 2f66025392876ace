package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

func TestWatchTellsAStatusOnceUntilItChanges(t *testing.T) {
	tool, stdout, _ := newTool()
	w := &watch{tool: tool, leave: func() {}}
	for _, phase := range []string{"in_sync", "in_sync", "offline"} {
		w.message(protocol.MethodStatus, json.RawMessage(`{"phase":"`+phase+`"}`))
	}
	w.message(protocol.MethodClear, json.RawMessage(`{"reason":"closed"}`))
	w.message("news", nil)
	var lines []string
	for line := range strings.Lines(stdout.String()) {
		lines = append(lines, strings.TrimSuffix(line, "\n")[len("15:04:05  "):])
	}
	want := []string{"status: in_sync       ", "status: offline       ", "clear: show no patient (closed)", "news"}
	if len(lines) != len(want) {
		t.Fatalf("%q", lines)
	}
	for i := range want {
		if lines[i] != want[i] {
			t.Errorf("%q, not %q", lines[i], want[i])
		}
	}
}

// A record with a gap would look complete.
func TestWatchEndsWhenItCannotRecord(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "record"))
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	tool, stdout, _ := newTool()
	left := false
	w := &watch{tool: tool, copies: file, names: newSynthetic(), leave: func() { left = true }}
	w.message(protocol.MethodClear, json.RawMessage(`{"reason":"closed"}`))
	if !left || !errors.Is(w.failed, os.ErrClosed) || stdout.String() != "" {
		t.Errorf("left %v, %v, printed %q", left, w.failed, stdout)
	}
}

func TestWatchShowsWhatTheFileSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shows.json")
	w := &watch{show: file}
	for name, row := range map[string]struct {
		text string
		ok   bool
	}{
		"a window": {`{"windows":[{"patient":[{"value":"1"}],"study":"1.2"}]}`, true},
		"nothing":  {`{"windows":[]}`, true},
		"no list":  {`{}`, false},
		"no JSON":  {`windows`, false},
	} {
		if err := os.WriteFile(file, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.windows(); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	tool, _, stderr := newTool()
	if code := tool.run(t.Context(), []string{"watch", "--show", file + ".missing"}); code != exitFailed {
		t.Errorf("%d %s", code, stderr)
	}
}

// The agent asks what is shown; the file says it, read anew each time, and a file that is gone is not "nothing".
func TestWatchSaysWhatItShows(t *testing.T) {
	dir := tempFolder(t)
	address, file := demoAddress(runtime.GOOS, dir), filepath.Join(dir, "shows.json")
	show := func(study string) {
		if err := os.WriteFile(file, []byte(`{"windows":[{"patient":[],"study":"`+study+`"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := ipc.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tool, stdout, stderr := newTool()
	tool.environ = []string{"CASTRAY_SOCKET=" + address}
	show("1.2.3")
	ended := make(chan int, 1)
	go func() {
		ended <- tool.run(t.Context(), []string{"watch", "--show", file, "--record", filepath.Join(dir, "record"), "--json"})
	}()
	conn, err := listener.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	greeted := make(chan protocol.Hello, 1)
	served := make(chan error, 1)
	go func() {
		served <- conn.Serve(context.WithoutCancel(t.Context()), func(_ context.Context, _ *ipc.Conn, _ string, params json.RawMessage, _ bool) (any, error) {
			var h protocol.Hello
			err := protocol.Decode(params, &h)
			greeted <- h
			return protocol.HelloResult{Protocol: protocol.Version, App: h.Name}, err
		})
	}()
	if h := <-greeted; h.Name != "castray-watch" || !h.Shows || h.Answers || h.Key != "" || h.Events != nil {
		t.Errorf("hello %+v", h)
	}
	for _, study := range []string{"1.2.3", "1.2.4"} {
		show(study)
		var r protocol.ShownResult
		if err := conn.Call(t.Context(), protocol.MethodShown, protocol.Empty{}, &r); err != nil || len(r.Windows) != 1 || r.Windows[0].Study != study {
			t.Errorf("shown %+v, %v", r, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := conn.Call(t.Context(), protocol.MethodShown, protocol.Empty{}, nil); err == nil {
		t.Error("nothing is shown, it says")
	}
	if code := <-ended; code != exitFailed || !strings.Contains(stderr.String(), "show: ") {
		t.Errorf("ended with %d: %s", code, stderr)
	}
	<-served
	const line = `{"jsonrpc":"2.0","method":"shown","params":{}}` + "\n"
	record, err := os.ReadFile(filepath.Join(dir, "record"))
	if err != nil || string(record) != line+line+line || stdout.String() != string(record) {
		t.Errorf("recorded %s, printed %s, %v", record, stdout, err)
	}
}
