package tray

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/castray/castray/ipc/protocol"
)

// maxText is the most UTF-16 units of a line. A longer one would make the menu wider than some screens.
const maxText = 90

// headline is the status sentence, with TEST before it at a test hub. A status without a sentence says its phase.
func headline(s protocol.Status) string {
	text := clean(s.Sentence)
	if text == "" {
		text = clean("Castray: " + string(s.Phase))
	}
	if s.Test {
		text = "TEST: " + text
	}
	return text
}

// who says who is signed in where, and until when.
func who(s protocol.Status, now time.Time) string {
	if !s.SignedIn {
		if withoutSignIn(s) {
			return fit("Hub "+clean(s.Hub)+", no sign-in", maxText)
		}
		return "Not signed in"
	}
	text := "Signed in"
	if s.User != nil && s.User.Name != "" {
		text += " as " + clean(s.User.Name)
	}
	if s.Site != "" {
		text += ", " + clean(s.Site)
	}
	if s.User != nil && !s.User.Until.IsZero() {
		// The end must not be cut off by a long name.
		until := ", until " + clock(s.User.Until, now)
		return fit(text, maxText-len(until)) + until
	}
	return fit(text, maxText)
}

func signInWords(s protocol.Status) string {
	if s.SignedIn || s.Phase == protocol.PhaseLoginNeeded {
		return "Sign in again"
	}
	return "Sign in"
}

// launchWords are hidden while there is nothing to answer.
func launchWords(s protocol.Status, words string) string {
	if launchWaits(s) {
		return words
	}
	return ""
}

func linkWords(v View) string {
	if signingIn(v) {
		return "Copy the sign-in link"
	}
	return ""
}

func appLine(row protocol.AppRow, name string, live bool, now time.Time) string {
	text := ": " + outcomeWords(row.Outcome, live)
	if !row.At.IsZero() {
		text += ", " + clock(row.At, now)
	}
	return fit(clean(name), maxText-len(text)) + text
}

// outcomeWords says what became of the last thing an app was told. What is not known never sounds good: without a
// subscription (not live) an app that followed is one that did.
func outcomeWords(o protocol.Outcome, live bool) string {
	if !live && (o == protocol.OutcomeAcknowledged || o == protocol.OutcomeVerified) {
		return "followed, not known now"
	}
	switch o {
	case protocol.OutcomeMismatch:
		return "shows ANOTHER patient"
	case protocol.OutcomeFailed:
		return "failed, may show another patient"
	case protocol.OutcomeRefused:
		return "refused, may show another patient"
	case protocol.OutcomeSilent:
		return "no answer, may show another patient"
	case protocol.OutcomePending:
		return "told, no answer yet"
	case protocol.OutcomeSent:
		return "told, cannot confirm"
	case protocol.OutcomeAcknowledged:
		return "follows"
	case protocol.OutcomeVerified:
		return "follows, checked"
	case protocol.OutcomePaused:
		return "paused, does not follow"
	case protocol.OutcomeCleared:
		return "shows no patient"
	case "":
		return "nothing told yet"
	}
	return "not known"
}

func problemLine(p protocol.Problem) string {
	text := clean(p.Sentence)
	if text == "" {
		text = clean(p.Code)
	}
	return fit("Problem: "+text, maxText)
}

// clock is the time of day, with the date where that is not today.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}

// clean makes one line of text that came from outside: no control characters, and nothing that turns the direction of
// reading.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r) && r != unicode.ReplacementChar:
			return r
		}
		return -1
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// fit cuts a text to so many UTF-16 units, and says so.
func fit(s string, units int) string {
	const cut = "…"
	n, keep := 0, 0
	for i, r := range s {
		if n < units {
			keep = i // without r there is room for the sign
		}
		if n += utf16.RuneLen(r); n > units {
			return strings.TrimRight(s[:keep], " ") + cut
		}
	}
	return s
}
