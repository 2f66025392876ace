package oauthtest

import (
	"net/http"
	"strings"
	"time"
)

// Faults are the ways to misbehave; the zero value is an honest server. In
// addresses "$" stands for the server's own origin.
type Faults struct {
	Slow time.Duration // before every answer
	// Clock is how far the server's clock is ahead: of Date, and of id_tokens.
	Clock time.Duration
	// Away answers a request for a path, such as "/auth/token", with a
	// redirect (307, which repeats a POST) to an address.
	Away map[string]string
	// Endless is a path whose answer begins well and never ends.
	Endless string
	// Pages are paths that answer as a captive portal or a broken proxy does:
	// 200 and a page of HTML.
	Pages []string

	// Discovery. Members replace or, with nil, remove those of the document.
	Configuration       map[string]any
	ConfigurationStatus int
	ConfigurationHTML   bool           // as a captive portal does
	OpenID              map[string]any // of the OpenID configuration, as Configuration
	WantsAccept         bool           // 406 unless application/json is asked for
	SMART1              bool           // only a CapabilityStatement describes the server

	// Redirect.
	Error        string // an error code instead of a code
	Description  string // instead of a description of its own
	MoreAt       string // error_uri
	WrongState   bool
	WrongIssuer  bool
	Issuer       string // instead of the true one
	NoIssuer     bool
	TwoCodes     bool
	NoCode       bool
	BrowserStays bool // the pages end on an error page; no redirect ever comes
	// MixUp is the authorize address of another server, to which the browser is
	// sent on with what it brought: what comes back is that server's answer.
	MixUp string

	// Token endpoint, code and refresh alike.
	TokenError  string // error code, with TokenStatus or 400
	TokenStatus int    // with a page of HTML unless TokenError is set
	RetryAfter  string
	Echo        bool // error answers repeat what was sent, as careless servers do
	// Body replaces members of the answer, or removes them with nil. So
	// expires_in, scope and token_type can have any shape.
	Body        map[string]any
	ContentType string // instead of application/json
	BOM         bool   // before the answer
	Cacheable   bool   // the answer may be kept, say its headers
	NoRefresh   bool   // no refresh token
	KeepRefresh bool   // refresh without rotation
	LoseAnswer  bool   // rotate, then drop the connection
	HTML        bool   // a web page instead of the answer, with status 200

	// id_token. Claims replace or, with nil, remove those of the token.
	Claims  map[string]any
	BadSign bool   // signed by a key that is not published
	Signed  string // "none", "HS256" with the public key as the secret, "RS384", "ES256"; "" = RS256
	NoKid   bool   // it does not name its key
	NoID    bool
	IDAgain bool // refresh answers bring an id_token too

	// Keys.
	BareKeys bool // without kid and alg, among others of other kinds

	RevokeStatus int
}

// Misbehave replaces the faults from the next request on.
func (s *Server) Misbehave(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// interfere answers a request in place of the server, if f says so for its
// path, whatever it is for.
func (f Faults) interfere(w http.ResponseWriter, r *http.Request) bool {
	if to, ok := f.Away[r.URL.Path]; ok {
		http.Redirect(w, r, at(r, to), http.StatusTemporaryRedirect)
		return true
	}
	for _, path := range f.Pages {
		if path == r.URL.Path {
			htmlError(w, http.StatusOK)
			return true
		}
	}
	if f.Endless == r.URL.Path && f.Endless != "" {
		endless(w)
		return true
	}
	return false
}

// endless writes blanks, which are good JSON so far, until the client leaves.
// A client that never does gets 64 MiB.
func endless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	blanks := []byte(strings.Repeat(" ", 64<<10))
	for range 1 << 10 {
		if _, err := w.Write(blanks); err != nil {
			return
		}
	}
}

// at puts the server's origin into an address.
func at(r *http.Request, address string) string { return strings.ReplaceAll(address, "$", origin(r)) }

// change replaces members of a document, or removes them with nil.
func change(doc, by map[string]any) {
	for name, value := range by {
		if value == nil {
			delete(doc, name)
		} else {
			doc[name] = value
		}
	}
}

func htmlError(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<!doctype html><title>Sorry</title><p>Something went wrong."))
}
