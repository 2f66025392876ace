package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/castray/castray/agent"
)

// terminal opens a terminal: what is written to person is typed, and what the terminal shows is read from it.
func terminal(t *testing.T) (person, typed *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	typed, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { typed.Close() })
	return person, typed
}

// shows tells whether a terminal shows what is typed.
func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// SM-CLI-02: a secret that is typed is not shown, and the terminal is left as it was, however it ends.
func TestSecretIsNotShown(t *testing.T) {
	file := t.TempDir() + "/castray.toml"
	if err := os.WriteFile(file, []byte("[[site]]\nfhir_url = \"https://ehr.example.org\"\nclient_id = \"castray\"\nauth = \"secret\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		typed string
		code  int
	}{"entered": {"canary-secret\n", exitDone}, "broken off": {"canary-sec", exitFailed}} {
		t.Run(name, func(t *testing.T) {
			person, typed := terminal(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			asked, ask := io.Pipe()
			store := agent.Memory()
			tool := &tool{stdin: typed, stdout: ask, stderr: ask, machine: func(c *agent.Config) { c.Store = store }}
			ended := make(chan int, 1)
			go func() {
				ended <- tool.run(ctx, []string{"--config", file, "config", "secret"})
				ask.Close()
			}()
			said := bufio.NewReader(asked)
			if line, err := said.ReadString('\n'); err != nil || !strings.Contains(line, "ehr.example.org") {
				t.Fatalf("%q, %v", line, err)
			}
			if shows(t, typed) {
				t.Error("the terminal shows what is typed")
			}
			if _, err := person.WriteString(c.typed); err != nil {
				t.Fatal(err)
			}
			if c.code != exitDone {
				stop()
			}
			rest, err := io.ReadAll(said)
			if err != nil {
				t.Fatal(err)
			}
			if code := <-ended; code != c.code || strings.Contains(string(rest), "canary") {
				t.Errorf("ended with %d: %s", code, rest)
			}
			if !shows(t, typed) {
				t.Error("the terminal is left blind")
			}
		})
	}
}
