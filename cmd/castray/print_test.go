package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

func TestWhatAnErrorMeansForAScript(t *testing.T) {
	answer := func(code int) error {
		return fmt.Errorf("asking: %w", &protocol.Error{Code: code, Message: "Said so."})
	}
	for name, row := range map[string]struct {
		err  error
		code int
		says string
	}{
		"no agent":                  {noAgent(fmt.Errorf("dial: %w", fs.ErrNotExist)), exitNoAgent, "castray run"},
		"the agent went":            {fmt.Errorf("call: %w", net.ErrClosed), exitNoAgent, "castray run"},
		"sign-in needed":            {answer(protocol.CodeSigninNeeded), exitSignin, "Said so. Sign in with: castray login"},
		"refused by the hub":        {answer(protocol.CodeRefused), exitRefused, "Said so."},
		"scope not granted":         {answer(protocol.CodeNotGranted), exitRefused, "Said so."},
		"not allowed":               {answer(protocol.CodeNotAllowed), exitRefused, "Said so."},
		"paused":                    {answer(protocol.CodeNotConnected), exitFailed, "Said so."},
		"context unknown":           {answer(protocol.CodeContextUnknown), exitFailed, "Said so."},
		"params of the wrong shape": {answer(protocol.CodeInvalidParams), exitUsage, "Said so."},
		"a hung agent":              {context.DeadlineExceeded, exitFailed, "does not answer"},
		"interrupted":               {context.Canceled, exitFailed, "Interrupted."},
		"anything else":             {errors.New("disk full"), exitFailed, "castray: disk full"},
	} {
		if code, sentence := judge(row.err); code != row.code || !strings.Contains(sentence, row.says) {
			t.Errorf("%s: %d %q", name, code, sentence)
		}
	}
}

func TestNothingThatIsPrintedDrivesATerminal(t *testing.T) {
	if got := printable("a\x1b[31mb\u202ec\r\nd\té 太郎"); got != "a?[31mb?c?\nd\té 太郎" {
		t.Errorf("%q", got)
	}
}

func TestAddressesArePrintedAsTheyAre(t *testing.T) {
	tool, stdout, _ := newTool()
	if err := tool.printJSON(protocol.SigninResult{URL: "https://a/?b&c=<d>"}); err != nil {
		t.Fatal(err)
	}
	if err := tool.printJSON(json.RawMessage(`{"new_member":1}`)); err != nil {
		t.Fatal(err)
	}
	if got := stdout.String(); got != "{\"url\":\"https://a/?b&c=<d>\"}\n{\"new_member\":1}\n" {
		t.Error(got)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAnOutputThatIsFullIsAFailure(t *testing.T) {
	tool, _, stderr := newTool()
	tool.stdout = full{}
	if code := tool.run(t.Context(), []string{"version"}); code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestStatusInLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	got := statusText(protocol.Status{Phase: protocol.PhaseAttention, Sentence: "Check the patient in every app", Test: true,
		Site: "General Hospital", Hub: "hub.example.org", User: &protocol.User{Name: "R. Reader", Until: at.Add(time.Hour)},
		LastEvent: &protocol.LastEvent{ID: "e1", Name: "Patient-open", At: at},
		Apps:      []protocol.AppRow{{ID: "viewer#2", Outcome: protocol.OutcomeSilent}},
		Problems:  []protocol.Problem{{Code: "silent", Sentence: "viewer does not answer. Check its patient."}}})
	const want = `attention     TEST  Check the patient in every app
  site        General Hospital
  hub         hub.example.org
  user        R. Reader, until 04:04
  last event  Patient-open at 03:04:05
  app         viewer#2             silent
  problem     viewer does not answer. Check its patient.`
	if got != want {
		t.Errorf("%s", got)
	}
	if got := statusText(protocol.Status{Phase: protocol.PhaseSignedOut, Sentence: "Not signed in."}); got != "signed_out    Not signed in." {
		t.Errorf("%q", got)
	}
}

func TestAnEventInWords(t *testing.T) {
	for want, event := range map[string]string{
		"Patient-open  patient: Maria Rossi, born 1961  (replay, derived)": `{"castray":{"replay":true,"derived":true},"event":{"hub.event":"Patient-open","context":[
			{"key":"patient","resource":{"resourceType":"Patient","id":"1","name":[{"family":"Rossi","given":["Maria"]}],"birthDate":"1961"}}]}}`,
		"ImagingStudy-open  study: CT chest  patient: Patient/1": `{"event":{"hub.event":"ImagingStudy-open","context":[
			{"key":"study","resource":{"resourceType":"ImagingStudy","id":"2","description":"CT chest"}},{"key":"patient","resource":{"resourceType":"Patient","id":"1"}}]}}`,
		"Home-open":                     `{"event":{"hub.event":"Home-open","context":[]}}`,
		"X-open  x: ?":                  `{"event":{"hub.event":"X-open","context":[{"key":"x","resource":{"name":7}}]}}`,
		"an event that cannot be read":  `[]`,
		"an event that cannot be read ": `{"event":7}`,
	} {
		if got := describe(json.RawMessage(event)); got != strings.TrimSpace(want) {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestTheLinkGoesToAClipboardProgramByItsStandardInput(t *testing.T) {
	none := func(string) string { return "" }
	wayland := func(string) string { return "wayland-0" }
	for name, got := range map[string][][]string{"clip.exe": clipboards("windows", none), "pbcopy": clipboards("darwin", none),
		"xclip": clipboards("linux", none), "wl-copy": clipboards("linux", wayland)} {
		if got[0][0] != name {
			t.Errorf("%v, not %s first", got, name)
		}
		for _, program := range got {
			if slices.ContainsFunc(program, func(word string) bool { return strings.Contains(word, "http") }) {
				t.Error(program)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "clipboard")
	t.Setenv("CLIPBOARD", file)
	if err := copyText(t.Context(), [][]string{{"no-such-clipboard"}, {"clipboard"}}, "https://a/?state=b"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); string(text) != "https://a/?state=b" {
		t.Errorf("%q %v", text, err)
	}
	if err := copyText(t.Context(), [][]string{{"no-such-clipboard"}}, "x"); err == nil || !strings.Contains(err.Error(), "install") {
		t.Error(err)
	}
}
