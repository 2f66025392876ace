package castray_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A requirement is one line of docs/requirements.tsv: what a specification or a rule of ours wants, in our words, and, if
// no test of ours can show it, why not.
type requirement struct{ id, level, actor, phrase, reason string }

func readRequirements(file string) ([]requirement, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []requirement
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) < 4 || len(cells) > 5 || requirementID.FindString(cells[0]) != cells[0] {
			return nil, fmt.Errorf("%s: %q is not id, level, actor and phrase, and perhaps a reason, with tabs between", file, line)
		}
		cells = append(cells, "")
		out = append(out, requirement{cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
	return out, nil
}

// A measure is a line at the top of the page.
type measure struct {
	name   string
	counts func(requirement) bool
}

// sorts hold every requirement once.
var sorts = []measure{
	{"required (`SHALL`, `SHALL NOT`, `FIELD`)", level("SHALL", "SHALL NOT", "FIELD")},
	{"recommended or optional (`SHOULD`, `SHOULD NOT`, `MAY`)", level("SHOULD", "SHOULD NOT", "MAY")},
	{"our own (`OURS`)", level("OURS")},
	{"guidance (`GUIDE`, `INFO`)", level("GUIDE", "INFO")},
	{"not in the first release (`LATER`)", level("LATER")},
}

var totals = []measure{
	{"all", func(requirement) bool { return true }},
	{"of these, FHIRcast of a subscriber and a hub: `FC`, required or our own", fhircastDuty},
}

func level(of ...string) func(requirement) bool {
	return func(r requirement) bool { return slices.Contains(of, r.level) }
}

// fhircastDuty is the part of FHIRcast that a subscriber or a hub has to do, or that we promise.
func fhircastDuty(r requirement) bool {
	return strings.HasPrefix(r.id, "FC-") && slices.Contains([]string{"subscriber", "either", "hub"}, r.actor) &&
		level("SHALL", "SHALL NOT", "FIELD", "OURS")(r)
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
	"FM":    "the fault matrix, what we promise when things go wrong", "RAD": "transactions of IHE Integrated Reporting Applications",
}

func group(id string) string { return id[:strings.LastIndexByte(id, '-')] }

// conformancePage renders docs/conformance.md and complains about quoted ids that no requirement has, and about reasons
// that a test has overtaken.
func conformancePage(known []requirement, checks []check) (page string, complaints []string) {
	tests := testsByID(checks)
	for _, c := range checks {
		for _, id := range c.ids {
			if !slices.ContainsFunc(known, func(r requirement) bool { return r.id == id }) {
				complaints = append(complaints, fmt.Sprintf("%s quotes %s in %s, which docs/requirements.tsv does not have", c.name, id, c.file))
			}
		}
	}
	for _, r := range known {
		if !slices.ContainsFunc(sorts, func(m measure) bool { return m.counts(r) }) {
			complaints = append(complaints, fmt.Sprintf("%s has the level %q, which the page does not count", r.id, r.level))
		}
		if r.reason != "" && len(tests[r.id]) > 0 {
			complaints = append(complaints, fmt.Sprintf("%s has a test, %s, and a reason why it has none", r.id, tests[r.id][0].name))
		}
	}
	var b strings.Builder
	b.WriteString(`# Conformance

<!-- Written by "make docs" from docs/requirements.tsv and from the ids that tests quote. Do not edit. -->

What FHIRcast (1.0 to 3.0.0, group names with FC), SMART App Launch with the documents under it (SM) and IHE's Integrated
Reporting Applications (RAD) want of a subscriber, a hub and a client, what we promise when things go wrong (FM), and the
tests that show it. The phrases are ours and short; the specifications hold. A test counts for a requirement when it
quotes its id and asserts it. Where no test of ours can show a requirement, its line says why.

| | known | with a test | | a reason instead | not yet covered |
|---|---:|---:|---:|---:|---:|
`)
	for _, m := range slices.Concat(sorts, totals) {
		n, with, without := 0, 0, 0
		for _, r := range known {
			switch {
			case !m.counts(r):
				continue
			case len(tests[r.id]) > 0:
				with++
			case r.reason != "":
				without++
			}
			n++
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d %% | %d | %d |\n", m.name, n, with, 100*with/max(n, 1), without, n-with-without)
	}
	section := ""
	for _, r := range known {
		if g := group(r.id); g != section {
			section = g
			fmt.Fprintf(&b, "\n## %s: %s\n\n| id | level | who | what | tests |\n|---|---|---|---|---|\n", g, groups[g])
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.id, r.level, r.actor, r.phrase, links(tests[r.id], r.without()))
	}
	return b.String(), complaints
}

// testsByID are the tests that quote each id.
func testsByID(checks []check) map[string][]check {
	tests := map[string][]check{}
	for _, c := range checks {
		for _, id := range c.ids {
			tests[id] = append(tests[id], c)
		}
	}
	return tests
}

// without is what the page says of a requirement that no test quotes.
func (r requirement) without() string {
	switch {
	case r.reason != "":
		return r.reason
	case r.level == "LATER":
		return "later"
	}
	return "not yet covered"
}

func TestConformancePage(t *testing.T) {
	known := []requirement{
		{"FC-SUB-01", "SHALL", "subscriber", "post there", ""},
		{"FC-SUB-02", "OURS", "hub", "be kind", "documentation only"},
		{"FC-SUB-03", "FIELD", "either", "be exact", ""},
		{"FC-SUB-04", "SHALL", "server", "not ours", ""},
		{"SM-BS-01", "LATER", "client", "backend", ""},
		{"SM-BS-02", "PERHAPS", "client", "backend", "no reason needed"},
	}
	checks := []check{{name: "TestA", file: "a/a_test.go", ids: []string{"FC-SUB-01", "FC-SUB-99", "SM-BS-02"}}}
	page, complaints := conformancePage(known, checks)
	for _, want := range []string{
		"| required (`SHALL`, `SHALL NOT`, `FIELD`) | 3 | 1 | 33 % | 0 | 2 |\n",
		"| all | 6 | 2 | 33 % | 1 | 3 |\n",
		"| of these, FHIRcast of a subscriber and a hub: `FC`, required or our own | 3 | 1 | 33 % | 1 | 1 |\n",
		"## FC-SUB: subscribe\n",
		"| FC-SUB-01 | SHALL | subscriber | post there | [`TestA`](../a/a_test.go) |\n",
		"| FC-SUB-02 | OURS | hub | be kind | documentation only |\n",
		"| FC-SUB-03 | FIELD | either | be exact | not yet covered |\n",
		"| SM-BS-01 | LATER | client | backend | later |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for i, word := range []string{"FC-SUB-99", `"PERHAPS"`, "TestA, and a reason"} {
		if i >= len(complaints) || !strings.Contains(complaints[i], word) {
			t.Errorf("complaints %q, want the one at %d about %s", complaints, i, word)
		}
	}
	if len(complaints) != 3 {
		t.Errorf("%d complaints: %q", len(complaints), complaints)
	}
}

func TestRequirementsAreReadWithTheirReasons(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.tsv")
	for text, want := range map[string]string{
		"FM-01\tOURS\tsubscriber\tback again\n":          "[{FM-01 OURS subscriber back again }] <nil>",
		"RAD-146\tSHALL\teither\tsubscribe\tno reason\n": "[{RAD-146 SHALL either subscribe no reason}] <nil>",
		"RAD-146\tSHALL\teither\n":                       "an error",
		"FM-1\tOURS\tsubscriber\tone digit\n":            "an error",
		"FM-01\tOURS\ta\tb\tc\td\n":                      "an error",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readRequirements(file)
		if said := fmt.Sprintf("%v %v", got, err); said != want && (err == nil || want != "an error") {
			t.Errorf("%q is read as %s, want %s", text, said, want)
		}
	}
}
