package protocol

import (
	"encoding/json"
	"time"
)

// Phase is the one word for how the agent is; DESIGN 3.4 gives the order in which they are chosen.
type Phase string

// The phases.
const (
	PhaseSignedOut   Phase = "signed_out"
	PhaseSigningIn   Phase = "signing_in"
	PhaseConnecting  Phase = "connecting"
	PhaseNoContext   Phase = "no_context"
	PhaseInSync      Phase = "in_sync"
	PhaseUnconfirmed Phase = "unconfirmed"
	PhaseAttention   Phase = "attention"
	PhaseOutOfSync   Phase = "out_of_sync"
	PhasePaused      Phase = "paused"
	PhaseOffline     Phase = "offline"
	PhaseLoginNeeded Phase = "login_needed"
	PhaseLocked      Phase = "locked"
	PhaseBlocked     Phase = "blocked"
	PhaseStopping    Phase = "stopping"
)

// Outcome is what became of the last thing an app was told.
type Outcome string

// The outcomes, worst first; paused and cleared stand aside.
const (
	OutcomeMismatch     Outcome = "mismatch"     // it shows another patient
	OutcomeFailed       Outcome = "failed"       // it said so, or is gone while its process lives
	OutcomeRefused      Outcome = "refused"      // it, or its user, refused
	OutcomeSilent       Outcome = "silent"       // no answer in 8 s
	OutcomePending      Outcome = "pending"      // no answer yet
	OutcomeSent         Outcome = "sent"         // told, cannot or will not confirm
	OutcomeAcknowledged Outcome = "acknowledged" // it said that it follows
	OutcomeVerified     Outcome = "verified"     // it was asked what it shows, and it is this
	OutcomePaused       Outcome = "paused"       // the user took it out of those that count
	OutcomeCleared      Outcome = "cleared"      // it confirmed that it shows no patient
)

// Worse reports whether o is worse than the other, in the order above. The two that stand aside are better than all
// and neither is worse than the other. A word that is not above is worse than all of them, so that what is unknown
// never looks good.
func (o Outcome) Worse(than Outcome) bool { return o.rank() > than.rank() }

func (o Outcome) rank() int {
	switch o {
	case OutcomePaused, OutcomeCleared:
		return 0
	case OutcomeVerified:
		return 1
	case OutcomeAcknowledged:
		return 2
	case OutcomeSent:
		return 3
	case OutcomePending:
		return 4
	case OutcomeSilent:
		return 5
	case OutcomeRefused:
		return 6
	case OutcomeFailed:
		return 7
	case OutcomeMismatch:
		return 8
	}
	return 9
}

// When an app counts for the agent's phase and its answers to the hub.
const (
	RequiredConnected = "connected" // while it is there
	RequiredAlways    = "always"    // absent is failed
	RequiredNever     = "never"
)

// What an app can do, in AppRow.Can.
const (
	CanAnswer = "answer"
	CanShow   = "show"
	CanClear  = "clear"
)

// Status is all that views, scripts and apps may know. It never holds patient data. Times are UTC, whole seconds.
// Scripts read Phase and Problem.Code; Sentence is for people, in the language of the user interface.
type Status struct {
	Version   string     `json:"version"`
	Phase     Phase      `json:"phase"`
	Since     time.Time  `json:"since"`
	Sentence  string     `json:"sentence"`
	Test      bool       `json:"test"`
	Site      string     `json:"site"`
	Hub       string     `json:"hub"` // host only
	SignedIn  bool       `json:"signed_in"`
	User      *User      `json:"user,omitempty"`
	Pending   int        `json:"pending"`
	LastEvent *LastEvent `json:"last_event,omitempty"`
	Apps      []AppRow   `json:"apps"`
	Problems  []Problem  `json:"problems"`
	Counters  Counters   `json:"counters"`
}

// ForApps is the Status as an app without control sees it: without User. It shares everything else with s.
func (s Status) ForApps() Status {
	s.User = nil
	return s
}

// MarshalJSON writes arrays as [] and times as UTC seconds.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	s.Since = seconds(s.Since)
	s.Apps, s.Problems = orEmpty(s.Apps), orEmpty(s.Problems)
	return json.Marshal(plain(s))
}

// User is who is signed in, and until when, if that is known.
type User struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until,omitzero"`
}

// MarshalJSON writes the time as UTC seconds.
func (u User) MarshalJSON() ([]byte, error) {
	type plain User
	u.Until = seconds(u.Until)
	return json.Marshal(plain(u))
}

// LastEvent names the last event that was accepted from the hub.
type LastEvent struct {
	ID   string    `json:"id"`
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// MarshalJSON writes the time as UTC seconds.
func (e LastEvent) MarshalJSON() ([]byte, error) {
	type plain LastEvent
	e.At = seconds(e.At)
	return json.Marshal(plain(e))
}

// AppRow is one app or adapter. At is when Outcome became what it is; Since is when the app joined.
type AppRow struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Via      string    `json:"via"` // pipe, websocket, fhircast, or the adapter's kind
	PID      int       `json:"pid,omitempty"`
	Required string    `json:"required"`
	Can      []string  `json:"can"`
	Outcome  Outcome   `json:"outcome"`
	At       time.Time `json:"at,omitzero"`
	Since    time.Time `json:"since,omitzero"`
}

// MarshalJSON writes arrays as [] and times as UTC seconds.
func (r AppRow) MarshalJSON() ([]byte, error) {
	type plain AppRow
	r.Can = orEmpty(r.Can)
	r.At, r.Since = seconds(r.At), seconds(r.Since)
	return json.Marshal(plain(r))
}

// Problem is something a person can act on. App is empty when it is about no app.
type Problem struct {
	Code     string    `json:"code"`
	App      string    `json:"app,omitempty"`
	Sentence string    `json:"sentence"`
	Since    time.Time `json:"since"`
}

// MarshalJSON writes the time as UTC seconds.
func (p Problem) MarshalJSON() ([]byte, error) {
	type plain Problem
	p.Since = seconds(p.Since)
	return json.Marshal(plain(p))
}

// Counters count since the agent started.
type Counters struct {
	Events       int `json:"events"`
	ForeignTopic int `json:"foreign_topic"`
	Unasked      int `json:"unasked"`
	Malformed    int `json:"malformed"`
	Superseded   int `json:"superseded"`
	LateAnswers  int `json:"late_answers"`
	Reconnects   int `json:"reconnects"`

	LaunchesRefused int `json:"launches_refused,omitempty"`
	StrayRedirects  int `json:"stray_redirects,omitempty"` // ends of sign-ins that no sign-in waits for
}

// seconds is the only shape a time has on the wire: RFC 3339, UTC, no fraction.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
