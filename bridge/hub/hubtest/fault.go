package hubtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Fault is a way to misbehave, or to speak as a hub of another time. [Fault.Help] says what it does. Those that are
// about an event happen at the next event that goes to a socket; those that are about an answer, at the next such answer.
type Fault string

// What a subscribe request is answered with.
const (
	EndpointPlain          Fault = "endpoint-plain"
	EndpointForeign        Fault = "endpoint-foreign"
	EndpointMissing        Fault = "endpoint-missing"
	EndpointInHeader       Fault = "endpoint-in-header"
	EndpointOutlivesSocket Fault = "endpoint-outlives-socket"
	OldEndpointSilent      Fault = "old-endpoint-silent"
	RenewalMovesOn         Fault = "renewal-moves-on"
	ChannelTypeOptional    Fault = "channel-type-optional"
	TopicIsURL             Fault = "topic-is-url"
	WebhookOnly            Fault = "webhook-only"
)

// What goes wrong with the confirmation.
const (
	NeverConfirm            Fault = "never-confirm"
	ConfirmLate             Fault = "confirm-late"
	EventBeforeConfirmation Fault = "event-before-confirmation"
	ConfirmOtherTopic       Fault = "confirm-other-topic"
	ConfirmNoEvents         Fault = "confirm-no-events"
	ConfirmBlank            Fault = "confirm-blank"
	ConfirmEventsArray      Fault = "confirm-events-array"
	LeaseString             Fault = "lease-string"
	LeaseDashed             Fault = "lease-dashed"
	LeaseZero               Fault = "lease-zero"
	LeaseMissing            Fault = "lease-missing"
	InitialNone             Fault = "initial-none"
	InitialOne              Fault = "initial-one"
)

// What happens with an event.
const (
	EventTwice          Fault = "event-twice"
	EventOld            Fault = "event-old"
	EventFragmented     Fault = "event-fragmented"
	DeriveEvents        Fault = "derive-events"
	BroadcastNewID      Fault = "broadcast-new-id"
	CloseClearsCurrent  Fault = "close-clears-current"
	ReportWithoutAnchor Fault = "report-without-anchor"
	LogoutEmpty         Fault = "logout-empty"
	NamesLower          Fault = "names-lower"
	NamesMixed          Fault = "names-mixed"
	Names2019           Fault = "names-2019"
)

// What comes just before an event: a frame that no hub should send.
const (
	FrameForeignTopic Fault = "frame-foreign-topic"
	FrameUnasked      Fault = "frame-unasked"
	FrameNotJSON      Fault = "frame-not-json"
	FrameEmpty        Fault = "frame-empty"
	FrameBinary       Fault = "frame-binary"
	FrameHuge         Fault = "frame-huge"
	FrameTwoNames     Fault = "frame-two-names"
	FrameWrongType    Fault = "frame-wrong-type"
)

// What ends a socket instead of an event, which is lost.
const (
	Drop          Fault = "drop"
	Silent        Fault = "silent"
	Deny          Fault = "deny"
	CloseRestart  Fault = "close-restart"
	CloseInternal Fault = "close-internal"
)

// Heartbeats, which 3.0.0 has no more.
const (
	HeartbeatAsked         Fault = "heartbeat"
	HeartbeatStringPeriod  Fault = "heartbeat-string-period"
	HeartbeatWithoutPeriod Fault = "heartbeat-without-period"
)

// What a SyncError looks like, and who gets it.
const (
	SyncErrorLower              Fault = "syncerror-lower"
	SyncErrorSubscriberOnly     Fault = "syncerror-subscriber-only"
	SyncErrorSubscriberNameOnly Fault = "syncerror-subscribername-only"
	SyncErrorNobody             Fault = "syncerror-nobody"
	SyncErrorBare               Fault = "syncerror-bare"
	SyncErrorByPosition         Fault = "syncerror-by-position"
	SyncErrorSameID             Fault = "syncerror-same-id"
	SyncErrorManyIssues         Fault = "syncerror-many-issues"
	SyncErrorSevere             Fault = "syncerror-severe"
	SyncErrorMild               Fault = "syncerror-mild"
	SyncErrorToAll              Fault = "syncerror-to-all"
)

// How an event that a subscriber publishes is treated.
const (
	PublishAtTopic404    Fault = "publish-at-topic-404"
	PublishAtTopic405    Fault = "publish-at-topic-405"
	PublishFHIRJSONOnly  Fault = "publish-fhir-json-only"
	PublishJSONOnly      Fault = "publish-json-only"
	PublishNeedsContext  Fault = "publish-needs-context"
	UpdateMismatch400    Fault = "update-mismatch-400"
	UpdateMismatch412    Fault = "update-mismatch-412"
	AcceptedThenRefused  Fault = "accepted-then-refused"
	Accept200            Fault = "accept-200"
	Accept201            Fault = "accept-201"
	Accept204            Fault = "accept-204"
	AcceptWithoutBody    Fault = "accept-without-body"
	AcceptText           Fault = "accept-text"
	AcceptEchoesTheEvent Fault = "accept-echoes-the-event"
)

// What an unsubscribe comes to.
const (
	DenyOthers             Fault = "deny-others"
	UnsubscribeNeedsEvents Fault = "unsubscribe-needs-events"
	UnsubscribeWithout     Fault = "unsubscribe-without-events"
	UnsubscribeNoDenial    Fault = "unsubscribe-no-denial"
)

// What is wrong with the current context, and with discovery.
const (
	ContextNotOffered   Fault = "context-not-offered"
	ContextHTML         Fault = "context-html"
	ContextOtherPatient Fault = "context-other-patient"
	ContextArray        Fault = "context-array"
	ContextAsEvent      Fault = "context-as-event"
	ContextNone204      Fault = "context-none-204"
	ContextNone404      Fault = "context-none-404"
	ContextNoneArray    Fault = "context-none-array"
	DiscoveryMissing    Fault = "discovery-missing"
)

// What stands between, and answers any request.
const (
	Portal            Fault = "portal"
	RedirectElsewhere Fault = "redirect-elsewhere"
	TooManyRequests   Fault = "too-many-requests"
	Unavailable       Fault = "unavailable"
	UnavailableUntil  Fault = "unavailable-until"
)

// How content is shared.
const (
	Content2024 Fault = "content-2024"
	Content21   Fault = "content-2.1"
	ContentNone Fault = "content-none"
)

// Hubs of other times: each is several faults at once.
const (
	Version2019 Fault = "version-2019"
	VersionSTU1 Fault = "version-stu1"
	Version2020 Fault = "version-2020"
	VersionSTU2 Fault = "version-stu2"
	Version21   Fault = "version-2.1"
	Version2024 Fault = "version-2024"
)

// Faults lists what may happen any number of times.
func Faults() []Fault { return names(catalogue(), func(d deviation) bool { return d.made == nil }) }

// Habits lists what a hub is rather than does, and stays until it is set to 0: hubs of other times, and what a subscriber
// has to be told or remembers.
func Habits() []Fault { return names(catalogue(), func(d deviation) bool { return d.made != nil }) }

func names(rows []deviation, wanted func(deviation) bool) []Fault {
	var list []Fault
	for _, d := range rows {
		if wanted(d) {
			list = append(list, d.name)
		}
	}
	return list
}

// Help says in one sentence what a fault does; "" for a name that is none.
func (f Fault) Help() string {
	for _, d := range catalogue() {
		if d.name == f {
			return d.help
		}
	}
	return ""
}

// Parse reads a list such as "names-lower,drop=1": how many times each fault is to happen, -1 (always) where the list
// does not say. The error names what is wrong and may be shown.
func Parse(list string) (map[Fault]int, error) {
	known := append(Faults(), Habits()...)
	times := map[Fault]int{}
	for word := range strings.SplitSeq(list, ",") {
		name, count, counted := strings.Cut(strings.TrimSpace(word), "=")
		f := Fault(name)
		if !slices.Contains(known, f) {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
		times[f] = -1
		if counted {
			n, err := strconv.ParseUint(count, 10, 31)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("%q is not how many times %s is to happen: a whole number from 1", count, f)
			}
			times[f] = int(n)
		}
	}
	return times, nil
}
