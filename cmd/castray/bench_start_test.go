//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const benchEach = 15 // starts

// benchStarts takes the time from the start of a process to the first event at an app that waits for it: the agent at a
// hub without sign-in, and the raw relay.
func benchStarts(b *testing.B, m *benchResult, hub *benchHub, castray, relaybench, dir string) {
	event := newBenchEvent(10<<10, "open", "a")
	for n := range benchEach {
		dir := filepath.Join(dir, fmt.Sprintf("start-%d", n))
		benchCheck(b, os.Mkdir(dir, 0o700))
		local, raw := filepath.Join(dir, "s"), filepath.Join(dir, "r")
		run := benchRun(b, hub, dir, local)
		m.start = append(m.start, firstEvent(b, relaybench, local, func() *benchProcess {
			p := startBench(b, nil, castray, run...)
			benchCheck(b, event.send(hub.socket(b, "agent"), func(int64) {}))
			return p
		}))
		m.rawStart = append(m.rawStart, firstEvent(b, relaybench, raw, func() *benchProcess {
			p := startBench(b, nil, relaybench, "raw", "wss"+hub.base[len("https"):]+"/raw", hub.ca, raw)
			benchCheck(b, event.send(hub.socket(b, "raw"), func(int64) {}))
			return p
		}))
	}
}

// firstEvent is how long, in ms, it takes from before start until an app that waits at the socket has an event.
func firstEvent(b *testing.B, relaybench, socket string, start func() *benchProcess) float64 {
	role := []string{"app", socket}
	if filepath.Base(socket) == "r" {
		role = []string{"app", "/nowhere", socket}
	}
	app := startBench(b, nil, relaybench, role...)
	defer app.end()
	app.report(b) // it runs
	began := benchNow()
	p := start()
	defer p.stop(b)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); benchPause(5 * time.Millisecond) {
		for _, w := range app.report(b) {
			if w.First != 0 {
				return float64(w.First-began) / 1e6
			}
		}
	}
	b.Fatalf("no event within 10 s of a start; it says:\n%s", p.log)
	return 0
}

// stop lets a process end by itself, for an agent that is killed leaves a sign of that.
func (p *benchProcess) stop(b *testing.B) {
	if p.ProcessState == nil {
		benchCheck(b, p.Process.Signal(syscall.SIGTERM))
		_ = p.Wait()
	}
}

// benchKeychainStarts is the same for an agent that finds its sign-in in a real keyring of its own session, refreshes
// its token and reads what is current, all at the sandbox. Without a gnome-keyring nothing is measured.
func benchKeychainStarts(b *testing.B, m *benchResult, castray, relaybench, dir string) {
	for _, program := range []string{"dbus-daemon", "gnome-keyring-daemon", "dbus-send"} {
		if _, err := exec.LookPath(program); err != nil {
			return
		}
	}
	dir = filepath.Join(dir, "k")
	env := benchKeyring(b, dir)
	var at struct {
		HubURL     string `json:"hub_url"`
		CAFile     string `json:"ca_file"`
		Topic      string `json:"topic"`
		AdminToken string `json:"admin_token"`
		ConfigFile string `json:"config_file"`
	}
	sandbox := startBench(b, env, castray, "sandbox", "--auto-approve", "--dir", filepath.Join(dir, "sandbox"))
	line, err := sandbox.out.ReadBytes('\n')
	benchCheck(b, err)
	benchCheck(b, json.Unmarshal(line, &at))
	socket := filepath.Join(dir, "s")
	run := []string{"run", "--no-tray", "--config", at.ConfigFile, "--socket", socket}
	client := benchClient(b, at.CAFile)

	agent := startBench(b, env, castray, run...)
	benchUntil(b, agent, "is there", func() bool { _, err := os.Stat(socket); return err == nil })
	login := startBench(b, env, castray, "login", "--no-browser", "--config", at.ConfigFile, "--socket", socket)
	address, err := login.out.ReadString('\n')
	benchCheck(b, err)
	resp, err := client.Get(strings.TrimSpace(address)) // the sandbox says yes by itself; what it redirects to is the agent
	benchCheck(b, err)
	resp.Body.Close()
	if err := login.Wait(); err != nil {
		b.Fatalf("login: %v\n%s", err, login.log)
	}
	agent.stop(b)

	event := fmt.Sprintf(`{"timestamp":%q,"id":"open-1","event":{"hub.topic":%q,"hub.event":"Patient-open","context":[`+
		`{"key":"patient","resource":{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:oid:1.2.36.146","value":"1"}]}}]}}`,
		time.Now().UTC().Format(benchTime), at.Topic)
	req, err := http.NewRequest("POST", at.HubURL, strings.NewReader(event))
	benchCheck(b, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+at.AdminToken)
	resp, err = client.Do(req)
	benchCheck(b, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		b.Fatalf("open a patient at the sandbox: %s %s", resp.Status, body)
	}
	for range benchEach {
		m.keychainStart = append(m.keychainStart, firstEvent(b, relaybench, socket, func() *benchProcess {
			return startBench(b, env, castray, run...)
		}))
	}
}

// benchKeyring starts a session bus and an unlocked keyring that nobody else sees, and returns the environment in which
// they are found.
func benchKeyring(b *testing.B, dir string) []string {
	address := "unix:path=" + filepath.Join(dir, "bus")
	env := []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_STATE_HOME=" + dir, "XDG_DATA_HOME=" + dir, "DISPLAY=",
		"DBUS_SESSION_BUS_ADDRESS=" + address}
	benchCheck(b, os.MkdirAll(filepath.Join(dir, "sandbox"), 0o700))
	benchCheck(b, os.Chmod(dir, 0o700))
	ask := func(words ...string) string {
		cmd := exec.Command("dbus-send", append([]string{"--session", "--print-reply"}, words...)...)
		cmd.Env = append(os.Environ(), env...)
		out, _ := cmd.Output()
		return string(out)
	}
	bus := startBench(b, env, "dbus-daemon", "--nofork", "--address="+address, "--config-file=testdata/desktop/bus.conf")
	benchUntil(b, bus, "is there", func() bool { return ask("--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId") != "" })
	keyring := startBench(b, env, "gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	_, err := io.WriteString(keyring.in, "password")
	benchCheck(b, err)
	benchCheck(b, keyring.in.Close())
	benchUntil(b, keyring, "is unlocked", func() bool {
		return strings.Contains(ask("--dest=org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.Secret.Service.ReadAlias", "string:default"),
			"/org/freedesktop/secrets/collection/")
	})
	return env
}

func benchClient(b *testing.B, caFile string) *http.Client {
	ca, err := os.ReadFile(caFile)
	benchCheck(b, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bytes.TrimSpace(ca))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
}

func benchUntil(b *testing.B, p *benchProcess, what string, ask func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !ask(); benchPause(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not within 20 s: it %s; it says:\n%s", p.Path, what, p.log)
		}
	}
}
