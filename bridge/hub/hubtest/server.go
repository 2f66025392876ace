package hubtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// Token is what a [Server] accepts when its configuration does not say otherwise: all scopes, for the topics of User.
const (
	Token = "test-token"
	User  = "tester"
)

// A Server is a hub with faults, an http.Handler. It may be used from any goroutine. Without faults it is the hub.
type Server struct {
	config   hub.Config
	base     string // the path of BaseURL
	rows     []deviation
	sessions *sessions

	mu        sync.Mutex
	hub       *hub.Hub
	armed     armed
	sockets   map[*socket]bool
	endpoints map[string]*endpoint // by path
	hooks     map[string]*socket   // who is called back, by host and path
	requests  []*Request           // the latest
	answers   []Answer             // the latest
}

// kept is how many requests and answers are remembered.
const kept = 10_000

// New is a server without faults. Of the configuration, BaseURL defaults to [PipeURL] + "/fc", Authorize to [Token], and
// Events to the catalogue with the heartbeat of the ballots. It starts nothing.
func New(c hub.Config) (*Server, error) {
	if c.BaseURL == "" {
		c.BaseURL = PipeURL + "/fc"
	}
	if c.Authorize == nil {
		c.Authorize = func(token string) (hub.Grant, bool) {
			return hub.Grant{User: User, Scopes: fhircast.ParseScopes([]string{"fhircast/*.*"})}, token == Token
		}
	}
	if c.Events == nil {
		c.Events = append(hub.Catalogue(), fhircast.Heartbeat)
	}
	if c.Store == nil {
		c.Store = &hub.Memory{}
	}
	s := &Server{rows: catalogue(), sessions: &sessions{Store: c.Store}, sockets: map[*socket]bool{}, endpoints: map[string]*endpoint{}, hooks: map[string]*socket{}}
	s.sessions.closeClears = func() bool { return s.takes(CloseClearsCurrent) }
	c.Store = s.sessions
	if c.Webhooks.Client != nil {
		client := *c.Webhooks.Client
		client.Transport = &callbacks{s, client.Transport}
		c.Webhooks.Client = &client
	}
	if u, err := url.Parse(c.BaseURL); err == nil { // or hub.New complains
		s.base = strings.TrimRight(u.Path, "/")
	}
	s.config = c
	s.Clear()
	var err error
	s.hub, err = hub.New(c)
	return s, err
}

// URL is the hub.url.
func (s *Server) URL() string { return s.config.BaseURL }

// Hub is the hub inside, for NewTopic, Subscribers and Log, and for Publish without faults. Restart replaces it.
func (s *Server) Hub() *hub.Hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub
}

// Fault sets how many times from now on a fault happens: 0 ends it, below 0 is always. A habit ([Habits]) has no number.
func (s *Server) Fault(f Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed.faults[f] = times
	delete(s.armed.parts, f)
	for _, d := range s.rows {
		if d.name == f && d.made != nil && times != 0 {
			s.armed.parts[f] = d.made
		}
	}
}

// Reply treats the next so many requests of a kind in another way, below 0 all; after those that are set already.
func (s *Server) Reply(on On, r Reply, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if times != 0 {
		s.armed.replies[on] = append(s.armed.replies[on], pendingReply{r, times})
	}
}

// Clear ends all faults and replies. What has already gone wrong stays so.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = newArmed()
}

// Drop breaks the lines of the subscribers of that name, now and all together; "" means all. There is no close frame.
func (s *Server) Drop(name string) {
	lines := s.named(name)
	for _, c := range lines {
		c.silence() // or the last would be told that the first is gone
	}
	for _, c := range lines {
		c.breakOff()
	}
}

// Silence makes the lines of the subscribers of that name half-open, now; "" means all. (What the hub notices it cannot
// say.) To silence requests too, see [Network.Freeze].
func (s *Server) Silence(name string) {
	for _, c := range s.named(name) {
		c.silence()
	}
}

// Deny sends a denial to the subscribers of that name ("" means all) and closes with 1000, as if the hub had decided so.
func (s *Server) Deny(name, reason string) {
	for _, c := range s.named(name) {
		c.deny(reason)
	}
}

// Send writes a text frame to the subscribers of that name, whatever it is; "" means all.
func (s *Server) Send(name, text string) {
	for _, c := range s.named(name) {
		c.send(textFrame(text))
	}
}

// Heartbeat sends the heartbeat event of the ballots on a topic, at once and every period, to those who asked for it,
// until ctx ends.
func (s *Server) Heartbeat(ctx context.Context, topic fhircast.Secret, period time.Duration) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		e, err := fhircast.NewEvent(fhircast.Draft{ID: rand.Text(), At: time.Now(), Topic: topic, Name: fhircast.Heartbeat,
			Context: fmt.Appendf(nil, `[{"key":"period","decimal":%g}]`, period.Seconds())})
		if err != nil {
			return err
		}
		if err := s.Hub().Publish(ctx, topic, e); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Restart is a hub that crashed and is back: all lines break and all endpoints are void. Topics stay valid; with forget
// their contexts are lost.
func (s *Server) Restart(ctx context.Context, forget bool) error {
	s.Drop("")
	s.Hub().Close()
	if forget {
		if err := s.sessions.forget(ctx); err != nil {
			return err
		}
	}
	h, err := hub.New(s.config)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub = h
	return nil
}

// Close ends all sockets, silent ones too, and returns when the hub's goroutines have ended.
func (s *Server) Close() {
	for _, c := range s.named("") {
		if c.isSilent() {
			c.breakOff()
		}
	}
	s.Hub().Close()
}

func (s *Server) named(name string) []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*socket
	for c := range s.sockets {
		if name == "" || c.name == name {
			list = append(list, c)
		}
	}
	return list
}

// takes tells whether a fault is due, and counts it.
func (s *Server) takes(f Fault) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.armed.take(f)
}

// mute keeps from the socket of that path what the hub says from now on.
func (s *Server) mute(path string) {
	for _, c := range s.named("") {
		if c.path == path {
			c.mu.Lock()
			c.muted = true
			c.mu.Unlock()
		}
	}
}

func (s *Server) add(c net.Conn, path string) *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := &socket{Conn: c, server: s, path: path, open: map[string]bool{}, events: map[string]string{}}
	if e := s.endpoints[path]; e != nil {
		e.used = true
		made.token, made.asked = e.token, e.asked
		made.topic, made.name = e.form.Get("hub.topic"), e.form.Get("subscriber.name")
	}
	s.sockets[made] = true
	return made
}

func (s *Server) remove(c *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, c)
}
