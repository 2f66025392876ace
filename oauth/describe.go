package oauth

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Discovery is what a server says of itself to anybody, for people who are
// about to configure it. All but the endpoints are hints: servers leave out
// much that they can do.
type Discovery struct {
	Name             string // of its software; "" = not said
	Authorize, Token string // the endpoints
	Capabilities     []string
	Scopes           []string
	HubURL           string // of its FHIRcast hub; "" = not said
}

// Discover asks the server of the Site. Sentence explains the error.
func (l *Launcher) Discover(ctx context.Context) (Discovery, error) {
	if err := l.Site.Check(); err != nil {
		return Discovery{}, err
	}
	m, err := l.discovered(ctx)
	if err != nil {
		return Discovery{}, err
	}
	d := Discovery{Authorize: m.authorize, Token: m.token, Capabilities: m.capabilities, Scopes: m.scopes}
	newWeb(l.Site, l.HTTP).introduce(ctx, &d)
	return d, nil
}

// introduce adds what the CapabilityStatement says (FHIRcast 3.0.0, 2.9 for the
// hub). A server without one can be signed in to all the same.
func (w *web) introduce(ctx context.Context, d *Discovery) {
	r, err := w.fetch(ctx, "read metadata", strings.TrimRight(w.site.FHIRURL, "/")+"/metadata", "application/fhir+json")
	if err != nil || r.status != http.StatusOK {
		return
	}
	type extension struct {
		URL       string      `json:"url"`
		ValueURL  string      `json:"valueUrl"`
		ValueURI  string      `json:"valueUri"` // as R3 has it
		Extension []extension `json:"extension"`
	}
	var doc struct {
		Software struct {
			Name string `json:"name"`
		} `json:"software"`
		Rest []struct {
			Extension []extension `json:"extension"`
		} `json:"rest"`
	}
	if json.Unmarshal(r.body, &doc) != nil {
		return
	}
	d.Name = doc.Software.Name
	for _, rest := range doc.Rest {
		for _, e := range rest.Extension {
			if e.URL != "http://hl7.org/fhir/uv/fhircast/StructureDefinition/fhircast-configuration-extension" {
				continue
			}
			for _, part := range e.Extension {
				if part.URL == "hub.url" {
					d.HubURL = part.ValueURL + part.ValueURI
				}
			}
		}
	}
}
