package hubtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
)

// callbacks lets the deviations at what the hub sends to webhooks: questions, whose members are in the query, and events.
// Those that are about frames and sockets do not happen there.
type callbacks struct {
	server *Server
	next   http.RoundTripper
}

// RoundTrip is of http.RoundTripper.
func (c *callbacks) RoundTrip(r *http.Request) (*http.Response, error) {
	next := c.next
	if next == nil {
		next = http.DefaultTransport
	}
	to := c.server.hooked(r.URL)
	if to == nil {
		return next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	if r.Method == http.MethodGet {
		c.question(to, r)
	} else if err := c.event(to, r); err != nil {
		return nil, err
	}
	return next.RoundTrip(r)
}

// question changes the members that the hub has written into a query.
func (c *callbacks) question(to *socket, r *http.Request) {
	members, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return
	}
	n := &notice{top: object{}}
	for name := range members {
		n.top.set(name, members.Get(name))
	}
	c.server.mu.Lock()
	c.server.spoken(to, n)
	c.server.mu.Unlock()
	for name := range members {
		members.Del(name)
	}
	for name, value := range n.top {
		text := n.top.text(name)
		if text == "" && string(value) != `""` { // a number
			text = string(value)
		}
		members.Set(name, text)
	}
	r.URL.RawQuery = members.Encode()
}

// event changes the body and signs it anew, since what is signed are its bytes.
func (c *callbacks) event(to *socket, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if n, ok := readNotice(body); ok {
		c.server.mu.Lock()
		if c.server.spoken(to, n) {
			body = n.write()
		}
		c.server.mu.Unlock()
	}
	if secret := to.asked.Get("hub.secret"); secret != "" {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		r.Header.Set("X-Hub-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return nil
}

// hooked is who is called back at that address, nil when nobody asked for it. It has no socket.
func (s *Server) hooked(u *url.URL) *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hooks[u.Host+u.Path]
}

// rememberHook keeps who wants to be called back. It is called with the server's lock.
func (s *Server) rememberHook(c *call) {
	u, err := url.Parse(c.form.Get("hub.callback"))
	if err != nil || c.asked.On != Subscribe || u.Host == "" {
		return
	}
	s.hooks[u.Host+u.Path] = &socket{server: s, topic: c.form.Get("hub.topic"), asked: c.asked.Form, open: map[string]bool{}, events: map[string]string{}}
}

// webhookOnly refuses sockets.
func webhookOnly(c *call) bool {
	if c.asked.On != Subscribe || c.form.Get("hub.channel.type") != "websocket" {
		return false
	}
	c.refuse(http.StatusBadRequest, "only webhooks")
	return true
}
