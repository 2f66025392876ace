package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Example is a file to start from: the lines that every site needs, and beside them those of a hub without sign-in.
// It leaves defaults out, since a copy of them would outlive their reasons.
func Example() []byte {
	return []byte(`# Castray's configuration. All keys: docs/configuration.md

# A site to sign in to. There may be several.
[[site]]
name = "General Hospital"                  # as people call it
fhir_url = "https://ehr.example.org/fhir"  # base address of its FHIR server
client_id = "castray"                      # under which Castray is registered there
#ca_file = "hospital-ca.pem"               # if this computer does not trust its certificate

# Or a hub without sign-in, instead of [[site]]. Then nobody else may read this file: chmod 600
#[hub]
#url = "https://hub.example.org/fhircast"
#topic = "the-session-to-join"
#token_file = "hub.token"                  # if that hub wants one; nobody else may read it either
`)
}

// ForSite is a file for one site, with comments: Name, FHIRURL, ClientID and CAFile of it, and beside them the lines that
// sites need most often, still without effect.
func ForSite(s Site) []byte {
	var b strings.Builder
	line := func(before, value, after string) {
		fmt.Fprintf(&b, "%-42s # %s\n", before+quoted(value), after)
	}
	b.WriteString("# Castray's configuration. All keys: docs/configuration.md\n\n# A site to sign in to. There may be several: each has a table of its own.\n[[site]]\n")
	line("name = ", s.Name, "as people call it")
	line("fhir_url = ", s.FHIRURL, "base address of its FHIR server, letter by letter as that knows it")
	line("client_id = ", s.ClientID, "under which Castray is registered there")
	if s.CAFile != "" {
		line("ca_file = ", s.CAFile, "authorities to trust there, besides this computer's")
	} else {
		line("#ca_file = ", "hospital-ca.pem", "if this computer does not trust its certificate")
	}
	line("#redirect = ", "loopback:17321", "if the server knows one port only")
	b.WriteString(`
# What holds for its hub.
[site.hub]
#url = "https://hub.example.org/fhircast"  # if the sign-in names no hub
#test = true                               # no patient there is real: every view says TEST

[session]
#shared = true                             # several people use this account of this computer
`)
	return []byte(b.String())
}

// quoted is a text of TOML: what JSON escapes, TOML reads the same way.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // strings can always be written
	return strings.TrimSuffix(b.String(), "\n")
}
