package subscriber

import "fmt"

// A State is where the subscription stands.
type State uint8

const (
	idle        State = iota // Run has not begun
	waiting                  // for the time of the next try; the last one failed
	returning                // likewise, and none has failed: the agent asked for a new connection
	subscribing              // the request is under way
	connecting               // to the socket that the hub named
	confirming               // the socket is up, the hub has not confirmed
	subscribed
	renewing // subscribed, the request to renew is under way
	moving   // subscribed, and connecting to another socket that the hub named in answer to a renewal
	leaving  // unsubscribing and closing
	ended
	states
)

// Subscribed tells whether a confirmed subscription is in force.
func (s State) Subscribed() bool { return s == subscribed || s == renewing || s == moving }

// Waiting tells whether there is no connection and none being made: the last try failed and the next is not due.
func (s State) Waiting() bool { return s == waiting }

func (s State) String() string {
	names := [...]string{"idle", "waiting", "returning", "subscribing", "connecting", "confirming", "subscribed", "renewing", "moving", "leaving", "ended"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// An input is what can happen. There are at most two lines at a time: the live one, which is subscribed, and the one
// that is coming.
type input uint8

const (
	begin       input = iota // Run begins
	accepted                 // the hub names a socket for the coming line
	extended                 // the hub renewed the live line
	refused                  // the hub did not accept, or did not answer
	rejected                 // the hub did not accept, and no retry mends that
	opened                   // the coming line's socket is up
	failed                   // the coming line came to nothing
	confirmed                // the hub confirmed the coming line
	reconfirmed              // the hub confirmed the live line again
	lost                     // the live line ended
	denied                   // the hub denied us for the second time in a minute
	due                      // the next try is due
	renewDue                 // the next renewal is due
	reconnect                // the agent asks for a new connection
	stop                     // Run's context ended
	left                     // unsubscribed and closed
	inputs
)

func (i input) String() string {
	names := [...]string{"begin", "accepted", "extended", "refused", "rejected", "opened", "failed", "confirmed", "reconfirmed",
		"lost", "denied", "due", "renew due", "reconnect", "stop", "left"}
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("input %d", uint8(i))
}

// An effect is what the owner does about a transition.
type effect uint8

const (
	post       effect = iota // ask for a subscription, for a new coming line
	renew                    // ask to renew the live line; the answer may make a coming line
	dial                     // connect the coming line
	listen                   // read and write the coming line, and give the hub time to confirm
	announce                 // the coming line is the live one; close the one before
	update                   // what the live line is granted, and for how long
	extend                   // the live line's lease begins anew
	renewLater               // try the renewal again later
	dropComing               // give up the coming line
	drop                     // give up both lines; the live one is lost
	schedule                 // the next try
	leave                    // unsubscribe and close
	finish                   // Run ends
	effects
)

func (e effect) String() string {
	names := [...]string{"post", "renew", "dial", "listen", "announce", "update", "extend", "renew later", "drop coming", "drop",
		"schedule", "leave", "finish"}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("effect %d", uint8(e))
}
