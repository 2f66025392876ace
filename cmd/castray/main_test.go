package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/ipc/protocol"
)

// The test binary is several programs: castray as it is shipped, but with a keychain in memory and a browser without a
// window; a native app; a clipboard; a person who goes to the address that a command prints; and the hub and the agent of
// the soak.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"castray": func() {
			ctx, stop := untilSignalled()
			defer stop()
			t := &tool{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), machine: testMachine}
			os.Exit(t.run(ctx, os.Args[1:]))
		},
		"legacyapp": func() { os.Exit(legacyApp(os.Args[1:])) },
		"clipboard": func() {
			text, err := io.ReadAll(os.Stdin)
			if err == nil {
				err = os.WriteFile(os.Getenv("CLIPBOARD"), text, 0o600)
			}
			if err != nil {
				os.Exit(1)
			}
		},
		"visit":   func() { os.Exit(visit(os.Args[1:])) },
		"soakhub": func() { os.Exit(runSoakHub(os.Args[1:])) },
		"soakagent": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(runSoakAgent(ctx, os.Args[1:]))
		},
	})
}

func testMachine(c *agent.Config) {
	c.Store = agent.Memory()
	if folder := os.Getenv("SOAK_STORE"); folder != "" {
		c.Store = soakStore(folder)
	}
	c.OpenURL = func(ctx context.Context, address string) error { return browse(ctx, os.Getenv("SANDBOX_CA"), address) }
}

var (
	form   = regexp.MustCompile(`<form method="post" action="([^"]+)"`)
	ticket = regexp.MustCompile(`name="ticket" value="([^"]+)"`)
)

// browse is a person at the sandbox's pages: the first user signs in, and answers $SANDBOX_ANSWER, otherwise "allow". The
// browser knows the authority in that file.
func browse(ctx context.Context, caFile, address string) error {
	_, err := browseTo(ctx, caFile, address)
	return err
}

// browseTo tells the last page too.
func browseTo(ctx context.Context, caFile, address string) (last string, err error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	b := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
	defer b.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for range 3 {
		if err != nil {
			return "", err
		}
		w, err := b.Do(r)
		if err != nil {
			return "", err
		}
		page, _ := io.ReadAll(w.Body)
		w.Body.Close()
		action, hidden := form.FindSubmatch(page), ticket.FindSubmatch(page)
		if action == nil || hidden == nil {
			if w.StatusCode != http.StatusOK {
				return "", errors.New("browser: " + w.Status)
			}
			return string(page), nil
		}
		to, err := w.Request.URL.Parse(string(action[1]))
		if err != nil {
			return "", err
		}
		fields := url.Values{"ticket": {string(hidden[1])}, "user": {"0"}, "answer": {cmp.Or(os.Getenv("SANDBOX_ANSWER"), "allow")}}
		r, err = http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
		if err != nil {
			return "", err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return "", errors.New("browser: no end of pages")
}

// visit runs a command, goes to the address that it prints, and ends as the command does.
func visit(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	var started protocol.SigninResult
	if json.Unmarshal([]byte(line), &started) != nil { // printed for a person
		started.URL = strings.TrimSpace(line)
	}
	if err := browse(context.Background(), os.Getenv("SANDBOX_CA"), started.URL); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			socket := filepath.Join(e.WorkDir, "s")
			if runtime.GOOS == "windows" {
				socket = `\\.\pipe\castray-` + filepath.Base(e.WorkDir)
			}
			e.Setenv("CASTRAY_SOCKET", socket)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // each command would wait a second for races in other processes
			e.Setenv("SANDBOX_CA", filepath.Join(e.WorkDir, "sb", "ca.pem"))
			// So that nobody's own files are read: these name a folder on every system (agent/config.PathsFor).
			for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "APPDATA", "LOCALAPPDATA", "ProgramData", "HOME"} {
				e.Setenv(name, filepath.Join(e.WorkDir, "home"))
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"eventually": eventually, "code": code, "find": find},
	})
}

// eventually runs a command until its output matches: eventually PATTERN COMMAND...
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...)
		said := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if pattern.MatchString(said) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%v never said %s; at last:\n%s", args[1:], args[0], said)
		}
	}
}

// find puts what the parentheses of a pattern match in a file into a variable: find NAME PATTERN FILE.
func find(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: find NAME PATTERN FILE")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	match := pattern.FindStringSubmatch(ts.ReadFile(args[2]))
	if len(match) != 2 {
		ts.Fatalf("%s has nothing like %s", args[2], args[1])
	}
	ts.Setenv(args[0], match[1])
}

// code wants a command to end with an exit code: code N COMMAND...
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("%v ended with %s, not %s; it said:\n%s%s", args[1:], got, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}
