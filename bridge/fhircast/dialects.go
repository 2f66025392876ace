package fhircast

// versions is what differs from version to version, and all that is known of it: nowhere else does anything depend on a
// version. The first word of each names its quirk; the others are what discovery documents call it.
var versions = []struct {
	words   []string
	help    string
	dialect Dialect
}{
	{[]string{"2019"}, "The hub speaks the drafts of up to May 2019: names like open-patient-chart, a topic that is a URL, events by callback.", Dialect{
		Names2019: true, EmptyLogout: true,
		TopicURL: true, NoChannelType: true, UnsubscribeEvents: true, LegacyNames: true, OneScope: true,
		NoDiscovery: true, NoSocket: true, GetContext: true,
	}},
	{[]string{"stu1", "1.0", "1.0.0"}, "The hub speaks STU1 (1.0.0, October 2019): names in lower case, events by callback.", Dialect{
		Lower: true, EmptyLogout: true,
		NoChannelType: true, UnsubscribeEvents: true, SuffixScopes: true,
		NoDiscovery: true, NoSocket: true,
	}},
	{[]string{"2020"}, "The hub speaks the ballot of February 2020: names in lower case, the socket named in a header.", Dialect{
		Lower: true, EmptyLogout: true,
		UnsubscribeEvents: true, SuffixScopes: true,
		NoDiscovery: true,
	}},
	{[]string{"stu2", "2.0", "2.0.0"}, "The hub speaks STU2 (2.0.0, January 2021): names in lower case, no content sharing.", Dialect{
		Lower: true, EmptyLogout: true,
		SuffixScopes: true,
	}},
	{[]string{"2.1", "2.1.0", "2.1.0-ballot"}, "The hub speaks the 2.1.0 ballot (May 2022): names in lower case, content in its earliest form, heartbeats.", Dialect{
		Lower: true, EmptyLogout: true, Content: Shape2022,
		SuffixScopes: true,
		Heartbeat:    true,
	}},
	{[]string{"2024", "3.0.0-ballot"}, "The hub speaks the 3.0.0 ballot (May 2024): as 3.0.0, with content in an earlier form and heartbeats.", Dialect{
		Content: Shape2024, Heartbeat: true,
	}},
	{[]string{"3", "stu3", "3.0", "3.0.0"}, "The hub speaks 3.0.0 (2025), whatever it announces.", Dialect{}},
}

type quirk struct {
	Quirk
	on func(*Dialect)
}

// quirks is what hubs do that no version, or another than theirs, prescribes.
var quirks = []quirk{
	{Quirk{"lower-case-names", "The hub takes event names in lower case only."}, func(d *Dialect) { d.Lower = true }},
	{Quirk{"names-2019", "The hub takes the event names of 2019 only, as open-patient-chart."}, func(d *Dialect) { d.Names2019 = true }},
	{Quirk{"content-2022", "The hub takes updates and selects in the form of the 2.1.0 ballot only."}, func(d *Dialect) { d.Content = Shape2022 }},
	{Quirk{"content-2024", "The hub takes updates and selects in the form of the 3.0.0 ballot only."}, func(d *Dialect) { d.Content = Shape2024 }},
	{Quirk{"empty-logout", "The hub takes UserLogout and UserHibernate with an empty context only."}, func(d *Dialect) { d.EmptyLogout = true }},
	{Quirk{"fhir-r5", "The hub takes resources of FHIR R5, though it does not advertise that."}, func(d *Dialect) { d.R5 = true }},
	{Quirk{"status-text", "The hub wants the status of an answer as a text, \"200\" and not 200."}, func(d *Dialect) { d.StatusText = true }},
	{Quirk{"fhir-json", "The hub wants events as application/fhir+json and does not say so when it is sent application/json."}, func(d *Dialect) { d.FHIRMedia = true }},
	{Quirk{"publish-to-topic", "The hub takes events at its address with the topic as the last part of the path."}, func(d *Dialect) { d.PublishToTopic = true }},
	{Quirk{"topic-url", "The topic is an absolute address of its own, to which events are sent and from which the context is read."}, func(d *Dialect) { d.TopicURL = true }},
	{Quirk{"no-channel-type", "The hub refuses a subscription that names its channel type."}, func(d *Dialect) { d.NoChannelType = true }},
	{Quirk{"json-subscribe", "The hub takes a subscription as JSON only."}, func(d *Dialect) { d.JSONSubscribe = true }},
	{Quirk{"unsubscribe-events", "The hub refuses an unsubscribe that does not list the events."}, func(d *Dialect) { d.UnsubscribeEvents = true }},
	{Quirk{"legacy-names", "The sign-in names the hub and the session by the words of 2019, cast-hub and cast-session."}, func(d *Dialect) { d.LegacyNames = true }},
	{Quirk{"one-scope", "The sign-in knows the one scope of 2019, fhircast, and none for single events."}, func(d *Dialect) { d.OneScope = true }},
	{Quirk{"no-discovery", "The hub has no discovery document and is better not asked for it."}, func(d *Dialect) { d.NoDiscovery = true }},
	{Quirk{"rebase-endpoint", "The hub names its socket by an address that is right only behind its proxy; the hub's own host is taken in its place."}, func(d *Dialect) { d.RebaseEndpoint = true }},
	{Quirk{"bearer-on-socket", "The hub wants the access token when its socket is opened."}, func(d *Dialect) { d.BearerOnSocket = true }},
	{Quirk{"get-context", "The current context can be read from the hub, though it does not advertise that."}, func(d *Dialect) { d.GetContext = true }},
	{Quirk{"heartbeat", "The hub sends heartbeats to those who subscribe to them, though it does not advertise that."}, func(d *Dialect) { d.Heartbeat = true }},
}
