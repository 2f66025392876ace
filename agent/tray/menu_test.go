package tray

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/ipc/protocol"
)

var rewrite = flag.Bool("update", false, "write the menus anew")

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.FixedZone("here", 3600))

// status is an agent that is well: signed in, two apps, an hour to go.
func status() protocol.Status {
	return protocol.Status{
		Phase: protocol.PhaseInSync, Sentence: "In sync, 2 apps follow", Site: "General Hospital", Hub: "hub.example.org",
		SignedIn: true, User: &protocol.User{Name: "R. Reader", Until: noon.Add(time.Hour)},
		Apps: []protocol.AppRow{
			{ID: "viewer", Name: "viewer", Outcome: protocol.OutcomeVerified, At: noon.Add(-2 * time.Minute)},
			{ID: "report_pad", Name: "report_pad", Outcome: protocol.OutcomeAcknowledged, At: noon.Add(-time.Minute)},
		},
	}
}

func TestMenusReadLikeThis(t *testing.T) {
	cases := []struct {
		name string
		make func(v *View)
	}{
		{"in sync", func(*View) {}},
		{"at a test hub", func(v *View) { v.Status.Test = true }},
		{"signed out", func(v *View) {
			v.Status = protocol.Status{Phase: protocol.PhaseSignedOut, Sentence: "Not signed in. Sign in to follow the patient.", Site: "General Hospital"}
		}},
		{"signing in", func(v *View) {
			v.Status = protocol.Status{Phase: protocol.PhaseSigningIn, Sentence: "Sign in in the browser window.", Site: "General Hospital"}
		}},
		{"the sign-in has ended", func(v *View) {
			v.Status.Phase, v.Status.Sentence = protocol.PhaseLoginNeeded, "Your sign-in has ended. Sign in again."
			v.Status.SignedIn, v.Status.User = false, nil
			v.Status.Apps[1].Outcome = protocol.OutcomeFailed
		}},
		{"signing in again while subscribed", func(v *View) {
			v.SigningIn = true
			v.Status.Problems = []protocol.Problem{{Code: "signin_ends", Sentence: "Your sign-in ends in 10 minutes"}}
		}},
		{"a launch waits for an answer", func(v *View) { // SM-LCH-06
			v.Status.Problems = []protocol.Problem{{Code: "launch_waiting", Sentence: "General Hospital wants to launch Castray: accept it, or decline it."}}
		}},
		{"another patient is shown", func(v *View) {
			v.Status.Phase, v.Status.Sentence = protocol.PhaseOutOfSync, "NOT in sync: check the patient in every app"
			v.Status.Apps[0].Outcome = protocol.OutcomeMismatch
			v.Status.Problems = []protocol.Problem{{Code: "mismatch", App: "viewer", Sentence: "viewer shows another patient"}}
		}},
		{"an app cannot confirm", func(v *View) {
			v.Status.Phase, v.Status.Sentence = protocol.PhaseUnconfirmed, "Told. report_pad cannot confirm"
			v.Status.Apps[1].Outcome = protocol.OutcomeSent
		}},
		{"the hub is gone", func(v *View) {
			v.Status.Phase, v.Status.Sentence = protocol.PhaseOffline, "No connection to the hub. Apps may show different patients."
			v.Status.Apps[0].Outcome, v.Status.Apps[1].Outcome = protocol.OutcomePending, protocol.OutcomeSilent
		}},
		{"all is paused", func(v *View) {
			v.Status.Phase, v.Status.Sentence = protocol.PhasePaused, "Paused by you since 11:42"
		}},
		{"one app is paused, one was cleared", func(v *View) {
			v.Status.Apps[0].Outcome, v.Status.Apps[1].Outcome = protocol.OutcomePaused, protocol.OutcomeCleared
		}},
		{"a hub without sign-in, nobody there", func(v *View) {
			v.Status = protocol.Status{Phase: protocol.PhaseNoContext, Sentence: "Connected, no patient open", Hub: "hub.example.org"}
		}},
		{"two of one name, one refused yesterday, one was told nothing", func(v *View) {
			v.Status.Apps = []protocol.AppRow{
				{ID: "viewer", Name: "viewer", Outcome: protocol.OutcomeRefused, At: noon.Add(-24 * time.Hour)},
				{ID: "viewer#2", Name: "viewer"},
			}
		}},
		{"more of everything than fits, the bad app last", func(v *View) {
			v.Status.Apps, v.Status.Problems = nil, nil
			for i := range 20 {
				v.Status.Apps = append(v.Status.Apps, protocol.AppRow{ID: fmt.Sprintf("app%d", i), Name: fmt.Sprintf("app%d", i), Outcome: protocol.OutcomeAcknowledged})
				v.Status.Problems = append(v.Status.Problems, protocol.Problem{Sentence: fmt.Sprintf("problem %d", i)})
			}
			v.Status.Apps[19].Outcome = protocol.OutcomeMismatch
		}},
		{"names made to mislead", func(v *View) {
			v.Status.User.Name = strings.Repeat("Dr. ", 40)
			v.Status.Apps[0].Name = "view\u202eer\nIn sync\x00"
			v.Status.Apps[1].Name = strings.Repeat("n", 200)
			v.Status.Sentence = "In\tsync \xff" + strings.Repeat("x", 300)
		}},
		{"several sites", func(v *View) { v.Sites = []string{"General Hospital", "St. Elsewhere"} }},
		{"several sites, nobody signed in", func(v *View) {
			v.Status = protocol.Status{Phase: protocol.PhaseSignedOut, Sentence: "Not signed in. Choose Sign in to follow the patient."}
			v.Sites = []string{"General Hospital", "St.\nElsewhere"}
		}},
		{"more sites than fit", func(v *View) {
			for i := range 20 {
				v.Sites = append(v.Sites, fmt.Sprint("Site ", i))
			}
		}},
		{"locked", func(v *View) {
			v.Status.Phase, v.Status.Sentence = protocol.PhaseLocked, "Locked. Unlock the screen, or choose Resume to go on."
		}},
		{"stopping", func(v *View) { v.Status.Phase, v.Status.Sentence = protocol.PhaseStopping, "Castray is stopping" }},
	}
	var got strings.Builder
	for _, c := range cases {
		v := View{Status: status()}
		c.make(&v)
		fmt.Fprintf(&got, "-- %s --\n%s\n", c.name, written(Menu(v, noon), Tooltip(v.Status)))
	}
	if *rewrite {
		if err := os.WriteFile("testdata/menus.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/menus.txt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("menus read differently (-want +got); if that is meant: go test ./agent/tray -update\n%s", d)
	}
}

// written shows a menu: > does something, x is grey.
func written(items []Item, tooltip string) string {
	var b strings.Builder
	for _, item := range items {
		switch {
		case item.Separator:
			b.WriteString("  ----\n")
		case item.Text == "":
		case item.Command == "":
			fmt.Fprintf(&b, "  %s\n", item.Text)
		case item.Enabled:
			fmt.Fprintf(&b, "> %s\n", item.Text)
		default:
			fmt.Fprintf(&b, "x %s\n", item.Text)
		}
	}
	return b.String() + "hover: " + tooltip + "\n"
}

// A menu that is open must not move, and no line may turn into another under the pointer.
func TestEveryLineKeepsItsPlaceAndItsMeaning(t *testing.T) {
	sites := []string{"General Hospital", "St. Elsewhere"}
	first := Menu(View{Sites: sites}, noon)
	for _, phase := range phases {
		for _, signingIn := range []bool{false, true} {
			s := status()
			s.Phase = phase
			items := Menu(View{Status: s, SigningIn: signingIn, Sites: sites}, noon)
			if len(items) != len(first) {
				t.Fatalf("%s: %d lines, want %d", phase, len(items), len(first))
			}
			for i, item := range items {
				if item.Command != first[i].Command || item.Separator != first[i].Separator {
					t.Errorf("%s: line %d is %+v, was %+v", phase, i, item, first[i])
				}
				if item.Enabled && item.Text == "" {
					t.Errorf("%s: line %d is hidden and can be clicked: %+v", phase, i, item)
				}
				if !item.Enabled && item.Text != "" && item.Command == "" {
					t.Errorf("%s: line %d tells something in pale grey: %+v", phase, i, item)
				}
			}
		}
	}
}

var phases = []protocol.Phase{protocol.PhaseSignedOut, protocol.PhaseSigningIn, protocol.PhaseConnecting, protocol.PhaseNoContext,
	protocol.PhaseInSync, protocol.PhaseUnconfirmed, protocol.PhaseAttention, protocol.PhaseOutOfSync, protocol.PhasePaused,
	protocol.PhaseOffline, protocol.PhaseLoginNeeded, protocol.PhaseLocked, protocol.PhaseBlocked, protocol.PhaseStopping}

// What can be clicked in each phase, with an app connected.
func TestWhatCanBeClicked(t *testing.T) {
	signedOut := []protocol.Phase{protocol.PhaseSignedOut, protocol.PhaseSigningIn, protocol.PhaseLoginNeeded}
	want := map[protocol.Phase]string{
		protocol.PhaseSignedOut:   "signin clear quit",
		protocol.PhaseSigningIn:   "copylink clear quit",
		protocol.PhaseLoginNeeded: "signin clear quit",
		protocol.PhaseConnecting:  "signin user_switch signout pause clear quit",
		protocol.PhaseOffline:     "signin user_switch signout pause resync clear quit",
		protocol.PhaseNoContext:   "signin user_switch signout pause resync clear quit",
		protocol.PhaseInSync:      "signin user_switch signout pause resync clear quit",
		protocol.PhaseUnconfirmed: "signin user_switch signout pause resync clear quit",
		protocol.PhaseAttention:   "signin user_switch signout pause resync clear quit",
		protocol.PhaseOutOfSync:   "signin user_switch signout pause resync clear quit",
		protocol.PhasePaused:      "signin user_switch signout resume clear quit",
		protocol.PhaseLocked:      "user_switch signout resume clear quit",
		protocol.PhaseBlocked:     "signout clear quit",
		protocol.PhaseStopping:    "",
	}
	for _, phase := range phases {
		s := status()
		s.Phase = phase
		for _, p := range signedOut {
			if p == phase {
				s.SignedIn, s.User = false, nil
			}
		}
		if got := clickable(View{Status: s}); got != want[phase] {
			t.Errorf("%s: %q, want %q", phase, got, want[phase])
		}
	}
}

func clickable(v View) string {
	var can []string
	for _, item := range Menu(v, noon) {
		if item.Enabled && item.Command != "" {
			can = append(can, string(item.Command))
		}
	}
	return strings.Join(can, " ")
}

// S1: a status or an outcome that this build does not know never reads as if all were well.
func TestS1_WhatIsUnknownNeverReadsWell(t *testing.T) {
	s := protocol.Status{Phase: "brand_new", Apps: []protocol.AppRow{{ID: "a", Name: "a", Outcome: "brand_new"}}}
	text := written(Menu(View{Status: s}, noon), Tooltip(s))
	for _, good := range []string{"sync,", "follows", "Connected"} {
		if strings.Contains(text, good) {
			t.Errorf("says %q:\n%s", good, text)
		}
	}
	for _, said := range []string{"brand_new", "a: not known"} {
		if !strings.Contains(text, said) {
			t.Errorf("does not say %q:\n%s", said, text)
		}
	}
	for _, o := range []protocol.Outcome{protocol.OutcomeMismatch, protocol.OutcomeFailed, protocol.OutcomeRefused, protocol.OutcomeSilent,
		protocol.OutcomePending, protocol.OutcomeSent} {
		if w := outcomeWords(o, true); strings.HasPrefix(w, "follows") || !strings.Contains(w, "patient") && !strings.Contains(w, "no answer") && !strings.Contains(w, "cannot confirm") {
			t.Errorf("%s reads %q", o, w)
		}
	}
}

// S1: what an app did before the hub was lost says nothing about now.
func TestS1_NoAppFollowsWithoutASubscription(t *testing.T) {
	for _, phase := range phases {
		s := status()
		s.Phase = phase
		text := written(Menu(View{Status: s}, noon), "")
		if says := strings.Contains(text, ": follows"); says != subscribed(phase) {
			t.Errorf("%s: says that apps follow: %v\n%s", phase, says, text)
		}
	}
}

// S14: at a test hub every view says TEST, before anything else.
func TestS14_TestIsSaidFirst(t *testing.T) {
	for _, phase := range phases {
		s := status()
		s.Phase, s.Test = phase, true
		if first := Menu(View{Status: s}, noon)[0].Text; !strings.HasPrefix(first, "TEST") {
			t.Errorf("%s: the menu begins with %q", phase, first)
		}
		if tip := Tooltip(s); !strings.HasPrefix(tip, "TEST") {
			t.Errorf("%s: the tooltip is %q", phase, tip)
		}
	}
}

// Whoever passes by reads the tooltip, so it names nobody, and Windows cuts it off without an end beyond 127 units.
func TestTooltipNamesNobodyAndFits(t *testing.T) {
	s := status()
	s.Sentence = strings.Repeat("𝄞 ", 300) // two units each, and one
	tip := Tooltip(s)
	if n := len(utf16.Encode([]rune(tip))); n > 120 || n < 110 {
		t.Errorf("%d units", n)
	}
	if s = status(); strings.Contains(Tooltip(s), s.User.Name) {
		t.Errorf("names the user: %q", Tooltip(s))
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		in    string
		units int
		want  string
	}{
		{"", 3, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"a cd", 3, "a…"},
		{"𝄞𝄞", 4, "𝄞𝄞"},
		{"𝄞𝄞𝄞", 4, "𝄞…"},
		{"𝄞𝄞𝄞", 5, "𝄞𝄞…"},
		{"abc", 0, "…"},
	} {
		if got := fit(c.in, c.units); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.in, c.units, got, c.want)
		}
	}
}
