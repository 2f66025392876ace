package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// What a caller decides by.
var (
	// ErrLoginNeeded: only a person at a browser can go on.
	ErrLoginNeeded = errors.New("sign-in needed")
	// ErrDeclined: the user or the organisation said no.
	ErrDeclined = errors.New("sign-in declined")
	// ErrLocked: the keychain is locked, or waits for an unlock prompt.
	ErrLocked = errors.New("keychain locked")
	// ErrUnavailable: there is no keychain that we can use.
	ErrUnavailable = errors.New("keychain unavailable")
	// ErrTooBig: more than a Store can hold.
	ErrTooBig = errors.New("too big for the keychain")
)

// failure is an error whose text is ours alone: no foreign text is ever part
// of it, so neither a secret nor an answer's body can be. Sentence shows the
// sentence, logs show the rest.
type failure struct {
	doing    string // what happened, for a log
	sentence string // what to do, for a person
	err      error  // a sentinel or context error, never a foreign one
}

func (f *failure) Error() string { return f.doing }
func (f *failure) Unwrap() error { return f.err }

// Sentence says in one sentence what a user or an administrator can do about
// err. It holds no secret and no text from a server.
func Sentence(err error) string {
	var f *failure
	if errors.As(err, &f) && f.sentence != "" {
		return f.sentence
	}
	var t *tokenError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &t):
		return t.sentence()
	case errors.Is(err, ErrLoginNeeded):
		return "Please sign in again."
	case errors.Is(err, ErrDeclined):
		return "You or your organisation declined the sign-in."
	case errors.Is(err, ErrLocked):
		return "The keychain is locked: unlock it, or you will have to sign in after every restart."
	case errors.Is(err, ErrUnavailable):
		return "There is no keychain that can be used: you will have to sign in after every restart."
	case errors.Is(err, ErrTooBig):
		return "The sign-in is too big for the keychain: you will have to sign in after every restart."
	case errors.Is(err, context.Canceled):
		return "The sign-in was cancelled."
	case errors.Is(err, context.DeadlineExceeded):
		return "The sign-in server did not answer in time: try again."
	}
	return "The sign-in did not work: try again, and tell your administrator if it stays so."
}

func settingError(key, what string) error {
	return &failure{
		doing:    fmt.Sprintf("site: %s %s", key, what),
		sentence: fmt.Sprintf("The setting %s of this site %s: your administrator has to correct it.", key, what),
	}
}

// timedOut has no sentinel: nobody decides by it. Wrong client_id or redirect
// settings end on the server's own page, so this is all we learn of them.
func timedOut(after time.Duration) error {
	return &failure{
		doing: fmt.Sprintf("sign-in: no answer from the browser within %v", after),
		sentence: "Nobody finished the sign-in in the browser: try again. If the browser showed an error, " +
			"your administrator should check the settings client_id and redirect of this site.",
		err: context.DeadlineExceeded,
	}
}

func superseded() error {
	return &failure{
		doing:    "sign-in: replaced by a newer one",
		sentence: "Another sign-in was started: finish that one.",
		err:      context.Canceled,
	}
}

// authorizeError is the error code of a redirect (RFC 6749, 4.1.2.1; OpenID
// Connect Core 3.1.2.6). Codes that are in no list are not repeated: they are
// somebody else's text.
func authorizeError(code string, scopes []string) error {
	doing := "authorize: the server answered " + knownCode(code)
	switch code {
	case "access_denied":
		return &failure{doing, "You or your organisation declined the sign-in.", ErrDeclined}
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return &failure{doing, "The sign-in page needs you once more: start the sign-in again.", nil}
	case "invalid_scope":
		return &failure{doing, "The sign-in server refused what Castray asks for (" + strings.Join(scopes, " ") +
			"): your administrator has to compare this with its registration.", nil}
	case "server_error", "temporarily_unavailable":
		return &failure{doing, "The sign-in server has a problem: try again in a few minutes.", nil}
	}
	return &failure{doing, "The sign-in server refuses this installation (" + knownCode(code) +
		"): your administrator has to check its registration.", nil}
}

func knownCode(code string) string {
	switch code {
	case "access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required",
		"invalid_scope", "server_error", "temporarily_unavailable", "unauthorized_client", "invalid_request",
		"unsupported_response_type", "invalid_client", "invalid_grant", "unsupported_grant_type",
		"unsupported_token_type", "slow_down", "request_not_supported", "invalid_target":
		return code
	}
	return "an unknown error code"
}

// networkError cleans what net/http says: its text holds URLs, and sometimes
// the peer's own words.
func networkError(doing string, err error) error {
	f := &failure{doing: doing + ": "}
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		own       *failure
		timeout   interface{ Timeout() bool }
		refused   interface{ ProxyStatus() int }
		op        *net.OpError
	)
	switch {
	case errors.As(err, &own):
		f.doing, f.sentence, f.err = f.doing+own.doing, own.sentence, own.err
	case errors.As(err, &refused):
		f.doing, f.sentence = f.doing+fmt.Sprintf("the proxy answered %d", refused.ProxyStatus()), proxySentence(refused.ProxyStatus())
	case errors.As(err, &op) && op.Op == "proxyconnect": // so net/http calls whatever fails on the way to a proxy
		f.doing += "the proxy cannot be reached"
		f.sentence = "The proxy of this network cannot be reached: check the network connection, then ask your administrator about the proxy."
	case errors.As(err, &authority):
		f.doing += "certificate signed by an unknown authority"
		f.sentence = "The connection to the sign-in server is being inspected, or its certificate is not known here: " +
			"your administrator has to install the certificate authority, or name it in ca_file."
	case errors.As(err, &hostname):
		f.doing += "certificate for another host"
		f.sentence = "The sign-in server shows the certificate of another host: your administrator has to check fhir_url."
	case errors.As(err, &invalid):
		f.doing += "certificate not valid"
		f.sentence = "The certificate of the sign-in server is not valid: check the clock of this computer, then tell your administrator."
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		f.doing += "no TLS at this address"
		f.sentence = "The sign-in server does not speak TLS: your administrator has to check fhir_url."
	case errors.As(err, &dns):
		f.doing += "host name not found"
		f.sentence = "The sign-in server was not found: check the network connection."
	case errors.Is(err, context.Canceled):
		f.doing, f.err = f.doing+"cancelled", context.Canceled
	case errors.As(err, &timeout) && timeout.Timeout():
		f.doing += "no answer in time"
		f.sentence = "The sign-in server did not answer in time: check the network connection and try again."
		f.err = context.DeadlineExceeded
	default:
		f.doing += reason(err)
		f.sentence = "The sign-in server cannot be reached: check the network connection and try again."
	}
	return f
}

// proxySentence is about a proxy that did not open the way to the sign-in server. The transport that a Launcher is given
// tells its answer by an error with a method ProxyStatus; net/http alone would tell the proxy's own words.
func proxySentence(status int) string {
	switch status {
	case http.StatusProxyAuthRequired:
		return "The proxy of this network wants a sign-in of its own: your administrator has to let Castray through to the sign-in server, " +
			"or name a user for the proxy (HTTPS_PROXY)."
	case http.StatusForbidden:
		return "The proxy of this network does not allow the sign-in server: your administrator has to let Castray through."
	}
	return "The proxy of this network cannot reach the sign-in server: try again in a few minutes, then tell your administrator."
}

// reason says as much of a network error as holds no address.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + " failed"
	}
	return "connection failed"
}

// captivePortal is what a page of HTML in place of a SMART document means.
func captivePortal(doing string) error {
	return &failure{
		doing: doing + ": a web page came instead of data",
		sentence: "A web page answered instead of the sign-in server: sign in to the network (Wi-Fi) first, " +
			"or this address is not a SMART server.",
	}
}
