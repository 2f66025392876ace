//go:build desktop && linux

package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A session is the desktop session of a person who has just got the computer: a home and a run folder that did not
// exist before, and nothing in the environment but what is said here.
type session struct {
	*testing.T
	castrayFile string // the program
	dir         string // all that this session has
	env         map[string]string
	config      string // the agent's, once there is a sandbox
	started     int
}

func newSession(t *testing.T, castrayFile string) *session {
	t.Helper()
	dir, err := os.MkdirTemp("", "castray-desktop-") // not t.TempDir: the path of a socket has some hundred bytes at most
	if err != nil {
		t.Fatal(err)
	}
	s := &session{T: t, castrayFile: castrayFile, dir: dir}
	t.Cleanup(s.end)
	for _, d := range []string{"home", "run", "tmp", "said"} {
		if err := os.Mkdir(s.path(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.env = map[string]string{
		"PATH": os.Getenv("PATH"), "LANG": "C.UTF-8", "HOME": s.path("home"), "TMPDIR": s.path("tmp"),
		"XDG_RUNTIME_DIR": s.path("run"), "XDG_CONFIG_HOME": s.path("home/config"), "XDG_STATE_HOME": s.path("home/state"),
		"XDG_DATA_HOME": s.path("home/share"),
	}
	return s
}

func (s *session) path(name string) string { return filepath.Join(s.dir, name) }

// startBus runs a session bus. With services, it starts what the machine offers to start; a keyring would be among it.
func (s *session) startBus(services bool) {
	s.Helper()
	config := "--session"
	if !services {
		config = "--config-file=testdata/desktop/bus.conf"
	}
	address := "unix:path=" + s.path("run/bus")
	bus := s.start("dbus-daemon", "--nofork", "--print-address=1", "--address="+address, config)
	bus.eventually("the session bus is there", func() bool { return strings.HasPrefix(bus.stdout(), address) })
	s.env["DBUS_SESSION_BUS_ADDRESS"] = address
}

// onBus asks whether somebody has a name on the bus.
func (s *session) onBus(name string) bool {
	s.Helper()
	p := s.run("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", "string:"+name)
	return strings.Contains(p.stdout(), "boolean true")
}

// start starts a program of this session, which ends with it.
func (s *session) start(name string, args ...string) *process {
	s.Helper()
	return s.startWith("", name, args...)
}

// startWith gives it something to read.
func (s *session) startWith(stdin, name string, args ...string) *process {
	s.Helper()
	s.started++
	p := &process{session: s, said: s.path(fmt.Sprintf("said/%02d-%s", s.started, filepath.Base(name))), ended: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Stdin = strings.NewReader(stdin)
	for k, v := range s.env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	// Files rather than pipes: a browser that stays would keep a pipe open, and us waiting.
	out, err := os.Create(p.said + ".out")
	if err != nil {
		s.Fatal(err)
	}
	defer out.Close()
	complaints, err := os.Create(p.said + ".err")
	if err != nil {
		s.Fatal(err)
	}
	defer complaints.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, complaints
	if err := p.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { // ends with the process, which end sees to
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	return p
}

// run runs a program to its end.
func (s *session) run(name string, args ...string) *process {
	s.Helper()
	p := s.start(name, args...)
	p.wait()
	return p
}

// must runs a program that has to succeed, and returns what it printed.
func (s *session) must(name string, args ...string) string {
	s.Helper()
	p := s.run(name, args...)
	if p.code() != 0 {
		s.Fatalf("%s ended with %d: %s", filepath.Base(name), p.code(), p.stderr())
	}
	return p.stdout()
}

// patience is for a slow machine; nothing here takes an eighth of it.
const patience = 40 * time.Second

// eventually asks until the answer is yes.
func (s *session) eventually(what string, ask func() bool) {
	s.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for !ask() {
		select {
		case <-late:
			s.Fatalf("waited in vain until %s", what)
		case <-again.C:
		}
	}
}

// end ends whatever still runs of this session, wherever it went in the tree of processes, and removes its folder.
func (s *session) end() {
	s.eventually("all of the session has ended", func() bool {
		left := s.processes()
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(left) == 0
	})
	if s.Failed() {
		s.tell()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.Error(err)
	}
}

// processes are those that have our folder, whose name is nobody else's, in their environment or arguments.
func (s *session) processes() []int {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.Fatal(err)
	}
	var pids []int
	for _, folder := range folders {
		environ, _ := os.ReadFile(folder + "/environ") // a process that has ended has none
		args, _ := os.ReadFile(folder + "/cmdline")
		if bytes.Contains(environ, []byte(s.dir+"/")) || bytes.Contains(args, []byte(s.dir+"/")) {
			pid, err := strconv.Atoi(filepath.Base(folder))
			if err != nil {
				s.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// tell logs what the programs complained of.
func (s *session) tell() {
	files, err := filepath.Glob(s.path("said/*.err"))
	if err != nil {
		s.Error(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && len(text) > 0 {
			s.Logf("%s:\n%s", filepath.Base(f), text)
		}
	}
}

// A process is a program that was started in a session.
type process struct {
	*session
	cmd   *exec.Cmd
	said  string // file names without .out and .err
	ended chan struct{}
}

func (p *process) stdout() string { return p.read(".out") }
func (p *process) stderr() string { return p.read(".err") }

func (p *process) read(suffix string) string {
	p.Helper()
	text, err := os.ReadFile(p.said + suffix)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// eventually asks until the answer is yes, or the process has ended.
func (p *process) eventually(what string, ask func() bool) {
	p.Helper()
	p.session.eventually(what, func() bool {
		if !p.running() {
			p.Fatalf("%s has ended with %d before %s: %s", filepath.Base(p.said), p.code(), what, p.stderr())
		}
		return ask()
	})
}

// wait waits for the end of the process and returns its exit code.
func (p *process) wait() int {
	p.Helper()
	select {
	case <-p.ended:
		return p.code()
	case <-time.After(patience):
		p.Fatalf("%s does not end; it says: %s", filepath.Base(p.said), p.stderr())
		return -1
	}
}

// code is the exit code of a process that has ended.
func (p *process) code() int { return p.cmd.ProcessState.ExitCode() }

// running tells whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// ends waits for an end with that exit code and, among what was said, those words.
func (p *process) ends(code int, words string) {
	p.Helper()
	if p.wait() != code || !strings.Contains(p.stderr(), words) {
		p.Fatalf("%s ended with %d, not %d and %q: %s", filepath.Base(p.said), p.code(), code, words, p.stderr())
	}
}

// stop asks the process to end and waits for that.
func (p *process) stop() int {
	p.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.Fatal(err)
	}
	return p.wait()
}
