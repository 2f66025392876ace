package oauthtest

import "net/http"

// configuration is SMART 2.2, conformance, 2.1.
func (s *Server) configuration(w http.ResponseWriter, r *http.Request, f Faults) {
	at := origin(r) + "/auth"
	doc := map[string]any{
		"issuer":                           s.issuer(r),
		"jwks_uri":                         at + "/jwks",
		"authorization_endpoint":           at + "/authorize",
		"token_endpoint":                   at + "/token",
		"revocation_endpoint":              at + "/revoke",
		"introspection_endpoint":           at + "/introspect",
		"grant_types_supported":            []string{"authorization_code", "refresh_token"},
		"response_types_supported":         []string{"code"},
		"code_challenge_methods_supported": []string{"S256"},
		"scopes_supported": []string{"openid", "fhirUser", "offline_access", "online_access",
			"fhircast/*.read", "fhircast/*.write"},
		"capabilities": []string{"launch-standalone", "sso-openid-connect", "permission-offline",
			"permission-user", "permission-v2", "authorize-post"},
		"authorization_response_iss_parameter_supported": true,
	}
	s.Client.methods(doc)
	change(doc, f.Configuration)
	w.Header().Set("Cache-Control", "max-age=3600")
	switch {
	case f.ConfigurationStatus != 0:
		w.WriteHeader(f.ConfigurationStatus)
	case f.ConfigurationHTML:
		htmlError(w, http.StatusOK)
	case f.SMART1:
		http.NotFound(w, r)
	case f.WantsAccept && r.Header.Get("Accept") != "application/json":
		http.Error(w, "only application/json", http.StatusNotAcceptable)
	default:
		reply(w, http.StatusOK, doc)
	}
}

// metadata is the CapabilityStatement of a server of SMART 1, which older
// clients read and newer ones fall back to.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request, f Faults) {
	if !f.SMART1 {
		http.NotFound(w, r)
		return
	}
	var ends []map[string]any
	for _, name := range []string{"authorize", "token", "introspect", "revoke"} {
		ends = append(ends, map[string]any{"url": name, "valueUri": origin(r) + "/auth/" + name})
	}
	reply(w, http.StatusOK, map[string]any{"resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "rest": []any{
		map[string]any{"mode": "server", "security": map[string]any{"extension": []any{
			map[string]any{"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": ends},
		}}},
	}})
}
