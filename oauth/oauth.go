// Package oauth signs a user in with SMART App Launch 2.2 and keeps the
// sign-in alive: discovery, the launch in the system browser, standalone or by an
// EHR, how the installation proves itself, the code exchange, refresh, and
// revocation at sign-out.
//
// A Launcher is the sign-in of one site. It yields a Session, which owns the
// tokens: they never leave this package. Others get an *http.Client that signs
// requests for the granted origins and refuses all others.
//
// Left to others: where a secret rests (a Store; oauth/keychain has them), how a
// browser is opened (Launcher.OpenURL), and what to do with the granted hub
// (package agent). The package knows neither FHIRcast nor the local pipe.
//
// State: a Session guards its own with one mutex; Session.Run is the only
// goroutine with a timer. An Attempt has one goroutine, the redirect listener,
// which ends with Attempt.Wait or Attempt.Close.
package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Site says where to sign in and as what. The zero value of every field but
// FHIRURL and ClientID is useful.
type Site struct {
	Name     string // the profile's name; part of the key of what is stored
	FHIRURL  string // FHIR base; sent as aud exactly as spelled here
	ClientID string
	// Auth is how this installation proves itself: "public" (or empty) not at
	// all, "secret" by what KeepSecret kept, "private_key_jwt" by a key whose
	// PublicKeys the server knows.
	Auth string
	// PlainBasic leaves out the encoding of RFC 6749, 2.3.1 where a secret is
	// sent by HTTP Basic, for servers that do not know it.
	PlainBasic bool
	Scopes     []string // complete: nothing is added
	// Authorize is added to the authorization request: "prompt=consent". See
	// CheckParameter.
	Authorize []string
	// Redirect is "loopback" (or empty) for any free port of 127.0.0.1, or
	// "loopback:17321,17322" for the first free one of a list, where the server
	// insists on registered ports; or SchemeRedirect, which comes in by
	// Launcher.Redirected.
	Redirect string
	// IDTokenAlgs are algorithms (JWS names, asymmetric) that an id_token may be
	// signed with besides RS256, which SMART prescribes.
	IDTokenAlgs []string
	// HubURL is the hub that the configuration names, "" if none. Its origin
	// gets the token beside the origins of FHIRURL and of the granted hub.
	HubURL string
	// Names2019 reads a token response of a draft of FHIRcast up to May 2019,
	// where `cast-hub` is hub.url, `cast-session` hub.topic, and a topic may be
	// an address: its origin then gets the token too.
	Names2019 bool
	// Shared is a workstation whose account several people use: each sign-in
	// asks the server to ask who it is, and one that names nobody fails. Such a
	// Launcher gets no Store.
	Shared bool
	// LoopbackHTTP accepts http for loopback IP literals. For developers only:
	// what people are shown of the site says TEST.
	LoopbackHTTP bool
}

// Store keeps one small secret per key across restarts. Load returns
// fs.ErrNotExist for nothing there; all may return ErrLocked, ErrUnavailable
// and Save ErrTooBig. Deleting what is not there is no error. The calls obey
// the deadline of ctx and may be made from several goroutines.
//
// A Store that other processes use at the same time has one more method,
//
//	Lock(ctx context.Context, key string) (unlock func(), err error)
//
// which waits until nobody else has the lock of key, or ctx ends. Where it
// returns an error, the key is used without.
type Store interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Save(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// base is the FHIR base of a site, without a slash at its end. It is a type of
// its own as issuer is: a launch calls the one iss and a redirect the other.
type base string

func (s Site) base() base { return base(strings.TrimRight(s.FHIRURL, "/")) }

// at is an address below the base.
func (b base) at(path string) string { return string(b) + path }

// redirectPath is the path of every redirect URI that we register.
const redirectPath = "/callback"

// Check names the first setting that cannot work. Nothing is asked of a server.
func (s Site) Check() error {
	if s.ClientID == "" {
		return settingError("client_id", "is empty")
	}
	u, err := url.Parse(s.FHIRURL)
	if err != nil {
		return settingError("fhir_url", "is not a URL")
	}
	if err := s.usable(u); err != nil {
		return settingError("fhir_url", err.Error())
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return settingError("fhir_url", "has a query or a fragment")
	}
	for _, p := range s.Authorize {
		if err := CheckParameter(p); err != nil {
			return settingError("authorize", "has an entry that "+err.Error())
		}
	}
	switch s.Auth {
	case "", authPublic, authSecret, authKey:
	default:
		return settingError("auth", "is none of public, secret and private_key_jwt")
	}
	if s.HubURL != "" {
		u, err := url.Parse(s.HubURL)
		if err != nil {
			return settingError("hub.url", "is not a URL")
		}
		if err := s.usable(u); err != nil {
			return settingError("hub.url", err.Error())
		}
	}
	for _, name := range s.IDTokenAlgs {
		if !slices.Contains(algorithms, jose.SignatureAlgorithm(name)) {
			return settingError("id_token_algs", "lists something that is no asymmetric algorithm that we know")
		}
	}
	_, err = s.ports()
	return err
}

// algorithms are those that a site may list: never none, never a shared secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512}

// signed is what an id_token of the site may be signed with.
func (s Site) signed() []jose.SignatureAlgorithm {
	list := []jose.SignatureAlgorithm{jose.RS256}
	for _, name := range s.IDTokenAlgs {
		list = append(list, jose.SignatureAlgorithm(name))
	}
	return list
}

// usable says why nothing may be sent to u, or nil. SMART 2.2 app-launch:
// everything is https; http is a developer's switch for this very machine.
func (s Site) usable(u *url.URL) error {
	switch {
	case u.Hostname() == "":
		return errors.New("names no host")
	case u.User != nil:
		return errors.New("carries a user name")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && s.LoopbackHTTP && isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("is not https")
}

// ports reads Redirect: nil means any.
func (s Site) ports() ([]int, error) {
	if s.Redirect == SchemeRedirect {
		return nil, nil
	}
	word, list, fixed := strings.Cut(s.Redirect, ":")
	if word != "" && word != "loopback" {
		return nil, settingError("redirect", `must be "loopback", "loopback:PORT,PORT" or "`+SchemeRedirect+`"`)
	}
	if !fixed {
		return nil, nil
	}
	var ports []int
	for p := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || n < 1 || n > 65535 {
			return nil, settingError("redirect", "lists something that is not a port")
		}
		ports = append(ports, n)
	}
	return ports, nil
}

// key is the name under which the sign-in is stored. It is a hash so that the
// visible label of a keychain item tells nothing about site or user.
func (s Site) key() string { return s.storeKey(s.ClientID, s.Name) }

func (s Site) storeKey(parts ...string) string {
	h := sha256.Sum256([]byte(string(s.base()) + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:16])
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// origin is scheme, host and port of u in one spelling, "" if it has none.
func origin(u *url.URL) string {
	if u == nil || u.Hostname() == "" {
		return ""
	}
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		switch scheme {
		case "https":
			port = "443"
		case "http":
			port = "80"
		}
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return origin(u)
}
