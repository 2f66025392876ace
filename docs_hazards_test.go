package castray_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// safetyRules are S1 to S14 of the design, in short; index 0 is S1.
var safetyRules = []string{
	"unknown means not in sync; the tray never looks better than the facts",
	"after every connect, resume or pause: subscribe anew, read the context, bring the apps to it, only then in sync",
	"what cannot be mapped or read is cleared, never left stale",
	"the hub is the truth; an older open is not delivered, the context is read instead",
	"events of a foreign topic, or not asked for, never reach an app",
	"after a close or Home-open nothing is current; never back to the previous patient",
	"two identifiers match where one was asked for: refuse",
	"apps are cleared before another user's first context, at sign-out and at UserLogout",
	"our own echo confirms a request; without one in time the context is read and delivered",
	"a slow, hung or crashing app delays neither the hub's answer nor another app",
	"no PHI and no secret outside the pipe, the adapters and what the user opens on purpose",
	"a context change is never queued across a sign-in or reconnect, nor resent by ourselves but where it was surely not taken",
	"the relay keeps what each app was last told, and brings each to the context after every change",
	"a test hub drives no production adapter, and every view says TEST",
}

// A hazard is a way in which Castray could harm a patient, and what stands against it.
type hazard struct {
	name    string
	how     string // how it comes about
	control string
	rules   []int
	tests   []string // words in the names of further tests
}

var hazards = []hazard{
	{"stale patient", "the hub moved on while an app, or Castray itself, was cut off or could not read the event",
		"subscribe anew and read the context after every interruption; clear what cannot be read; say when an app is not known to follow", []int{2, 3, 6, 13}, nil},
	{"wrong patient by ambiguous identifier", "two identifiers fit where one was asked for, or the same number in two systems",
		"compare only within one identifier system; refuse to choose", []int{7}, nil},
	{"split brain between apps", "one app follows, another refuses, fails or shows something else",
		"a belief and an outcome per app; worst wins in every view; SyncError to the hub", []int{1, 9, 13}, nil},
	{"silent loss", "the line to the hub or to an app dies without a word",
		"pings and a watchdog; an app that vanishes keeps its row; status to apps at least every 30 s", []int{1, 2, 12}, nil},
	{"late event applied after a newer one", "events overtake each other on the way, or clocks differ",
		"order marks per subscription; a doubt is settled by reading the context, not by clocks; a superseded open is taken out of the queue", []int{4}, nil},
	{"echo loop", "two apps or a hub send each other's changes back for ever",
		"our own event is known by its id and confirms; nothing is sent by ourselves in answer to an event", []int{9, 12}, nil},
	{"data of the previous user", "the next reader at a shared desk sees the last one's patient, or acts with his sign-in",
		"clear before another user's context; sign-out wipes session and apps", []int{8}, nil},
	{"injection into a viewer", "a name or number from the hub is read as a command by an app that is driven from outside",
		"apps on the pipe get JSON values; adapters fill typed places, never a shell line", nil, []string{"Inject"}},
	{"denial by a hung app", "one app that does not answer holds up everybody",
		"a bounded queue and a writer per app; the hub is answered in time whatever the apps do", []int{10}, nil},
	{"event of somebody else's session", "a hub mixes up sessions, or a stranger writes to the socket",
		"the topic is compared before anything is done; foreign and unasked events are counted and shown", []int{5}, nil},
	{"patient data or a key to the session where it does not belong", "a log line, a tooltip, an error text, a bug report",
		"types that print nothing; foreign errors are cleaned where they enter; a canary is searched in every output", []int{11}, nil},
	{"test data in a production viewer, or the reverse", "an agent joined to a sandbox runs on a clinical workstation",
		"test hubs drive only what says it is for tests; TEST in every view", []int{14}, nil},
}

// hazardsPage renders docs/hazards.md and complains about tests that name a rule which does not exist.
func hazardsPage(checks []check) (page string, complaints []string) {
	byRule := make([][]check, len(safetyRules)+1)
	for _, c := range checks {
		for _, n := range c.rules {
			if n < 1 || n > len(safetyRules) {
				complaints = append(complaints, fmt.Sprintf("%s in %s names S%d; the rules are S1 to S%d", c.name, c.file, n, len(safetyRules)))
				continue
			}
			byRule[n] = append(byRule[n], c)
		}
	}
	const none = "**not yet built**"
	var b strings.Builder
	b.WriteString(`# Hazards

<!-- Written by "make docs" from docs_hazards_test.go and the names of tests. Do not edit. -->

Castray moves identifiers between apps and shows whether they agree. It does not interpret images, and it must not be
the only check of who the patient is. What can still go wrong, what stands against it, and the tests that prove it. A
test belongs to a rule when its name says so: ` + "`TestS4_OlderOpenIsNotDelivered`" + `.

| hazard | how it comes about | control | rules | tests |
|---|---|---|---|---|
`)
	for _, h := range hazards {
		var found []check
		var rules, untested []string
		for _, n := range h.rules {
			rules = append(rules, fmt.Sprintf("[S%d](#s%d)", n, n))
			found = append(found, byRule[n]...)
			if len(byRule[n]) == 0 {
				untested = append(untested, fmt.Sprintf("S%d", n))
			}
		}
		for _, c := range checks {
			if slices.ContainsFunc(h.tests, func(word string) bool { return strings.Contains(c.name, word) }) {
				found = append(found, c)
			}
		}
		tests := none
		if len(found) > 0 {
			tests = countOf(len(found), "test")
			if len(untested) > 0 {
				tests += "; " + strings.Join(untested, ", ") + " not yet built"
			}
		}
		if len(h.tests) > 0 {
			tests = links(found, none)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", h.name, h.how, h.control, strings.Join(rules, " "), tests)
	}
	b.WriteString("\n## The safety rules\n\n| | rule | tests |\n|---|---|---|\n")
	for i, rule := range safetyRules {
		fmt.Fprintf(&b, "| <a id=\"s%d\"></a>S%d | %s | %s |\n", i+1, i+1, rule, links(byRule[i+1], none))
	}
	return b.String(), complaints
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func TestHazardsPage(t *testing.T) {
	checks := []check{
		{name: "TestS7_TwoMatches", file: "b/b_test.go", rules: []int{7}},
		{name: "TestTitleCannotInject", file: "b/b_test.go"},
		{name: "TestS13_Derived", file: "b/b_test.go", rules: []int{13}},
		{name: "TestS15_Unknown", file: "b/b_test.go", rules: []int{15}},
	}
	page, complaints := hazardsPage(checks)
	for _, want := range []string{
		"| [S7](#s7) | 1 test |\n",
		"| [S1](#s1) [S9](#s9) [S13](#s13) | 1 test; S1, S9 not yet built |\n",
		"|  | [`TestTitleCannotInject`](../b/b_test.go) |\n",
		"| [S5](#s5) | **not yet built** |\n",
		"</a>S7 | two identifiers match where one was asked for: refuse | [`TestS7_TwoMatches`](../b/b_test.go) |\n",
		"</a>S14 | a test hub drives no production adapter, and every view says TEST | **not yet built** |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if len(complaints) != 1 || !strings.Contains(complaints[0], "S15") {
		t.Errorf("complaints %q, want one about S15", complaints)
	}
	if len(safetyRules) != 14 {
		t.Errorf("%d safety rules, want 14", len(safetyRules))
	}
}
