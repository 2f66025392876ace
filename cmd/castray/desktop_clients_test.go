//go:build desktop && linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/castray/castray/ipc/protocol"
)

// A library is a client library of the local protocol, by two programs that use it: the app of this test, and its
// example, which prints what it would show.
type library struct {
	language        string
	conform, follow []string
}

// libraries compiles all of them, with warnings as errors.
func libraries(t *testing.T) []library {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	const lib, test = "../../ipc/client/", "testdata/clients/"
	gcc := []string{"gcc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-unused-parameter", "-I", lib + "c"}
	mcs := []string{"mcs", "-warnaserror", "-langversion:5", lib + "csharp/Castray.cs"}
	var compiling sync.WaitGroup
	for _, command := range [][]string{
		{"go", "build", "-buildvcs=false", "-o", in("conform-go"), "./" + test + "goconform"},
		append(gcc, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", test+"conform.c", lib+"c/castray.c", "-o", in("conform-c")),
		append(gcc, lib+"c/follow.c", lib+"c/castray.c", "-o", in("follow-c")),
		append(mcs, test+"Conform.cs", "-out:"+in("Conform.exe")),
		append(mcs, lib+"csharp/Follow.cs", "-out:"+in("Follow.exe")),
		{"javac", "-Xlint:all", "-Werror", "-d", dir, lib + "java/Castray.java", lib + "java/Follow.java", test + "Conform.java"},
	} {
		compiling.Go(func() {
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", command, err, out)
			}
		})
	}
	compiling.Wait()
	if t.Failed() {
		t.FailNow()
	}
	here, err := filepath.Abs(lib + "python")
	if err != nil {
		t.Fatal(err)
	}
	python := []string{"env", "PYTHONPATH=" + here, "PYTHONDONTWRITEBYTECODE=1", "python3", "-W", "error"}
	java := []string{"java", "-XX:TieredStopAtLevel=1", "-cp", dir}
	return []library{
		{"go", []string{in("conform-go")}, nil},
		{"c", []string{in("conform-c")}, []string{in("follow-c")}},
		{"csharp", []string{"mono", in("Conform.exe")}, []string{"mono", in("Follow.exe")}},
		{"python", append(python, test+"conform.py"), append(python, lib+"python/follow.py")},
		{"java", append(java, "Conform"), append(java, "Follow")},
	}
}

// A speaker is the app of this test in one language.
type speaker struct {
	*process
	library
	commands string
	seen     int // lines that were waited for
	obeyed   int // commands
}

// join starts the app, which takes commands from a file. Silence is in seconds.
func (s *session) join(l library, silence string) *speaker {
	s.Helper()
	l.conform = slices.Clone(l.conform)
	c := &speaker{library: l, commands: s.path("commands-" + l.language)}
	if err := os.WriteFile(c.commands, nil, 0o600); err != nil {
		s.Fatal(err)
	}
	args := append(l.conform[1:], "app-"+l.language, silence, c.commands)
	if s.config != "" {
		args = append(args, s.path("run/castray/castray.json"))
	}
	c.process = s.start(l.conform[0], args...)
	if l.language != "go" { // whose own tests have virtual time
		c.says("silence 75")
	}
	return c
}

// does lets the app do something, and waits until it has; an answer of the agent may follow.
func (c *speaker) does(command string) {
	c.Helper()
	c.tell(command)
	c.obeyed++
	c.eventually(fmt.Sprintf("the app in %s obeys %q", c.language, command), func() bool {
		return strings.Count(c.stdout(), "obeyed\n") >= c.obeyed
	})
}

func (c *speaker) tell(command string) {
	c.Helper()
	f, err := os.OpenFile(c.commands, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintln(f, command)
		f.Close()
	}
	if err != nil {
		c.Fatal(err)
	}
}

// says waits for a line that begins so, after the last that was waited for, and returns the rest of it.
func (c *speaker) says(beginning string) string {
	c.Helper()
	var rest string
	c.session.eventually(fmt.Sprintf("the app in %s says %q after %q", c.language, beginning, c.said()), func() bool {
		for i, line := range c.lines()[c.seen:] {
			if after, found := strings.CutPrefix(line, beginning); found {
				c.seen += i + 1
				rest = strings.TrimPrefix(after, " ")
				return true
			}
		}
		return false
	})
	return rest
}

// lines are what the app has said and does not say any more.
func (c *speaker) lines() []string {
	lines := strings.Split(c.stdout(), "\n")
	return lines[:len(lines)-1]
}

func (c *speaker) said() []string { return c.lines()[:c.seen] }

// TestClientLibraries compiles and runs the client library of every language.
//
// FM-24: a killed agent is replaced, and apps are back with the context; until then they say that they are out of sync.
// FM-27: users of one host never reach each other's agent.
func TestClientLibraries(t *testing.T) {
	castrayFile := filepath.Join(t.TempDir(), "castray")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", castrayFile, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	all := libraries(t)
	t.Run("WithAnAgent", func(t *testing.T) {
		t.Parallel()
		withAnAgent(newSession(t, castrayFile), all)
	})
	for _, l := range all {
		t.Run("WithAScript/"+l.language, func(t *testing.T) {
			t.Parallel()
			withAScript(t, l)
		})
		t.Run("SlowCallback/"+l.language, func(t *testing.T) {
			t.Parallel()
			slowCallback(t, l)
		})
	}
	t.Run("TrustNoOtherUser", func(t *testing.T) {
		t.Parallel()
		trustNoOtherUser(t, all)
	})
}

// withAnAgent lets an app in each language live a day with the real agent: follow, ask, refuse, answer later, say what it
// shows, lose the agent by kill -9 and follow again.
func withAnAgent(s *session, all []library) {
	s.configureHub(s.startSandbox())
	agent := s.startHeadless()
	var apps []*speaker
	var examples []*process
	for _, l := range all {
		apps = append(apps, s.join(l, "75"))
		if l.follow != nil {
			examples = append(examples, s.start(l.follow[0], l.follow[1:]...))
		}
	}
	for _, c := range apps {
		if name := c.says("admitted"); name != "app-"+c.language {
			s.Errorf("the app in %s was admitted as %q", c.language, name)
		}
		c.says("clear closed")
		c.says("status no_context")
	}
	for _, p := range examples {
		p.shows("no patient")
	}

	patient := s.open("4711", apps)
	for _, p := range examples {
		p.shows("patient " + patient)
	}
	s.outcomes(apps, protocol.OutcomeAcknowledged)
	askAndSend(s, apps)
	showAndRefuse(s, apps)

	if err := agent.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	for _, c := range apps {
		c.says("lost")
	}
	for _, p := range examples {
		p.shows("OUT OF SYNC, this may be the wrong patient: ")
	}
	agent = s.startHeadless()
	patient = s.current()
	for _, c := range apps {
		c.says("admitted")
		// A replay for an app that comes after the agent has read the context, live for one that was faster.
		if got := strings.Fields(c.says("event Patient-open")); len(got) != 3 || got[1] != patient {
			s.Errorf("after the agent came back the app in %s was told %q", c.language, got)
		}
	}
	for _, p := range examples {
		p.shows("patient " + patient)
	}
	s.outcomes(apps, protocol.OutcomeVerified)

	for _, c := range apps {
		c.tell("leave")
		c.says("left")
		if code := c.wait(); code != 0 {
			s.Errorf("the app in %s ended with %d: %s", c.language, code, c.stderr())
		}
	}
	s.quit(agent)
}

// askAndSend lets each app ask for the context and for another patient.
func askAndSend(s *session, apps []*speaker) {
	s.Helper()
	for _, c := range apps {
		c.does("context")
		if got, want := c.says("context"), s.current(); got != want {
			s.Errorf("the app in %s reads %q, want %q", c.language, got, want)
		}
		c.does("send id-" + c.language + " Patient-open pä1-" + c.language)
		c.says("sent id-" + c.language)
		for _, other := range apps {
			if other != c { // its own echo is withheld from an app that hears of nothing else
				other.says("event Patient-open id-" + c.language + " pä1-" + c.language + " live")
			}
		}
	}
	for _, c := range apps {
		c.does("send e DiagnosticReport-open x") // not in hub.send
		c.says("error -32007")
		c.does("subscribe Patient-close")
		c.says("clear unknown")
		c.does("subscribe ")
		c.says("event Patient-open")
	}
}

// showAndRefuse lets all say what they show, refuse, and answer later.
func showAndRefuse(s *session, apps []*speaker) {
	s.Helper()
	for _, c := range apps {
		c.does("answer 409")
	}
	s.open("4712", apps)
	s.outcomes(apps, protocol.OutcomeRefused)
	for _, c := range apps {
		c.does("answer 0")
		c.does("show urn:test:mrn another")
	}
	s.open("4713", apps)
	s.outcomes(apps, protocol.OutcomeMismatch)
	for _, c := range apps {
		c.does("answer 200")
		c.does("show urn:test:mrn 4714")
	}
	s.open("4714", apps)
	s.outcomes(apps, protocol.OutcomeVerified)
}

// open opens a patient at the hub, waits until all apps are told, and returns the id.
func (s *session) open(number string, apps []*speaker) (patient string) {
	s.Helper()
	s.must(s.castrayFile, "send", "Patient-open", "--patient", "urn:test:mrn|"+number)
	for i, c := range apps {
		_, at, _ := strings.Cut(c.says("event Patient-open"), " ")
		got, found := strings.CutSuffix(at, " live")
		if i == 0 {
			patient = got
		}
		if !found || got != patient || got == "" {
			s.Errorf("the app in %s was told of %q, want %q live", c.language, at, patient)
		}
	}
	return patient
}

// outcomes waits until the row of every app has an outcome.
func (s *session) outcomes(apps []*speaker, outcome protocol.Outcome) {
	s.Helper()
	for _, c := range apps {
		s.untilApp("app-"+c.language, outcome)
	}
}

// shows waits until the last that an example has printed is this.
func (p *process) shows(words string) {
	p.Helper()
	p.eventually(filepath.Base(p.said)+" shows "+words, func() bool {
		lines := strings.Split(strings.TrimSuffix(p.stdout(), "\n"), "\n")
		return strings.HasPrefix(lines[len(lines)-1], words)
	})
}

// configureHub configures the agent for the sandbox's hub without a sign-in, so that it is back at once after its end.
func (s *session) configureHub(info sandboxInfo) {
	s.Helper()
	token, config := s.path("token"), s.path("hub.toml")
	text := fmt.Sprintf("[hub]\nurl = %q\ntopic = %q\ntoken_file = %q\nca_file = %q\ntest = true\n", info.HubURL, info.Topic, token, info.CAFile)
	for file, text := range map[string]string{token: info.AdminToken, config: text} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	s.config = config
}

// startHeadless runs the agent without a tray and waits until it has read the context.
func (s *session) startHeadless() *process {
	s.Helper()
	p := s.start(s.castrayFile, "--config", s.config, "run", "--no-tray")
	p.eventually("the agent knows the context", func() bool {
		asked := s.castray("context", "--json")
		return asked.code() == 0 && json.Valid([]byte(asked.stdout()))
	})
	return p
}
