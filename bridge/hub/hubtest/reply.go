package hubtest

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

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
	parts   map[Fault][]Fault // of the habits that are on
}

type pendingReply struct {
	Reply
	times int
}

func newArmed() armed {
	return armed{faults: map[Fault]int{}, replies: map[On][]pendingReply{}, parts: map[Fault][]Fault{}}
}

// due tells whether a fault is set, by itself or as a part of a habit.
func (a *armed) due(f Fault) bool {
	if a.faults[f] != 0 {
		return true
	}
	for _, parts := range a.parts {
		if slices.Contains(parts, f) {
			return true
		}
	}
	return false
}

// spend counts a fault that has happened.
func (a *armed) spend(f Fault) {
	if a.faults[f] > 0 && a.parts[f] == nil {
		a.faults[f]--
	}
}

// take tells whether a fault is due, and counts it.
func (a *armed) take(f Fault) bool {
	due := a.due(f)
	a.spend(f)
	return due
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
