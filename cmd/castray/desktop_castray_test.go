//go:build desktop && linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/castray/castray/ipc/protocol"
)

// sandboxInfo is the line that castray sandbox prints.
type sandboxInfo struct {
	EHRURL     string `json:"ehr_url"`
	HubURL     string `json:"hub_url"`
	Topic      string `json:"topic"`
	CAFile     string `json:"ca_file"`
	AdminToken string `json:"admin_token"`
	ConfigFile string `json:"config_file"`

	ClientSecret string `json:"client_secret"` // with --client-secret only
}

// startSandbox serves a sandbox, which the session's agent is then configured for.
func (s *session) startSandbox(flags ...string) sandboxInfo {
	s.Helper()
	p := s.start(s.castrayFile, append([]string{"sandbox", "--dir", s.path("sandbox")}, flags...)...)
	var info sandboxInfo
	p.eventually("the sandbox is ready", func() bool { return json.Unmarshal([]byte(p.stdout()), &info) == nil })
	s.config = info.ConfigFile
	return info
}

// startAgent runs the agent as it is installed, with its tray where there is one, and waits until it answers.
func (s *session) startAgent() *process {
	s.Helper()
	p := s.start(s.castrayFile, "--config", s.config, "run")
	p.eventually("the agent answers", func() bool { return s.castray("status").code() == 0 })
	return p
}

// castray runs one command to its end.
func (s *session) castray(args ...string) *process {
	s.Helper()
	return s.run(s.castrayFile, args...)
}

// status is what the agent says.
func (s *session) status() protocol.Status {
	s.Helper()
	var status protocol.Status
	if err := json.Unmarshal([]byte(s.must(s.castrayFile, "status", "--json")), &status); err != nil {
		s.Fatal(err)
	}
	return status
}

// until waits for a Status and returns it.
func (s *session) until(what string, holds func(protocol.Status) bool) protocol.Status {
	s.Helper()
	var last protocol.Status
	s.eventually(what, func() bool {
		last = s.status()
		return holds(last)
	})
	return last
}

func (s *session) untilPhase(phase protocol.Phase) protocol.Status {
	s.Helper()
	return s.until("the phase is "+string(phase), func(st protocol.Status) bool { return st.Phase == phase })
}

// untilProblem waits for a problem whose sentence has those words.
func (s *session) untilProblem(code, words string) protocol.Status {
	s.Helper()
	return s.until(fmt.Sprintf("there is a problem %s: %s", code, words), func(st protocol.Status) bool {
		return slices.ContainsFunc(st.Problems, func(p protocol.Problem) bool { return p.Code == code && strings.Contains(p.Sentence, words) })
	})
}

// untilApp waits for an app to have an outcome, "" for any.
func (s *session) untilApp(name string, outcome protocol.Outcome) {
	s.Helper()
	s.until(name+" is "+string(outcome), func(st protocol.Status) bool {
		return slices.ContainsFunc(st.Apps, func(a protocol.AppRow) bool { return a.Name == name && (outcome == "" || a.Outcome == outcome) })
	})
}

// quit asks the agent to end, as the menu does.
func (s *session) quit(agent *process) {
	s.Helper()
	s.must(s.castrayFile, "quit")
	if code := agent.wait(); code != 0 {
		s.Fatalf("the agent ended with %d: %s", code, agent.stderr())
	}
}

// current is the id of the patient that the agent has as the current one, "" for none.
func (s *session) current() string {
	s.Helper()
	return patientOf(s.currentContext())
}

// keepContext writes the current context to a file, as castray send reads it.
func (s *session) keepContext() (file string) {
	s.Helper()
	file = s.path("context.json")
	if err := os.WriteFile(file, s.currentContext(), 0o600); err != nil {
		s.Fatal(err)
	}
	return file
}

func (s *session) currentContext() json.RawMessage {
	s.Helper()
	var result struct {
		Current struct {
			Event struct {
				Context json.RawMessage `json:"context"`
			} `json:"event"`
		} `json:"current"`
	}
	if err := json.Unmarshal([]byte(s.must(s.castrayFile, "context", "--json")), &result); err != nil {
		s.Fatal(err)
	}
	return result.Current.Event.Context
}

// patientOf is the id of the patient in a context, "" for none.
func patientOf(context json.RawMessage) string {
	var list []struct {
		Resource struct{ ResourceType, ID string } `json:"resource"`
	}
	if json.Unmarshal(context, &list) != nil {
		return ""
	}
	for _, c := range list {
		if c.Resource.ResourceType == "Patient" {
			return c.Resource.ID
		}
	}
	return ""
}

// menu is what the tray of a process offers, as the bus tells it.
func (s *session) menu(p *process) string {
	s.Helper()
	return s.run("dbus-send", "--session", "--print-reply", fmt.Sprintf("--dest=org.kde.StatusNotifierItem-%d-1", p.cmd.Process.Pid),
		"/StatusNotifierItem/menu", "com.canonical.dbusmenu.GetLayout", "int32:0", "int32:-1", "array:string:").stdout()
}

// startWatch lets an app join that follows all it is told, and waits until it has joined.
func (s *session) startWatch() *process {
	s.Helper()
	p := s.start(s.castrayFile, "watch", "--json", "--answer", "200")
	s.untilApp("castray-watch", "")
	return p
}

// watched is a line of castray watch --json, as far as it tells of an event.
type watched struct {
	Params struct {
		Event struct {
			Name    string          `json:"hub.event"`
			Context json.RawMessage `json:"context"`
		} `json:"event"`
	} `json:"params"`
}

// has tells whether castray watch --json has printed a message.
func (p *process) has(is func(watched) bool) bool {
	p.Helper()
	for line := range strings.Lines(p.stdout()) {
		var w watched
		if !strings.HasSuffix(line, "\n") {
			return false // it is being written
		}
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			p.Fatal(err)
		}
		if is(w) {
			return true
		}
	}
	return false
}

// opened tells whether castray watch --json has printed that a patient was opened.
func (p *process) opened(patient string) bool {
	p.Helper()
	return p.has(func(w watched) bool {
		return w.Params.Event.Name == "Patient-open" && patientOf(w.Params.Event.Context) == patient
	})
}
