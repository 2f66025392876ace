package agent

import (
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// facts are what the phase is made of.
type facts struct {
	stopping  bool
	locked    bool
	paused    bool
	signingIn bool // a browser is open and nobody is signed in
	ended     bool // the sign-in is over and only a person can go on
	signedIn  bool // or a hub without sign-in is configured, or a stored sign-in is being read
	waiting   bool // the last try to subscribe failed and the next is not due
	desk      protocol.Phase
}

// phase is the first that holds (DESIGN 3.4). blocked comes with policies, which nothing here can raise yet.
func (f facts) phase() protocol.Phase {
	switch {
	case f.stopping:
		return protocol.PhaseStopping
	case f.locked:
		return protocol.PhaseLocked
	case f.paused:
		return protocol.PhasePaused
	case f.desk != "":
		return f.desk
	case f.signingIn:
		return protocol.PhaseSigningIn
	case f.ended:
		return protocol.PhaseLoginNeeded
	case !f.signedIn:
		return protocol.PhaseSignedOut
	case f.waiting:
		return protocol.PhaseOffline
	}
	return protocol.PhaseConnecting
}

// Codes of problems that the agent itself raises; the relay and the outcomes of apps have theirs.
const (
	problemSigninPending  = "signin_pending"
	problemSigninFailed   = "signin_failed"
	problemSigninDeclined = "signin_declined"
	problemSigninEnded    = "signin_ended"
	problemSigninEnds     = "signin_ends"
	problemNoSession      = "no_fhircast_session"
	problemDenied         = "denied"
	problemRefused        = "hub_refused"
	problemOffline        = "offline"
	problemMayStillShow   = "may_still_show"
	problemKeychain       = "keychain"
	problemEarlierKept    = "earlier_kept"
	problemScreenUnheard  = "screen_unheard"
	problemClock          = oauth.RemarkClock
	problemTokenSize      = oauth.RemarkTokenSize
	problemLaunchWaiting  = "launch_waiting"
	problemLaunchRefused  = "launch_refused"
	problemLaunchOff      = "launch_off"
)

// The relay's, which sentences are about: the hub does not send us all that was asked for; an app named such an event.
const (
	problemNotGranted    = "events_not_granted"
	problemAppNotGranted = "app_event_not_granted"
)

// sentences says for each phase what a nurse can do. %d is the number of apps that follow.
var sentences = map[protocol.Phase]string{
	protocol.PhaseSignedOut:   "Not signed in. Choose Sign in to follow the patient.",
	protocol.PhaseSigningIn:   "Signing in: finish in the browser.",
	protocol.PhaseConnecting:  "Connecting...",
	protocol.PhaseNoContext:   "Connected, no patient open",
	protocol.PhaseInSync:      "In sync, %d apps follow",
	protocol.PhaseUnconfirmed: "No app follows",
	protocol.PhaseAttention:   "Check the patient in every app",
	protocol.PhaseOutOfSync:   "NOT in sync: check the patient in every app",
	protocol.PhasePaused:      "Paused. Apps do not follow until you choose Resume.",
	protocol.PhaseOffline:     "No connection to the hub. Apps may show different patients.",
	protocol.PhaseLoginNeeded: "Your sign-in has ended. Choose Sign in to go on.",
	protocol.PhaseLocked:      "Locked. Unlock the screen, or choose Resume to go on.",
	protocol.PhaseBlocked:     "Blocked by policy. Ask your administrator.",
	protocol.PhaseStopping:    "Stopping...",
}

// problemSentences says for each problem what happened and what to do. %s is the app's name, where there is one.
var problemSentences = map[string]string{
	string(protocol.OutcomeMismatch): "%s shows another patient. Check it, then choose Re-sync.",
	string(protocol.OutcomeFailed):   "%s failed to follow. Check its patient, then choose Re-sync.",
	string(protocol.OutcomeRefused):  "%s did not follow. Look for a question or unsaved work in it.",
	string(protocol.OutcomeSilent):   "%s does not answer. Check its patient.",
	"app_lost":                       "%s is not connected any more and may still show a patient. Check it, or close it.",
	"app_missing":                    "%s is not running and has to follow. Start it.",
	"clear_failed":                   "%s was asked to show no patient and did not confirm. Check it.",
	"cleared_by_user":                "You cleared all apps. Choose Re-sync to bring the patient back.",
	"context_unknown":                "The hub cannot say which patient is current. Check every app; opening a patient mends it.",
	"content_unknown":                "What is shared in this report is not complete here. Look at it where it was written; opening it again mends it.",
	"sync_error":                     "Another application reports that it did not follow. Check the patient there.",
	problemNotGranted:                "The hub does not send everything that was asked for. If an app does not follow, tell your administrator.",
	problemAppNotGranted:             "The hub does not tell %s what it waits for. Check its patient, and tell your administrator.",
	problemSigninPending:             "A sign-in waits for you in the browser.",
	problemSigninFailed:              "The sign-in did not work.",
	problemSigninDeclined:            "The sign-in was declined.",
	problemSigninEnded:               "Your sign-in has ended. Sign in again.",
	problemSigninEnds:                "Your sign-in ends soon. Sign in again to go on without a break.",
	problemNoSession:                 "This sign-in has no FHIRcast session. Ask your administrator to set hub.url and hub.topic for the site.",
	problemDenied:                    "The hub has ended this session. Choose Re-sync to try again, or sign in again.",
	problemRefused:                   "The hub refuses this session. Sign in again; if that does not help, tell your administrator.",
	problemOffline:                   "No connection to the hub. It is tried again by itself.",
	problemMayStillShow:              "%s may still show a patient. Check it, or close it.",
	problemKeychain:                  "The sign-in cannot be kept. You will have to sign in after every restart.",
	problemEarlierKept:               "An earlier sign-in may still lie in the keychain of this computer. Unlock the keychain; it is then deleted.",
	problemScreenUnheard:             "Castray cannot hear when this screen is locked. Choose Sign out before you leave.",
	problemClock:                     "The clock of this computer differs from that of the sign-in server: set the clock.",
	problemTokenSize:                 "A server refuses requests with this sign-in, perhaps because its token is large. Tell your administrator.",
	problemLaunchWaiting:             "An EHR wants to launch Castray: accept it, or decline it.",
	problemLaunchRefused:             "A launch from outside was refused.",
	problemLaunchOff:                 "Launches from the browser do not arrive here: another program uses their port. Sign in from the menu.",
}

// worstFirst are the problems in which a wrong patient may be on a screen.
var worstFirst = []string{string(protocol.OutcomeMismatch), "clear_failed", "sync_error", "app_lost", string(protocol.OutcomeFailed), "app_missing",
	string(protocol.OutcomeRefused), string(protocol.OutcomeSilent), "context_unknown", problemMayStillShow, problemOffline}

// sentence puts an app into the sentence of a phase that is about one app.
func sentence(p protocol.Phase, v *bridge.View) string {
	switch {
	case p == protocol.PhaseInSync && v.Followers == 1:
		return "In sync, 1 app follows"
	case p == protocol.PhaseInSync:
		return sprintf(sentences[p], v.Followers)
	case p == protocol.PhaseUnconfirmed:
		for _, row := range v.Rows {
			if row.Outcome == protocol.OutcomeSent {
				return "Told. " + row.Name + " cannot confirm"
			}
		}
		for _, problem := range v.Problems {
			if problem.Code == problemNotGranted {
				return "The hub does not send everything that was asked for"
			}
		}
	case p == protocol.PhaseAttention:
		for _, problem := range v.Problems {
			if problem.Name != "" && problem.Code != problemAppNotGranted { // that one may well have followed
				return problem.Name + " did not follow. Check the patient in every app"
			}
		}
	}
	return sentences[p]
}
