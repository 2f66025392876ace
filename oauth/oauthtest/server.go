// Package oauthtest is a SMART App Launch authorization server in memory, good
// enough to demonstrate with: discovery, a login and a consent page, PKCE, one
// answer per code, rotating refresh tokens, revocation, introspection, id_tokens,
// and a client that is public or has to prove itself. On request it misbehaves; see Faults. It keeps what it was sent.
//
// It knows nothing of the client that is tested against it, and is no server
// for real users: everyone who can reach the login page is whoever they choose.
//
// A Server is an http.Handler for one TLS origin, which it takes from the Host
// of each request. It guards its state with one mutex and starts nothing.
package oauthtest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// User is someone who can sign in.
type User struct {
	ID       string // sub; also the argument of Server.Hub
	Name     string
	FHIRUser string // such as "Practitioner/reader"
}

// Grant is what a token stands for.
type Grant struct {
	User    string // User.ID
	Scopes  []string
	Expires time.Time
}

// Request is one request as it came in.
type Request struct {
	Method, Path string
	Header       http.Header
	Form         url.Values // query and body
}

// Server is the authorization server. Set the fields before the first request;
// zero values are useful except Users.
type Server struct {
	Users       []User
	ClientID    string // the only client; "" = any
	Client      Client // how it proves itself
	FHIRPath    string // path of the FHIR base on this origin; "" = /fhir
	AutoApprove bool   // redirect at once, as the first user
	// Hub gives the FHIRcast session of a user for the token response; nil or
	// an empty url = none.
	Hub func(user string) (url, topic string)
	// Launch tells whom the launch parameter of an EHR launch is for, "" for
	// nobody in particular, and false for one that it never gave; nil = any is
	// good and names nobody.
	Launch func(handle string) (user string, ok bool)
	// Redirects are registered besides the loopback, such as one in a scheme.
	Redirects []string
	// Extra is added to every first token response, such as "patient".
	Extra map[string]any
	// TokenLife of access tokens; 0 = 1 hour. CodeLife of codes; 0 = 1 minute.
	TokenLife, CodeLife time.Duration
	// Key signs id_tokens; nil = one of its own, made when first needed.
	Key *rsa.PrivateKey

	mu       sync.Mutex
	faults   Faults
	kid      string // of Key, new for each
	curve    *ecdsa.PrivateKey
	stranger *rsa.PrivateKey // never published
	requests []Request
	tickets  map[string]ticket // an authorization request on its way through the pages
	codes    map[string]*code
	refresh  map[string]*refreshToken
	tokens   map[string]token
	families int
	revoked  map[int]bool // families

	assertions map[string]time.Time // seen, until they end
}

type ticket struct {
	client, redirect, state, scope, challenge, nonce string
	user                                             int
}

type code struct {
	ticket
	expires time.Time
	family  int
	used    bool
}

type refreshToken struct {
	grant  Grant
	client string
	family int
	used   bool
}

type token struct {
	grant  Grant
	client string
	family int
}

const keepRequests = 10000 // the oldest are forgotten

// ServeHTTP serves {FHIRPath}/.well-known/smart-configuration and all under
// /auth/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "form cannot be read", http.StatusBadRequest)
		return
	}
	f := s.received(r)
	if f.Slow > 0 {
		t := time.NewTimer(f.Slow)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Date", time.Now().Add(f.Clock).UTC().Format(http.TimeFormat))
	if f.interfere(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + s.fhirPath() + "/.well-known/smart-configuration":
		s.configuration(w, r, f)
	case "GET " + s.fhirPath() + "/metadata":
		s.metadata(w, r, f)
	case "GET /auth/.well-known/openid-configuration":
		doc := map[string]any{"issuer": s.issuer(r), "jwks_uri": origin(r) + "/auth/jwks"}
		change(doc, f.OpenID)
		reply(w, http.StatusOK, doc)
	case "GET /auth/authorize", "POST /auth/authorize":
		s.authorize(w, r, f)
	case "POST /auth/login":
		s.login(w, r)
	case "POST /auth/consent":
		s.consent(w, r, f)
	case "POST /auth/token":
		s.token(w, r, f)
	case "POST /auth/revoke":
		s.revoke(w, r, f)
	case "POST /auth/introspect":
		s.introspect(w, r)
	case "GET /auth/jwks":
		s.jwks(w, f)
	default:
		http.NotFound(w, r)
	}
}

// Requests returns what came in so far, pages included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count tells how many requests for a path came in, such as "/auth/token".
func (s *Server) Count(path string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Path == path {
			n++
		}
	}
	return n
}

// Check tells what an access token stands for, for a hub or FHIR server that
// has to decide about a request.
func (s *Server) Check(accessToken string) (Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[accessToken]
	if !ok || s.revoked[t.family] || !time.Now().Before(t.grant.Expires) {
		return Grant{}, false
	}
	g := t.grant
	g.Scopes = slices.Clone(g.Scopes)
	return g, true
}

// Issue makes an access token without sign-in, for an administrator or a test.
func (s *Server) Issue(user string, scopes []string, life time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.families++
	return s.issue(Grant{User: user, Scopes: slices.Clone(scopes), Expires: time.Now().Add(life)}, s.ClientID, s.families)
}

// Expire ends the access tokens that were issued; refresh tokens stay.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

func (s *Server) issue(g Grant, client string, family int) string {
	if s.tokens == nil {
		s.tokens = map[string]token{}
	}
	for old, t := range s.tokens { // bounded by what is alive
		if time.Now().After(t.grant.Expires) {
			delete(s.tokens, old)
		}
	}
	t := unguessable()
	s.tokens[t] = token{grant: g, client: client, family: family}
	return t
}

func (s *Server) received(r *http.Request) Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= keepRequests {
		s.requests = slices.Delete(s.requests, 0, keepRequests/2)
	}
	s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Form: r.Form})
	return s.faults
}

func (s *Server) fhirPath() string {
	if s.FHIRPath == "" {
		return "/fhir"
	}
	return strings.TrimRight(s.FHIRPath, "/")
}

func (s *Server) issuer(r *http.Request) string { return origin(r) + "/auth" }

func (s *Server) tokenLife() time.Duration {
	if s.TokenLife == 0 {
		return time.Hour
	}
	return s.TokenLife
}

func (s *Server) codeLife() time.Duration {
	if s.CodeLife == 0 {
		return time.Minute
	}
	return s.CodeLife
}

func origin(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left is no news
}

func unguessable() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
