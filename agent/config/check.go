package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/oauth"
	smart "github.com/castray/castray/oauth/scope"
)

// The checks of the key table. Their errors finish the sentence "FILE:LINE:COLUMN: KEY: ..." and never repeat the value.

// checkLabel takes a name that people or servers read: one line, at most 200 bytes.
func checkLabel(v any) error {
	s := v.(string)
	if len(s) > 200 || strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("want one line of at most 200 bytes")
	}
	return nil
}

func checkTopic(v any) error {
	s := v.(string)
	if len(s) > 1024 || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return errors.New("want a topic: no blanks, at most 1024 bytes")
	}
	return nil
}

// checkName takes subscriber.name with its two placeholders.
func checkName(v any) error {
	s := v.(string)
	if strings.ContainsAny(fill(s, "", "", ""), "{}") {
		return errors.New("only {host}, {user} and {run} are filled in")
	}
	return checkLabel(v)
}

// checkAsked takes the events to ask for; asking for none would be no subscription (FHIRcast 3.0.0, 2.4.1).
func checkAsked(v any) error {
	if len(v.([]string)) == 0 {
		return errors.New("want at least one event")
	}
	return checkEvents(v)
}

// checkEvents takes names that some hub could know: of the catalogue, or an extension's in reverse domain notation
// (FHIRcast 3.0.0, 2.3.1). A name that is neither is a slip of the pen, and would be an event that never comes.
func checkEvents(v any) error {
	for i, entry := range v.([]string) {
		n := fhircast.Name(entry)
		_, err := fhircast.ParseScope(fhircast.Scope{Event: n, Read: true}.String())
		if err != nil || entry == "*" || !known(n) || strings.ContainsFunc(entry, outsideScope) {
			return fmt.Errorf("entry %d is no event name; want names such as \"Patient-open\"", i+1)
		}
	}
	return nil
}

func known(n fhircast.Name) bool {
	return n.Resource() != "" || strings.Contains(string(n), ".") ||
		n.In([]fhircast.Name{fhircast.HomeOpen, fhircast.SyncError, fhircast.UserLogout, fhircast.UserHibernate, fhircast.Heartbeat})
}

// checkQuirks takes names of quirks, and of versions at most one.
func checkQuirks(v any) error {
	for i, entry := range v.([]string) {
		if !slices.ContainsFunc(fhircast.Quirks(), func(q fhircast.Quirk) bool { return q.Name == entry }) {
			return fmt.Errorf("entry %d is no quirk; docs/configuration.md lists them", i+1)
		}
		if _, err := (fhircast.Dialect{}).With(v.([]string)[:i+1]); err != nil {
			return fmt.Errorf("entry %d names a second version; a hub has one", i+1)
		}
	}
	return nil
}

// checkScopes takes words as a scope parameter can carry them (RFC 6749, 3.3).
func checkScopes(v any) error {
	for i, entry := range v.([]string) {
		if entry == "" || strings.ContainsFunc(entry, outsideScope) {
			return fmt.Errorf("entry %d is no scope; want one word for each entry", i+1)
		}
		if err := smart.Check(entry); err != nil {
			return fmt.Errorf("entry %d %w", i+1, err)
		}
	}
	return nil
}

func checkAuthorize(v any) error {
	for i, entry := range v.([]string) {
		if err := oauth.CheckParameter(entry); err != nil {
			return fmt.Errorf("entry %d %w", i+1, err)
		}
	}
	return nil
}

// checkAlgorithms takes the names of algorithms as a JWS has them. Which of them may be listed, oauth decides.
func checkAlgorithms(v any) error {
	site := oauth.Site{FHIRURL: "https://any.example", ClientID: "any", IDTokenAlgs: v.([]string)}
	if site.Check() != nil {
		return errors.New(`want asymmetric algorithms, such as "ES384"`)
	}
	return nil
}

func outsideScope(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' }

func checkAnswerWithin(v any) error {
	if d := v.(time.Duration); d <= 0 || d > 900*time.Millisecond {
		return errors.New("want more than 0 and at most 900ms")
	}
	return nil
}

func checkPort(v any) error {
	if n := v.(int64); n < 0 || n > 65535 {
		return errors.New("want a port, 0 to 65535")
	}
	return nil
}

func checkOrigins(v any) error {
	for i, entry := range v.([]string) {
		u, err := url.Parse(entry)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || entry != u.Scheme+"://"+u.Host {
			return fmt.Errorf("entry %d is no origin; want https://host or https://host:port", i+1)
		}
	}
	return nil
}

// checkHosts takes names and addresses without a port: a hub may move its sockets to another.
func checkHosts(v any) error {
	for i, entry := range v.([]string) {
		if u, err := url.Parse("https://" + entry); err != nil || u.Host != entry || u.Hostname() == "" || u.Port() != "" || strings.HasSuffix(entry, ":") {
			return fmt.Errorf("entry %d is no host; want a name such as ws.example.org, without a port", i+1)
		}
	}
	return nil
}

func checkSHA256(v any) error {
	s := v.(string)
	if len(s) != 64 || strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return errors.New("want 64 hex digits")
	}
	return nil
}

func checkLanguage(v any) error {
	s := v.(string)
	if len(s) < 2 || len(s) > 35 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return errors.New(`want a language, such as "en"`)
	}
	return nil
}

func checkRedirect(v any) error { return redirectOn(runtime.GOOS, v.(string)) }

// redirectOn is checkRedirect for a system. macOS starts no second process for an address, but sends an event to the first.
func redirectOn(goos, s string) error {
	if s == oauth.SchemeRedirect {
		if goos == "darwin" {
			return errors.New(`a redirect to a scheme does not reach us on macOS; use "loopback"`)
		}
		return nil
	}
	fixed, ok := strings.CutPrefix(s, "loopback:")
	if !ok {
		return errors.New(`want "loopback", with ports such as "loopback:17321,17322", or "` + oauth.SchemeRedirect + `"`)
	}
	var ports []string
	for port := range strings.SplitSeq(fixed, ",") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' || slices.Contains(ports, port) {
			return errors.New(`want different ports from 1 to 65535, such as "loopback:17321,17322"`)
		}
		ports = append(ports, port)
	}
	return nil
}

// checkURL takes https, and for a test hub http to an IP address of this machine. A name such as localhost is not
// enough for http: what it resolves to is decided elsewhere. url.Parse prints the address, so its error stays here.
func checkURL(s string, test bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("want an address, such as https://hub.example.org/fhircast")
	case u.User != nil:
		return errors.New("an address with a user or password in it is refused")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return errors.New("an address with a fragment (#) is refused")
	case u.Scheme == "https" || u.Scheme == "http" && test && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return errors.New("want https; http to this machine needs hub.test = true")
	}
	return errors.New("want https")
}

// checkBase is checkURL for the base of a FHIR server, to which paths are appended.
func checkBase(s string, test bool) error {
	if strings.Contains(s, "?") {
		return errors.New("a base address has no query (?)")
	}
	return checkURL(s, test)
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// sameBase is the form in which two FHIR addresses are compared: case of scheme and host, a default port and one
// trailing slash do not matter.
func sameBase(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host + strings.TrimSuffix(u.EscapedPath(), "/")
}
