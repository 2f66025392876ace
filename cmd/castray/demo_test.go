package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/castray/castray/agent"
)

// An output keeps what is printed, and tells when something came.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	newest(o.more, struct{}{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waits until the output holds some words.
func (o *output) waits(t *testing.T, words string) {
	t.Helper()
	for late := time.After(20 * time.Second); !strings.Contains(o.String(), words); {
		select {
		case <-o.more:
		case <-late:
			t.Fatalf("%q was never printed; what was:\n%s", words, o)
		}
	}
}

// newTool is castray in this process, with no keychain and no browser.
func newTool() (t *tool, stdout, stderr *output) {
	stdout, stderr = newOutput(), newOutput()
	return &tool{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, machine: func(*agent.Config) {}}, stdout, stderr
}

// tempFolder makes the temporary folder of this process an empty one, to see what is left there.
func tempFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // not t.TempDir: the path of a socket has some hundred bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, dir)
	}
	return dir
}

func reports(t *testing.T, stdout string) (steps []string, last report) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		last = report{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		step := last.Step
		if last.Event != "" {
			step += ":" + last.Event
		}
		steps = append(steps, step)
	}
	return steps, last
}

var everyStep = []string{"sandbox", "agent", "signin", "subscribed", "open:Patient-open", "followed:Patient-open",
	"open:ImagingStudy-open", "followed:ImagingStudy-open", "closed"}

func TestDemoOnceGoesThroughEveryStepAndLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := tempFolder(t)
	tool, stdout, stderr := newTool()
	if code := tool.run(t.Context(), []string{"demo", "--no-browser", "--once", "--json"}); code != exitDone {
		t.Fatalf("ended with %d: %s%s", code, stdout, stderr)
	}
	steps, _ := reports(t, stdout.String())
	if diff := cmp.Diff(everyStep, steps); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(stdout.String(), `"ok":false`) {
		t.Error(stdout)
	}
	if first, _, _ := strings.Cut(stderr.String(), "\n"); !strings.Contains(first, dir) || strings.Contains(stderr.String(), "WARN") {
		t.Errorf("beside the steps it said:\n%s", stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A demo that only looks as if it worked would be worse than none: each step that breaks is named.
func TestDemoOnceFailsWhereAStepDoesNotHappen(t *testing.T) {
	for name, row := range map[string]struct {
		broken func(*testing.T, *demo)
		args   []string
		step   string
		detail string
	}{
		"no temporary folder": {step: "sandbox", detail: "missing",
			broken: func(t *testing.T, _ *demo) {
				for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
					t.Setenv(name, filepath.Join(os.TempDir(), "missing"))
				}
			}},
		"an app that refuses":         {step: "followed:Patient-open", detail: "the hub was answered 409", broken: func(_ *testing.T, d *demo) { d.answer = 409 }},
		"an app that cannot confirm":  {step: "followed:Patient-open", detail: "the hub was answered 202", broken: func(_ *testing.T, d *demo) { d.answer = 202 }},
		"nobody comes to the browser": {step: "signin", detail: "waited in vain", broken: func(_ *testing.T, d *demo) { d.browser = true }},
		"no time at all":              {step: "sandbox", detail: "", broken: func(_ *testing.T, d *demo) { d.patience = time.Nanosecond }},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			dir := tempFolder(t)
			tool, stdout, stderr := newTool()
			tool.json = true
			tool.machine = func(c *agent.Config) { c.OpenURL = func(context.Context, string) error { return nil } }
			d := &demo{tool: tool, once: true, answer: 200, patience: 10 * time.Second, person: time.Second}
			row.broken(t, d)
			code, sentence := judge(d.run(t.Context()))
			steps, last := reports(t, stdout.String())
			if code != exitFailed || last.OK || steps[len(steps)-1] != row.step || !strings.Contains(last.Detail, row.detail) {
				t.Errorf("ended with %d at %v: %+v", code, steps, last)
			}
			if !strings.Contains(sentence, last.Step) || !strings.Contains(sentence, last.Event) {
				t.Errorf("said %q, %s", sentence, stderr)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A person signs in with a browser, opens a patient on the EHR page and stops the demo.
func TestDemoShowsAViewerFollowWhatIsOpened(t *testing.T) {
	defer goleak.VerifyNone(t)
	tempFolder(t)
	tool, stdout, stderr := newTool()
	d := &demo{tool: tool, browser: true, answer: 200, patience: 15 * time.Second, person: 15 * time.Second}
	shown := make(chan string, 2)
	tool.machine = func(c *agent.Config) {
		c.OpenURL = func(ctx context.Context, page string) error {
			shown <- page
			if strings.HasSuffix(page, "/ehr/") {
				return nil
			}
			return browse(ctx, filepath.Join(d.stage.dir, "ca.pem"), page)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	stdout.waits(t, "Open a patient on the EHR page")
	if _, err := d.stage.box.Open(ctx, "", "Patient", "p04"); err != nil {
		t.Fatal(err)
	}
	stdout.waits(t, "viewer:    Patient-open  patient: 山田 太郎, born 1958-12-24")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("%v %s", err, stderr)
	}
	stdout.waits(t, "viewer:    no patient (signed_out)")
	first, _, _ := strings.Cut(stdout.String(), "\n")
	if !strings.HasPrefix(first, "This demo is in "+os.TempDir()) || !strings.Contains(stdout.String(), "Your browser will warn") {
		t.Errorf("printed:\n%s", stdout)
	}
	if signIn, page := <-shown, <-shown; !strings.Contains(signIn, "/auth/") || page != d.stage.box.Info().EHRURL {
		t.Errorf("the browser was sent to %s and %s", signIn, page)
	}
}

func TestDemoIsInterruptedBeforeItIsDone(t *testing.T) {
	defer goleak.VerifyNone(t)
	tempFolder(t)
	tool, _, stderr := newTool()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if code := tool.run(ctx, []string{"demo", "--no-browser", "--once"}); code != exitFailed {
		t.Errorf("ended with %d: %s", code, stderr)
	}
}

func TestDemoSocketIsInItsFolder(t *testing.T) {
	if a := demoAddress("linux", filepath.Join("tmp", "castray-demo-1")); a != filepath.Join("tmp", "castray-demo-1", "castray.sock") {
		t.Error(a)
	}
	if a := demoAddress("windows", "castray-demo-1"); a != `\\.\pipe\castray-demo-1` {
		t.Error(a)
	}
}
