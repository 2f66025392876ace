package castray_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A requirement is one line of docs/requirements.tsv: what a specification or a rule of ours wants, in our words.
type requirement struct{ id, level, actor, phrase string }

func readRequirements(file string) ([]requirement, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []requirement
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 4 || requirementID.FindString(cells[0]) != cells[0] {
			return nil, fmt.Errorf("%s: %q is not id, level, actor and phrase with tabs between", file, line)
		}
		out = append(out, requirement{cells[0], cells[1], cells[2], cells[3]})
	}
	return out, nil
}

// levels are the sorts of requirement, as counted at the top of the page.
var levels = []struct {
	name string
	of   []string
}{
	{"required (`SHALL`, `SHALL NOT`, `FIELD`)", []string{"SHALL", "SHALL NOT", "FIELD"}},
	{"recommended or optional (`SHOULD`, `SHOULD NOT`, `MAY`)", []string{"SHOULD", "SHOULD NOT", "MAY"}},
	{"our own (`OURS`)", []string{"OURS"}},
	{"guidance (`GUIDE`, `INFO`)", []string{"GUIDE", "INFO"}},
	{"not in the first release (`LATER`)", []string{"LATER"}},
}

// groups are the titles of the sections.
var groups = map[string]string{
	"FC-GEN": "transport and serialisation", "FC-DISC": "session discovery", "FC-SCOPE": "scopes",
	"FC-CONF": "what a hub says of itself", "FC-EVT": "events and their names", "FC-SUB": "subscribe",
	"FC-CNF": "confirmation", "FC-INI": "context right after subscribing", "FC-DEN": "denial", "FC-UNS": "unsubscribe",
	"FC-NOT": "notifications", "FC-ACK": "answers", "FC-ERR": "SyncError", "FC-HGS": "lost lines and SyncErrors of the hub",
	"FC-DRV": "derived opens", "FC-REQ": "requesting a change", "FC-GCC": "reading the current context",
	"FC-CS": "content sharing", "FC-CAT": "the event catalog", "FC-PRF": "resource profiles", "FC-LCH": "launches without SMART",
	"FC-SEC": "security", "FC-SYN": "staying in step", "FC-TAB": "several contexts open", "FC-WH": "webhooks of older versions",
	"FC-OLD":  "names of 2018 and 2019",
	"SM-DISC": "discovery", "SM-LCH": "being launched", "SM-AUTH": "the authorization request", "SM-REDIR": "the redirect",
	"SM-MIX": "whose answer it is", "SM-TOK": "the code exchange", "SM-CTX": "launch context", "SM-FC": "FHIRcast on top",
	"SM-SCOPE": "scope strings", "SM-CLI": "kinds of client", "SM-ID": "id_token", "SM-REF": "refresh", "SM-REV": "sign-out",
	"SM-API": "using the token", "SM-ERR": "errors", "SM-STORE": "keeping the token", "SM-DEV": "device flow",
	"SM-DPOP": "sender-constrained tokens", "SM-BRAND": "endpoint brands", "SM-TASK": "launch tasks", "SM-STATE": "app state",
	"SM-BS": "backend services",
}

func group(id string) string { return id[:strings.LastIndexByte(id, '-')] }

// conformancePage renders docs/conformance.md and complains about quoted ids that no requirement has.
func conformancePage(known []requirement, checks []check) (page string, complaints []string) {
	tests := map[string][]check{}
	for _, c := range checks {
		for _, id := range c.ids {
			tests[id] = append(tests[id], c)
			if !slices.ContainsFunc(known, func(r requirement) bool { return r.id == id }) {
				complaints = append(complaints, fmt.Sprintf("%s quotes %s in %s, which docs/requirements.tsv does not have", c.name, id, c.file))
			}
		}
	}
	var b strings.Builder
	b.WriteString(`# Conformance

<!-- Written by "make docs" from docs/requirements.tsv and from the ids that tests quote. Do not edit. -->

What FHIRcast (1.0 to 3.0.0, group names with FC) and SMART App Launch with the documents under it (SM) want of a
subscriber, a hub and a client, and the tests that show it. The phrases are ours and short; the specifications hold.
A test counts for a requirement when it quotes its id and asserts it.

| | known | with a test | not yet covered |
|---|---:|---:|---:|
`)
	var all, covered int
	for _, l := range levels {
		n, with := 0, 0
		for _, r := range known {
			if slices.Contains(l.of, r.level) {
				n++
				if len(tests[r.id]) > 0 {
					with++
				}
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", l.name, n, with, n-with)
		all, covered = all+n, covered+with
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d |\n", all, covered, all-covered)
	if all != len(known) {
		complaints = append(complaints, fmt.Sprintf("%d lines of docs/requirements.tsv have a level that the page does not count", len(known)-all))
	}
	section := ""
	for _, r := range known {
		if g := group(r.id); g != section {
			section = g
			fmt.Fprintf(&b, "\n## %s: %s\n\n| id | level | who | what | tests |\n|---|---|---|---|---|\n", g, groups[g])
		}
		instead := "not yet covered"
		if r.level == "LATER" {
			instead = "later"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.id, r.level, r.actor, r.phrase, links(tests[r.id], instead))
	}
	return b.String(), complaints
}

func TestConformancePage(t *testing.T) {
	known := []requirement{{"FC-SUB-01", "SHALL", "subscriber", "post there"}, {"SM-BS-01", "LATER", "client", "backend"}}
	checks := []check{{name: "TestA", file: "a/a_test.go", ids: []string{"FC-SUB-01", "FC-SUB-99"}}}
	page, complaints := conformancePage(known, checks)
	for _, want := range []string{
		"| required (`SHALL`, `SHALL NOT`, `FIELD`) | 1 | 1 | 0 |\n",
		"| all | 2 | 1 | 1 |\n",
		"## FC-SUB: subscribe\n",
		"| FC-SUB-01 | SHALL | subscriber | post there | [`TestA`](../a/a_test.go) |\n",
		"| SM-BS-01 | LATER | client | backend | later |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if len(complaints) != 1 || !strings.Contains(complaints[0], "FC-SUB-99") {
		t.Errorf("complaints %q, want one about FC-SUB-99", complaints)
	}
}
