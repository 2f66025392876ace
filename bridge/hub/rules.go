package hub

import (
	"encoding/json"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// Rules are what FHIRcast leaves to a hub, or a profile demands of one beyond it. The zero value keeps to FHIRcast 3.0.0
// without what it calls experimental.
type Rules struct {
	// Conflict answers an update of another version than the latest; 0 means 409.
	Conflict int
	// Unknown answers a request that names a topic or an endpoint that is not there; 0 means 404.
	Unknown int
	// NonCurrentUpdates takes updates of a context that is open and not current, and advertises it (experimental, 2.10).
	NonCurrentUpdates bool
	// Derive sends those who did not subscribe to an open the opens of what it refers to (experimental, 2.5). It is off
	// because closes are not derived: who is told of the patient of a study is not told when the study is closed.
	Derive bool

	// AnyEvent takes events that are not in [Config].Events too.
	AnyEvent bool
	// AnyTopic begins a session for who subscribes to a topic that is not there, up to 1,000.
	AnyTopic bool
	// Named refuses subscribers without a subscriber.name. Two of one name are taken: the second may be the first, back
	// before the hub has noticed that its line is dead.
	Named bool
	// ImagingReports refuses the open of a report without its patient and study.
	ImagingReports bool
	// MustBeOpen refuses the close of what is not open: 409.
	MustBeOpen bool
	// KnownSelections takes what is neither in the context nor in its content out of a selection, and says so: 206.
	KnownSelections bool
	// SameIdentity refuses an update that changes what patient and study of the open are known by.
	SameIdentity bool
	// CheckedErrors refuses a SyncError that does not say what FHIRcast wants it to.
	CheckedErrors bool
	// MoreErrors sends SyncErrors about updates and selections too, and about a subscriber that is lost before its first
	// event.
	MoreErrors bool
	// Severity is that of the hub's own SyncErrors; "" means warning.
	Severity string
}

// IRA is the hub of IHE's Integrated Reporting Applications 1.0 (RAD-146 to RAD-156), where that asks for more than
// FHIRcast 3.0.0 or for something else. It serves sockets only: give it no [Webhooks].
func IRA() Rules {
	return Rules{
		Conflict: 400, Unknown: 400, NonCurrentUpdates: true, AnyEvent: true, AnyTopic: true, Named: true, ImagingReports: true,
		MustBeOpen: true, KnownSelections: true, SameIdentity: true, CheckedErrors: true, MoreErrors: true, Severity: "information",
	}
}

// offers tells whether the hub deals in such events.
func (h *Hub) offers(n fhircast.Name) bool {
	return n.In(h.config.Events) || h.config.Rules.AnyEvent && !strings.ContainsAny(string(n), "* ,")
}

// shares tells whether the hub shares content (FHIRcast 3.0.0, 2.10). If it does not, its events carry no versions.
func (h *Hub) shares() bool {
	for _, n := range h.config.Events {
		if n.Verb() == fhircast.Update {
			return true
		}
	}
	return h.config.Rules.AnyEvent
}

// check is for what the hub relies on in an event, whatever the session. (Whether a patient belongs to a study is the
// requester's to guarantee; FHIRcast 3.0.0, 2.6.)
func (h *Hub) check(e *fhircast.Event) error {
	rules := h.config.Rules
	switch {
	case len(e.ID) > 200:
		return refuse(400, "the id is longer than 200 characters")
	case !h.offers(e.Name):
		return refuse(400, "the hub does not offer this event; see eventsSupported")
	case e.Name.Changes() && !e.Name.Is(fhircast.HomeOpen) && anchorID(e) == "":
		return refuse(400, "the context does not hold the %s that the event is about exactly once, as a resource with an id", e.Name.Resource())
	case rules.ImagingReports && e.Name.Verb() == fhircast.Open && e.Name.Resource() == "DiagnosticReport" && !(holds(e, "patient") && holds(e, "study")):
		return refuse(400, "the open of a report without its patient and study")
	case rules.CheckedErrors && e.Name.Is(fhircast.SyncError):
		return checkError(e)
	}
	return nil
}

func holds(e *fhircast.Event, key string) bool {
	for _, item := range e.Context {
		if item.Key == key && item.Kind == "resource" {
			return true
		}
	}
	return false
}

// checkError is for what a SyncError of a Subscriber has to say (FHIRcast 3.0.0, 3.2.1; RAD-156): of which event, by
// whom, and why.
func checkError(e *fhircast.Event) error {
	var outcome struct {
		ResourceType string
		Issue        []struct {
			Severity, Code, Diagnostics string
			Details                     struct {
				Coding []struct{ System, Code string }
			}
		}
	}
	item, ok := e.Item("operationoutcome")
	if !ok || item.Kind != "resource" || json.Unmarshal(item.Value, &outcome) != nil || outcome.ResourceType != "OperationOutcome" {
		return refuse(400, "the SyncError has no OperationOutcome")
	}
	for _, issue := range outcome.Issue {
		said := map[string]bool{}
		for _, c := range issue.Details.Coding {
			if what, ours := strings.CutPrefix(c.System, "https://fhircast.hl7.org/events/syncerror/"); ours && c.Code != "" {
				said[what] = true
			}
		}
		if issue.Code == "processing" && issue.Severity == "warning" && issue.Diagnostics != "" &&
			said["eventid"] && said["eventname"] && (said["subscribername"] || said["subscriber"]) {
			return nil
		}
	}
	return refuse(400, "the SyncError has no issue that is a warning of code processing with diagnostics, event id, event name and subscriber")
}
