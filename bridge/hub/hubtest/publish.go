package hubtest

import (
	"mime"
	"net/http"
	"strings"
)

func publishRows() []deviation {
	atTopic := func(status int) func(*call) bool {
		return func(c *call) bool {
			if c.asked.On != Publish {
				return false
			}
			if c.path == "" {
				c.refuse(status, "events are taken at the topic")
			}
			c.path = ""
			return true
		}
	}
	only := func(kind string) func(*call) bool {
		return func(c *call) bool {
			if came, _, _ := mime.ParseMediaType(c.kind); c.asked.On != Publish || came == kind {
				return false
			}
			c.refuse(http.StatusUnsupportedMediaType, "only "+kind)
			return true
		}
	}
	mismatch := func(status int) func(*call) bool {
		return func(c *call) bool {
			n := c.event()
			due := n != nil && strings.HasSuffix(strings.ToLower(n.name()), "-update") && c.answer.status == http.StatusConflict
			if due {
				c.answer.status = status
			}
			return due
		}
	}
	accepts := func(change func(*recorder), kinds ...On) func(*call) bool {
		return func(c *call) bool {
			due := c.accepted(kinds...)
			if due {
				change(c.answer)
			}
			return due
		}
	}
	return []deviation{
		{name: PublishAtTopic404, made: []Fault{}, help: "Events are taken at hub.url/topic only; hub.url answers them 404.", before: atTopic(http.StatusNotFound)},
		{name: PublishAtTopic405, made: []Fault{}, help: "Events are taken at hub.url/topic only; hub.url answers them 405.", before: atTopic(http.StatusMethodNotAllowed)},
		{name: PublishFHIRJSONOnly, help: "Events are taken as application/fhir+json only; 415 otherwise.", before: only("application/fhir+json")},
		{name: PublishJSONOnly, help: "Events are taken as application/json only; 415 otherwise.", before: only("application/json")},
		{name: PublishNeedsContext, help: "An event with an empty context is refused with 400, Home-open too.", before: func(c *call) bool {
			n := c.event()
			if n == nil || len(n.context) > 0 {
				return false
			}
			c.refuse(http.StatusBadRequest, "the context is empty")
			return true
		}},
		{name: UpdateMismatch400, help: "An update of an old version is refused with 400.", after: mismatch(http.StatusBadRequest)},
		{name: UpdateMismatch412, help: "An update of an old version is refused with 412.", after: mismatch(http.StatusPreconditionFailed)},
		{name: AcceptedThenRefused, help: "An event is answered 202, goes to nobody, and its sender alone gets a SyncError.", before: refuseLater},
		{name: AcceptEchoesTheEvent, help: "An event that is taken is answered with itself.", after: func(c *call) bool {
			if c.accepted(Publish) {
				c.answer.replace(c.answer.status, "application/json", string(c.body))
				return true
			}
			return false
		}},
		{name: AcceptWithoutBody, help: "What publish and unsubscribe are answered has no body.",
			after: accepts(func(a *recorder) { a.empty() }, Publish, Unsubscribe)},
		{name: AcceptText, help: "What publish and unsubscribe are answered is the text \"OK\".",
			after: accepts(func(a *recorder) { a.replace(a.status, "text/plain", "OK") }, Publish, Unsubscribe)},
		{name: Accept200, help: "What is taken is answered 200.",
			after: accepts(func(a *recorder) { a.status = http.StatusOK }, Subscribe, Publish, Unsubscribe)},
		{name: Accept201, help: "What is taken is answered 201.",
			after: accepts(func(a *recorder) { a.status = http.StatusCreated }, Subscribe, Publish, Unsubscribe)},
		{name: Accept204, help: "What publish and unsubscribe are answered is 204.",
			after: accepts(func(a *recorder) { a.status = http.StatusNoContent; a.empty() }, Publish, Unsubscribe)},
		{name: DenyOthers, help: "An unsubscribe, also one of an endpoint that nobody has, denies everybody on the topic.", after: denyOthers},
		{name: UnsubscribeNeedsEvents, help: "An unsubscribe without hub.events is refused with 400.", before: unsubscribes(func(c *call) bool {
			if !c.form.Has("hub.events") {
				c.refuse(http.StatusBadRequest, "no hub.events")
				return true
			}
			return false
		})},
		{name: UnsubscribeWithout, help: "An unsubscribe with hub.events is refused with 400, as STU2 forbids them.", before: unsubscribes(func(c *call) bool {
			if c.form.Has("hub.events") {
				c.refuse(http.StatusBadRequest, "hub.events in an unsubscribe")
				return true
			}
			return false
		})},
		{name: UnsubscribeNoDenial, help: "Who has unsubscribed hears nothing more, no denial and no close frame, and the line ends within seconds.",
			before: unsubscribes(func(c *call) bool {
				e, _ := c.server.known(c.form.Get(endpointMember))
				if e != nil {
					c.first = append(c.first, func() { c.server.mute(e.now) })
				}
				return e != nil
			})},
	}
}

func unsubscribes(f func(*call) bool) func(*call) bool {
	return func(c *call) bool { return c.asked.On == Unsubscribe && f(c) }
}

// refuseLater takes an event and keeps it; the subscriptions that were made with the same token are told.
func refuseLater(c *call) bool {
	n := c.event()
	if n == nil {
		return false
	}
	if _, ok := c.server.config.Authorize(strings.TrimPrefix(c.origin.Header.Get("Authorization"), "Bearer ")); !ok {
		return false
	}
	topic, token := n.event.text("hub.topic"), c.origin.Header.Get("Authorization")
	Reply{Status: http.StatusAccepted, Kind: "application/json", Body: "{}"}.write(c.answer)
	c.first = append(c.first, func() {
		for _, to := range c.server.named("") {
			if to.topic == topic && to.token == token {
				to.say(newSyncError(topic, n.top.text("id"), n.name(), to.name, "refused afterwards"))
			}
		}
	})
	return true
}

// denyOthers is what a hub in the field does that cannot tell its subscribers apart.
func denyOthers(c *call) bool {
	if c.asked.On != Unsubscribe || c.answer.status != http.StatusAccepted && c.answer.status != http.StatusNotFound {
		return false
	}
	topic, own := c.form.Get("hub.topic"), c.form.Get(endpointMember)
	if c.answer.status == http.StatusNotFound {
		c.answer.replace(http.StatusAccepted, "application/json", "{}")
	}
	c.then = append(c.then, func() {
		for _, to := range c.server.named("") {
			if to.topic == topic && !strings.HasSuffix(own, to.path) {
				to.deny("a subscriber has unsubscribed")
			}
		}
	})
	return true
}
