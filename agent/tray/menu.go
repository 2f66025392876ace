package tray

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// Command is what a click asks for.
type Command string

// The commands. CopyLink puts the address of the sign-in that waits into the clipboard; the others are the methods of
// the same name of the local protocol. SignInAt makes one more for each site.
const (
	SignIn     Command = "signin"
	SwitchUser Command = "user_switch"
	SignOut    Command = "signout"
	CopyLink   Command = "copylink"
	Accept     Command = "launch_accept"
	Decline    Command = "launch_decline"
	Pause      Command = "pause"
	Resume     Command = "resume"
	Resync     Command = "resync"
	ClearAll   Command = "clear"
	Quit       Command = "quit"
)

// SignInAt is the command to sign in at the site of that name.
func SignInAt(site string) Command { return SignIn + Command(" "+site) }

// Site is the site of a SignInAt.
func (c Command) Site() (name string, ok bool) {
	return strings.CutPrefix(string(c), string(SignIn)+" ")
}

// View is all that the tray shows. SigningIn says that a sign-in waits for the browser, so that its link can be
// copied; one that happens while subscribed is in no phase. Sites are those configured, the same in every View.
type View struct {
	Status    protocol.Status
	SigningIn bool
	Sites     []string
}

// Item is a line of the menu. One without a Command only tells something; it is Enabled all the same, since desktops
// draw a line that is not in a pale grey and screen readers pass it over, and a click on it does nothing. One without
// Text is hidden, unless it is a Separator.
type Item struct {
	Text      string
	Command   Command
	Enabled   bool
	Separator bool
}

// More apps or problems than these are told by number, and the worst are shown. Of more sites the first are shown.
const (
	maxApps     = 12
	maxProblems = 5
	maxSites    = 8
)

// Menu returns the lines for a view: always as many, the hidden ones included, and each kind at the same place, so that
// a menu on the screen can be changed while it is open. No line ever changes what it does, for it may do so just under
// the pointer: both Pause and Resume are there, and the one that does not apply is grey. Times are told in the zone of
// now.
func Menu(v View, now time.Time) []Item {
	s := v.Status
	items := []Item{tell(fit(headline(s), maxText)), tell(who(s, now)), {Separator: true}}
	items = append(items, appLines(s, now)...)
	items = append(items, problemLines(s.Problems)...)
	items = append(items, Item{Separator: true},
		click(v, Accept, launchWords(s, "Accept the launch")), click(v, Decline, launchWords(s, "Decline the launch")),
		click(v, SignIn, signInWords(s)))
	items = append(items, siteLines(v)...)
	return append(items,
		click(v, SwitchUser, "Switch user"),
		click(v, SignOut, "Sign out"),
		click(v, CopyLink, linkWords(v)),
		Item{Separator: true},
		click(v, Pause, "Pause"),
		click(v, Resume, "Resume"),
		click(v, Resync, "Re-sync"),
		click(v, ClearAll, "Clear all apps"),
		Item{Separator: true},
		click(v, Quit, "Quit Castray"),
	)
}

// Tooltip is what hovering over the icon tells: the status sentence, and nothing about the user, since it shows on a
// shared screen without being asked for. It is at most 120 UTF-16 units long: Windows has room for 127.
func Tooltip(s protocol.Status) string { return fit(headline(s), 120) }

func tell(text string) Item { return Item{Text: text, Enabled: text != ""} }

func click(v View, c Command, text string) Item {
	return Item{Text: text, Command: c, Enabled: text != "" && applies(v, c)}
}

// appLines has maxApps lines; those not needed are hidden.
func appLines(s protocol.Status, now time.Time) []Item {
	apps, live := s.Apps, subscribed(s.Phase)
	lines := make([]Item, maxApps)
	if len(apps) == 0 {
		lines[0] = tell("No app is connected")
		return lines
	}
	shown := apps
	if len(apps) > maxApps {
		shown = slices.Clone(apps)
		slices.SortStableFunc(shown, worstFirst)
		lines[maxApps-1] = tell(fmt.Sprintf("and %d more apps", len(apps)-maxApps+1))
		shown = shown[:maxApps-1]
	}
	for i, row := range shown {
		lines[i] = tell(appLine(row, nameOf(row, apps), live, now))
	}
	return lines
}

// siteLines has maxSites lines; those not needed are hidden. Of one site there is nothing to choose.
func siteLines(v View) []Item {
	lines := make([]Item, maxSites)
	if len(v.Sites) < 2 {
		return lines
	}
	shown := v.Sites
	if len(shown) > maxSites {
		shown = shown[:maxSites-1]
		lines[maxSites-1] = tell(fmt.Sprintf("and %d more sites: castray login --site NAME", len(v.Sites)-len(shown)))
	}
	for i, site := range shown {
		lines[i] = click(v, SignInAt(site), fit("Sign in at "+clean(site), maxText))
	}
	return lines
}

func worstFirst(a, b protocol.AppRow) int {
	switch {
	case a.Outcome.Worse(b.Outcome):
		return -1
	case b.Outcome.Worse(a.Outcome):
		return 1
	}
	return 0
}

// nameOf is the app's name, or its id where two have the same name.
func nameOf(row protocol.AppRow, apps []protocol.AppRow) string {
	for _, other := range apps {
		if other.Name == row.Name && other.ID != row.ID {
			return row.ID
		}
	}
	return row.Name
}

func problemLines(problems []protocol.Problem) []Item {
	lines := make([]Item, maxProblems)
	shown := problems
	if len(problems) > maxProblems {
		shown = problems[:maxProblems-1]
		lines[maxProblems-1] = tell(fmt.Sprintf("and %d more problems", len(problems)-maxProblems+1))
	}
	for i, p := range shown {
		lines[i] = tell(problemLine(p))
	}
	return lines
}

// applies says whether a click makes sense now. What the agent would refuse is not offered; to clear is never refused,
// as long as there is an app.
func applies(v View, c Command) bool {
	s := v.Status
	if s.Phase == protocol.PhaseStopping {
		return false
	}
	if site, ok := c.Site(); ok {
		return applies(v, SignIn) && !(s.SignedIn && s.Site == site)
	}
	switch c {
	case SignIn:
		return !signingIn(v) && s.Phase != protocol.PhaseLocked && s.Phase != protocol.PhaseBlocked && !withoutSignIn(s)
	case SwitchUser:
		return s.SignedIn && s.Site != "" && s.Phase != protocol.PhaseBlocked
	case SignOut:
		return s.SignedIn
	case CopyLink:
		return signingIn(v)
	case Accept, Decline:
		return launchWaits(s)
	case Pause:
		return subscribed(s.Phase) || s.Phase == protocol.PhaseOffline || s.Phase == protocol.PhaseConnecting
	case Resume:
		return s.Phase == protocol.PhasePaused || s.Phase == protocol.PhaseLocked || subscribed(s.Phase) && anyPaused(s.Apps)
	case Resync:
		return subscribed(s.Phase) || s.Phase == protocol.PhaseOffline
	case ClearAll:
		return len(s.Apps) > 0
	case Quit:
		return true
	}
	return false
}

// launchWaits reports whether a launch waits for an answer.
func launchWaits(s protocol.Status) bool {
	return slices.ContainsFunc(s.Problems, func(p protocol.Problem) bool { return p.Code == "launch_waiting" })
}

func signingIn(v View) bool { return v.SigningIn || v.Status.Phase == protocol.PhaseSigningIn }

// subscribed reports whether the phase is one of those that a subscription has.
func subscribed(p protocol.Phase) bool {
	switch p {
	case protocol.PhaseOutOfSync, protocol.PhaseAttention, protocol.PhaseUnconfirmed, protocol.PhaseInSync, protocol.PhaseNoContext:
		return true
	}
	return false
}

// withoutSignIn reports whether the hub is one that was configured by address and topic and wants no sign-in.
func withoutSignIn(s protocol.Status) bool {
	switch s.Phase {
	case protocol.PhaseSignedOut, protocol.PhaseSigningIn, protocol.PhaseLoginNeeded:
		return false
	}
	return !s.SignedIn && s.Hub != ""
}

func anyPaused(apps []protocol.AppRow) bool {
	return slices.ContainsFunc(apps, func(r protocol.AppRow) bool { return r.Outcome == protocol.OutcomePaused })
}
