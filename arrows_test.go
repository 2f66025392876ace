// Package castray_test checks the house as a whole: which package may import which, which library is used where, and
// that the generated pages in docs/ tell what the tests say. It holds no product code and imports none.
package castray_test

import (
	"os"
	"strings"
	"testing"
)

// arrows is the plan of the house: for every package its floor, what it may import, and what its tests may import
// besides. An arrow goes to a lower floor only; tests may also use the fakes, on whatever floor those stand. To add an
// arrow, add it here and say why in the same commit.
var arrows = map[string]row{
	"cmd/castray": {floor: 7,
		imports: []string{"agent", "agent/config", "agent/desktop", "agent/doctor", "agent/sandbox", "agent/statuspage", "agent/tray",
			"assets", "bridge/fhircast", "ipc", "ipc/client", "ipc/protocol"},
		tests: []string{"bridge/hub", "bridge/hub/hubtest", "bridge/subscriber", "oauth/oauthtest"},
		why: "main joins the agent to its views and to the sandbox; what an event is made of, it asks bridge/fhircast; the soak's " +
			"hub is a process, and two thousand subscribers are no two thousand agents"},

	"agent/tray":       {floor: 6, imports: []string{"agent", "agent/desktop", "assets", "ipc/protocol"}, why: "draws a Status; asks agent/desktop whether there is a session bus to draw on"},
	"agent/statuspage": {floor: 6, imports: []string{"agent", "assets", "ipc/protocol"}},
	"agent/doctor": {floor: 6,
		imports: []string{"agent", "agent/config", "agent/desktop", "ipc", "ipc/client", "ipc/protocol", "oauth", "oauth/keychain"},
		tests:   []string{"oauth/oauthtest", "bridge/hub/hubtest"},
		why:     "checks each part by itself, the running agent included, so it needs the client too"},
	"agent/sandbox": {floor: 6,
		imports: []string{"assets", "bridge/fhircast", "bridge/hub", "bridge/hub/hubtest", "oauth/oauthtest"},
		tests:   []string{"agent/config", "bridge/subscriber", "oauth"},
		why:     "the one place where fakes are a product; it never sees the agent, which is tested against it"},

	"agent": {floor: 5,
		imports: []string{"agent/config", "agent/desktop", "bridge", "bridge/adapter", "bridge/fhircast", "bridge/hub", "bridge/subscriber",
			"ipc", "ipc/protocol", "oauth", "oauth/keychain"},
		tests: []string{"agent/sandbox", "bridge/hub/hubtest", "ipc/client", "oauth/oauthtest"},
		why:   "puts the parts together; bridge/hub only for the local FHIRcast endpoint; never a view"},

	"agent/config": {floor: 4, imports: []string{"bridge/fhircast", "oauth", "oauth/scope"}, why: "event names and scopes are checked where they are read; a [[site]] is an oauth.Site"},

	"bridge":            {floor: 3, imports: []string{"bridge/fhircast", "ipc/protocol"}, tests: []string{"bridge/hub", "bridge/hub/hubtest"}, why: "sees apps and hub through interfaces of its own"},
	"bridge/adapter":    {floor: 3, imports: []string{"bridge/fhircast", "ipc/protocol"}, why: "becomes a bridge.Sink without having heard of it"},
	"bridge/subscriber": {floor: 3, imports: []string{"bridge/fhircast"}, tests: []string{"bridge/hub", "bridge/hub/hubtest"}},
	"oauth/keychain": {floor: 3, imports: []string{"oauth"}, tests: []string{"oauth/oauthtest"},
		why: "its errors are oauth's, which callers test for; what a spoilt keychain does to a sign-in is tested with one"},
	"bridge/hub/hubtest": {floor: 3, imports: []string{"bridge/fhircast", "bridge/hub"}, why: "a fake: never the client that is tested against it"},
	"oauth/oauthtest":    {floor: 3, why: "a fake: neither oauth nor keychain, which are tested against it"},
	"ipc/client":         {floor: 3, imports: []string{"ipc", "ipc/protocol"}},

	"bridge/hub":    {floor: 2, imports: []string{"bridge/fhircast"}, why: "a fake to the subscriber, so it may not know it"},
	"oauth":         {floor: 2, imports: []string{"oauth/scope"}, tests: []string{"oauth/oauthtest"}, why: "knows neither bridge nor ipc; FHIRcast scopes are strings to it"},
	"ipc":           {floor: 2, imports: []string{"ipc/protocol"}, why: "never learns FHIRcast"},
	"agent/desktop": {floor: 2},

	"bridge/fhircast": {floor: 1, pure: true, why: "the vocabulary: no I/O"},
	"oauth/scope":     {floor: 1, pure: true, why: "the grammar of SMART's scopes, which configuration and sign-in both read: no I/O"},
	"ipc/protocol":    {floor: 1, pure: true, why: "the messages: no I/O"},

	"assets": {floor: 0, pure: true},
}

// libraries says which package may import which third-party library. One that touches the outside world has one
// importer; a second is its fake, or stands there for the reason given. golang.org/x/sys counts as the standard library.
var libraries = map[string]library{
	"github.com/gorilla/websocket": {packages: []string{"bridge/subscriber", "bridge/hub", "bridge/hub/hubtest", "ipc"},
		why: "the client, the hub it is tested against, frame faults, and the loopback transport of the local protocol"},
	"fyne.io/systray":               {packages: []string{"agent/tray"}},
	"github.com/Microsoft/go-winio": {packages: []string{"ipc"}},
	"github.com/zalando/go-keyring": {packages: []string{"oauth/keychain"}},
	"github.com/pkg/browser":        {packages: []string{"cmd/castray"}},
	"github.com/godbus/dbus/v5": {packages: []string{"agent/desktop"}, tests: []string{"agent/tray", "oauth/keychain"},
		why: "tests play the panel and the keyring on a private bus"},
	"github.com/coreos/go-oidc/v3":  {packages: []string{"oauth"}},
	"github.com/go-jose/go-jose/v4": {packages: []string{"oauth", "oauth/oauthtest"}, why: "one checks signatures, its fake makes them"},
	"github.com/go-json-experiment/json": {packages: []string{"bridge/fhircast", "ipc"},
		why: "the strict pass, which refuses names given twice, over an event's envelope and over a local message"},
	"github.com/pelletier/go-toml/v2": {packages: []string{"agent/config"}},
	"github.com/spf13/cobra":          {packages: []string{"cmd/castray"}},
	"github.com/rogpeppe/go-internal": {tests: []string{"cmd/castray"}},
	"github.com/chromedp/chromedp":    {tests: []string{"agent/sandbox", "cmd/castray", "oauth"}, why: "presses Allow in a real browser"},
	"github.com/santhosh-tekuri/jsonschema/v6": {tests: []string{"cmd/castray"},
		why: "holds real traffic against docs/local-protocol.schema.json"},
	"github.com/google/go-cmp": {tests: []string{"*"}},
	"go.uber.org/goleak":       {tests: []string{"*"}},
	"golang.org/x/sys":         {packages: []string{"*"}},
}

func TestArrows(t *testing.T) {
	h := readHouse(t)
	for _, complaint := range checkArrows(h, arrows) {
		t.Error(complaint)
	}
}

func TestArrowTableGoesDown(t *testing.T) {
	for _, complaint := range checkTable(arrows) {
		t.Error(complaint)
	}
}

func TestLibraries(t *testing.T) {
	h := readHouse(t)
	for _, complaint := range checkLibraries(h, libraries) {
		t.Error(complaint)
	}
}

func TestPackageShape(t *testing.T) {
	h := readHouse(t)
	for _, complaint := range checkShape(h) {
		t.Error(complaint)
	}
}

// readHouse parses every Go file of the repository, whatever its build constraints.
func readHouse(t *testing.T) *house {
	t.Helper()
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(mod), "\n")
	h, err := parseHouse(os.DirFS("."), strings.TrimPrefix(line, "module "))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
