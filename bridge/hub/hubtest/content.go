package hubtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// contentRows are -update and -select in the shapes of the ballots (2.1.0, 3.0.0-ballot).
func contentRows() []deviation {
	return []deviation{
		{name: Content2024, help: "Updates and selections name resources instead of references, as in the ballot of 3.0.0; others are refused.",
			before: needsResources, said: onEvent(func(_ *socket, n *notice) bool { return asResources(n) && selectResources(n) })},
		{name: Content21, help: "As content-2024, and what is new is POSTed, what goes is named by a resource, as in the ballot of 2.1.0.",
			before: needsResources, said: onEvent(func(to *socket, n *notice) bool { return asResources(n) && content21(to, n) })},
		{name: ContentNone, help: "No content is shared: no versions, no updates, no selections.",
			before: refuseContent, said: onEvent(func(_ *socket, n *notice) bool {
				_, versioned := n.event["context.versionId"]
				delete(n.event, "context.versionId")
				return versioned
			}), after: func(c *call) bool {
				c.eventsSupported(func(name string) string {
					if contentName(name) {
						return ""
					}
					return name
				})
				if c.asked.On == Context && c.answer.status == http.StatusOK {
					c.edit(withoutContent)
				}
				return false
			}},
	}
}

func contentName(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "-update") || strings.HasSuffix(name, "-select")
}

// withoutContent is a current context of before there was content.
func withoutContent(m object) {
	delete(m, "context.versionId")
	var entries []object
	_ = json.Unmarshal(m["context"], &entries)
	m.set("context", slices.DeleteFunc(entries, func(item object) bool { return item.text("key") == "content" }))
}

// refuseContent does not know what shares content.
func refuseContent(c *call) bool {
	if c.asked.On == Subscribe {
		names := slices.DeleteFunc(strings.Split(c.form.Get("hub.events"), ","), contentName)
		c.form.Set("hub.events", strings.Join(names, ","))
	}
	n := c.event()
	if n == nil || !contentName(n.name()) {
		return false
	}
	c.refuse(http.StatusBadRequest, "not an event that is known")
	return true
}

func shares(n *notice, verb string) bool {
	return strings.HasSuffix(strings.ToLower(n.name()), "-"+verb)
}

// needsResources refuses what a hub of that time did not know: an anchor that is a reference.
func needsResources(c *call) bool {
	n := c.event()
	if n == nil || !contentName(n.name()) {
		return false
	}
	for _, item := range n.context {
		if item["reference"] != nil {
			c.refuse(http.StatusBadRequest, "the context holds a reference")
			return true
		}
	}
	return false
}

type stub struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
}

// asResources puts a resource with type and id where an update or a selection has a reference, but for the selection
// itself.
func asResources(n *notice) bool {
	if !contentName(n.name()) {
		return false
	}
	for _, item := range n.context {
		if item["reference"] != nil && item.text("key") != "select" {
			kind, id := item.resource()
			delete(item, "reference")
			item.set("resource", stub{kind, id})
		}
	}
	return true
}

// selected takes the entries of a selection out of the context.
func selected(n *notice) []stub {
	list := []stub{}
	n.context = slices.DeleteFunc(n.context, func(item object) bool {
		if item.text("key") != "select" {
			return false
		}
		if kind, id := item.resource(); id != "" {
			list = append(list, stub{kind, id})
		}
		var more []stub
		_ = json.Unmarshal(item["resources"], &more)
		list = append(list, more...)
		return true
	})
	return list
}

func selectResources(n *notice) bool {
	if shares(n, "select") {
		n.context = append(n.context, object{"key": raw("select"), "resources": raw(selected(n))})
	}
	return true
}

func content21(to *socket, n *notice) bool {
	if shares(n, "select") {
		n.context = append(n.context, object{"select": raw(selected(n))})
		return true
	}
	item := n.item("updates")
	var bundle object
	var entries []object
	if item == nil || json.Unmarshal(item["resource"], &bundle) != nil || json.Unmarshal(bundle["entry"], &entries) != nil {
		return true
	}
	for _, e := range entries {
		var ask object
		_ = json.Unmarshal(e["request"], &ask)
		kind, id := e.resource()
		switch ask.text("method") {
		case http.MethodPut:
			if !to.open[kind+"/"+id] {
				ask.set("method", http.MethodPost)
			}
			to.open[kind+"/"+id] = true
		case http.MethodDelete:
			kind, id, _ = cutLast(e.text("fullUrl"))
			delete(e, "fullUrl")
			e.set("resource", stub{kind, id})
			delete(to.open, kind+"/"+id)
		}
		e.set("request", ask)
	}
	bundle.set("entry", entries)
	item.set("resource", bundle)
	return true
}
