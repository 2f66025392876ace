package agent_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// program is what the viewers of these tests are to the agent: this test's own.
func program(t *testing.T) (path, digest string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	return path, hex.EncodeToString(sum.Sum(nil))
}

// rules starts an agent with these rules added to its configuration.
func (h *hospital) rules(text string) {
	h.Helper()
	h.write(h.file, append(h.config, text...))
	h.starts()
	h.do("signin", `{}`)
	h.until("a subscription", func(s protocol.Status) bool {
		return s.Phase == protocol.PhaseNoContext || s.Phase == protocol.PhaseAttention
	})
}

// The executable decides which rule holds: its path, through links, and its content. Who says the name of an app that a rule
// is about is nobody.
func TestARuleHoldsForItsExecutable(t *testing.T) {
	path, digest := program(t)
	link := filepath.Join(t.TempDir(), "viewer")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	altered := strings.Repeat("0", len(digest))
	for _, tt := range []struct {
		name, rule string
		fits       bool
	}{
		{"its path", fmt.Sprintf("exe = %q", path), true},
		{"a link to it", fmt.Sprintf("exe = %q", link), true},
		{"its content", fmt.Sprintf("sha256 = %q", strings.ToUpper(digest)), true},
		{"both", fmt.Sprintf("exe = %q\nsha256 = %q", path, digest), true},
		{"another path", fmt.Sprintf("exe = %q", path+"x"), false},
		{"other content", fmt.Sprintf("sha256 = %q", altered), false},
		{"its path and other content", fmt.Sprintf("exe = %q\nsha256 = %q", path, altered), false},
		{"another path and its content", fmt.Sprintf("exe = \"/bin/true\"\nsha256 = %q", digest), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			h.rules("[local]\nunknown_apps = \"deny\"\n[[app]]\nname = \"viewer\"\nevents = [\"Patient-open\"]\n" + tt.rule + "\n")
			c, err := client.Dial(h.ctx, client.Options{Address: h.address, Name: "viewer", Events: []string{}})
			if fits := err == nil; fits != tt.fits {
				t.Errorf("let in %v: %v", fits, err)
			}
			if err != nil {
				if code(err) != protocol.CodeNotAllowed {
					t.Error(err)
				}
				return
			}
			c.Close()
			_ = c.Wait()
		})
	}
}

// What a rule allows: to see some events, to ask for some, and to do what the menu does, but not to know who is signed in.
func TestWhatARuleAllows(t *testing.T) {
	t.Parallel()
	path, _ := program(t)
	h := newHospital(t)
	h.rules(fmt.Sprintf("[[app]]\nname = \"viewer\"\nexe = %q\nevents = [\"Patient-open\"]\nsend = [\"Patient-open\"]\ncontrol = true\n", path))
	v := h.viewer("any name", client.Options{})
	h.sends(v, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(
		`[{"key":"patient","resource":{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:x","value":"p1"}]}}]`)}, 202)
	err := v.Call(h.ctx, protocol.MethodSend, protocol.SendParams{Event: "Patient-close", Context: json.RawMessage(`[]`)}, nil)
	if code(err) != protocol.CodeNotAllowed {
		t.Errorf("an event that its rule does not name: %v", err)
	}
	h.current(v, "p1")
	if err := v.Call(h.ctx, protocol.MethodPause, protocol.PauseParams{}, nil); err != nil {
		t.Errorf("control: %v", err)
	}
	h.phase(protocol.PhasePaused)
	var s protocol.Status
	if err := v.Call(h.ctx, protocol.MethodStatus, protocol.Empty{}, &s); err != nil || s.User != nil || !s.SignedIn {
		t.Errorf("status %+v, %v", s, err)
	}
}

// Without control an app is told so, whatever else its rule allows.
func TestARuleWithoutControlGrantsNone(t *testing.T) {
	t.Parallel()
	path, _ := program(t)
	h := newHospital(t)
	h.rules(fmt.Sprintf("[[app]]\nname = \"viewer\"\nexe = %q\nsend = [\"Patient-open\"]\n", path))
	v := h.viewer("viewer", client.Options{})
	if err := v.Call(h.ctx, protocol.MethodPause, protocol.PauseParams{}, nil); code(err) != protocol.CodeNotAllowed {
		t.Errorf("pause: %v", err)
	}
}

// S1: an app that always has to follow is missed until it is there, and when it has gone.
func TestS1_AnAppThatAlwaysHasToFollowIsMissed(t *testing.T) {
	t.Parallel()
	path, _ := program(t)
	h := newHospital(t)
	h.rules(fmt.Sprintf("[[app]]\nname = \"Viewer\"\nexe = %q\nrequired = \"always\"\n", path))
	s := h.phase(protocol.PhaseAttention)
	if len(s.Problems) != 1 || s.Problems[0].Code != "app_missing" || s.Problems[0].Sentence != "Viewer is not running and has to follow. Start it." {
		t.Errorf("problems %+v", s.Problems)
	}
	v := h.viewer("viewer", client.Options{Shown: func(context.Context) []protocol.Window { return nil }})
	h.opensPatient("p1")
	h.current(v, "p1")
	if s := h.phase(protocol.PhaseInSync); len(s.Apps) != 1 || s.Apps[0].Required != protocol.RequiredAlways {
		t.Errorf("rows %+v", s.Apps)
	}
}
