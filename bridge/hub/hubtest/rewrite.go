package hubtest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// A recorder keeps the hub's answer, so that it can be changed.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) replace(status int, kind, body string) {
	r.status = status
	r.header.Set("Content-Type", kind)
	r.body.Reset()
	r.body.WriteString(body)
}

func (r *recorder) copyTo(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}

// rewrite changes the hub's answer where a fault says so.
func (s *Server) rewrite(asked *Request, a *recorder) {
	switch asked.On {
	case Subscribe:
		s.rewriteEndpoint(asked, a)
	case Unsubscribe:
		if a.status == http.StatusAccepted {
			s.denyOthers(asked)
		}
	case Context:
		s.rewriteContext(a)
	case Discovery:
		s.rewriteDiscovery(a)
	}
}

// rewriteEndpoint changes the address that a subscriber is told, and keeps for whom it is.
func (s *Server) rewriteEndpoint(asked *Request, a *recorder) {
	const member = "hub.channel.endpoint"
	var m map[string]string
	if a.status != http.StatusAccepted || json.Unmarshal(a.body.Bytes(), &m) != nil {
		return
	}
	endpoint, err := url.Parse(m[member])
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints[endpoint.Path] = asked.Form
	switch {
	case s.armed.take(EndpointPlain):
		m[member] = "ws" + strings.TrimPrefix(m[member], "wss")
	case s.armed.take(EndpointForeign):
		endpoint.Host = "elsewhere.example.test"
		m[member] = endpoint.String()
	case s.armed.take(EndpointMissing):
		delete(m, member)
	default:
		return
	}
	b, _ := json.Marshal(m)
	a.replace(a.status, "application/json", string(b))
}

func (s *Server) denyOthers(asked *Request) {
	s.mu.Lock()
	due := s.armed.take(DenyOthers)
	s.mu.Unlock()
	if !due {
		return
	}
	own, err := url.Parse(asked.Form.Get("hub.channel.endpoint"))
	if err != nil {
		return
	}
	for _, c := range s.named("") {
		if c.topic == asked.Form.Get("hub.topic") && c.path != own.Path {
			c.send(append(textFrame(denied(c.topic, "a subscriber has unsubscribed")), closeFrame(1000)...))
		}
	}
}

func (s *Server) rewriteContext(a *recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.armed.take(ContextNotOffered):
		a.replace(http.StatusNotImplemented, "text/plain", "not offered")
	case s.armed.take(ContextHTML):
		a.replace(http.StatusOK, "text/html", "<!DOCTYPE html><title>Sign in to the guest network</title>")
	case s.armed.take(ContextOtherPatient):
		a.replace(http.StatusOK, "application/json", `{"context.type":"Patient","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"other","identifier":[{"system":"urn:oid:2.999.1","value":"other"}]}}]}`)
	}
}

func (s *Server) rewriteDiscovery(a *recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m map[string]any
	if s.armed.faults[ContextNotOffered] == 0 || json.Unmarshal(a.body.Bytes(), &m) != nil {
		return // the GET counts it, not this
	}
	delete(m, "getCurrentSupport")
	delete(m, "capabilities")
	b, _ := json.Marshal(m)
	a.replace(a.status, "application/json", string(b))
}
