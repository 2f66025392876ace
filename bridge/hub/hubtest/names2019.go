package hubtest

import (
	"encoding/json"
	"strings"
)

// names2019 are the events of the drafts of May 2019 and before, and what they are called today.
var names2019 = []struct{ then, now string }{
	{"open-patient-chart", "Patient-open"},
	{"switch-patient-chart", "Patient-open"},
	{"close-patient-chart", "Patient-close"},
	{"open-imaging-study", "ImagingStudy-open"},
	{"switch-imaging-study", "ImagingStudy-open"},
	{"close-imaging-study", "ImagingStudy-close"},
	{"user-logout", "UserLogout"},
	{"user-hibernate", "UserHibernate"},
	{"sync-error", "SyncError"},
}

// now is what an old name means; "" when it was none.
func now(then string) string {
	for _, n := range names2019 {
		if strings.EqualFold(n.then, then) {
			return n.now
		}
	}
	return ""
}

// then is what an event was called; switched where what is opened was open already. "" when there was none.
func then(today string, switched bool) string {
	for _, n := range names2019 {
		if strings.EqualFold(n.now, today) && switched == strings.HasPrefix(n.then, "switch-") {
			return n.then
		}
	}
	return ""
}

// understand2019 lets the hub understand old names, and no others.
func understand2019(c *call) bool {
	if c.form != nil && c.form.Has("hub.events") {
		var today []string
		for name := range strings.SplitSeq(c.form.Get("hub.events"), ",") {
			if n := now(strings.TrimSpace(name)); n != "" {
				today = append(today, n)
			}
		}
		c.form.Set("hub.events", strings.Join(today, ","))
	}
	if n := c.event(); n != nil {
		n.event.set("hub.event", now(n.name()))
		c.body = n.write()
	}
	return false
}

// speak2019 gives a message its old names. An open of what the subscriber knows as open is a switch. An event that had
// no name then keeps today's: it is not told to anyone who could not ask for it.
func speak2019(to *socket, n *notice) bool {
	if n.event == nil {
		n.top.set("hub.events", to.asked.Get("hub.events"))
		return true
	}
	anchor := ""
	for _, level := range levels {
		if strings.HasPrefix(strings.ToLower(n.name()), strings.ToLower(level.name)+"-") {
			_, id := n.item(level.key).resource()
			anchor = level.name + "/" + id
		}
	}
	opens := strings.HasSuffix(strings.ToLower(n.name()), "-open")
	if old := then(n.name(), opens && to.open[anchor]); old != "" {
		n.event.set("hub.event", old)
	}
	to.open[anchor] = opens
	return true
}

func advertise2019(c *call) bool {
	if c.asked.On == Discovery {
		c.edit(func(doc object) {
			var names, old []string
			_ = json.Unmarshal(doc["eventsSupported"], &names)
			for _, n := range names2019 {
				for _, today := range names {
					if strings.EqualFold(n.now, today) {
						old = append(old, n.then)
					}
				}
			}
			doc.set("eventsSupported", old)
		})
	}
	return false
}
