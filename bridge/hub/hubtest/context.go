package hubtest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"time"
)

func contextRows() []deviation {
	read := func(f func(*call, object) bool) func(*call) bool {
		return func(c *call) bool {
			var m object
			return c.asked.On == Context && c.answer.status == http.StatusOK && json.Unmarshal(c.answer.body.Bytes(), &m) == nil && f(c, m)
		}
	}
	none := func(answer func(*recorder)) func(*call) bool {
		return read(func(c *call, m object) bool {
			if m.text("context.type") != "" {
				return false
			}
			answer(c.answer)
			return true
		})
	}
	return []deviation{
		{name: ContextNotOffered, help: "The current context is not offered: 501, and not advertised.", after: func(c *call) bool {
			if c.asked.On == Discovery {
				c.edit(func(doc object) {
					delete(doc, "getCurrentSupport")
					delete(doc, "capabilities")
				})
				return false // the GET counts it
			}
			if c.asked.On == Context {
				c.answer.replace(http.StatusNotImplemented, "text/plain", "not offered")
			}
			return c.asked.On == Context
		}},
		{name: ContextHTML, help: "The current context is answered 200 with a page, as a portal in between does.", after: read(func(c *call, _ object) bool {
			c.answer.replace(http.StatusOK, "text/html", "<!DOCTYPE html><title>Sign in to the guest network</title>")
			return true
		})},
		{name: ContextOtherPatient, help: `The current context is a Patient "other", whoever is current.`, after: read(func(c *call, _ object) bool {
			c.answer.replace(http.StatusOK, "application/json", `{"context.type":"Patient","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"other","identifier":[{"system":"urn:oid:2.999.1","value":"other"}]}}]}`)
			return true
		})},
		{name: ContextNone204, help: "With no current context the answer is 204.", after: none(func(a *recorder) { a.status = http.StatusNoContent; a.empty() })},
		{name: ContextNone404, help: "With no current context the answer is 404.", after: none(func(a *recorder) { a.replace(http.StatusNotFound, "text/plain", "none") })},
		{name: ContextNoneArray, help: "With no current context the answer is [].", after: none(func(a *recorder) { a.replace(http.StatusOK, "application/json", "[]") })},
		{name: ContextArray, help: "The current context is the bare array of its entries.", after: read(func(c *call, m object) bool {
			c.answer.replace(http.StatusOK, "application/json", string(m["context"]))
			return true
		})},
		{name: ContextAsEvent, help: "The current context is a whole message without hub.event, as in 2019.", after: read(func(c *call, m object) bool {
			n := &notice{top: object{"timestamp": raw(stamp(time.Now())), "id": raw(rand.Text())}, event: object{}}
			n.event.set("hub.topic", c.path)
			if c.server.armed.due(TopicIsURL) {
				n.event.set("hub.topic", c.server.topicURL(c.path))
			}
			_ = json.Unmarshal(m["context"], &n.context)
			c.answer.replace(http.StatusOK, "application/json", string(n.write()))
			return true
		})},
		{name: DiscoveryMissing, help: "There is no document of discovery: 404.", before: func(c *call) bool {
			if c.asked.On == Discovery {
				c.refuse(http.StatusNotFound, "not found")
			}
			return c.asked.On == Discovery
		}},
	}
}
