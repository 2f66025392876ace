package hubtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A call is a request on its way to the hub and back. Deviations change it with the server's lock held; what needs other
// locks they put off.
type call struct {
	server *Server
	asked  *Request // as it came
	origin *http.Request

	path   string // below the base: "", a topic, "ws/x"
	kind   string // Content-Type
	form   url.Values
	body   []byte // where there is no form
	join   Fault  // how much of the session a new socket is told
	silent bool   // a socket that is let in and never hears a word
	told   string // the endpoint that the subscriber knows, where the hub knows another

	first  []func() // before the hub is asked
	answer *recorder
	then   []func() // after it has answered
}

func (s *Server) newCall(r *http.Request, asked *Request, body []byte) *call {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, s.base), "/")
	c := &call{server: s, asked: asked, origin: r, path: path, kind: r.Header.Get("Content-Type"), body: body, answer: &recorder{header: http.Header{}}}
	if asked.Form != nil {
		c.form, _ = url.ParseQuery(string(body))
	}
	return c
}

// full is the path as the hub knows it.
func (c *call) full() string {
	if c.path == "" {
		return c.server.base
	}
	return c.server.base + "/" + c.path
}

// request is what the hub is asked.
func (c *call) request() *http.Request {
	r := c.origin.Clone(context.WithValue(c.origin.Context(), joining{}, c.join))
	if r.URL.Path != c.full() {
		r.URL.Path, r.URL.RawPath = c.full(), ""
	}
	if c.form != nil {
		c.body = []byte(c.form.Encode())
	}
	r.Header.Set("Content-Type", c.kind)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	return r
}

func (c *call) refuse(status int, why string) { Reply{Status: status, Body: why}.write(c.answer) }

// accepted tells whether the hub took a request of that kind.
func (c *call) accepted(kinds ...On) bool {
	for _, on := range kinds {
		if c.asked.On == on {
			return c.answer.status == http.StatusAccepted
		}
	}
	return false
}

// edit changes an answer that is a JSON object.
func (c *call) edit(f func(object)) {
	var m object
	if json.Unmarshal(c.answer.body.Bytes(), &m) != nil || m == nil {
		return
	}
	f(m)
	c.answer.replace(c.answer.status, "application/json", string(raw(m)))
}

// event is what is published, nil for anything else.
func (c *call) event() *notice {
	n, ok := readNotice(c.body)
	if c.asked.On != Publish || !ok || n.event == nil {
		return nil
	}
	return n
}

// prepare lets the deviations at a request. It tells whether the hub is to be asked at all.
func (s *Server) prepare(c *call) bool {
	s.mu.Lock()
	if c.form.Has("hub.callback") {
		s.rememberHook(c)
	}
	for _, d := range s.rows {
		if d.before != nil && c.answer.status == 0 && s.armed.due(d.name) && d.before(c) {
			s.armed.spend(d.name)
		}
	}
	s.mu.Unlock()
	for _, f := range c.first {
		f()
	}
	return c.answer.status == 0
}

// finish lets them at the hub's answer.
func (s *Server) finish(c *call) {
	s.mu.Lock()
	s.remember(c)
	for _, d := range s.rows {
		if d.after != nil && s.armed.due(d.name) && d.after(c) {
			s.armed.spend(d.name)
		}
	}
	s.mu.Unlock()
	for _, f := range c.then {
		f()
	}
}
