//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// politeWithin is how long a log-off waits for a program before it is killed, at the least. With the race detector, beside
// every other test, that is no measure.
func politeWithin() time.Duration {
	if soakRace {
		return 20 * time.Second
	}
	return 2 * time.Second
}

// FM-28: at log-off, and when the terminal is closed, the hub is told by an unsubscribe and a close with 1000, within 2 s;
// started by nohup, a closed terminal ends nothing.
func TestLogOffIsPolite(t *testing.T) {
	for _, row := range []struct {
		name    string
		sends   syscall.Signal
		ignored bool // by who started it
	}{
		{"log-off", syscall.SIGTERM, false},
		{"the terminal is closed", syscall.SIGHUP, false},
		{"Ctrl-C", syscall.SIGINT, false},
		{"the terminal is closed on nohup", syscall.SIGHUP, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := newLogOffHub(t)
			agent := h.startAgent(row.ignored)
			h.waits("a subscription", 20*time.Second, func() bool { return len(h.Requests(hubtest.Context)) > 0 }) // it has heard of the confirmation
			if row.ignored {
				wantIgnored(t, agent.Process.Pid, row.sends)
				row.sends = syscall.SIGTERM
			}
			began := time.Now()
			if err := agent.Process.Signal(row.sends); err != nil {
				t.Fatal(err)
			}
			h.waits("a polite end", 2*politeWithin(), h.wasLeft)
			if took := time.Since(began); took > politeWithin() {
				t.Errorf("the hub was told after %v", took)
			}
			if err := agent.Wait(); err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// wantIgnored wants the process to ignore a signal.
func wantIgnored(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "SigIgn:")
	mask, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	set, err := strconv.ParseUint(mask, 16, 64)
	if err != nil || set&(1<<(sig-1)) == 0 {
		t.Errorf("%v is not ignored: %q", sig, mask)
	}
}

// A logOffHub is a hub on this machine, and the configuration of an agent that joins it without sign-in.
type logOffHub struct {
	*testing.T
	*hubtest.Server
	dir   string
	topic fhircast.Secret
}

func newLogOffHub(t *testing.T) *logOffHub {
	t.Helper()
	h := &logOffHub{T: t, dir: t.TempDir()}
	certificateFile := filepath.Join(h.dir, "hub.pem")
	writeSoakCertificate(t, certificateFile)
	certificate, err := tls.LoadX509KeyPair(certificateFile, certificateFile)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if h.Server, err = hubtest.New(hub.Config{BaseURL: "https://" + listener.Addr().String() + "/fc"}); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h.Server, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		h.Close()
		_ = server.Close()
		<-served
	})
	if h.topic, err = h.Hub().NewTopic(t.Context(), hubtest.User); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"token": hubtest.Token, "castray.toml": fmt.Sprintf(
		"[hub]\nurl = %q\ntopic = %q\ntoken_file = %q\nca_file = %q\ntest = true\n", h.URL(), h.topic.Reveal(), filepath.Join(h.dir, "token"), certificateFile)} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// startAgent runs an agent; by nohup, SIGHUP is ignored when it begins.
func (h *logOffHub) startAgent(nohup bool) *exec.Cmd {
	h.Helper()
	args := []string{"castray", "--config", filepath.Join(h.dir, "castray.toml"), "--socket", filepath.Join(h.dir, "s"), "run", "--no-tray"}
	if nohup {
		args = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, args...)
	}
	agent := exec.Command(args[0], args[1:]...)
	agent.Env = append(os.Environ(), "HOME="+h.dir, "XDG_CONFIG_HOME="+h.dir, "XDG_STATE_HOME="+h.dir, "XDG_RUNTIME_DIR="+h.dir, "GORACE=atexit_sleep_ms=0")
	// Tests that are themselves started by nohup ignore the signal, and what they start would: what is caught is not inherited.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	if err := agent.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if agent.ProcessState == nil {
			_ = agent.Process.Kill()
			_ = agent.Wait()
		}
	})
	return agent
}

// wasLeft tells whether the hub has been asked to end the subscription, and its socket was closed with 1000.
func (h *logOffHub) wasLeft() bool {
	return len(h.Requests(hubtest.Unsubscribe)) == 1 &&
		slices.ContainsFunc(h.Answers(""), func(a hubtest.Answer) bool { return a.Closed == 1000 })
}

func (h *logOffHub) waits(what string, within time.Duration, ask func() bool) {
	h.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for late := time.After(within); !ask(); {
		select {
		case <-late:
			h.Fatalf("no %s within %v", what, within)
		case <-again.C:
		}
	}
}
