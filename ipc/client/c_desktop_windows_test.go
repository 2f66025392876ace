//go:build desktop

package client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/ipc"
)

// windowsDesk is a Windows with a sandbox, castray.exe and the C client; .ci/wine/run builds both programs.
type windowsDesk struct {
	*testing.T
	dir, castray, app string
	box               struct {
		CAFile     string `json:"ca_file"`
		ConfigFile string `json:"config_file"`
	}
}

func newWindowsDesk(t *testing.T) *windowsDesk {
	dir, err := os.MkdirTemp("", "castray-desk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) // which Wine 8 cannot do; there it goes with the prefix
	d := &windowsDesk{T: t, dir: dir, castray: os.Getenv("CASTRAY_EXE"), app: os.Getenv("CASTRAY_C_CLIENT")}
	if d.castray == "" || d.app == "" {
		t.Fatal("run it by .ci/wine/run, which builds castray.exe and the C client; or set CASTRAY_EXE and CASTRAY_C_CLIENT to them")
	}
	sandbox := d.start("sandbox", d.castray, "sandbox", "--auto-approve", "--dir", filepath.Join(d.dir, "sb"))
	d.eventually("the sandbox is ready", func() bool { return json.Unmarshal([]byte(d.read(sandbox)), &d.box) == nil })
	return d
}

// start starts a program, which ends with the test, and returns the file that it writes to.
func (d *windowsDesk) start(name, program string, args ...string) (said string) {
	d.Helper()
	said, _ = d.startUntilKilled(name, program, args...)
	return said
}

func (d *windowsDesk) startUntilKilled(name, program string, args ...string) (said string, kill func()) {
	d.Helper()
	said = filepath.Join(d.dir, name+".out")
	out, err := os.Create(said)
	if err != nil {
		d.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, nil
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	d.Cleanup(kill)
	return said, kill
}

func (d *windowsDesk) read(file string) string {
	d.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		d.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

func (d *windowsDesk) eventually(what string, ask func() bool) {
	d.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for late := time.After(40 * time.Second); !ask(); {
		select {
		case <-late:
			d.Fatalf("waited in vain until %s", what)
		case <-again.C:
		}
	}
}

// says waits until the app has said a line that begins so, after some others, and returns how many lines that are.
func (d *windowsDesk) says(app string, after int, beginning string) (lines int) {
	d.Helper()
	d.eventually(fmt.Sprintf("the app says %q after %d lines", beginning, after), func() bool {
		said := strings.Split(d.read(app), "\n")
		for i := after; i < len(said)-1; i++ {
			if strings.HasPrefix(said[i], beginning) {
				lines = i + 1
				return true
			}
		}
		return false
	})
	return lines
}

func (d *windowsDesk) tell(commands, line string) {
	d.Helper()
	f, err := os.OpenFile(commands, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
		f.Close()
	}
	if err != nil {
		d.Fatal(err)
	}
}

// run runs one command of castray to its end.
func (d *windowsDesk) run(args ...string) string {
	d.Helper()
	out, err := exec.Command(d.castray, args...).Output()
	if err != nil {
		d.Fatalf("castray %v: %v", args, err)
	}
	return string(out)
}

// startAgent runs the agent at the pipe that the conventions name. Wine lets one client connect to the instance by which
// go-winio holds the name, and that client would hang: it is one of the test.
func (d *windowsDesk) startAgent() (kill func()) {
	d.Helper()
	_, kill = d.startUntilKilled("agent", d.castray, "--config", d.box.ConfigFile, "run", "--no-tray")
	address, err := ipc.DefaultAddress()
	if err != nil {
		d.Fatal(err)
	}
	d.eventually("the agent listens", func() bool {
		ctx, cancel := context.WithTimeout(d.Context(), time.Second)
		defer cancel()
		ghost, err := ipc.Dial(ctx, address)
		if err == nil {
			d.Cleanup(func() { ghost.Close("done") })
		}
		return err == nil
	})
	return kill
}

// signIn is a person with a browser.
func (d *windowsDesk) signIn() {
	d.Helper()
	ca, err := os.ReadFile(d.box.CAFile)
	if err != nil {
		d.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
	defer browser.CloseIdleConnections()
	login := exec.Command(d.castray, "login", "--no-browser")
	out, err := login.StdoutPipe()
	if err == nil {
		err = login.Start()
	}
	if err != nil {
		d.Fatal(err)
	}
	page, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		d.Fatal(err)
	}
	answer, err := browser.Get(strings.TrimSpace(page))
	if err != nil {
		d.Fatal(err)
	}
	answer.Body.Close()
	if err := login.Wait(); err != nil {
		d.Fatal(err)
	}
}

// The C client as a Windows program at the agent as a Windows program: follows, refuses, says what it shows, is out of
// sync when the agent is killed and follows again. Wine enforces no access rule, so of who may connect nothing is told.
//
// FM-24: a killed agent is replaced, and apps are back with the context.
func TestTheCClientFollowsOnWindows(t *testing.T) {
	d := newWindowsDesk(t)
	kill := d.startAgent()
	d.signIn()
	commands := filepath.Join(d.dir, "commands")
	d.tell(commands, "show urn:test:mrn 4711")
	app := d.start("app", d.app, "viewer", "75", commands)
	n := d.says(app, 0, "admitted viewer")
	n = d.says(app, n, "clear closed")

	d.run("send", "Patient-open", "--patient", "urn:test:mrn|4711")
	n = d.says(app, n, "event Patient-open")
	opened := strings.Fields(strings.Split(d.read(app), "\n")[n-1])
	outcome := func(want string) {
		t.Helper()
		d.eventually("the app is "+want, func() bool { return strings.Contains(d.run("apps", "--json"), `"outcome":"`+want+`"`) })
	}
	outcome("verified")

	kill()
	n = d.says(app, n, "lost")
	kill = d.startAgent()
	defer kill()
	n = d.says(app, n, "admitted viewer")
	n = d.says(app, n, "event Patient-open")
	if again := strings.Fields(strings.Split(d.read(app), "\n")[n-1]); len(again) != 5 || again[3] != opened[3] {
		t.Errorf("after the agent came back the app was told %q, before it %q", again, opened)
	}
	d.tell(commands, "answer 409")
	n = d.says(app, n, "obeyed")
	d.run("send", "Patient-open", "--patient", "urn:test:mrn|4712")
	n = d.says(app, n, "event Patient-open")
	outcome("refused")
	d.tell(commands, "leave")
	d.says(app, n, "left")
}
