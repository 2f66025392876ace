package config

// A table is a TOML table, or a list of them, with its keys.
type table struct {
	name  string
	list  bool // written [[name]], one for each
	help  string
	state state
	keys  []key
}

// tables is the one table of keys. Everything that is said about configuration anywhere comes from here.
var tables = []table{
	{name: "site", list: true,
		help: "A place to sign in to: one FHIR server and the hub it names. One or more; each FHIR address once. Only sites named here can be launched. " +
			"What `[site.hub]` says holds for that site and has the same keys as `[hub]`; `url` and `topic` there serve where the sign-in gives none.",
		keys: []key{
			{name: "name", kind: text, sources: filesOrPolicy, check: checkLabel,
				help: "How people call it: the tray shows it, `castray login --site` takes it. Default: the host of `fhir_url`."},
			{name: "fhir_url", kind: text, sources: filesOrPolicy,
				help: "Base address of the FHIR server. Needed."},
			{name: "client_id", kind: text, sources: filesOrPolicy, check: checkLabel,
				help: "The name under which Castray is registered there. Needed."},
			{name: "auth", kind: text, def: "public", words: []string{"public", "secret", "private_key_jwt"}, sources: filesOrPolicy,
				help: "How Castray proves itself to the token endpoint: not at all, with a secret that `castray config secret` takes, or with a key whose " +
					"public half `castray config jwks` prints. Secret and key lie in the keychain, never in a file."},
			{name: "secret_encoding", kind: text, def: "form", words: []string{"form", "plain"}, sources: filesOrPolicy,
				help: "How a secret with characters other than letters, digits and `-_.~` is written in the HTTP Basic header: `form` as RFC 6749 wants it, " +
					"`plain` as it is, for servers that do not undo the encoding."},
			{name: "scopes", kind: list, def: "openid,fhirUser,offline_access", sources: filesOrPolicy, check: checkScopes,
				help: "Asked for at sign-in. Added to these: `fhircast/<event>.read` for each of `hub.events`, `fhircast/SyncError.*`, " +
					"`fhircast/<event>.write` for each of `hub.send`, and `launch` when an EHR launches us."},
			{name: "scope_style", kind: text, words: []string{"", "v1", "v2"}, sources: filesOrPolicy,
				help: "How clinical scopes are spelt: `v1` as `user/Patient.read`, `v2` as `user/Patient.rs`, empty as they stand in `scopes`. " +
					"For a server that drops the style that Castray is not registered for."},
			{name: "authorize", kind: list, sources: filesOrPolicy, check: checkAuthorize,
				help: "Parameters to add to the sign-in page's address, such as `prompt=consent`, without which some servers give no refresh token. " +
					"Those that make the sign-in safe cannot be set."},
			{name: "redirect", kind: text, def: "loopback", sources: filesOrPolicy, check: checkRedirect,
				help: "Where the browser comes back to: `loopback` (`http://127.0.0.1:PORT/callback`, any port), `loopback:17321,17322` (the first of these ports " +
					"that is free), or `io.github.castray://callback` (not on macOS; the scheme has to be [registered](launch.md#the-schemes))."},
			{name: "id_token_algs", kind: list, sources: filesOrPolicy, check: checkAlgorithms,
				help: "How the server may sign its proof of who signed in, besides `RS256`, which SMART prescribes: such as `ES384`. Never a shared secret."},
			{name: "ca_file", kind: file, sources: filesOrPolicy,
				help: "PEM file of authorities to trust for this site, besides the system's."},
		}},

	{name: "hub",
		help: "The FHIRcast hub. With `url` and `topic` it is a hub without sign-in, and there can be no `[[site]]`. Otherwise what it says holds for every site.",
		keys: []key{
			{name: "url", kind: text, sources: anywhere,
				help: "Address of the hub."},
			{name: "topic", kind: text, sources: filesOnly, secret: true, check: checkTopic,
				help: "The session to join. Whoever knows it can listen, so only a file that nobody else may read can hold it."},
			{name: "token_file", kind: file, sources: anywhere,
				help: "File that holds a bearer token, if that hub wants one; nobody else may read it. Not for a site, which uses its sign-in."},
			{name: "ca_file", kind: file, sources: anywhere,
				help: "PEM file of authorities to trust for the hub, besides the system's."},
			{name: "name", kind: text, def: "Castray on {host}", sources: anywhere, check: checkName,
				help: "Who we are to the hub (`subscriber.name`). `{host}`, `{user}` and `{run}`, which is another word in every run of Castray, are filled in."},
			{name: "channel", kind: text, def: "websocket", words: []string{"websocket", "webhook"}, sources: anywhere,
				help: "How the hub reaches us. `webhook` is for a hub on this host that offers nothing else: it calls a port of 127.0.0.1 that is " +
					"another each time, and has to sign its events with SHA-256."},
			{name: "preset", kind: text, words: presetNames(), sources: anywhere,
				help: "A named set of values for those other keys of this table that nobody has set; see [presets](#presets)."},
			{name: "events", kind: list, sources: anywhere, check: checkAsked,
				def: "Patient-open,Patient-close,Encounter-open,Encounter-close,ImagingStudy-open,ImagingStudy-close," +
					"DiagnosticReport-open,DiagnosticReport-close,Home-open,UserLogout,UserHibernate",
				help: "Events to ask for. SyncError is always asked for."},
			{name: "send", kind: list, def: "Patient-open,Patient-close,ImagingStudy-open,ImagingStudy-close", sources: anywhere, check: checkEvents,
				help: "Events that apps may send through us."},
			{name: "quirks", kind: list, sources: anywhere, check: checkQuirks, entries: quirkNames(),
				help: "Named deviations of a known hub that we go along with, all off; see [quirks](#quirks)."},
			{name: "socket_hosts", kind: list, sources: anywhere, check: checkHosts,
				help: "Hosts, besides that of `url`, at which the hub may have its sockets, such as `ws.example.org`. A socket anywhere else is refused, and " +
					"none of these hosts gets the token."},
			{name: "test", kind: yesNo, def: "false", sources: anywhere,
				help: "A test hub: every view says TEST, no production adapter is driven, and plain http is allowed to an IP address of this machine."},
		}},

	{name: "local",
		help: "The side that local apps see.",
		keys: []key{
			{name: "answer_within", kind: period, def: "800ms", sources: anywhere, check: checkAnswerWithin,
				help: "How long apps may take before the hub is answered without them. More than 0, at most 900ms."},
			{name: "websocket", kind: yesNo, def: "false", sources: anywhere,
				help: "Offer the local protocol on a loopback WebSocket too, for web pages and for programs that have no pipe."},
			{name: "websocket_port", kind: number, def: "0", sources: anywhere, check: checkPort,
				help: "Its port on 127.0.0.1; 0 takes any, which `castray.json` then tells. On a terminal server leave it at 0: users cannot share a port."},
			{name: "origins", kind: list, sources: anywhere, check: checkOrigins,
				help: "Web pages that may use it, such as `https://viewer.example.org`, and no others. Programs need not be listed; all need the key of `castray.json`."},
			{name: "endpoint", kind: yesNo, def: "false", sources: anywhere,
				help: "Offer a local FHIRcast hub at 127.0.0.1 to apps that speak FHIRcast themselves; `castray.json` tells its address and its token. For pages, `origins` counts here too."},
			{name: "endpoint_port", kind: number, def: "0", sources: anywhere, check: checkPort,
				help: "Its port; 0 takes any. On a terminal server leave it at 0: users cannot share a port."},
			{name: "unknown_apps", kind: text, def: "allow", words: []string{"allow", "ask", "deny"}, sources: anywhere, state: refused, also: []string{"deny"},
				help: "Apps that no `[[app]]` names: `allow` lets them follow but not send, `deny` refuses them, `ask` asks the user."},
		}},

	{name: "app", list: true,
		help: "A rule for one local app, recognised by its executable and never by its name alone; the first that fits holds. A program that is run by " +
			"another, as a script is, has the executable of that one.",
		keys: []key{
			{name: "name", kind: text, sources: filesOrPolicy, check: checkLabel, help: "The rule's label: what an app that is missed is called. Needed."},
			{name: "exe", kind: file, sources: filesOrPolicy, help: "Path of the executable. This or `sha256` is needed; with both, both have to fit."},
			{name: "sha256", kind: text, sources: filesOrPolicy, check: checkSHA256, help: "SHA-256 of the executable, in hex: an altered program is an unknown one."},
			{name: "signer", kind: text, sources: filesOrPolicy, check: checkLabel, state: refused, help: "Who signed it."},
			{name: "events", kind: list, sources: filesOrPolicy, check: checkEvents,
				help: "Events it may see; empty: all. Of others it is told what it may see of them, such as the patient of a study."},
			{name: "send", kind: list, sources: filesOrPolicy, check: checkEvents, help: "Events it may send, of those in `hub.send`; empty: none."},
			{name: "required", kind: text, def: "connected", words: []string{"connected", "always", "never"}, sources: filesOrPolicy,
				help: "When it counts: while it is connected; always, so that it is missed when it is not there; or never."},
			{name: "on_loss", kind: text, def: "mark", words: []string{"mark", "clear"}, sources: filesOrPolicy,
				help: "What happens to it when the hub is lost for longer than 10 s: say so, or clear it."},
			{name: "control", kind: yesNo, def: "false", sources: filesOrPolicy, help: "May do what the tray menu does."},
		}},

	{name: "adapter", list: true, state: refused,
		help: "An unmodified app that Castray drives through the interface it already has.",
		keys: []key{
			{name: "name", kind: text, sources: filesOrPolicy, check: checkLabel, help: "Its label."},
			{name: "profile", kind: text, sources: filesOrPolicy, check: checkLabel, help: "The profile that tells how."},
			{name: "enabled", kind: yesNo, def: "true", sources: filesOrPolicy, help: "Whether it is driven."},
			{name: "test", kind: yesNo, def: "false", sources: filesOrPolicy, help: "Whether a test hub may drive it."},
			{name: "on_loss", kind: text, def: "mark", words: []string{"mark", "clear"}, sources: filesOrPolicy,
				help: "What happens to it when the hub is lost for longer than 10 s: say so, or clear it."},
			{name: "required", kind: text, def: "connected", words: []string{"connected", "always", "never"}, sources: filesOrPolicy,
				help: "When it counts for the answer to the hub."},
		}},

	{name: "launch",
		help: "Launches that come from outside; [launch.md](launch.md) tells how. Only sites that are configured can be launched.",
		keys: []key{
			{name: "port", kind: number, def: "0", sources: anywhere, check: checkPort,
				help: "Port of the loopback `GET /launch`; 0 is off. Not on macOS, which does not tell who connects."},
			{name: "scheme", kind: yesNo, def: "true", sources: anywhere,
				help: "Take `castray://launch?iss=..&launch=..`."},
			{name: "hub_handover", kind: yesNo, def: "false", sources: anywhere,
				help: "Take a hub and a topic from outside, where the hub is on the host of a site's `fhir_url` or `hub.url`; asks in the tray each time."},
		}},

	{name: "ui",
		help: "What people see.",
		keys: []key{
			{name: "patient", kind: text, def: "masked", words: []string{"none", "masked", "full"}, sources: anywhere, state: ignored, also: []string{"none"},
				help: "The patient's line in the menu, which has none yet."},
			{name: "language", kind: text, def: "en", sources: anywhere, state: ignored, check: checkLanguage,
				help: "Language of menus and sentences."},
		}},

	{name: "session",
		help: "Signed-in sessions.",
		keys: []key{
			{name: "shared", kind: yesNo, def: "false", sources: anywhere,
				help: "A workstation whose account several people use: nothing is kept in the keychain, every sign-in asks who it is, and locking the screen " +
					"ends the session; see [Shared workstations](sign-in.md#shared-workstations)."},
			{name: "memory_only", kind: text, def: "allow", words: []string{"allow", "refuse"}, sources: anywhere,
				help: "Whether to sign in where no keychain can keep the sign-in: `allow` lets it end with Castray, and says so; `refuse` ends it at once. Without effect on a shared workstation, which keeps nothing."},
		}},

	{name: "log",
		help: "What is written down. Never patients, never secrets.",
		keys: []key{
			{name: "level", kind: text, def: "info", words: []string{"debug", "info", "warn", "error"}, sources: anywhere,
				help: "The least important thing that is logged."},
			{name: "dir", kind: file, sources: anywhere, state: ignored,
				help: "Folder of the log files."},
		}},
}
