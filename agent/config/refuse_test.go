package config

import (
	"errors"
	"strings"
	"testing"
)

// refusals are the exact words for what a file can get wrong; FILE stands for its path.
var refusals = []struct {
	name, file, want string
}{
	{"unknown key, a slip", "[hub]\nurl = \"https://h\"\ntoken-file = \"x\"\n",
		"FILE:3:1: hub.token-file: unknown key; did you mean hub.token_file?"},
	{"unknown key, in the wrong table", "[hub]\n\n  fhir_url = \"x\"\n",
		"FILE:3:3: hub.fhir_url: unknown key; did you mean site.fhir_url?"},
	{"unknown key without a table", "topic = \"x\"\n",
		"FILE:1:1: topic: unknown key; did you mean hub.topic?"},
	{"unknown key of a site's hub", oneSite + "[site.hub]\nsned = []\n",
		"FILE:6:1: site.hub.sned: unknown key; did you mean site.hub.send?"},
	{"unknown key, nothing near", "[log]\ncolourful = true\n",
		"FILE:2:1: log.colourful: unknown key"},
	{"a key that may be a secret is not repeated", "[hub]\n\"aeaf2b42-3d6e-4b1c-9f5e\" = 1\n8c2f1a9d7b6e5f4a3c2d1e0f9a8b7c6d = 1\n",
		"FILE:2:1: hub.aeaf2b42-3d6e-4b1c-9f5e: unknown key\nFILE:3:1: (not shown): unknown key"},
	{"all problems at once, in order", "[local]\nwebsocket = 1\nanswer_within = 800\n[log]\nlevel = \"loud\"\n",
		"FILE:2:1: local.websocket: want true or false, without quotes\n" +
			"FILE:3:1: local.answer_within: want a duration in quotes, such as \"800ms\"\n" +
			"FILE:5:1: log.level: want \"debug\", \"info\", \"warn\" or \"error\""},
	{"number for a text", "[hub]\nname = 3.5\n", "FILE:2:1: hub.name: want a text in quotes"},
	{"text for a number", "[launch]\nport = \"80\"\n", "FILE:2:1: launch.port: want a whole number, without quotes"},
	{"text for a list", "[hub]\nevents = \"Patient-open\"\n", "FILE:2:1: hub.events: want a list of texts, such as [\"a\", \"b\"]"},
	{"list of numbers", "[hub]\nevents = [1]\n", "FILE:2:1: hub.events: want a list of texts, such as [\"a\", \"b\"]"},
	{"table for a path", "[hub]\nca_file.x = 1\n", "FILE:2:1: hub.ca_file.x: unknown key; did you mean hub.ca_file?"},
	{"list for a path", "[hub]\nca_file = []\n", "FILE:2:1: hub.ca_file: want a path in quotes"},

	{"one table of a list", "[site]\nname = \"x\"\nsend = 1\n", "FILE:1:2: site: there may be several, so write [[site]]"},
	{"a list of one table", "[[hub]]\nurl = 1\n", "FILE:1:3: hub: there is only one, so write [hub]"},
	{"a site's hub without a site", "[site.hub]\nname = \"x\"\n", "FILE:1:2: site: there may be several, so write [[site]] first"},
	{"a site's key without a site", "site.name = \"x\"\n", "FILE:1:1: site: there may be several, so write [[site]] first"},
	{"a site as a text", "site = \"x\"\n", "FILE:1:1: site: there may be several, so write [[site]]"},
	{"sites as texts", "site = [\"x\"]\n", "FILE:1:1: site: is a list of tables, so write [[site]]"},
	{"a table as a text", "hub = \"x\"\n", "FILE:1:1: hub: is a table, so write [hub]"},
	{"a key as a table", "[hub.url]\n", "FILE:1:2: hub.url: is a key, not a table"},
	{"unknown table", "[huub]\nurl = \"x\"\n", "FILE:1:2: huub: unknown table; there are [[site]], [hub], [local], [[app]], [[adapter]], [launch], [ui], [session] and [log]"},

	{"twice", "[hub]\nname = \"a\"\nname = \"b\"\n", "FILE:3:1: name: is there twice, or both as [table] and [[table]]"},
	{"no quotes", "[hub]\nurl = https://h\n", "FILE:2:7: is no value; a text needs quotes"},
	{"a Windows path", "[log]\ndir = \"C:\\Users\\x\"\n", "FILE:2:12: in double quotes a backslash starts an escape; write a Windows path in single quotes"},
	{"no end", "[hub]\nname = \"x\n", "FILE:2:10: basic strings cannot have new lines"},
	{"UTF-16", "\xff\xfeh\x00", "FILE: is saved as UTF-16; save it as UTF-8"},
	{"Latin-1", "# Universit\xe4t\n", "FILE: is not UTF-8; save it as UTF-8"},
	{"huge number", "[launch]\nport = 1e999\n", "FILE:2:8: is no number"},

	{"slip in an event", "[hub]\nevents = [\"Patient-open\", \"Patient-opened\"]\n", "FILE:2:1: hub.events: entry 2 is no event name; want names such as \"Patient-open\""},
	{"an asterisk for a verb", "[hub]\nevents = [\"Patient-*\"]\n", "FILE:2:1: hub.events: entry 1 is no event name; want names such as \"Patient-open\""},
	{"an asterisk for a resource", "[hub]\nsend = [\"*-open\"]\n", "FILE:2:1: hub.send: entry 1 is no event name; want names such as \"Patient-open\""},
	{"an asterisk for all", "[hub]\nevents = [\"*\"]\n", "FILE:2:1: hub.events: entry 1 is no event name; want names such as \"Patient-open\""},
	{"an event of nobody", "[hub]\nevents = [\"thing_done\"]\n", "FILE:2:1: hub.events: entry 1 is no event name; want names such as \"Patient-open\""},
	{"a dash in an event of its own", "[hub]\nevents = [\"org.example.thing_done\", \"org.example.thing-done\"]\n", "FILE:2:1: hub.events: entry 2 is no event name; want names such as \"Patient-open\""},
	{"no events", "[hub]\nevents = []\n", "FILE:2:1: hub.events: want at least one event"},
	{"scopes in one text", oneSite + "scopes = [\"openid fhirUser\"]\n", "FILE:5:1: site.scopes: entry 1 is no scope; want one word for each entry"},
	{"answer later than the hub waits", "[local]\nanswer_within = \"901ms\"\n", "FILE:2:1: local.answer_within: want more than 0 and at most 900ms"},
	{"never answer", "[local]\nanswer_within = \"0s\"\n", "FILE:2:1: local.answer_within: want more than 0 and at most 900ms"},
	{"port", "[local]\nwebsocket_port = 70000\n", "FILE:2:1: local.websocket_port: want a port, 0 to 65535"},
	{"origin with a path", "[local]\norigins = [\"https://a.example.org/\"]\n", "FILE:2:1: local.origins: entry 1 is no origin; want https://host or https://host:port"},
	{"socket host with a port", "[hub]\nsocket_hosts = [\"ws.example.org\", \"ws.example.org:443\"]\n", "FILE:2:1: hub.socket_hosts: entry 2 is no host; want a name such as ws.example.org, without a port"},
	{"socket host with a scheme", "[hub]\nsocket_hosts = [\"wss://ws.example.org\"]\n", "FILE:2:1: hub.socket_hosts: entry 1 is no host; want a name such as ws.example.org, without a port"},
	{"placeholder", "[hub]\nname = \"{hots}\"\n", "FILE:2:1: hub.name: only {host}, {user} and {run} are filled in"},
	{"line break in a name", "[hub]\nname = \"a\\nb\"\n", "FILE:2:1: hub.name: want one line of at most 200 bytes"},
	{"language", "[ui]\nlanguage = \"en us\"\n", "FILE:2:1: ui.language: want a language, such as \"en\""},

	{"hub without topic", "[hub]\nurl = \"https://h.example.org\"\n",
		"FILE:2:1: hub.topic: is needed to join a hub without sign-in; to sign in, write a [[site]] instead"},
	{"hub without address", "[hub]\ntopic = \"t\"\n", "FILE:2:1: hub.url: is needed to join a hub without sign-in"},
	{"topic with a blank", "[hub]\nurl = \"https://h.example.org\"\ntopic = \"a b\"\n", "FILE:3:1: hub.topic: want a topic: no blanks, at most 1024 bytes"},
	{"hub and site", "[hub]\nurl = \"https://h.example.org\"\ntopic = \"t\"\n" + oneSite,
		"FILE:2:1: hub.url: [hub] is joined without sign-in, so there can be no [[site]] (at FILE:5:3); for one site write it under [site.hub]"},
	{"http", "[hub]\nurl = \"http://h.example.org\"\ntopic = \"t\"\ntest = true\n", "FILE:2:1: hub.url: want https"},

	{"site without address", "[[site]]\nclient_id = \"c\"\n", "FILE:1:3: site.fhir_url: is needed"},
	{"site without client", "\n[[site]]\nfhir_url = \"https://e.example.org\"\n", "FILE:2:3: site.client_id: is needed"},
	{"site over http", "[[site]]\nfhir_url = \"http://127.0.0.1:80/fhir\"\nclient_id = \"c\"\n", "FILE:2:1: site.fhir_url: want https; http to this machine needs hub.test = true"},
	{"site with a query", "[[site]]\nfhir_url = \"https://e.example.org/fhir?x\"\nclient_id = \"c\"\n", "FILE:2:1: site.fhir_url: a base address has no query (?)"},
	{"site twice", oneSite + "[[site]]\nfhir_url = \"https://EHR.example.org:443/fhir/\"\nclient_id = \"c\"\nname = \"x\"\n",
		"FILE:6:1: site.fhir_url: another [[site]] has this address"},
	{"site's name twice", oneSite + "name = \"Ward\"\n[[site]]\nfhir_url = \"https://e2.example.org\"\nclient_id = \"c\"\nname = \"ward\"\n",
		"FILE:9:1: site.name: another [[site]] has this name"},
	{"site's hub over http", oneSite + "hub.url = \"http://h.example.org\"\n", "FILE:5:1: site.hub.url: want https"},
	{"site's hub with a token", oneSite + "hub.token_file = \"t\"\n", "FILE:5:1: site.hub.token_file: a site's hub is spoken to with the sign-in of the site"},
	{"redirect", oneSite + "redirect = \"localhost\"\n", "FILE:5:1: site.redirect: want \"loopback\", with ports such as \"loopback:17321,17322\", or \"io.github.castray://callback\""},
	{"a shared secret for id_tokens", oneSite + "id_token_algs = [\"ES384\", \"HS256\"]\n", "FILE:5:1: site.id_token_algs: want asymmetric algorithms, such as \"ES384\""},
	{"redirect ports", oneSite + "redirect = \"loopback:1,1\"\n", "FILE:5:1: site.redirect: want different ports from 1 to 65535, such as \"loopback:17321,17322\""},

	{"not built: who signed an app", "[[app]]\nname = \"viewer\"\nexe = \"/usr/bin/viewer\"\nsigner = \"Example Inc.\"\n",
		"FILE:4:1: app.signer: this is not in this version; take it out, so that nobody relies on it"},
	{"rule that fits anybody", oneSite + "[[app]]\nname = \"viewer\"\n", "FILE:5:3: app.exe: or app.sha256 is needed: a name alone is what anybody can say"},
	{"rule without a label", oneSite + "[[app]]\nexe = \"/usr/bin/viewer\"\n", "FILE:5:3: app.name: is needed"},
	{"two rules of one label", oneSite + "[[app]]\nname = \"viewer\"\nexe = \"/a\"\n[[app]]\nname = \"Viewer\"\nexe = \"/b\"\n",
		"FILE:9:1: app.name: another [[app]] has this name"},
	{"half a hash", "[[app]]\nsha256 = \"12\"\n", "FILE:2:1: app.sha256: want 64 hex digits"},
	{"not built: adapters", "[[adapter]]\nname = \"horos\"\n", "FILE:1:3: adapter: not in this version; take it out, so that nobody relies on it"},
	{"a shared workstation without users", "[hub]\nurl = \"https://h.example.org\"\ntopic = \"t\"\n[session]\nshared = true\n",
		"FILE:5:1: session.shared: a hub without sign-in knows no users; a shared workstation needs a [[site]]"},
	{"a shared workstation with a topic of its own", oneSite + "hub.topic = \"t\"\n[session]\nshared = true\n",
		"FILE:5:1: site.hub.topic: with session.shared the session is of who signs in, so no topic can be fixed"},
	{"a shared workstation that does not ask who signs in", oneSite + "scopes = [\"fhirUser\"]\n[session]\nshared = true\n",
		"FILE:5:1: site.scopes: with session.shared it has to be known who signs in: add \"openid\""},
	{"a keychain policy that there is not", "[session]\nmemory_only = \"forbid\"\n",
		"FILE:2:1: session.memory_only: want \"allow\" or \"refuse\""},
	{"not built: asking about apps", "[local]\nunknown_apps = \"ask\"\n",
		"FILE:2:1: local.unknown_apps: anything but \"allow\" or \"deny\" is not in this version; take it out, so that nobody relies on it"},
	{"a channel that there is not", oneSite + "[hub]\nchannel = \"websub\"\n", "FILE:6:1: hub.channel: want \"websocket\" or \"webhook\""},
	{"a preset that there is not", oneSite + "[hub]\npreset = \"ihe\"\n", "FILE:6:1: hub.preset: want \"\" or \"ihe-ira\""},
	{"a quirk that there is not", oneSite + "hub.quirks = [\"get-context\", \"open-sesame\"]\n",
		"FILE:5:1: site.hub.quirks: entry 2 is no quirk; docs/configuration.md lists them"},
	{"two versions", oneSite + "[hub]\nquirks = [\"version-stu2\", \"get-context\", \"version-2024\"]\n",
		"FILE:6:1: hub.quirks: entry 3 names a second version; a hub has one"},
	{"no name where one is needed", oneSite + "[hub]\npreset = \"ihe-ira\"\nname = \"\"\n",
		"FILE:7:1: site.hub.name: preset \"ihe-ira\" needs a name that is not empty (RAD-146)"},
	{"a kind of client that there is not", oneSite + "auth = \"basic\"\n", "FILE:5:1: site.auth: want \"public\", \"secret\" or \"private_key_jwt\""},
	{"a secret in the file", oneSite + "client_secret = \"canary\"\n", "FILE:5:1: site.client_secret: unknown key"},
	{"rights out of order", oneSite + "scopes = [\"openid\", \"patient/Patient.dus\"]\n",
		"FILE:5:1: site.scopes: entry 2 ends in rights that there are not; want some of the letters c r u d s in this order, or read, write or *"},
	{"a launch context with a capital", oneSite + "scopes = [\"launch/Patient\"]\n",
		"FILE:5:1: site.scopes: entry 1 names no launch context; want the type in small letters, such as launch/patient, with at most one ?role="},
	{"a style that there is not", oneSite + "scope_style = \"v3\"\n", "FILE:5:1: site.scope_style: want \"\", \"v1\" or \"v2\""},
	{"a parameter without a value", oneSite + "authorize = [\"prompt=consent\", \"login_hint\"]\n", "FILE:5:1: site.authorize: entry 2 is no name=value"},
	{"a parameter of ours", oneSite + "authorize = [\"state=canary\"]\n", "FILE:5:1: site.authorize: entry 1 sets what Castray sets itself"},
	{"one port for two", oneSite + "redirect = \"loopback:17321,17322\"\n[launch]\nport = 17322\n", "FILE:7:1: launch.port: a site's redirect has the same port"},
	{"a redirect to another scheme", oneSite + "redirect = \"io.github.castray://elsewhere\"\n",
		"FILE:5:1: site.redirect: want \"loopback\", with ports such as \"loopback:17321,17322\", or \"io.github.castray://callback\""},
}

// SM-AUTH-09, SM-SCOPE-01, SM-SCOPE-04: what a site may not add to a sign-in, and scopes that no server knows, are refused at load.
// FC-EVT-09, FC-EVT-10: events with an asterisk, of nobody's domain, and with a dash in a domain are among what is refused.
func TestRefusals(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			path := save(t, "castray.toml", test.file)
			_, err := Load(Sources{File: path})
			if err == nil || errors.Is(err, ErrNone) {
				t.Fatalf("loaded, %v; want %s", err, test.want)
			}
			if got := strings.ReplaceAll(err.Error(), path, "FILE"); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestRefusedFlagsAndVariables(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ []string
		flags   map[string]string
		want    string
	}{
		{"a secret in the environment", []string{"CASTRAY_HUB_TOPIC=open-sesame"}, nil,
			"CASTRAY_HUB_TOPIC: hub.topic: is a secret, which the environment may not hold; write it in a file"},
		{"a list of tables in the environment", []string{"CASTRAY_SITE_FHIR_URL=https://x"}, nil,
			"CASTRAY_SITE_FHIR_URL: site.fhir_url: can only be set in a file"},
		{"a site's hub in the environment", []string{"CASTRAY_SITE_HUB_URL=https://x"}, nil,
			"CASTRAY_SITE_HUB_URL: site.hub.url: can only be set in a file"},
		{"a variable that no key answers to", []string{"CASTRAY_LOCAL_UNKNOWN_APP=deny"}, nil,
			"CASTRAY_LOCAL_UNKNOWN_APP: there is no such key"},
		{"a wrong value in the environment", []string{"CASTRAY_HUB_TEST=perhaps"}, nil,
			"CASTRAY_HUB_TEST: hub.test: want true or false"},
		{"a secret on the command line", nil, map[string]string{"hub.topic": "open-sesame"},
			"flag: hub.topic: can only be set in a file"},
		{"an unknown flag", nil, map[string]string{"log.lvl": "info"},
			"flag: log.lvl: unknown key; did you mean log.level?"},
		{"wrong values on the command line", nil, map[string]string{"launch.port": "x", "local.answer_within": "soon", "hub.channel": "post"},
			"flag: hub.channel: want \"websocket\" or \"webhook\"\nflag: launch.port: want a whole number\nflag: local.answer_within: want a duration, such as \"800ms\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(Sources{File: save(t, "castray.toml", oneSite), Environ: test.environ, Flags: test.flags})
			if err == nil || err.Error() != test.want {
				t.Errorf("got:\n%v\nwant:\n%s", err, test.want)
			}
		})
	}
}

func TestPolicyHoldsNoSecret(t *testing.T) {
	policy := save(t, "policy.toml", "[hub]\ntopic = \"t\"\n")
	_, err := Load(Sources{Paths: Paths{Policy: policy}})
	if want := policy + ":2:1: hub.topic: may not come from policy, which everybody can read"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What a stronger source overrules is not in force, so it is no reason to stop.
func TestOverruledWishIsNoProblem(t *testing.T) {
	machine, user := save(t, "machine.toml", "[hub]\nchannel = \"webhook\"\n"), save(t, "user.toml", "[hub]\nchannel = \"websocket\"\n"+oneSite)
	mustLoad(t, Sources{Paths: Paths{Machine: machine, User: user}})
}

func TestWarnings(t *testing.T) {
	path := save(t, "castray.toml", "[launch]\nscheme = false\nport = 2116\n[ui]\npatient = \"none\"\nlanguage = \"de\"\n"+oneSite)
	got := strings.ReplaceAll(strings.Join(mustLoad(t, Sources{File: path}).Warnings, "\n"), path, "FILE")
	want := "FILE:6:1: ui.language: not in this version, without effect"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		address  string
		test, ok bool
	}{
		{"https://hub.example.org/a/b?c=d", false, true},
		{"HTTPS://hub.example.org:8443", false, true},
		{"http://127.0.0.1:80/hub", true, true},
		{"http://127.9.9.9/hub", true, true},
		{"http://[::1]/hub", true, true},
		{"http://[::ffff:127.0.0.1]/hub", true, true},
		{"http://127.0.0.1/hub", false, false},
		{"http://localhost/hub", true, false},
		{"http://127.0.0.1.example.org/hub", true, false},
		{"http://10.0.0.1/hub", true, false},
		{"https://user@hub.example.org", true, false},
		{"https://user:password@hub.example.org", true, false},
		{"https://hub.example.org/#x", true, false},
		{"https://hub.example.org/#", true, false},
		{"https:///hub", true, false},
		{"https://:443/hub", true, false},
		{"https:hub", true, false},
		{"wss://hub.example.org", true, false},
		{"file:///etc/passwd", true, false},
		{"https://hub.example.org/a b", true, false},
		{"https://hub.example.org/\n", true, false},
		{"https://[::1", true, false},
		{"hub.example.org", true, false},
		{"", true, false},
	} {
		if err := checkURL(test.address, test.test); (err == nil) != test.ok {
			t.Errorf("%q, test %v: %v", test.address, test.test, err)
		}
	}
}
