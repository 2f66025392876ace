package agent

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
)

// What a deviation does to the connection.
const (
	kept  = "kept"  // it is the same subscription, but for the one drop that each day has
	moved = "moved" // renewals make it others, and nothing is lost
	back  = "back"  // it is lost, and there again by itself
	stops = "stops" // it ends, the user is told, and Re-sync brings it back when the hub is as it should be
)

// A deviation is what a day at a hub with this fault is like.
type deviation struct {
	fault  hubtest.Fault
	times  int // that it happens, 0 = always
	line   string
	says   string                      // problems that the user is told of, by code, beside those that colleague and viewer make
	joins  bool                        // the fault is there from before we join
	quirks []string                    // that are configured
	old    bool                        // the hub has neither reports nor Home-open
	lies   map[string]string           // what the hub says is current, and is not
	counts func(protocol.Counters) int // what of it the Status counts
	last   func(*ward)                 // what the day ends with
}

// deviations are all that hubtest knows, but for hubs of other times, which have tests of their own.
func deviations() []deviation {
	return []deviation{
		{fault: hubtest.Portal, line: back},
		{fault: hubtest.RedirectElsewhere, line: back},
		{fault: hubtest.TooManyRequests, line: back},
		{fault: hubtest.Unavailable, line: back},
		{fault: hubtest.UnavailableUntil, line: back},
		{fault: hubtest.EndpointPlain, line: stops, says: "hub_refused"},
		{fault: hubtest.EndpointForeign, line: stops, says: "hub_refused"},
		{fault: hubtest.EndpointMissing, line: back},
		{fault: hubtest.EndpointInHeader, line: kept},
		{fault: hubtest.EndpointOutlivesSocket, line: kept},
		{fault: hubtest.OldEndpointSilent, line: kept},
		{fault: hubtest.RenewalMovesOn, line: moved},
		{fault: hubtest.ChannelTypeOptional, line: kept},
		{fault: hubtest.NeverConfirm, line: back},
		{fault: hubtest.ConfirmLate, line: kept},
		{fault: hubtest.EventBeforeConfirmation, line: kept},
		{fault: hubtest.ConfirmOtherTopic, line: back},
		{fault: hubtest.ConfirmNoEvents, line: kept},
		{fault: hubtest.ConfirmBlank, line: kept},
		{fault: hubtest.ConfirmEventsArray, line: kept},
		{fault: hubtest.LeaseString, line: kept},
		{fault: hubtest.LeaseDashed, line: kept},
		{fault: hubtest.LeaseZero, line: back},
		{fault: hubtest.LeaseMissing, line: back},
		{fault: hubtest.InitialNone, line: kept},
		{fault: hubtest.InitialOne, line: kept},
		{fault: hubtest.EventOld, line: kept},
		{fault: hubtest.CloseClearsCurrent, line: kept},
		{fault: hubtest.ReportWithoutAnchor, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.LogoutEmpty, line: kept, last: (*ward).logout},
		{fault: hubtest.BroadcastNewID, line: kept},
		{fault: hubtest.NamesLower, line: kept},
		{fault: hubtest.NamesMixed, line: kept},
		{fault: hubtest.DeriveEvents, line: kept},
		{fault: hubtest.EventTwice, line: kept},
		{fault: hubtest.EventFragmented, line: kept},
		{fault: hubtest.FrameForeignTopic, line: kept, counts: func(c protocol.Counters) int { return c.ForeignTopic }},
		{fault: hubtest.FrameUnasked, line: kept, counts: func(c protocol.Counters) int { return c.Unasked }},
		{fault: hubtest.FrameNotJSON, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.FrameEmpty, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.FrameBinary, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.FrameHuge, times: 4, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.FrameTwoNames, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.FrameWrongType, line: kept, counts: func(c protocol.Counters) int { return c.Malformed }},
		{fault: hubtest.Drop, line: back},
		{fault: hubtest.Silent, line: back},
		{fault: hubtest.Deny, line: stops, says: "denied"},
		{fault: hubtest.CloseRestart, line: back},
		{fault: hubtest.CloseInternal, line: back},
		{fault: hubtest.HeartbeatAsked, line: kept},
		{fault: hubtest.HeartbeatStringPeriod, line: kept},
		{fault: hubtest.HeartbeatWithoutPeriod, line: kept},
		{fault: hubtest.SyncErrorLower, line: kept},
		{fault: hubtest.SyncErrorSubscriberOnly, line: kept},
		{fault: hubtest.SyncErrorSubscriberNameOnly, line: kept},
		{fault: hubtest.SyncErrorNobody, line: kept},
		{fault: hubtest.SyncErrorSameID, line: kept},
		{fault: hubtest.SyncErrorBare, line: kept},
		{fault: hubtest.SyncErrorByPosition, line: kept},
		{fault: hubtest.SyncErrorManyIssues, line: kept},
		{fault: hubtest.SyncErrorSevere, line: kept},
		{fault: hubtest.SyncErrorMild, line: kept},
		{fault: hubtest.SyncErrorToAll, line: kept},
		{fault: hubtest.PublishFHIRJSONOnly, line: kept},
		{fault: hubtest.PublishJSONOnly, line: kept},
		{fault: hubtest.PublishNeedsContext, line: kept},
		{fault: hubtest.UpdateMismatch400, line: kept},
		{fault: hubtest.UpdateMismatch412, line: kept},
		{fault: hubtest.AcceptedThenRefused, line: kept},
		{fault: hubtest.AcceptEchoesTheEvent, line: kept},
		{fault: hubtest.AcceptWithoutBody, line: kept},
		{fault: hubtest.AcceptText, line: kept},
		{fault: hubtest.Accept200, line: kept},
		{fault: hubtest.Accept201, line: kept},
		{fault: hubtest.Accept204, line: kept},
		{fault: hubtest.DenyOthers, line: back},
		{fault: hubtest.UnsubscribeNeedsEvents, line: kept},
		{fault: hubtest.UnsubscribeWithout, line: kept},
		{fault: hubtest.UnsubscribeNoDenial, line: kept},
		{fault: hubtest.ContextNotOffered, line: kept, says: "content_unknown context_unknown"},
		{fault: hubtest.ContextHTML, line: kept, says: "content_unknown context_unknown"},
		{fault: hubtest.ContextOtherPatient, line: kept, lies: map[string]string{"patient": "other"}},
		{fault: hubtest.ContextNone204, line: kept},
		{fault: hubtest.ContextNone404, line: kept},
		{fault: hubtest.ContextNoneArray, line: kept},
		{fault: hubtest.ContextArray, line: kept},
		{fault: hubtest.ContextAsEvent, line: kept},
		{fault: hubtest.DiscoveryMissing, line: kept, joins: true},
		{fault: hubtest.Content2024, line: kept},
		{fault: hubtest.Content21, line: kept},
		{fault: hubtest.ContentNone, line: kept, says: "app_event_not_granted events_not_granted"},
		{fault: hubtest.WebhookOnly, line: stops, says: "hub_refused", joins: true},
		{fault: hubtest.TopicIsURL, line: kept, joins: true, quirks: []string{"topic-url"}},
		{fault: hubtest.Names2019, line: kept, joins: true, old: true},
		{fault: hubtest.PublishAtTopic404, line: kept, joins: true},
		{fault: hubtest.PublishAtTopic405, line: kept, joins: true},
	}
}

// FC-CNF-07 FC-CNF-11 FC-REQ-14 FC-REQ-16
//
// No deviation costs the connection for longer than it lasts, or the user a wrong patient without a word. Where it costs
// nothing, nobody notices: no problem is shown, and the subscription is the same.
func TestS1_NoDeviationOfTheFieldShowsAWrongPatientInSilence(t *testing.T) {
	rows := deviations()
	for _, f := range slices.Concat(hubtest.Faults(), hubtest.Habits()) {
		if !strings.HasPrefix(string(f), "version-") && !slices.ContainsFunc(rows, func(d deviation) bool { return d.fault == f }) {
			t.Errorf("%s has no row: %s", f, f.Help())
		}
	}
	for _, d := range rows {
		t.Run(string(d.fault), func(t *testing.T) {
			t.Parallel()
			inWard(t, func(w *ward) {
				w.day(d)
				w.evening(d)
			})
		})
	}
}

// day is what happens at a hub with the fault. Whatever it is, after each step the one invariant holds (see quiet).
func (w *ward) day(d deviation) {
	w.lies = d.lies
	if d.line != kept {
		w.patience = longLasts
	}
	for _, app := range w.apps {
		app.twice = d.fault == hubtest.EventTwice // S4: the repeat is there before the answer to the first
	}
	if d.joins {
		w.hub.Fault(d.fault, -1)
	}
	w.colleagueJoins(d.quirks...)
	w.joins(d.quirks...)
	w.quiet("joining")
	w.happens("Patient-open", list(patientItem("a")))
	w.quiet("a is opened")
	w.hub.Fault(d.fault, cmp.Or(d.times, -1))
	w.happens("Patient-open", list(patientItem("b")))
	w.quiet("b is opened")
	w.happens("ImagingStudy-open", list(studyItem("b"), patientItem("b")))
	w.quiet("b's study is opened")
	w.happens("Patient-close", list(patientItem("a")))
	w.quiet("a, who is not current, is closed")
	_, err := w.chart.sends("Patient-open", list(patientItem("c")), "")
	w.quiet("the chart asks for c: " + words(err))
	if !d.old {
		w.report()
	}
	w.happens("Patient-open", list(patientItem("e")))
	w.happens("Patient-close", list(patientItem("e")))
	w.quiet("e is opened and closed")
	w.refusals()
	w.colleague.leave()
	w.colleagueJoins(d.quirks...)
	w.quiet("the colleague leaves and is back")
	w.hub.Drop("Castray")
	w.happens("Patient-open", list(patientItem("g")))
	w.quiet("the line drops, and g is opened")
}

// report opens a report, shares something in it, and closes it.
func (w *ward) report() {
	w.happens("DiagnosticReport-open", list(reportItem("d"), studyItem("d"), patientItem("d")))
	w.quiet("d's report is opened")
	if version := w.version(); version != "" {
		w.happensAt("DiagnosticReport-update", updateOf("d", "o1"), version)
	}
	w.quiet("something is shared")
	for _, version := range []string{w.version(), "an old one"} {
		_, err := w.reporter.sends("DiagnosticReport-update", updateOf("d", "o2"), version)
		w.quiet("the reporter shares something: " + words(err))
	}
	w.happens("DiagnosticReport-close", list(reportItem("d"), studyItem("d"), patientItem("d")))
	w.quiet("d's report is closed")
	w.happens("Home-open", "[]")
	w.quiet("everybody goes home")
}

// version is that of what is shared in the current report, as the hub knows it.
func (w *ward) version() string {
	for _, c := range w.session().Shared {
		if c.Anchor == "diagnosticreport/r-d" {
			return c.Version
		}
	}
	return ""
}

// refusals are opens that the colleague, then the viewer does not follow. The user is told of either, at a good hub and at
// a bad one, if anybody was asked at all.
func (w *ward) refusals() {
	before := maps.Clone(w.problems)
	w.colleague.answers(409)
	w.happens("Patient-open", list(patientItem("f")))
	if w.quiet("f is opened, and the colleague refuses") && w.colleague.refused() {
		w.Error("the colleague refused, and nobody is told")
	}
	w.colleague.answers(200)
	w.viewer.answers(409)
	told := len(w.viewer.tellings(0))
	w.happens("Patient-open", list(patientItem("a")))
	if w.quiet("a is opened again, and the viewer refuses") && len(w.viewer.tellings(told)) > 0 {
		w.Error("the viewer refused, and nobody is told")
	}
	w.viewer.answers(200)
	w.happens("Patient-open", list(patientItem("i")))
	w.quiet("i is opened, and all follow")
	w.problems = before
}

// evening is the end of the fault, for one that a hub has and not is, and what it leaves behind, which is nothing.
func (w *ward) evening(d deviation) {
	if !slices.Contains(hubtest.Habits(), d.fault) || d.line == stops {
		w.hub.Fault(d.fault, 0)
	}
	time.Sleep(lease + time.Minute) // what is tried again, is by then
	synctest.Wait()
	w.verdict(d)
	if d.line == stops {
		w.joins(d.quirks...)
		time.Sleep(longLasts)
	}
	w.happens("ImagingStudy-open", list(studyItem("h"), patientItem("h")))
	if !w.quiet("the hub is as it should be, and h is opened") {
		w.Error("it leaves something behind")
	}
	if d.last != nil {
		w.hub.Fault(d.fault, -1)
		d.last(w)
	}
}

// verdict compares the day with what it was to be.
func (w *ward) verdict(d deviation) {
	s, line := w.agent.Status(), stops
	select {
	case <-w.line.ended:
	default:
		switch offline, number := w.problems[problemOffline], w.line.number.Load(); {
		case s.Counters.Reconnects > 1 || offline:
			line = back
		case number > 2:
			line = moved
		case number == 2:
			line = kept
		}
	}
	if line == back {
		delete(w.problems, problemOffline) // whether somebody looked just then
	}
	if says := strings.Join(slices.Sorted(maps.Keys(w.problems)), " "); line != d.line || says != d.says {
		w.Errorf("the connection is %s, and the user is told %q", line, says)
	}
	if d.counts != nil && d.counts(s.Counters) == 0 {
		w.Error("it is not counted")
	}
}

// logout is the end of the user's session, by the colleague.
func (w *ward) logout() {
	told := len(w.viewer.tellings(0))
	w.happens("UserLogout", `[{"key":"parameters","resource":{"resourceType":"Parameters","parameter":[{"name":"code","valueCoding":{"code":"user-initiated"}}]}}]`)
	time.Sleep(longLasts)
	synctest.Wait()
	s, last := w.agent.Status(), w.viewer.tellings(told)
	if len(last) != 1 || last[0].what != "clear:user_logout" || s.SignedIn || s.Phase == protocol.PhaseInSync {
		w.Errorf("after the logout: %s, the viewer was told %v", s.Phase, last)
	}
}

func words(err error) string {
	if err == nil {
		return "taken"
	}
	return err.Error()
}
