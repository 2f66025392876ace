package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/oauth/oauthtest"
)

// Config is how a sandbox is set up. The zero value is one user, who has to press Allow, on any free port, and nothing
// is written.
type Config struct {
	Listen      string    // a loopback address with its port; "" is 127.0.0.1:0
	AutoApprove bool      // sign in at once as the first user, without pages
	Users       int       // how many people can sign in, each with a session; 0 is one, at most 100
	Dir         string    // where the certificate authority and a configuration are written, made if need be; "" writes nothing
	Secret      bool      // the client proves itself by a secret, which Info tells
	Misbehave   Faults    // what hub and sign-in do wrong; the zero value is nothing
	Replay      Recording // what happens in the first user's session once somebody has subscribed to it; nil is nothing
	// Launch is what a sign-in brings besides the hub, such as the patient at that time; nil is nothing.
	Launch map[string]any
	// LaunchPort is that of an agent's loopback GET /launch, for which the EHR page then has a link; 0 is none.
	LaunchPort int
	Log        *slog.Logger
}

// A Sandbox is made by [New] and works while [Sandbox.Run] does.
type Sandbox struct {
	log      *slog.Logger
	listener net.Listener
	ca       *authority
	hospital *hospital
	sessions *hub.Memory
	hub      *hub.Hub
	door     door // the hub, as subscribers meet it
	auth     *oauthtest.Server
	page     *page
	users    []user
	launches launches
	info     Info
	replay   Recording
	dir      string
}

// A user can sign in and has a session.
type user struct {
	id, name string
	topic    fhircast.Secret
}

const (
	clientID = "castray"
	maxUsers = 100
)

// New listens and writes the files that Config asks for, but answers nobody yet: who connects waits for Run. Its
// sentences about Config are fit to be shown.
func New(ctx context.Context, c Config) (*Sandbox, error) {
	address, err := loopback(c.Listen)
	if err != nil {
		return nil, err
	}
	if c.Users < 0 || c.Users > maxUsers {
		return nil, fmt.Errorf("a sandbox has 1 to %d users", maxUsers)
	}
	s := &Sandbox{log: c.Log, sessions: &hub.Memory{}, replay: c.Replay, launches: launches{port: c.LaunchPort}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	names := readerNames(max(c.Users, 1))
	if s.hospital, err = newHospital(persons, names, time.Now()); err != nil {
		return nil, err
	}
	if s.ca, err = newAuthority(time.Now()); err != nil {
		return nil, err
	}
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if err = s.assemble(ctx, c, names); err != nil {
		s.listener.Close()
		return nil, err
	}
	return s, nil
}

// loopback is the address to listen on. Whoever can reach a sandbox can be anybody in it, so no other machine may.
func loopback(listen string) (string, error) {
	if listen == "" {
		return "127.0.0.1:0", nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return "", errors.New("the sandbox listens on an address with a port, such as 127.0.0.1:0")
	}
	if ip, err := netip.ParseAddr(host); host != "127.0.0.1" && host != "localhost" && (err != nil || ip != netip.IPv6Loopback()) {
		return "", errors.New("the sandbox listens on 127.0.0.1, [::1] or localhost only: whoever can reach it can sign in as anybody")
	}
	return listen, nil
}

func readerNames(n int) []humanName {
	var names []humanName
	for i := range n {
		if i < len(readers) {
			names = append(names, readers[i])
		} else {
			names = append(names, western(fmt.Sprint(i+1), "Reader"))
		}
	}
	return names
}

// assemble puts the parts together, which know each other by the address that the listener got.
func (s *Sandbox) assemble(ctx context.Context, c Config, names []humanName) (err error) {
	origin := "https://" + s.listener.Addr().String()
	s.info = Info{FHIRURL: origin + "/fhir", EHRURL: origin + "/ehr/", HubURL: origin + "/hub", ClientID: clientID, AdminToken: rand.Text()}
	s.auth = &oauthtest.Server{ClientID: clientID, AutoApprove: c.AutoApprove, Hub: s.launched, Extra: c.Launch, Launch: s.launches.of}
	if c.Secret {
		s.info.ClientSecret = rand.Text()
		s.auth.Client = oauthtest.Client{Secret: s.info.ClientSecret}
	}
	s.auth.Misbehave(c.Misbehave.signIn)
	if err = s.openHub(hub.Config{BaseURL: s.info.HubURL, Authorize: s.authorize, Store: s.sessions, Log: s.log}, c.Misbehave.hub); err != nil {
		return err
	}
	for i, name := range names {
		u := user{id: readerID(i + 1), name: name.Text}
		if u.topic, err = s.hub.NewTopic(ctx, u.id); err != nil {
			return err
		}
		s.users = append(s.users, u)
		s.auth.Users = append(s.auth.Users, oauthtest.User{ID: u.id, Name: u.name, FHIRUser: "Practitioner/" + u.id})
	}
	s.info.Topic = s.door.Told(s.users[0].topic).Reveal()
	s.page = &page{Sandbox: s, token: rand.Text()}
	if c.Dir == "" {
		return nil
	}
	return s.writeFiles(c.Dir)
}

// Info says where everything is. It is complete from the start.
func (s *Sandbox) Info() Info { return s.info }

// CertPool holds the sandbox's certificate authority alone.
func (s *Sandbox) CertPool() *x509.CertPool { return s.ca.pool() }

// launched gives a user who signs in their session.
func (s *Sandbox) launched(id string) (url, topic string) {
	u, err := s.user(id)
	if err != nil {
		return "", ""
	}
	return s.info.HubURL, s.door.Told(u.topic).Reveal()
}

func (s *Sandbox) isAdmin(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.info.AdminToken)) == 1
}

// authorize tells the hub what a token may do.
func (s *Sandbox) authorize(token string) (hub.Grant, bool) {
	if s.isAdmin(token) {
		return hub.Grant{User: "admin", Scopes: fhircast.Scopes{{Event: "*", Read: true, Write: true}},
			Topics: func(fhircast.Secret) bool { return true }}, true
	}
	g, ok := s.auth.Check(token)
	return hub.Grant{User: g.User, Scopes: fhircast.ParseScopes(g.Scopes), Expires: g.Expires}, ok
}

// scopes tells the FHIR server what a token may do.
func (s *Sandbox) scopes(token string) ([]string, bool) {
	if s.isAdmin(token) {
		return []string{"user/*.rs"}, true
	}
	g, ok := s.auth.Check(token)
	return g.Scopes, ok
}

func (s *Sandbox) handler() http.Handler {
	records := &fhirServer{base: s.info.FHIRURL, hub: s.info.HubURL, hospital: s.hospital, started: time.Now(), grant: s.scopes}
	mux := http.NewServeMux()
	mux.Handle("/fhir/", records.handler())
	mux.Handle("/fhir/.well-known/smart-configuration", s.auth)
	mux.Handle("/auth/", s.auth)
	mux.Handle("/hub", s.door)
	mux.Handle("/hub/", s.door)
	mux.Handle("/ehr/", s.page.handler())
	mux.Handle("/{$}", http.RedirectHandler("/ehr/", http.StatusSeeOther))
	return onlyLoopback(mux)
}

// onlyLoopback refuses requests for another host: a web page whose name was made to point at this machine.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && (err != nil || !ip.IsLoopback()) {
			http.Error(w, "The sandbox is for this machine only.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// stopWithin is how long requests may take that are under way when the sandbox ends.
const stopWithin = 5 * time.Second

// Run serves until ctx ends, then ends the sessions' sockets (1001) and everything else that it started, and returns
// nil. It is called once. The listener is closed in any case.
func (s *Sandbox) Run(ctx context.Context) error {
	streams, end := context.WithCancel(context.WithoutCancel(ctx)) // so that sockets are told before they are cut
	defer end()
	server := &http.Server{
		Handler:           s.handler(),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{s.ca.server}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		BaseContext:       func(net.Listener) context.Context { return streams },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // browsers that do not know the authority
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(s.listener, "", "") }()
	s.log.Info("sandbox ready", "address", s.listener.Addr().String())
	played := make(chan struct{})
	playing, enough := context.WithCancel(ctx)
	go func() {
		defer close(played)
		if s.replay != nil {
			s.play(playing, s.replay)
		}
	}()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- err
	}
	enough()
	<-played
	s.door.Close()
	end()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if server.Shutdown(stop) != nil {
		server.Close()
	}
	if last := <-served; err == nil && !errors.Is(last, http.ErrServerClosed) {
		err = last
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}
