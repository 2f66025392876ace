//go:build !windows && !darwin

package desktop

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serveBus answers whoever connects with one line, or with silence.
func serveBus(t *testing.T, socket, answer string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			if answer != "" && strings.HasPrefix(line, "\x00AUTH EXTERNAL ") {
				_, _ = c.Write([]byte(answer))
			}
			_, _ = c.Read(make([]byte, 1)) // until the other end leaves
			c.Close()
		}
	}()
}

func TestSessionBus(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	serveBus(t, at("good"), "OK 1234deadbeef\r\n")
	serveBus(t, at("bus"), "OK 1234deadbeef\r\n") // the run folder's
	serveBus(t, at("rude"), "REJECTED EXTERNAL\r\n")
	serveBus(t, at("mute"), "")
	serveBus(t, at("a,b c"), "OK 1234deadbeef\r\n")

	for _, c := range []struct {
		name, variable, run, want string
	}{
		{"nothing is set", "", "", ""},
		{"named by the variable", "unix:path=" + at("good"), "", "unix:path=" + at("good")},
		{"with a guid", "unix:guid=12,path=" + at("good"), "", "unix:guid=12,path=" + at("good")},
		{"an escaped name", "unix:path=" + dir + "/a%2cb%20c", "", "unix:path=" + dir + "/a%2cb%20c"},
		{"the second of two answers", "unix:path=" + at("none") + ";unix:path=" + at("good"), "", "unix:path=" + at("good")},
		{"in the run folder", "", dir, "unix:path=" + strings.ReplaceAll(at("bus"), "/", "%2F")},
		{"the run folder has none", "", t.TempDir(), ""},
		{"the variable is stale: not another bus", "unix:path=" + at("none"), dir, ""},
		{"refuses", "unix:path=" + at("rude"), "", ""},
		{"is mute", "unix:path=" + at("mute"), "", ""},
		{"would be started", "autolaunch:", dir, ""},
		{"would be started, by command", "unixexec:path=/bin/false", dir, ""},
		{"of another machine", "tcp:host=127.0.0.1,port=1", dir, ""},
		{"not an address", "unix", "", ""},
		{"without a path", "unix:guid=12", "", ""},
		{"badly escaped", "unix:path=%zz", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			got, err := SessionBus(ctx, func(name string) string {
				return map[string]string{BusVariable: c.variable, "XDG_RUNTIME_DIR": c.run}[name]
			})
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("found %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
