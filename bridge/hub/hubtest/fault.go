package hubtest

import (
	"net/http"
	"strconv"
	"time"
)

// A Fault is a way to misbehave that is not just a wrong answer to a request ([Reply]). Those that are about an event
// happen at the next event that goes to a socket.
type Fault string

// What a subscribe request is answered with.
const (
	EndpointPlain   Fault = "endpoint-plain"   // a ws:// address
	EndpointForeign Fault = "endpoint-foreign" // an address at another host
	EndpointMissing Fault = "endpoint-missing" // 202 and an empty object
	RenewalMovesOn  Fault = "renewal-moves-on" // a renewal gets a new endpoint, and the old socket stays
)

// What goes wrong with the confirmation.
const (
	NeverConfirm      Fault = "never-confirm"       // it is left out; events come
	ConfirmOtherTopic Fault = "confirm-other-topic" // it names another topic
	ConfirmNoEvents   Fault = "confirm-no-events"   // hub.events is ""
)

// What happens with an event.
const (
	EventTwice      Fault = "event-twice"      // it is sent twice
	EventOld        Fault = "event-old"        // its timestamp is a day earlier
	EventFragmented Fault = "event-fragmented" // it comes in fragments of 7 bytes, with a ping in the middle
)

// What comes just before an event: a frame that no hub should send.
const (
	FrameForeignTopic Fault = "frame-foreign-topic" // a Patient-open of another topic, with id "foreign"
	FrameUnasked      Fault = "frame-unasked"       // an event that nobody asks for, with id "unasked"
	FrameNotJSON      Fault = "frame-not-json"
	FrameEmpty        Fault = "frame-empty"
	FrameBinary       Fault = "frame-binary"
	FrameHuge         Fault = "frame-huge"       // an event of 5 MiB, with id "huge"
	FrameTwoNames     Fault = "frame-two-names"  // an event with a member twice, with id "twice"
	FrameWrongType    Fault = "frame-wrong-type" // an event whose context is a text, with id "wrong"
)

// What ends a socket instead of an event, which is lost.
const (
	Drop          Fault = "drop"           // the line breaks without a close frame
	Silent        Fault = "silent"         // from here on nothing is sent, read or closed, pings included
	Deny          Fault = "deny"           // a denial, and the socket is closed with 1000
	CloseRestart  Fault = "close-restart"  // close 1012
	CloseInternal Fault = "close-internal" // close 1011
)

// DenyOthers makes an unsubscribe deny everybody on the topic, as a hub in the field does that cannot tell them apart.
const DenyOthers Fault = "deny-others"

// What is wrong with the current context. Slow answers and error statuses are for [Server.Reply].
const (
	ContextNotOffered   Fault = "context-not-offered"   // 501, and not advertised
	ContextHTML         Fault = "context-html"          // 200 with a page, as a portal in between answers
	ContextOtherPatient Fault = "context-other-patient" // a Patient "other", whoever is current
)

// Faults lists all there are.
func Faults() []Fault {
	return []Fault{EndpointPlain, EndpointForeign, EndpointMissing, RenewalMovesOn, NeverConfirm, ConfirmOtherTopic,
		ConfirmNoEvents, EventTwice, EventOld, EventFragmented, FrameForeignTopic, FrameUnasked, FrameNotJSON, FrameEmpty,
		FrameBinary, FrameHuge, FrameTwoNames, FrameWrongType, Drop, Silent, Deny, CloseRestart, CloseInternal, DenyOthers,
		ContextNotOffered, ContextHTML, ContextOtherPatient}
}

// On is a kind of request.
type On string

// The requests of a subscriber.
const (
	Subscribe   On = "subscribe" // renewals too
	Unsubscribe On = "unsubscribe"
	Publish     On = "publish"
	Context     On = "context"
	Discovery   On = "discovery"
	Connect     On = "connect" // the WebSocket's handshake
)

// A Reply is how a request is treated instead of being answered properly. What is zero is not done.
type Reply struct {
	Delay      time.Duration // before anything else
	Late       time.Duration // the hub has taken the request, its answer waits
	Lose       bool          // the hub has taken the request, the line breaks instead of an answer
	Status     int           // the hub does not see the request
	RetryAfter time.Duration // header, in seconds
	Kind       string        // Content-Type, "" means text/plain
	Body       string
}

func (r Reply) write(w http.ResponseWriter) {
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(r.RetryAfter/time.Second)))
	}
	if r.Kind == "" {
		r.Kind = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", r.Kind)
	w.WriteHeader(r.Status)
	_, _ = w.Write([]byte(r.Body))
}

// armed is what is set to go wrong, and how many times more: below 0 always. It is guarded by the server's lock.
type armed struct {
	faults  map[Fault]int
	replies map[On][]pendingReply
}

type pendingReply struct {
	Reply
	times int
}

// take tells whether a fault is due, and counts it.
func (a *armed) take(f Fault) bool {
	n := a.faults[f]
	if n > 0 {
		a.faults[f] = n - 1
	}
	return n != 0
}

// takeReply gives the first reply that is due for a kind of request, or one that does nothing.
func (a *armed) takeReply(on On) Reply {
	list := a.replies[on]
	if len(list) == 0 {
		return Reply{}
	}
	r := list[0].Reply
	if list[0].times > 0 {
		list[0].times--
	}
	if list[0].times == 0 {
		a.replies[on] = list[1:]
	}
	return r
}
