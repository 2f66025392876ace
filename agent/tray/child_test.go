//go:build desktop && (linux || windows)

package tray

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A process has one tray, so each desktop test runs its own: this test binary again, with the tray on its main
// goroutine as in the product. It reads a View a line and tells in words what happens. These tests cannot pass under
// -race: systray 1.12.2 counts its menu's revisions without a lock of their own.
const childVariable = "CASTRAY_TEST_TRAY"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithCancel(context.Background())
	tray := New(func(_ context.Context, c Command) { fmt.Println("click", c) }, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer cancel()
		views := json.NewDecoder(os.Stdin)
		for {
			var v View
			if views.Decode(&v) != nil {
				return
			}
			tray.Show(v)
		}
	}()
	fmt.Println("ended", tray.Run(ctx))
	<-read
	fmt.Println("leaks", goleak.Find())
	os.Exit(0)
}

// child is a process with a tray.
type child struct {
	pid   int
	views *json.Encoder
	stdin io.Closer
	lines chan string // what it says; closed when it ended
	log   *testWriter // what it and systray log
}

// startChild runs a tray with an environment and nothing else in it.
func startChild(t *testing.T, env ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, childVariable+"=1", "TZ=UTC")
	log := &testWriter{t: t}
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{pid: cmd.Process.Pid, views: json.NewEncoder(in), stdin: in, lines: make(chan string, 100), log: log}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
		if err := cmd.Wait(); err != nil {
			c.lines <- "crashed: " + err.Error()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the tray does not end when its context does")
			_ = cmd.Process.Kill()
			select {
			case <-ended:
			case <-time.After(patience):
			}
		}
	})
	return c
}

func (c *child) show(t *testing.T, v View) {
	t.Helper()
	if err := c.views.Encode(v); err != nil {
		t.Fatal(err)
	}
}

// says waits for the next line.
func (c *child) says(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok {
			return "nothing more"
		}
		return line
	case <-time.After(patience):
		t.Fatal("the tray says nothing")
		return ""
	}
}

// ends closes the tray's context and checks how it ended.
func (c *child) ends(t *testing.T, want string) {
	t.Helper()
	c.stdin.Close()
	for _, line := range []string{"ended " + want, "leaks <nil>", "nothing more"} {
		if got := c.says(t); got != line {
			t.Errorf("the tray says %q, want %q", got, line)
		}
	}
}

// patience is for a slow machine; nothing here takes a tenth of it.
const patience = 20 * time.Second

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for !ask() {
		select {
		case <-late:
			t.Fatalf("waited in vain until %s", what)
		case <-again.C:
		}
	}
}

// testWriter passes lines to the test's log and keeps them.
type testWriter struct {
	t  *testing.T
	mu sync.Mutex
	b  strings.Builder
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(b), "\n"))
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *testWriter) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.b.String(), text)
}
