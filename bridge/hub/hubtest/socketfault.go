package hubtest

import (
	"net/http"
	"time"
)

// beatEvery is the period of the heartbeats.
const beatEvery = 10 * time.Second

func socketRows() []deviation {
	return []deviation{
		{name: FrameForeignTopic, help: `Before an event comes a Patient-open of another topic, with id "foreign".`},
		{name: FrameUnasked, help: `Before an event comes one that nobody asks for, with id "unasked".`},
		{name: FrameNotJSON, help: "Before an event comes a frame that is no JSON."},
		{name: FrameEmpty, help: "Before an event comes an empty frame."},
		{name: FrameBinary, help: "Before an event comes a binary frame."},
		{name: FrameHuge, help: `Before an event comes one of 5 MiB, with id "huge".`},
		{name: FrameTwoNames, help: `Before an event comes one with a member twice, with id "twice".`},
		{name: FrameWrongType, help: `Before an event comes one whose context is a text, with id "wrong".`},
		{name: Drop, help: "Instead of an event the line breaks, without a close frame."},
		{name: Silent, help: "Instead of an event nothing comes: from there on nothing is sent, read or closed, pings included."},
		{name: Deny, help: "Instead of an event comes a denial, and the socket is closed with 1000."},
		{name: CloseRestart, help: "Instead of an event the socket is closed with 1012 (the hub restarts)."},
		{name: CloseInternal, help: "Instead of an event the socket is closed with 1011 (the hub has failed)."},
		{name: HeartbeatAsked, help: "A heartbeat every 10 s to those who asked for it, as in the ballots of 2.1.0 and 3.0.0."},
		{name: HeartbeatStringPeriod, help: "A heartbeat every 10 s to everybody, asked for or not, with its period as a string."},
		{name: HeartbeatWithoutPeriod, help: "A heartbeat every 10 s to everybody, asked for or not, with an empty context."},
	}
}

// betweenRows are what answers in the hub's place: a proxy, a portal, a balancer.
func betweenRows() []deviation {
	answers := func(r Reply) func(*call) bool {
		return func(c *call) bool {
			r.write(c.answer)
			return true
		}
	}
	const page = "<!DOCTYPE html><title>Sign in to the guest network</title>"
	return []deviation{
		{name: Portal, help: "Every request is answered 200 with the sign-in page of a guest network.",
			before: answers(Reply{Status: http.StatusOK, Kind: "text/html", Body: page})},
		{name: RedirectElsewhere, help: "Every request is redirected (307) to another host.", before: func(c *call) bool {
			c.answer.header.Set("Location", "https://"+elsewhere+c.full())
			c.refuse(http.StatusTemporaryRedirect, "moved")
			return true
		}},
		{name: TooManyRequests, help: "Every request is answered 429 with Retry-After: 7.",
			before: answers(Reply{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second})},
		{name: Unavailable, help: "Every request is answered 503 with Retry-After: 7.",
			before: answers(Reply{Status: http.StatusServiceUnavailable, RetryAfter: 7 * time.Second})},
		{name: UnavailableUntil, help: "Every request is answered 503 with a Retry-After that is a date, 7 s from now.", before: func(c *call) bool {
			c.answer.header.Set("Retry-After", time.Now().Add(7*time.Second).UTC().Format(http.TimeFormat))
			c.refuse(http.StatusServiceUnavailable, "down")
			return true
		}},
	}
}
