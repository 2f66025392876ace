package config

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
