package agent

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/castray/castray/bridge"
	"github.com/castray/castray/ipc/protocol"
)

var update = flag.Bool("update", false, "write docs/problems.md")

func TestPhaseIsTheFirstThatHolds(t *testing.T) {
	all := facts{stopping: true, locked: true, paused: true, signingIn: true, ended: true, signedIn: true, waiting: true, desk: protocol.PhaseInSync}
	for _, c := range []struct {
		name  string
		drop  func(f *facts)
		phase protocol.Phase
	}{
		{"everything at once", func(*facts) {}, protocol.PhaseStopping},
		{"not stopping", func(f *facts) { f.stopping = false }, protocol.PhaseLocked},
		{"not locked", func(f *facts) { f.locked = false }, protocol.PhasePaused},
		{"not paused: the desk decides", func(f *facts) { f.paused = false }, protocol.PhaseInSync},
		{"no subscription", func(f *facts) { f.desk = "" }, protocol.PhaseSigningIn},
		{"nobody at the browser", func(f *facts) { f.signingIn = false }, protocol.PhaseLoginNeeded},
		{"the sign-in goes on", func(f *facts) { f.ended = false }, protocol.PhaseOffline},
		{"a try is under way", func(f *facts) { f.waiting = false }, protocol.PhaseConnecting},
		{"nobody signed in", func(f *facts) { f.signedIn = false }, protocol.PhaseSignedOut},
	} {
		c.drop(&all)
		if got := all.phase(); got != c.phase {
			t.Errorf("%s: %s, want %s", c.name, got, c.phase)
		}
	}
}

func TestS1_ASubscriptionThatIsNotThereNeverLooksInSync(t *testing.T) {
	for i := range 1 << 6 {
		f := facts{stopping: i&1 > 0, paused: i&2 > 0, signingIn: i&4 > 0, ended: i&8 > 0, signedIn: i&16 > 0, waiting: i&32 > 0}
		if got := f.phase(); got == protocol.PhaseInSync || got == protocol.PhaseNoContext || got == protocol.PhaseUnconfirmed {
			t.Errorf("%+v: %s", f, got)
		}
	}
}

// Every phase and every code of a problem has a sentence, and docs/problems.md has them all.
func TestSentences(t *testing.T) {
	phases := []protocol.Phase{protocol.PhaseSignedOut, protocol.PhaseSigningIn, protocol.PhaseConnecting, protocol.PhaseNoContext,
		protocol.PhaseInSync, protocol.PhaseUnconfirmed, protocol.PhaseAttention, protocol.PhaseOutOfSync, protocol.PhasePaused,
		protocol.PhaseOffline, protocol.PhaseLoginNeeded, protocol.PhaseLocked, protocol.PhaseBlocked, protocol.PhaseStopping}
	var page bytes.Buffer
	page.WriteString("# Phases and problems\n\nScripts read the words in the first columns; people read the sentences. This page is written by a test of package agent.\n\n| phase | what the user reads |\n|---|---|\n")
	for _, p := range phases {
		if sentences[p] == "" {
			t.Errorf("no sentence for %s", p)
		}
		fmt.Fprintf(&page, "| `%s` | %s |\n", p, strings.ReplaceAll(sentences[p], "%d", "2"))
	}
	page.WriteString("\n| problem | what the user reads |\n|---|---|\n")
	var codes []string
	for code := range problemSentences {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		fmt.Fprintf(&page, "| `%s` | %s |\n", code, strings.ReplaceAll(problemSentences[code], "%s", "Viewer"))
	}
	file := filepath.Join("..", "docs", "problems.md")
	if *update {
		if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, page.Bytes()) {
		t.Errorf("docs/problems.md is stale (%v): run make docs", err)
	}
	// What the relay may say: an outcome worse than pending, or one of its own codes.
	for _, code := range append([]string{"mismatch", "failed", "refused", "silent"}, relayProblems(t)...) {
		if problemSentences[code] == "" {
			t.Errorf("no sentence for problem %s", code)
		}
	}
}

// relayProblems are the codes that the relay's source names.
func relayProblems(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("../bridge/view.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, found := range regexp.MustCompile(`(?m)^\tproblem\w+ *= "(\w+)"`).FindAllSubmatch(source, -1) {
		codes = append(codes, string(found[1]))
	}
	if len(codes) < 8 {
		t.Fatalf("the relay's problems are not found: %v", codes)
	}
	return codes
}

func TestSentenceNamesTheApp(t *testing.T) {
	row := func(o protocol.Outcome) []protocol.AppRow {
		return []protocol.AppRow{{ID: "v", Name: "Viewer", Outcome: o}}
	}
	for _, c := range []struct {
		phase protocol.Phase
		view  bridge.View
		want  string
	}{
		{protocol.PhaseInSync, bridge.View{Followers: 1}, "In sync, 1 app follows"},
		{protocol.PhaseInSync, bridge.View{Followers: 3}, "In sync, 3 apps follow"},
		{protocol.PhaseUnconfirmed, bridge.View{Rows: row(protocol.OutcomeSent)}, "Told. Viewer cannot confirm"},
		{protocol.PhaseUnconfirmed, bridge.View{}, "No app follows"},
		{protocol.PhaseUnconfirmed, bridge.View{Problems: []bridge.Problem{{Code: problemNotGranted}}}, "The hub does not send everything that was asked for"},
		{protocol.PhaseAttention, bridge.View{Problems: []bridge.Problem{{Code: "refused", Name: "Viewer"}}}, "Viewer did not follow. Check the patient in every app"},
		{protocol.PhaseAttention, bridge.View{Problems: []bridge.Problem{{Code: problemAppNotGranted, Name: "Viewer"}}}, "Check the patient in every app"},
		{protocol.PhaseAttention, bridge.View{}, "Check the patient in every app"},
	} {
		if got := sentence(c.phase, &c.view); got != c.want {
			t.Errorf("%s: %q, want %q", c.phase, got, c.want)
		}
	}
}
