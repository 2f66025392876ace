package subscriber

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// Config says which subscription, and how to reach the hub.
type Config struct {
	HubURL string          // https; requests go to exactly this address
	Topic  fhircast.Secret // the session
	Events []fhircast.Name // what to ask for; SyncError is always added, heartbeat where the hub knows it
	Name   string          // subscriber.name, shown to others in a SyncError

	// SocketHosts are hosts besides the hub's own at which it may have its sockets. They never get the token.
	SocketHosts []string

	// Channel is how the hub reaches us: "websocket", which "" is too, or "webhook", for a hub on this very computer that has
	// no sockets. For that Run opens a port of loopback, by Listen; nil is the system's.
	Channel string
	Listen  func(network, address string) (net.Listener, error)

	// HTTP makes the requests and signs them for the hub; nil makes them unsigned, over TLS, Dial and Proxy.
	HTTP *http.Client
	// TLS, Dial and Proxy are for the socket and for what is asked unsigned; nil is the system's. TLS is never below 1.2.
	// Dial connects to the hub or, where there is one, to the proxy. Proxy names the proxy for a request (http, https or
	// socks5; nil is none); it is asked about a socket's host, not about its address. A nil Proxy is the environment's,
	// and none where Dial is set.
	TLS   *tls.Config
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	Proxy func(*http.Request) (*url.URL, error)

	Quirks  []string      // known deviations of this hub, by the names of fhircast.Quirks; they count more than its own word
	Lease   time.Duration // what to wish for; 0 leaves it to the hub
	Handler Handler
	Log     *slog.Logger   // nil discards
	Rand    func() float64 // [0,1), for jitter, called from Run only; nil is random
}

// A Handler hears what happens to the subscription. It is called from one goroutine, in the order of the socket, and
// must not block; it may call what of the Client does not wait: [Client.Reconnect], [Client.Renew] and [Client.Offers].
type Handler interface {
	// Subscribed says that subscription n (1, 2, ...) is confirmed, and for which events. It is called again with the
	// same n when the hub grants something else later, by a renewal or a denial of some events.
	Subscribed(n int, granted []fhircast.Name)
	// Deliver hands over an event that waits for its answer; d.Subscription is the n of Subscribed. The answer may come
	// from any goroutine. It goes nowhere once that subscription has ended.
	Deliver(d *fhircast.Delivery)
	// Refused says that a frame could not be parsed (and was answered 400), or was larger than 4 MiB (413), if it had
	// an id to answer to.
	Refused(n int, e *fhircast.FrameError)
	// Lost says that subscription n has ended, and why in a few words. It is not called when Run's context ended.
	Lost(n int, cause string)
	// State is called after every transition.
	State(s State)
}

// A Client is one subscription. Its methods may be called from any goroutine, except that Run runs once at a time.
type Client struct {
	cfg   Config
	hub   *requests
	fault error // what is wrong with cfg

	subscriptions int         // how many were confirmed; of Run's goroutine
	reconnects    chan string // at most one waits: newest wins
	renewals      chan struct{}
	state         atomic.Uint32
	trouble       atomic.Pointer[string]
}

// New starts nothing. What is wrong with cfg is what Run returns.
func New(cfg Config) *Client {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	c := &Client{cfg: cfg, reconnects: make(chan string, 1), renewals: make(chan struct{}, 1)}
	c.hub, c.fault = newRequests(cfg)
	return c
}

// Run subscribes and stays subscribed until ctx ends; it then unsubscribes, closes the socket with 1000 (both within a
// few seconds) and returns nil. It returns earlier with [ErrDenied], with a *[StatusError] for a refusal that no retry
// mends, or with another error about what cannot work as configured. No error tells the topic, a socket address or
// what the hub wrote. Run may be called again once it has returned; subscription numbers go on.
func (c *Client) Run(ctx context.Context) error {
	if c.fault != nil {
		return c.fault
	}
	o := newOwner(c)
	return o.run(ctx)
}

// Reconnect drops the socket and subscribes anew within a second, for reasons that Run cannot see: resume from sleep,
// another network, the user. A time that the hub asked us to wait is still waited.
func (c *Client) Reconnect(why string) {
	for {
		select {
		case c.reconnects <- why:
			return
		default:
		}
		select {
		case <-c.reconnects:
		default:
		}
	}
}

// Renew renews the lease now, if there is one: a lease ends with the token it was asked for with, so with a new token it
// can be longer (FHIRcast 3.0.0, 2.4.1). It does nothing while there is no subscription, or a renewal is under way.
func (c *Client) Renew() {
	select {
	case c.renewals <- struct{}{}:
	default: // one waits already
	}
}

// Offers tells whether the hub says that it knows an event, or says nothing of what it knows (FHIRcast 3.0.0, 2.7). It is
// known once the hub has answered a subscribe. It never waits, and a Handler may call it.
func (c *Client) Offers(n fhircast.Name) bool {
	if c.fault != nil {
		return false
	}
	supported := c.hub.says().dialect.Supported
	return len(supported) == 0 || n.In(supported)
}

// State is where the subscription stands.
func (c *Client) State() State { return State(c.state.Load()) }

// Trouble is why there is no subscription, in a few words; "" while there is one, and before the first failure.
func (c *Client) Trouble() string {
	if words := c.trouble.Load(); words != nil {
		return *words
	}
	return ""
}
