package agent

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// A need is a hub at which a quirk is needed.
type need struct {
	faults  []hubtest.Fault
	visit   func(w *ward) string // what is wrong there, "" = nothing
	without string               // what that is where the quirk is not configured
}

// needs are the quirks behind which hubtest has a hub.
func needs() map[string]need {
	old := []hubtest.Fault{hubtest.Names2019, hubtest.DiscoveryMissing}
	return map[string]need{
		"version-2019":       {[]hubtest.Fault{hubtest.Version2019}, (*ward).follow, "hub_refused"},
		"version-2020":       {[]hubtest.Fault{hubtest.Version2020}, (*ward).goes, "unsubscribe: 400"},
		"version-2.1":        {[]hubtest.Fault{hubtest.Version21}, (*ward).share, "The hub refused the event. (-32005)"},
		"version-2024":       {[]hubtest.Fault{hubtest.Version2024}, (*ward).share, "The hub refused the event. (-32005)"},
		"names-2019":         {old, (*ward).follow, "hub_refused"},
		"content-2022":       {[]hubtest.Fault{hubtest.Content21}, (*ward).share, "The hub refused the event. (-32005)"},
		"content-2024":       {[]hubtest.Fault{hubtest.Content2024}, (*ward).share, "The hub refused the event. (-32005)"},
		"fhir-json":          {[]hubtest.Fault{hubtest.PublishFHIRJSONOnly}, (*ward).ask, "publish: 415"},
		"publish-to-topic":   {[]hubtest.Fault{hubtest.PublishAtTopic404}, (*ward).ask, "publish: 404"},
		"topic-url":          {[]hubtest.Fault{hubtest.TopicIsURL, hubtest.InitialNone}, (*ward).come, "context_unknown"},
		"get-context":        {[]hubtest.Fault{hubtest.ContextNone404, hubtest.DiscoveryMissing}, (*ward).come, "context_unknown"},
		"unsubscribe-events": {[]hubtest.Fault{hubtest.UnsubscribeNeedsEvents}, (*ward).goes, "unsubscribe: 400"},
		"no-discovery":       {[]hubtest.Fault{hubtest.DiscoveryMissing}, (*ward).discover, "discovery: 404"},
		"rebase-endpoint":    {[]hubtest.Fault{hubtest.EndpointForeign}, (*ward).follow, "hub_refused"},
		"heartbeat":          {[]hubtest.Fault{hubtest.HeartbeatAsked, hubtest.DiscoveryMissing}, (*ward).beat, "no heartbeat"},
	}
}

// notHere are the quirks for which hubtest has no hub that this agent would fail at, and why.
func notHere() map[string]string {
	return map[string]string{
		"version-stu1":     "a hub without sockets: see the tests of callbacks",
		"version-stu2":     "its hub says so itself, and takes today's names too",
		"version-3":        "undoes what a hub announces",
		"lower-case-names": "every hub of hubtest takes names in any case",
		"empty-logout":     "every hub of hubtest takes a logout with a reason",
		"fhir-r5":          "no hub of hubtest looks into a report",
		"status-text":      "every hub of hubtest reads numbers and texts",
		"no-channel-type":  "every hub of hubtest that can do without it takes it",
		"json-subscribe":   "every hub of hubtest takes forms",
		"bearer-on-socket": "every hub of hubtest lets a socket in by its address",
		"legacy-names":     "of the sign-in: see TestALaunchOf2019IsJoinedWhereItIsSwitchedOn",
		"one-scope":        "of the sign-in: see TestALaunchOf2019IsJoinedWhereItIsSwitchedOn",
	}
}

// Each quirk is worth its line in a configuration: without it something is refused or missing, and told to the user, to the
// app that asked, or in the answer of the hub; with it all is well.
func TestAQuirkMendsWhatIsToldWithoutIt(t *testing.T) {
	here, elsewhere := needs(), notHere()
	for _, q := range fhircast.Quirks() {
		if _, ok := here[q.Name]; ok == (elsewhere[q.Name] != "") {
			t.Errorf("%s is needed nowhere, or twice", q.Name)
		}
	}
	for _, quirk := range slices.Sorted(maps.Keys(here)) {
		n := here[quirk]
		for name, configured := range map[string][]string{"without": nil, "with": {quirk}} {
			t.Run(quirk+" "+name, func(t *testing.T) {
				t.Parallel()
				inWard(t, func(w *ward) {
					for _, f := range n.faults {
						w.hub.Fault(f, -1)
					}
					w.happens("Patient-open", list(patientItem("a")))
					if quirk == "get-context" {
						w.happens("Patient-close", list(patientItem("a")))
					}
					w.joins(configured...)
					w.quiet("joining")
					want := n.without
					if configured != nil {
						want = ""
					}
					if got := n.visit(w); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// come is what the user is told on joining, but for events that a hub of that time does not have.
func (w *ward) come() string {
	var codes []string
	for _, p := range w.agent.Status().Problems {
		if p.Code != "events_not_granted" && p.Code != problemAppNotGranted {
			codes = append(codes, p.Code)
		}
	}
	return strings.Join(codes, " ")
}

// follow is an open that the viewer is to follow.
func (w *ward) follow() string {
	w.happens("Patient-open", list(patientItem("b")))
	w.quiet("b is opened")
	if told := w.come(); told != "" {
		return told
	}
	if w.viewer.showing()["patient"] != "b" {
		return "b is not shown"
	}
	return ""
}

// ask is an open that an app asks for; it is taken in any case, and perhaps at the second try.
func (w *ward) ask() string {
	_, err := w.chart.sends("Patient-open", list(patientItem("b")), "")
	w.quiet("the chart asks for b: " + words(err))
	if err != nil || w.current()["patient"] != "b" {
		return "b is not current"
	}
	return w.refusedOf(hubtest.Publish)
}

// share is an update that an app asks for.
func (w *ward) share() string {
	w.happens("DiagnosticReport-open", list(reportItem("d"), studyItem("d"), patientItem("d")))
	w.quiet("d's report is opened")
	_, err := w.reporter.sends("DiagnosticReport-update", updateOf("d", "o1"), w.version())
	w.quiet("the reporter shares something: " + words(err))
	if err != nil {
		return err.Error()
	}
	return ""
}

// goes is the end of a subscription.
func (w *ward) goes() string {
	if err := w.agent.do(w.ctx, w.agent.leave); err != nil {
		return err.Error()
	}
	return w.refusedOf(hubtest.Unsubscribe)
}

func (w *ward) discover() string { return w.refusedOf(hubtest.Discovery) }

// beat is a heartbeat for an app that asked for it.
func (w *ward) beat() string {
	time.Sleep(longLasts)
	synctest.Wait()
	if !slices.ContainsFunc(w.reporter.tellings(0), func(t telling) bool { return t.what == "heartbeat" }) {
		return "no heartbeat"
	}
	return ""
}

// refusedOf is the first request of a kind that the hub refused.
func (w *ward) refusedOf(on hubtest.On) string {
	for _, r := range w.hub.Requests(on) {
		if r.Status/100 != 2 {
			return sprintf("%s: %d", on, r.Status)
		}
	}
	return ""
}
