package hubtest

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"
)

const syncErrorSystem = "https://fhircast.hl7.org/events/syncerror/"

type coding struct {
	System string `json:"system,omitempty"`
	Code   string `json:"code"`
}

// what is the coding's part in a SyncError: "eventid", "eventname", "subscriber", "subscribername".
func (c coding) what() string { return strings.TrimPrefix(c.System, syncErrorSystem) }

type issue struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics,omitempty"`
	Details     struct {
		Coding []coding `json:"coding,omitempty"`
	} `json:"details"`
}

type outcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// editOutcome changes what a SyncError says; it tells whether the message is one.
func editOutcome(n *notice, change func(*outcome)) bool {
	item := n.item("operationoutcome")
	var o outcome
	if n.event == nil || item == nil || json.Unmarshal(item["resource"], &o) != nil {
		return false
	}
	change(&o)
	item.set("resource", o)
	return true
}

func eachIssue(n *notice, change func(*issue)) bool {
	return editOutcome(n, func(o *outcome) {
		for i := range o.Issue {
			change(&o.Issue[i])
		}
	})
}

// eachCoding changes the codings of a SyncError, or leaves them out.
func eachCoding(n *notice, change func(coding) (changed coding, stays bool)) bool {
	return eachIssue(n, func(i *issue) {
		var list []coding
		for _, c := range i.Details.Coding {
			if c, stays := change(c); stays {
				list = append(list, c)
			}
		}
		i.Details.Coding = list
	})
}

func syncErrorRows() []deviation {
	without := func(names ...string) func(*socket, *notice) bool {
		return func(_ *socket, n *notice) bool {
			return eachCoding(n, func(c coding) (coding, bool) {
				for _, name := range names {
					if c.what() == name {
						return c, false
					}
				}
				return c, true
			})
		}
	}
	severity := func(word string) func(*socket, *notice) bool {
		return func(_ *socket, n *notice) bool { return eachIssue(n, func(i *issue) { i.Severity = word }) }
	}
	return []deviation{
		{name: SyncErrorLower, help: `A SyncError is called "syncerror".`, said: func(_ *socket, n *notice) bool {
			is := strings.EqualFold(n.name(), "SyncError")
			if is {
				n.event.set("hub.event", "syncerror")
			}
			return is
		}},
		{name: SyncErrorSubscriberOnly, help: "A SyncError names who failed by the coding \"subscriber\" alone.", said: without("subscribername")},
		{name: SyncErrorSubscriberNameOnly, help: "A SyncError names who failed by the coding \"subscribername\" alone.", said: without("subscriber")},
		{name: SyncErrorNobody, help: "A SyncError does not name who failed, as in STU2.", said: without("subscriber", "subscribername")},
		{name: SyncErrorSameID, help: "A SyncError has the id of the event that it is about, as in STU1.", said: func(_ *socket, n *notice) bool {
			return eachCoding(n, func(c coding) (coding, bool) {
				if c.what() == "eventid" {
					n.top.set("id", c.Code)
				}
				return c, true
			})
		}},
		{name: SyncErrorBare, help: "A SyncError has no codings: it does not say what it is about.",
			said: without("eventid", "eventname", "subscriber", "subscribername")},
		{name: SyncErrorByPosition, help: "A SyncError's codings have no system: event id, event name and subscriber are told by their order.",
			said: func(_ *socket, n *notice) bool {
				return eachIssue(n, func(i *issue) {
					var list [3]coding
					for _, c := range i.Details.Coding {
						switch c.what() {
						case "eventid":
							list[0] = coding{Code: c.Code}
						case "eventname":
							list[1] = coding{Code: c.Code}
						default:
							list[2] = coding{Code: c.Code}
						}
					}
					i.Details.Coding = list[:]
				})
			}},
		{name: SyncErrorManyIssues, help: "A SyncError has three issues: one about nothing, the real one, and one about an event of long ago.",
			said: func(_ *socket, n *notice) bool {
				return editOutcome(n, func(o *outcome) {
					old := issue{Severity: "warning", Code: "processing", Diagnostics: "long ago"}
					old.Details.Coding = []coding{{syncErrorSystem + "eventid", "long-ago"}, {syncErrorSystem + "eventname", "Patient-open"},
						{syncErrorSystem + "subscribername", "Somebody"}}
					o.Issue = append(append([]issue{{Severity: "information", Code: "informational", Diagnostics: "a remark"}}, o.Issue...), old)
				})
			}},
		{name: SyncErrorSevere, help: "A SyncError is of severity \"error\", as in 2.1.0.", said: severity("error")},
		{name: SyncErrorMild, help: "A SyncError is of severity \"information\".", said: severity("information")},
		{name: SyncErrorToAll, help: "A SyncError about an answer goes to the one who gave it, too."}, // see heard
	}
}

// newSyncError is what a hub says about an event that somebody did not follow.
func newSyncError(topic, eventID, eventName, subscriber, why string) *notice {
	i := issue{Severity: "warning", Code: "processing", Diagnostics: why}
	i.Details.Coding = []coding{{syncErrorSystem + "eventid", eventID}, {syncErrorSystem + "eventname", eventName},
		{syncErrorSystem + "subscribername", subscriber}, {syncErrorSystem + "subscriber", subscriber}}
	n := &notice{top: object{}, event: object{}, context: []object{{"key": raw("operationoutcome"), "resource": raw(outcome{"OperationOutcome", []issue{i}})}}}
	n.top.set("timestamp", stamp(time.Now()))
	n.top.set("id", rand.Text())
	n.event.set("hub.topic", topic)
	n.event.set("hub.event", "SyncError")
	return n
}
