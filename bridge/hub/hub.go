package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// Config is what a hub needs. BaseURL and Authorize are required, all else has a useful zero value.
type Config struct {
	// BaseURL is the hub.url that subscribers are told, https only, but for a number of the loopback: who serves plain http
	// there has its sockets at ws. The handler serves that path and what is below it.
	BaseURL string
	// Authorize says what an access token allows, or that it is not valid. It must not block.
	Authorize func(token string) (Grant, bool)
	// Store keeps the sessions; nil keeps them in memory.
	Store Store
	// Events are the names the hub knows (eventsSupported); nil means [Catalogue].
	Events []fhircast.Name
	// Rules say where the hub is stricter, or does more, than it has to.
	Rules Rules
	// Webhooks let subscribers of older versions be called back. The zero value offers none.
	Webhooks Webhooks
	// Behind hears of subscribers at sockets, for a program that tells them by [Hub.Tell] what they are to know; nil: nobody.
	Behind Behind

	Lease         time.Duration // given to those who do not ask, and the longest there is; 0 means 2 hours
	ConnectWithin time.Duration // life of an endpoint until its socket comes; 0 means 60 s
	MaxBody       int64         // bytes of a request, and so of an event, 413 above; 0 means 4 MiB
	MaxContent    int64         // bytes of the content of one open resource, 413 above; 0 means 16 MiB
	Queue         int           // frames that wait for one subscriber, more than that cuts it off; 0 means 256
	PerTopic      int           // subscriptions of one topic, 429 above; 0 means 64

	Log *slog.Logger // nil discards
}

// A Grant is what an access token allows (FHIRcast 3.0.0, 2.2).
type Grant struct {
	User    string
	Scopes  fhircast.Scopes
	Expires time.Time // no lease goes beyond; zero means never
	// Topics tells whether the token is for that topic; nil means all topics of User and of no one else.
	Topics func(fhircast.Secret) bool
}

// A StatusError is a refusal, with the HTTP status that a request gets. Reason is for developers and holds no PHI and no
// secret.
type StatusError struct {
	Status int
	Reason string
}

func (e *StatusError) Error() string { return fmt.Sprintf("refused (%d): %s", e.Status, e.Reason) }

func refuse(status int, format string, args ...any) error {
	return &StatusError{status, fmt.Sprintf(format, args...)}
}

// A Hub serves the topics that it made. It may be used from any goroutine.
type Hub struct {
	config Config
	base   *url.URL
	caller *http.Client // of webhooks, nil without them

	sockets     sync.WaitGroup
	introducing sync.Mutex // one call of Behind.Subscribed at a time

	mu        sync.Mutex
	rooms     map[fhircast.Secret]*room
	endpoints map[fhircast.Secret]*subscription
	made      int // subscriptions so far
	begun     int // topics that a subscriber named first
	closed    bool
}

// Catalogue is the events that the standard names (FHIRcast 3.0.0, 3). Without one of [fhircast.Update] among its events
// a hub shares no content.
func Catalogue() []fhircast.Name {
	names := []fhircast.Name{fhircast.HomeOpen, fhircast.UserLogout, fhircast.UserHibernate, fhircast.SyncError}
	for _, resource := range []string{"Patient", "Encounter", "ImagingStudy", "DiagnosticReport"} {
		for _, verb := range []fhircast.Verb{fhircast.Open, fhircast.Close} {
			names = append(names, fhircast.Name(resource+"-"+string(verb)))
		}
	}
	return append(names, "DiagnosticReport-update", "DiagnosticReport-select")
}

// New is a hub without topics. It starts nothing.
func New(c Config) (*Hub, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Scheme != "https" && !isPlain(base) || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("hub: the base URL is not an https URL without query")
	}
	if c.Authorize == nil {
		return nil, errors.New("hub: no Authorize")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = ""
	if c.Store == nil {
		c.Store = &Memory{}
	}
	if c.Events == nil {
		c.Events = Catalogue()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Lease = orDefault(c.Lease, 2*time.Hour)
	c.ConnectWithin = orDefault(c.ConnectWithin, time.Minute)
	c.MaxBody = orDefault(c.MaxBody, 4<<20)
	c.MaxContent = orDefault(c.MaxContent, 16<<20)
	c.Rules.Conflict = orDefault(c.Rules.Conflict, 409)
	c.Rules.Unknown = orDefault(c.Rules.Unknown, 404)
	c.Queue = orDefault(c.Queue, 256)
	c.PerTopic = orDefault(c.PerTopic, 64)
	return &Hub{config: c, base: base, caller: newCaller(c.Webhooks.Client), rooms: map[fhircast.Secret]*room{}, endpoints: map[fhircast.Secret]*subscription{}}, nil
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// NewTopic begins a session of that user. The topic is random (130 bits) and says nothing (FHIRcast 3.0.0, 2.1).
func (h *Hub) NewTopic(ctx context.Context, user string) (fhircast.Secret, error) {
	topic := fhircast.Secret(rand.Text())
	if err := h.config.Store.Save(ctx, topic, Session{User: user}); err != nil {
		return "", fmt.Errorf("begin session: %w", err)
	}
	return topic, nil
}

// EndTopic ends a session: its subscribers are denied with that reason, and the topic is unknown from then on.
func (h *Hub) EndTopic(ctx context.Context, topic fhircast.Secret, reason string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rooms[topic]; r != nil {
		for _, s := range r.subscribers() {
			h.drop(s, ending{deny: true, reason: reason, code: closeNormal})
		}
		delete(h.rooms, topic)
		r.changed()
	}
	if err := h.config.Store.Delete(ctx, topic); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Close is GoAway, and returns when the goroutines of all sockets and webhooks have ended, which takes up to 10 s with a
// peer that does not answer. Call it before the HTTP server is closed, which does not know of sockets.
func (h *Hub) Close() {
	h.GoAway()
	h.sockets.Wait()
}

// GoAway ends all sockets with 1001 and all webhooks, without a denial: the sessions are kept. What was queued is still
// written. It does not wait. Afterwards requests are answered 503.
func (h *Hub) GoAway() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, r := range h.rooms {
		for _, s := range r.subscribers() {
			h.drop(s, ending{code: closeGoingAway})
		}
	}
}

// session is the state of a topic and the room it has here.
func (h *Hub) session(ctx context.Context, topic fhircast.Secret) (Session, *room, error) {
	if h.closed {
		return Session{}, nil, refuse(503, "the hub is closing")
	}
	s, err := h.config.Store.Load(ctx, topic)
	if errors.Is(err, fs.ErrNotExist) {
		return Session{}, nil, refuse(h.config.Rules.Unknown, "no such topic")
	}
	if err != nil {
		h.config.Log.Warn("session not readable", "error", err)
		return Session{}, nil, refuse(503, "the session cannot be read")
	}
	r := h.rooms[topic]
	if r == nil {
		r = &room{topic: topic, watchers: map[chan struct{}]bool{}}
		h.rooms[topic] = r
	}
	return s, r, nil
}

// sessionFor is the session that somebody wants to subscribe to, begun for them where the rules say so.
func (h *Hub) sessionFor(ctx context.Context, topic fhircast.Secret, grant Grant) (Session, *room, error) {
	s, r, err := h.session(ctx, topic)
	if e, ok := errors.AsType[*StatusError](err); ok && e.Status == h.config.Rules.Unknown && h.config.Rules.AnyTopic {
		if err := h.begin(ctx, topic, grant); err != nil {
			return Session{}, nil, err
		}
		s, r, err = h.session(ctx, topic)
	}
	if err != nil {
		return Session{}, nil, err
	}
	return s, r, grant.mayUse(topic, s)
}

// mostBegun bounds the topics that subscribers may make up, which nothing ends but EndTopic.
const mostBegun = 1000

func (h *Hub) begin(ctx context.Context, topic fhircast.Secret, grant Grant) error {
	s := Session{User: grant.User}
	if err := grant.mayUse(topic, s); err != nil {
		return err
	}
	if len(topic) > 200 || h.begun >= mostBegun {
		return refuse(429, "the hub begins no session for this topic")
	}
	if err := h.config.Store.Save(ctx, topic, s); err != nil {
		h.config.Log.Warn("session not saved", "error", err)
		return refuse(503, "the session cannot be saved")
	}
	h.begun++
	return nil
}
