package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"os/user"
	"sync/atomic"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/subscriber"
	"github.com/castray/castray/oauth"
)

// A line is one session at one hub, from joining to leaving: the relay's side and the subscription.
type line struct {
	client *subscriber.Client
	cancel context.CancelFunc
	ended  chan struct{}
	events []fhircast.Name // asked for
	number atomic.Int64    // of the subscription last confirmed
	origin origin          // of its connection
}

// ears are the relay's, and tell the owner when the subscription's state changes.
type ears struct {
	*bridge.Relay
	line *line
	wake func()
}

func (e ears) Subscribed(n int, granted []fhircast.Name) {
	if e.line.number.Swap(int64(n)) != int64(n) {
		e.line.origin.note()
	}
	e.Relay.Subscribed(n, e.line.reached(granted))
}

// reached is what the hub grants, and what it does not know: no such event can happen there without us. An empty list
// stands for all that was asked for.
func (l *line) reached(granted []fhircast.Name) []fhircast.Name {
	if len(granted) == 0 {
		return nil
	}
	for _, n := range l.events {
		if !n.In(granted) && !l.client.Offers(n) {
			granted = append(granted, n)
		}
	}
	return granted
}

func (e ears) State(subscriber.State) { e.wake() }

// A seat is what is needed to join a hub.
type seat struct {
	hub     config.Hub // resolved: URL and Topic are those of the session
	user    string
	scopes  fhircast.Scopes
	client  *http.Client // signs; nil = unsigned
	roots   *x509.CertPool
	preview func([]string)
}

// connect joins a hub and holds a subscription until hangUp or the end.
func (a *Agent) connect(s seat) {
	a.drop("another session takes its place")
	a.hubHost, a.stuck = host(s.hub.URL), false
	a.solved(problemDenied, problemRefused, problemNoSession)
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.running)) // it ends by hangUp, which waits for a polite end
	l := &line{cancel: cancel, ended: make(chan struct{}), origin: origin{ask: a.cfg.Networks}, events: allowed(s.hub.Events, s.scopes)}
	name := s.hub.SubscriberName(a.cfg.Host, userName(), a.run)
	cfg := subscriber.Config{
		HubURL: s.hub.URL, Topic: s.hub.Topic, Events: l.events, Name: name, Channel: s.hub.Channel, Quirks: s.hub.Quirks,
		SocketHosts: s.hub.SocketHosts,
		HTTP:        s.client, TLS: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}, Proxy: a.proxy,
		Handler: ears{a.relay, l, a.changed}, Log: a.cfg.Log,
	}
	if a.tune != nil {
		a.tune(&cfg)
	}
	l.client = subscriber.New(cfg)
	a.line = l
	a.relay.Join(bridge.Session{
		User: s.user, Topic: s.hub.Topic, Name: name, Events: l.events, Send: s.hub.Send,
		Scopes: s.scopes, Hub: l.client, Test: s.hub.Test, Preview: s.preview,
	})
	a.wait.Go(func() {
		err := l.client.Run(ctx)
		close(l.ended)
		if err != nil {
			a.post(func() { a.lineEnded(l, err) })
		}
	})
}

// allowed leaves out events that the sign-in did not grant to read. Where nothing is known the hub decides (FC-DISC-10).
func allowed(events []fhircast.Name, scopes fhircast.Scopes) []fhircast.Name {
	if scopes == nil {
		return events
	}
	var granted []fhircast.Name
	for _, n := range events {
		if scopes.Read(n) {
			granted = append(granted, n)
		}
	}
	return granted
}

// leave ends the session on purpose: apps and views are told before the hub is, which may take seconds.
func (a *Agent) leave() {
	a.relay.Leave()
	a.settle()
	a.hangUp()
}

// drop ends the subscription, if there is one, while the session or what follows it goes on: to apps and views that is a
// loss, and they are told before the hub is.
func (a *Agent) drop(why string) {
	if a.line == nil {
		return
	}
	a.relay.Lost(int(a.line.number.Load()), why)
	a.settle()
	a.hangUp()
}

// settle waits until the relay has done what it was asked before, and makes that known.
func (a *Agent) settle() {
	_, _ = a.relay.Context("") // of nobody: it is answered after all that was asked before
	a.publish()
}

// hangUp ends the subscription politely, if there is one, and waits for that.
func (a *Agent) hangUp() {
	if a.line == nil {
		return
	}
	a.line.cancel()
	<-a.line.ended
	a.line = nil
}

// lineEnded is a subscription that no retry mends.
func (a *Agent) lineEnded(l *line, err error) {
	if a.line != l {
		return
	}
	a.settle() // the relay has heard of the loss, or a Status would say in sync beside the problem
	a.line = nil
	a.stuck = true
	a.cfg.Log.Error("subscription ended", "because", err.Error())
	var refused *subscriber.StatusError
	switch {
	case errors.Is(err, subscriber.ErrDenied):
		a.notify(problemDenied, "")
	case errors.As(err, &refused) && a.session != nil:
		// A topic that the hub does not know, or a token that it does not take: only a new sign-in gives others.
		a.notify(problemRefused, "")
		a.remark(a.session)
		a.refused = a.session
		a.endSession()
	default:
		a.notify(problemRefused, "")
	}
}

// joinStatic joins the hub of the configuration, without sign-in.
func (a *Agent) joinStatic(preview func([]string)) {
	hub := a.cfg.Settings.Hub
	roots, err := config.Roots(hub.CAFile)
	if err != nil {
		a.fail(err)
		return
	}
	s := seat{hub: hub, user: "configured " + hub.URL, roots: roots, preview: preview}
	if a.handed != nil { // whose session that is, nobody knows (S8)
		s.hub.URL, s.hub.Topic, s.user = a.handed.url, a.handed.topic, ""
	}
	token, err := hub.Token()
	if err != nil {
		a.fail(err)
		return
	}
	if token != "" {
		s.client = oauth.Static(oauth.NewSecret(token.Reveal()), &http.Client{Transport: a.transport(roots)}, hub.URL) // and to no other origin, whatever is handed over
	}
	a.connect(s)
}

// fail is a configuration that was right at the start and is not any more.
func (a *Agent) fail(err error) {
	a.stuck = true
	a.cfg.Log.Error("configuration", "fault", err.Error())
	a.notify(problemRefused, "The configuration of the hub cannot be used. Ask your administrator; the log says why.")
}

// transport makes requests, by HTTP/1.1 on purpose: with a TLS configuration of our own and nothing said, net/http offers no
// other. HTTP/2 puts all requests on one connection, and keeps to it while one of them waits; where the network has changed
// under it, everything that is asked afterwards waits there too, until its deadline, and again at the next try. So a request
// that is given up takes its connection with it, and the next one has another.
func (a *Agent) transport(roots *x509.CertPool) *http.Transport {
	t := &http.Transport{
		Proxy: a.proxy, OnProxyConnectResponse: proxyAnswered,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns:        4,
		IdleConnTimeout:     90 * time.Second,
	}
	a.transports = append(a.transports, t)
	return t
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return cmp.Or(os.Getenv("USER"), os.Getenv("USERNAME"))
}
