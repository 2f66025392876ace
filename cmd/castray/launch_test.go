package main

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/agent/sandbox"
)

// link is what the operating system hands over when the sandbox launches us.
func (v *aviary) link(handle string) string {
	v.hide(handle)
	return "castray://launch?" + url.Values{"iss": {v.box.Info().FHIRURL}, "launch": {handle}}.Encode()
}

// says runs a command, and wants its exit code and a part of what it says.
func (v *aviary) says(stdin string, want int, part string, args ...string) {
	v.Helper()
	tool, out := v.tool(stdin)
	code := tool.run(v.Context(), args)
	if code != want || !strings.Contains(out.String(), part) {
		v.Errorf("%.40q ended with %d: %s", args, code, out)
	}
	v.search("what launch says", out.String())
}

// eventuallyRun is for an answer, which does not count before the question can have been read.
func (v *aviary) eventuallyRun(args ...string) {
	v.Helper()
	for late := time.After(20 * time.Second); ; {
		tool, out := v.tool("")
		if tool.run(v.Context(), args) == exitDone {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			v.Fatalf("%q: %s", args, out)
		}
	}
}

// SM-LCH-04, SM-LCH-06, FC-LCH-01: a launch by an argument, a file and the standard input goes to the agent that runs, also
// from a second castray run; it is nowhere in what is printed, logged or kept.
func TestLaunchesAreHandedOver(t *testing.T) {
	v := newAviary(t)
	file := filepath.Join(v.dir, "launch.txt")
	v.says("", exitNoAgent, "castray run", "launch", v.link("canary-early"))

	running := v.starts(v.link("canary-begins"))
	v.said.waits(t, "is=no_context") // signed in by the launch that it was started with

	const asks = "Sandbox wants to launch Castray: accept it, or decline it."
	v.link("canary+in a file;")
	v.says("canary+in a file;\r\n", exitDone, asks, "launch", "--iss", v.box.Info().FHIRURL, "--launch-file", "-")
	v.eventuallyRun("launch", "--decline")
	v.says("canary+in a file;", exitFailed, "used already", "launch", "--iss", v.box.Info().FHIRURL, "--launch-file", "-")
	v.eventuallyRun("launch", v.link("canary-argument"))
	v.eventuallyRun("launch", "--decline")
	v.says("", exitFailed, "No launch waits", "launch", "--decline")
	if err := os.WriteFile(file, []byte(v.link("canary-file")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.eventuallyRun("launch", "--file", file, "--json")
	v.eventuallyRun("launch", "--accept")
	if err := os.Remove(file); err != nil { // so that what is left can be searched
		t.Fatal(err)
	}
	for late := time.After(20 * time.Second); ; {
		tool, out := v.tool("")
		code := tool.run(t.Context(), []string{"--config", v.box.Info().ConfigFile, "run", "--no-tray", v.link("canary-second")})
		if said := out.String(); code == exitDone && strings.Contains(said, "already running") && strings.Contains(said, asks) {
			v.search("the second agent", said)
			break
		}
		select {
		case <-time.After(50 * time.Millisecond): // two in a second
		case <-late:
			t.Fatalf("a second agent: %s", out)
		}
	}

	v.says("", exitRefused, "not configured was refused", "launch", "castray://launch?iss=https://evil.example/fhir&launch=canary-evil")
	v.says("canary-topic", exitRefused, "switched off", "launch", "--hub", v.box.Info().HubURL, "--topic-file", "-")
	v.says("", exitDone, "The agent has it", "launch", "io.github.castray://callback?state=canary-state&code=canary-code")
	v.says("", exitUsage, "cannot be read", "launch", "https://evil.example")
	for _, wrong := range [][]string{{}, {"--iss", "x"}, {"--launch-file", "-"}, {"--hub", "x"}, {"--accept", "--decline"}, {"castray:x", "--accept"}, {"a", "b"}} {
		v.says("canary", exitUsage, "", append([]string{"launch"}, wrong...)...)
	}
	v.says("no link", exitUsage, "one line", "launch", "--file", "-")
	v.says("", exitUsage, "one line", "launch", "--file", "-")
	v.says("canary\ncanary", exitUsage, "one line", "launch", "--iss", "x", "--launch-file", "-")
	v.says(strings.Repeat("x", 65<<10), exitUsage, "64 KiB", "launch", "--iss", "x", "--launch-file", "-")
	v.run("", exitDone, "status", "--json")
	v.run("", exitDone, "quit")
	if err := running.end(); err != nil {
		t.Error(err)
	}
	v.hide("canary-evil", "canary-topic", "canary-state", "canary-code")
	v.search("the log", v.said.String())
	v.search("the tray", v.tray.String())
	v.searchFolder()
}

// SM-LCH-04, SM-LCH-05: the link on the sandbox's EHR page, the agent with the sandbox's own configuration, and a browser
// between: whoever clicked is signed in.
func TestTheEHRPageLaunchesTheAgent(t *testing.T) {
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	v := newAviaryWith(t, sandbox.Config{AutoApprove: true, Users: 2, LaunchPort: port})
	running := v.starts()
	v.said.waits(t, "msg=ready")
	page := v.box.Info().EHRURL
	if err := browse(t.Context(), v.box.Info().CAFile, page+"launch?user=reader2"); err != nil {
		t.Fatal(err)
	}
	v.said.waits(t, "is=no_context")
	v.says("", exitDone, `"user":{"name":"Ivo Marković"}`, "status", "--json")
	v.run("", exitDone, "quit")
	if err := running.end(); err != nil {
		t.Error(err)
	}
	v.search("the log", v.said.String())
}
