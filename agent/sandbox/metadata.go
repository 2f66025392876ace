package sandbox

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fhircastExtension says where the hub is (FHIRcast 3.0.0, 2.9; requirement FC-CONF-12).
const fhircastExtension = "http://hl7.org/fhir/uv/fhircast/StructureDefinition/fhircast-configuration-extension"

// oauthExtension says where to sign in, to clients of SMART 1 and where a server has nothing else.
const oauthExtension = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"

type capabilities struct {
	ResourceType string     `json:"resourceType"`
	Status       string     `json:"status"`
	Date         string     `json:"date"`
	Kind         string     `json:"kind"`
	Software     software   `json:"software"`
	FHIRVersion  string     `json:"fhirVersion"`
	Format       []string   `json:"format"`
	Guides       []string   `json:"implementationGuide"`
	Rest         []restPart `json:"rest"`
}

type software struct {
	Name string `json:"name"`
}

type extension struct {
	URL       string      `json:"url"`
	ValueURL  string      `json:"valueUrl,omitempty"`
	ValueURI  string      `json:"valueUri,omitempty"`
	Extension []extension `json:"extension,omitempty"`
}

type restPart struct {
	Extension []extension    `json:"extension"`
	Mode      string         `json:"mode"`
	Security  security       `json:"security"`
	Resource  []resourcePart `json:"resource"`
}

type security struct {
	Extension []extension `json:"extension"`
	Service   []concept   `json:"service"`
}

type resourcePart struct {
	Type        string        `json:"type"`
	Interaction []coding      `json:"interaction"`
	SearchParam []searchParam `json:"searchParam"`
}

type searchParam struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// signIn is where the sign-in server of this origin has its ends.
func (f *fhirServer) signIn() extension {
	e := extension{URL: oauthExtension}
	for _, name := range []string{"authorize", "token", "introspect", "revoke"} {
		e.Extension = append(e.Extension, extension{URL: name, ValueURI: strings.TrimSuffix(f.base, "/fhir") + "/auth/" + name})
	}
	return e
}

// metadata needs no token, like every server's (FHIR R4, 3.1.0.8).
func (f *fhirServer) metadata(w http.ResponseWriter, r *http.Request) {
	words := map[style]string{byToken: "token", byString: "string", byReference: "reference", byDate: "date"}
	rest := restPart{Mode: "server",
		Extension: []extension{{URL: fhircastExtension, Extension: []extension{{URL: "hub.url", ValueURL: f.hub}}}},
		Security: security{Extension: []extension{f.signIn()}, Service: []concept{{Coding: []coding{{
			System: "http://terminology.hl7.org/CodeSystem/restful-security-service", Code: "SMART-on-FHIR"}}}}}}
	for _, kind := range f.kinds() {
		part := resourcePart{Type: kind, Interaction: []coding{{Code: "read"}, {Code: "search-type"}}}
		for _, name := range slices.Sorted(maps.Keys(parameters[kind])) {
			part.SearchParam = append(part.SearchParam, searchParam{name, words[parameters[kind][name]]})
		}
		rest.Resource = append(rest.Resource, part)
	}
	writeFHIR(w, http.StatusOK, capabilities{ResourceType: "CapabilityStatement", Status: "active", Date: f.started.UTC().Format(time.RFC3339),
		Kind: "instance", Software: software{"Castray sandbox"}, FHIRVersion: "4.0.1", Format: []string{"json"},
		Guides: []string{"http://hl7.org/fhir/uv/fhircast/ImplementationGuide/hl7.fhir.uv.fhircast|3.0.0"}, Rest: []restPart{rest}})
}
