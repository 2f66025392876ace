//go:build netns && linux

package main_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A street is two network namespaces with a cable between them: the hub's, with two addresses and a name server, and the
// agent's. Nothing else is in reach of either, and other streets use the same addresses.
type street struct {
	*testing.T
	ctx         context.Context
	castrayFile string
	dir         string
	hubside     string // names of the namespaces
	desk        string
	names       *nameServer
	hub         *townHub
	env         []string // for the agent
	agent       *exec.Cmd
	said        *os.File
	ended       chan struct{} // when the agent has
}

const (
	hubAddress    = "10.66.0.1"
	secondAddress = "10.66.0.3"
	deskAddress   = "10.66.0.2"
	nsPrefix      = "castray-test-" // then the process that made it
)

var streets atomic.Int32

func newStreet(t *testing.T, castrayFile string) *street {
	t.Helper()
	dir, err := os.MkdirTemp("", "castray-netns-") // not t.TempDir: the path of a socket has some hundred bytes at most
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	name := fmt.Sprintf("%s%d-%d", nsPrefix, os.Getpid(), streets.Add(1))
	s := &street{T: t, ctx: ctx, castrayFile: castrayFile, dir: dir, hubside: name + "-hub", desk: name + "-desk"}
	t.Cleanup(func() {
		s.stopAgent()
		if s.hub != nil {
			s.hub.close()
		}
		if s.names != nil {
			s.names.close()
		}
		cancel()
		removeNamespace(t, s.hubside)
		removeNamespace(t, s.desk)
		if t.Failed() {
			s.tell()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.must("ip", "netns", "add", s.hubside)
	s.must("ip", "netns", "add", s.desk)
	s.must("ip", "link", "add", "v0", "netns", s.hubside, "type", "veth", "peer", "name", "v0", "netns", s.desk)
	s.must("ip", "-n", s.hubside, "addr", "add", hubAddress+"/24", "dev", "v0")
	s.must("ip", "-n", s.hubside, "addr", "add", secondAddress+"/24", "dev", "v0")
	s.must("ip", "-n", s.desk, "addr", "add", deskAddress+"/24", "dev", "v0")
	for _, side := range []string{s.hubside, s.desk} {
		s.must("ip", "-n", side, "link", "set", "lo", "up")
		s.must("ip", "-n", side, "link", "set", "v0", "up")
	}
	for _, side := range []string{s.hubside, s.desk} { // a cable takes a moment to be noticed at both ends
		s.eventually("the cable is in at "+side, 5*time.Second, func() bool {
			out, err := exec.CommandContext(ctx, "ip", "-n", side, "-brief", "link", "show", "v0").Output()
			return err == nil && strings.Contains(string(out), " UP ")
		})
	}
	etc := filepath.Join("/etc/netns", s.desk) // ip netns exec lays it over /etc
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+hubAddress+"\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.names = newNameServer(s)
	s.hub = newTownHub(s)
	return s
}

// removeNamespace removes a namespace and all that belongs to it; the cable goes with either end.
func removeNamespace(t *testing.T, name string) {
	if _, err := os.Stat(filepath.Join("/run/netns", name)); err == nil {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("%s is left behind: %s", name, out)
		}
	}
	if err := os.RemoveAll(filepath.Join("/etc/netns", name)); err != nil {
		t.Error(err)
	}
}

var ours = regexp.MustCompile(`^` + nsPrefix + `(\d+)-`)

// sweep removes what a run left behind that could not clean up, as one that was killed.
func sweep(t *testing.T) {
	found, err := filepath.Glob("/run/netns/" + nsPrefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		name := filepath.Base(path)
		if m := ours.FindStringSubmatch(name); m != nil {
			if pid, err := strconv.Atoi(m[1]); err == nil && syscall.Kill(pid, 0) != nil {
				removeNamespace(t, name)
			}
		}
	}
}

// must runs a program that has to succeed.
func (s *street) must(name string, args ...string) {
	s.Helper()
	if out, err := exec.CommandContext(s.ctx, name, args...).CombinedOutput(); err != nil {
		s.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// atDesk runs a program in the agent's network.
func (s *street) atDesk(name string, args ...string) {
	s.Helper()
	s.must("ip", append([]string{"netns", "exec", s.desk, name}, args...)...)
}

// inside calls a function on a thread that is in a namespace and dies with it. A socket made there stays there.
func inside(namespace string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of no use to others
		file, err := os.Open(filepath.Join("/run/netns", namespace))
		if err == nil {
			if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err == nil {
				err = f()
			}
			file.Close()
		}
		result <- err
	}()
	return <-result
}

// listen listens in the hub's namespace.
func (s *street) listen(address string) (l net.Listener) {
	s.Helper()
	if err := inside(s.hubside, func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		s.Fatal(err)
	}
	return l
}

// startAgent runs the agent as it is installed, joined to the hub.
func (s *street) startAgent() {
	s.Helper()
	var err error
	if s.said, err = os.Create(filepath.Join(s.dir, "said")); err != nil {
		s.Fatal(err)
	}
	s.agent = exec.Command("ip", "netns", "exec", s.desk, s.castrayFile, "--config", s.hub.configFile(s), "run", "--no-tray")
	s.agent.Stdout, s.agent.Stderr = s.said, s.said
	s.agent.Env = append(s.env, "PATH="+os.Getenv("PATH"), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir+"/config", "XDG_STATE_HOME="+s.dir+"/state",
		"XDG_RUNTIME_DIR="+s.dir, "CASTRAY_SOCKET="+s.socket(), "CASTRAY_LOG_LEVEL=debug")
	if err := s.agent.Start(); err != nil {
		s.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() { // ends with the process, which stopAgent sees to
		defer close(s.ended)
		_ = s.agent.Wait()
	}()
}

func (s *street) socket() string { return filepath.Join(s.dir, "s") }

// signal sends one to the agent: ip netns exec has become it.
func (s *street) signal(what os.Signal) {
	s.Helper()
	if err := s.agent.Process.Signal(what); err != nil {
		s.Fatal(err)
	}
}

// stopAgent ends it politely, and if need be otherwise.
func (s *street) stopAgent() {
	if s.ended == nil {
		return
	}
	_ = s.agent.Process.Signal(syscall.SIGCONT)
	_ = s.agent.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.Error("the agent did not end by itself")
		_ = s.agent.Process.Kill()
		<-s.ended
	}
	s.said.Close()
}

// log is what the agent has said so far.
func (s *street) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "said"))
	if err != nil {
		return ""
	}
	return string(text)
}

func (s *street) tell() { s.Logf("the agent said:\n%s", s.log()) }
