package oauthtest

import (
	"net/http"
	"time"
)

// Faults are the ways to misbehave; the zero value is an honest server.
type Faults struct {
	Slow time.Duration // before every answer

	// Discovery. Members replace or, with nil, remove those of the document.
	Configuration       map[string]any
	ConfigurationStatus int
	ConfigurationHTML   bool // as a captive portal does

	// Redirect.
	Error        string // an error code instead of a code
	WrongState   bool
	WrongIssuer  bool
	NoIssuer     bool
	TwoCodes     bool
	NoCode       bool
	BrowserStays bool // the pages end on an error page; no redirect ever comes

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
	NoRefresh   bool   // no refresh token
	KeepRefresh bool   // refresh without rotation
	LoseAnswer  bool   // rotate, then drop the connection
	HTML        bool   // a web page instead of the answer, with status 200

	// id_token. Claims replace or, with nil, remove those of the token.
	Claims  map[string]any
	BadSign bool // signed by a key that is not published
	NoID    bool
	IDAgain bool // refresh answers bring an id_token too

	RevokeStatus int
}

// Misbehave replaces the faults from the next request on.
func (s *Server) Misbehave(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

func htmlError(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<!doctype html><title>Sorry</title><p>Something went wrong."))
}
