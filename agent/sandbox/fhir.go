package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A fhirServer answers read and search of FHIR R4 below its base. It never writes.
type fhirServer struct {
	base     string // without a slash at the end
	hub      string
	hospital *hospital
	started  time.Time

	// grant tells which scopes a bearer token has, or that it has none that hold now.
	grant func(token string) (scopes []string, ok bool)
}

// handler serves everything below /fhir/.
func (f *fhirServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /fhir/metadata", f.metadata)
	mux.HandleFunc("GET /fhir/{kind}", f.search)
	mux.HandleFunc("POST /fhir/{kind}/_search", f.search)
	mux.HandleFunc("GET /fhir/{kind}/{id}", f.read)
	mux.HandleFunc("/fhir/", func(w http.ResponseWriter, r *http.Request) {
		outcome(w, http.StatusNotFound, "not-supported", "this server offers read and search of "+strings.Join(f.kinds(), ", "))
	})
	return mux
}

func (f *fhirServer) kinds() []string {
	var list []string
	for kind := range parameters {
		list = append(list, kind)
	}
	slices.Sort(list)
	return list
}

func (f *fhirServer) read(w http.ResponseWriter, r *http.Request) {
	kind, id := r.PathValue("kind"), r.PathValue("id")
	if !f.admit(w, r, kind, 'r') {
		return
	}
	found, ok := f.hospital.records[kind+"/"+id]
	if !ok {
		outcome(w, http.StatusNotFound, "not-found", "there is no such "+kind)
		return
	}
	writeFHIR(w, http.StatusOK, found.raw)
}

func (f *fhirServer) search(w http.ResponseWriter, r *http.Request) {
	kind := r.PathValue("kind")
	if !f.admit(w, r, kind, 's') {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		outcome(w, http.StatusBadRequest, "invalid", "the search cannot be read")
		return
	}
	q, err := newQuery(kind, f.base, r.Form)
	if err != nil {
		outcome(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	page, total := q.run(f.hospital)
	writeFHIR(w, http.StatusOK, f.bundle(q, r.Form, page, total))
}

type link struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

type entry struct {
	FullURL  string          `json:"fullUrl"`
	Resource json.RawMessage `json:"resource"`
	Search   struct {
		Mode string `json:"mode"`
	} `json:"search"`
}

type bundle struct {
	ResourceType string  `json:"resourceType"`
	Type         string  `json:"type"`
	Total        int     `json:"total"`
	Link         []link  `json:"link"`
	Entry        []entry `json:"entry,omitempty"`
}

func (f *fhirServer) bundle(q *query, asked url.Values, page []*record, total int) bundle {
	b := bundle{ResourceType: "Bundle", Type: "searchset", Total: total, Link: []link{{"self", f.base + "/" + q.kind + "?" + asked.Encode()}}}
	if next := q.offset + len(page); len(page) > 0 && next < total {
		asked.Set("_offset", strconv.Itoa(next))
		b.Link = append(b.Link, link{"next", f.base + "/" + q.kind + "?" + asked.Encode()})
	}
	for _, r := range page {
		e := entry{FullURL: f.base + "/" + r.reference(), Resource: r.raw}
		e.Search.Mode = "match"
		b.Entry = append(b.Entry, e)
	}
	return b
}

// admit checks the type, the token and its scopes, and answers where one does not do. do is 'r' for read, 's' for search.
func (f *fhirServer) admit(w http.ResponseWriter, r *http.Request, kind string, do byte) bool {
	if _, known := parameters[kind]; !known {
		outcome(w, http.StatusNotFound, "not-supported", "this server has "+strings.Join(f.kinds(), ", "))
		return false
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sandbox"`)
		outcome(w, http.StatusUnauthorized, "login", "a bearer token is needed")
		return false
	}
	scopes, ok := f.grant(strings.TrimSpace(token))
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sandbox", error="invalid_token"`)
		outcome(w, http.StatusUnauthorized, "login", "the bearer token is not known, or has expired")
		return false
	}
	if !slices.ContainsFunc(scopes, func(s string) bool { return allows(s, kind, do) }) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sandbox", error="insufficient_scope"`)
		outcome(w, http.StatusForbidden, "forbidden", fmt.Sprintf("the token was not granted user/%s.rs or user/%[1]s.read", kind))
		return false
	}
	return true
}

// allows tells whether a SMART scope, in the spelling of version 1 or 2, lets its bearer read or search a type. The
// scope fhirUser lets them read who they are.
func allows(scope, kind string, do byte) bool {
	if scope == "fhirUser" {
		return kind == "Practitioner" && do == 'r'
	}
	level, rest, ok := strings.Cut(scope, "/")
	if !ok || !slices.Contains([]string{"user", "patient", "system"}, level) {
		return false
	}
	of, may, ok := strings.Cut(rest, ".")
	if !ok || of != kind && of != "*" {
		return false
	}
	switch may {
	case "read", "*":
		return true
	case "write":
		return false
	}
	return strings.Trim(may, "cruds") == "" && strings.IndexByte(may, do) >= 0
}

// outcome answers with an OperationOutcome of one issue.
func outcome(w http.ResponseWriter, status int, code, sentence string) {
	type issue struct {
		Severity    string `json:"severity"`
		Code        string `json:"code"`
		Diagnostics string `json:"diagnostics"`
	}
	writeFHIR(w, status, struct {
		ResourceType string  `json:"resourceType"`
		Issue        []issue `json:"issue"`
	}{"OperationOutcome", []issue{{"error", code, sentence}}})
}

func writeFHIR(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/fhir+json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a caller that hung up is not our problem
}
