package hubtest

import (
	"strings"
	"time"
)

// lateBy is how long a late confirmation is held back.
const lateBy = 5 * time.Second

func confirmationRows() []deviation {
	member := func(change func(object)) func(*socket, *notice) bool {
		return func(_ *socket, n *notice) bool {
			if n.confirms() {
				change(n.top)
			}
			return n.confirms()
		}
	}
	lease := func(change func(o object, seconds string)) func(*socket, *notice) bool {
		return member(func(o object) {
			seconds := string(o["hub.lease_seconds"])
			delete(o, "hub.lease_seconds")
			change(o, seconds)
		})
	}
	joins := func(f Fault) func(*call) bool {
		return func(c *call) bool {
			joins := c.asked.On == Connect || c.asked.On == Subscribe && c.form.Has("hub.callback")
			if joins {
				c.join = f
			}
			return joins
		}
	}
	return []deviation{
		{name: NeverConfirm, help: "The confirmation is left out; events come."},
		{name: ConfirmLate, help: "The confirmation comes after 5 s, and events do not wait for it."},
		{name: EventBeforeConfirmation, help: "The confirmation comes after the first event, or after 5 s."},
		{name: ConfirmOtherTopic, help: "The confirmation names another topic.",
			said: member(func(o object) { o.set("hub.topic", "T-other") })},
		{name: ConfirmNoEvents, help: "The confirmation's hub.events is empty.",
			said: member(func(o object) { o.set("hub.events", "") })},
		{name: ConfirmBlank, help: "The confirmation's hub.events is empty, and blank members stand beside it.",
			said: member(func(o object) {
				for _, name := range []string{"hub.events", "hub.callback", "hub.secret", "hub.reason", endpointMember} {
					o.set(name, "")
				}
			})},
		{name: ConfirmEventsArray, help: "The confirmation's hub.events is an array.",
			said: member(func(o object) { o.set("hub.events", strings.Split(o.text("hub.events"), ",")) })},
		{name: LeaseString, help: "The confirmation's lease is a string.",
			said: lease(func(o object, seconds string) { o.set("hub.lease_seconds", seconds) })},
		{name: LeaseDashed, help: "The confirmation's lease is called hub.lease-seconds, as in an example of 2020.",
			said: lease(func(o object, seconds string) { o["hub.lease-seconds"] = []byte(seconds) })},
		{name: LeaseZero, help: "The confirmation's lease is 0.",
			said: lease(func(o object, _ string) { o.set("hub.lease_seconds", 0) })},
		{name: LeaseMissing, help: "The confirmation has no lease.",
			said: lease(func(object, string) {})},
		{name: InitialNone, help: "Who joins is not told what is open, as before 2.1.0.", before: joins(InitialNone)},
		{name: InitialOne, help: "Who joins is told the current context alone, as in 2.1.0.", before: joins(InitialOne)},
	}
}
