package hubtest

import "slices"

// A deviation is a row of the catalogue: a fault, and where it reaches in. Each function tells whether it did something,
// which is what is counted. A row without functions is done where frames are written, or in a request's way.
type deviation struct {
	name Fault
	help string
	made []Fault // of a habit: the faults that make it up, empty where it is one of its own

	before func(*call) bool            // a request, on its way to the hub
	after  func(*call) bool            // the hub's answer, on its way back
	said   func(*socket, *notice) bool // a message of the hub's, on its way to a socket
}

// catalogue is all there is, in the order in which it is applied. It is written anew for each caller.
func catalogue() []deviation {
	return slices.Concat(betweenRows(), subscribeRows(), confirmationRows(), eventRows(), socketRows(), syncErrorRows(),
		publishRows(), contextRows(), contentRows(), versionRows())
}

// versionRows are hubs of other times, from what was printed then. Each differs from 3.0.0 in what its parts say.
func versionRows() []deviation {
	return []deviation{
		{name: Version2019, help: "The hub speaks as the drafts of 2019: old names, the topic is an address to post to and to get from, no discovery.",
			made: []Fault{Names2019, TopicIsURL, PublishAtTopic404, PublishJSONOnly, ContextAsEvent, DiscoveryMissing, ChannelTypeOptional,
				ContentNone, InitialNone, LogoutEmpty, UnsubscribeNeedsEvents, UnsubscribeNoDenial, SyncErrorBare, SyncErrorSameID}},
		{name: VersionSTU1, help: "The hub speaks as STU1: webhooks alone, lower case, no discovery, no current context.",
			made: []Fault{NamesLower, WebhookOnly, PublishJSONOnly, ContextNotOffered, DiscoveryMissing, ContentNone, InitialNone, LogoutEmpty,
				UnsubscribeNeedsEvents, SyncErrorBare, SyncErrorSameID}},
		{name: Version2020, help: "The hub speaks as the ballot of February 2020: lower case, endpoint in Content-Location, no discovery, no current context.",
			made: []Fault{NamesLower, EndpointInHeader, LeaseDashed, PublishJSONOnly, ContextNotOffered, DiscoveryMissing, ContentNone, InitialNone, LogoutEmpty,
				UnsubscribeNeedsEvents, UnsubscribeNoDenial, SyncErrorBare, SyncErrorSameID}},
		{name: VersionSTU2, help: "The hub speaks as STU2: lower-case names, no current context, nothing told on joining, SyncErrors that name nobody.",
			after: discovers("STU2", "webhookSupport", false), made: []Fault{NamesLower, PublishJSONOnly, ContextNotOffered, ContentNone, InitialNone,
				LogoutEmpty, UnsubscribeWithout, UnsubscribeNoDenial, SyncErrorNobody}},
		{name: Version21, help: "The hub speaks as the ballot of 2.1.0: a heartbeat, \"syncerror\", one open on joining, content as resources with POST.",
			after: discovers("STU3", "getCurrentSupport", true), made: []Fault{HeartbeatAsked, SyncErrorLower, SyncErrorSubscriberOnly,
				SyncErrorSevere, PublishJSONOnly, InitialOne, LogoutEmpty, UnsubscribeWithout, UnsubscribeNoDenial, Content21}},
		{name: Version2024, help: "The hub speaks as the ballot of 3.0.0: a heartbeat, content as resources, SyncErrors with subscribername.",
			after: discovers("STU3", "getCurrentSupport", true, "fhirVersion", "R4"), made: []Fault{HeartbeatAsked, SyncErrorSubscriberNameOnly,
				SyncErrorMild, PublishJSONOnly, Content2024}},
	}
}

// discovers writes the document of discovery as a version had it: with those members, in pairs, beside the required ones.
func discovers(version string, members ...any) func(*call) bool {
	return func(c *call) bool {
		if c.asked.On != Discovery || c.answer.status != 200 {
			return false
		}
		c.edit(func(doc object) {
			for name := range doc {
				if name != "eventsSupported" && name != "websocketSupport" {
					delete(doc, name)
				}
			}
			doc.set("fhircastVersion", version)
			for i := 0; i < len(members); i += 2 {
				doc.set(members[i].(string), members[i+1])
			}
		})
		return true
	}
}
