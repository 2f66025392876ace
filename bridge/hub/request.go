package hub

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// ServeHTTP answers below the path of the base URL:
//
//	POST                                      subscribe, unsubscribe (form); publish (JSON)
//	GET  /{topic}                             current context
//	GET  /.well-known/fhircast-configuration  discovery, for everybody
//	GET  /ws/{endpoint}                       the WebSocket of a subscription
//
// The Origin header is neither asked for nor believed: any program can write what it likes there. What admits to a
// socket is its address, which only the subscriber was told (FHIRcast 3.0.0, 4.3).
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := h.route(w, r); err != nil {
		reject(w, err)
	}
}

func (h *Hub) route(w http.ResponseWriter, r *http.Request) error {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), h.base.EscapedPath())
	if !ok || rest != "" && rest[0] != '/' {
		return refuse(404, "no such path; the hub is at %q", h.base.Path)
	}
	rest = strings.TrimPrefix(rest, "/")
	if rest == "" {
		if r.Method != http.MethodPost {
			return methodNotAllowed(w, http.MethodPost)
		}
		return h.post(w, r)
	}
	if r.Method != http.MethodGet {
		return methodNotAllowed(w, http.MethodGet)
	}
	if rest == ".well-known/fhircast-configuration" {
		return reply(w, http.StatusOK, h.configuration())
	}
	if endpoint, ok := strings.CutPrefix(rest, "ws/"); ok {
		return h.connect(w, r, h.endpoint(endpoint))
	}
	topic, err := url.PathUnescape(rest)
	if err != nil {
		return refuse(404, "no such topic")
	}
	return h.getContext(w, r, fhircast.Secret(topic))
}

// post tells subscriptions from events by their Content-Type; both go to hub.url (FHIRcast 3.0.0, 2.4 and 2.6).
func (h *Hub) post(w http.ResponseWriter, r *http.Request) error {
	grant, err := h.authorize(r)
	if err != nil {
		return err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form := kind == "application/x-www-form-urlencoded"
	if !form && kind != "application/json" && kind != "application/fhir+json" {
		return refuse(415, "Content-Type is none of application/x-www-form-urlencoded, application/json, application/fhir+json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.config.MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(413, "the body has more than %d bytes", h.config.MaxBody)
	}
	if err != nil {
		return refuse(400, "the body could not be read")
	}
	if form {
		return h.postForm(w, r, grant, string(body))
	}
	return h.postEvent(w, r, grant, body)
}

func (h *Hub) authorize(r *http.Request) (Grant, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Grant{}, refuse(401, "no bearer token")
	}
	grant, ok := h.config.Authorize(token)
	if !ok || !grant.Expires.IsZero() && !time.Now().Before(grant.Expires) {
		return Grant{}, refuse(401, "the token is not valid or has expired")
	}
	return grant, nil
}

// mayUse checks a topic that exists.
func (g Grant) mayUse(topic fhircast.Secret, s Session) error {
	if g.Topics != nil && g.Topics(topic) || g.Topics == nil && g.User == s.User {
		return nil
	}
	return refuse(403, "the token is not for this topic")
}

// parameters reads a form in which each stands once (FHIRcast 3.0.0, 2.4).
func parameters(body string) (map[string]string, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, refuse(400, "the body is no form")
	}
	once := map[string]string{}
	for name, values := range form {
		if len(values) > 1 {
			return nil, refuse(400, "%q is given more than once", name)
		}
		once[name] = values[0]
	}
	return once, nil
}

func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody to tell
	return nil
}

func methodNotAllowed(w http.ResponseWriter, allowed string) error {
	w.Header().Set("Allow", allowed)
	return refuse(405, "only %s here", allowed)
}

// reject answers in plain text, for developers (FHIRcast 3.0.0, 2.4).
func reject(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*StatusError](err)
	if !ok {
		e = &StatusError{500, "the hub has made a mistake"}
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, e.Reason, e.Status)
}
