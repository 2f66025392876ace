package desktop

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

var errEnvironment = errors.New("the environment (HTTPS_PROXY, HTTP_PROXY) names something that is no proxy")

// settings are a user's, as WinHttpGetIEProxyConfigForCurrentUser tells them.
type settings struct {
	detect bool   // look for a script in the network (WPAD)
	script string // URL of one (PAC)
	proxy  string // a fixed one: "host:port" or "http=host:port;https=host:port"
	bypass string // the exceptions from it
}

// decide is the way to a target by a user's settings. A script goes before the fixed proxy, which is there for when no
// script is found or it fails, as in a browser. run finds and runs the script and tells its answer, a list like
// settings.proxy that is "" for a direct connection; false means that there was no answer.
func decide(s settings, t target, run func(s settings, t target) (list, bypass string, ok bool)) *url.URL {
	if s.detect || s.script != "" {
		if list, bypass, ok := run(s, t); ok {
			return choose(list, bypass, t)
		}
	}
	return choose(s.proxy, s.bypass, t)
}

func choose(list, bypass string, t target) *url.URL {
	if bypassed(bypass, t) {
		return nil
	}
	return pick(list, t.scheme)
}

// pick finds the proxy for requests of a scheme in a list of WinHTTP's: entries [scheme=][http://]host[:port], separated
// by semicolons or blanks. An entry for the scheme goes before one for all, and of several the first is taken: that a
// script names others behind it, to try when the first fails, is not followed. SOCKS entries are passed over, as WinHTTP
// does itself. Anything else that cannot be read is passed over too.
func pick(list, scheme string) *url.URL {
	var all *url.URL
	for _, entry := range fields(list) {
		kind, server, named := strings.Cut(entry, "=")
		if !named {
			kind, server = "", entry
		}
		u := proxyURL(server)
		switch {
		case u == nil:
		case strings.EqualFold(kind, scheme):
			return u
		case kind == "" && all == nil:
			all = u
		}
	}
	return all
}

// proxyURL reads [http://]host[:port]; nil when it is something else. A user and a password are not taken from there.
func proxyURL(server string) *url.URL {
	if before, after, ok := strings.Cut(server, "://"); ok {
		if !strings.EqualFold(before, "http") {
			return nil
		}
		server = after
	}
	u, err := url.Parse("http://" + strings.TrimSuffix(server, "/"))
	if err != nil || u.User != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(server, "#*<>") {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80" // what Windows takes for a proxy without
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(u.Hostname(), port)}
}

// bypassed tells whether a target is among the exceptions: entries [scheme://]host[:port] with any number of *, and
// <local>, which is every name without a dot, separated as in pick.
func bypassed(list string, t target) bool {
	for _, entry := range fields(strings.ToLower(list)) {
		if entry == "<local>" {
			if !strings.ContainsAny(t.host, ".:") {
				return true
			}
			continue
		}
		if scheme, rest, ok := strings.Cut(entry, "://"); ok {
			if scheme != t.scheme {
				continue
			}
			entry = rest
		}
		host, port := splitPort(entry)
		if (port == "" || port == t.port) && matches(host, t.host) {
			return true
		}
	}
	return false
}

// splitPort splits host[:port], in which a bare address of IPv6 has no port.
func splitPort(entry string) (host, port string) {
	host = entry
	bracketed := strings.HasPrefix(entry, "[")
	if i := strings.LastIndexByte(entry, ':'); i >= 0 && (bracketed && i == strings.IndexByte(entry, ']')+1 || !bracketed && i == strings.IndexByte(entry, ':')) {
		host, port = entry[:i], entry[i+1:]
	}
	return strings.Trim(host, "[]"), port
}

// matches tells whether a name fits a pattern, in which * is any number of characters. It takes no longer for a nasty
// pattern: what stands between two stars is looked for once, from the left.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return true
}

func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune("; \t\r\n", r) })
}

// excepted reads NO_PROXY as net/http does, which does so only where the environment names a proxy too: names, which
// stand for what is below them as well unless they begin with a dot, addresses and networks, each with a port if it is
// for that alone; * is everything.
func excepted(list string, t target) bool {
	ip, err := netip.ParseAddr(t.host)
	isIP := err == nil
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "*" {
			return true
		}
		if network, err := netip.ParsePrefix(entry); err == nil {
			if isIP && network.Contains(ip.Unmap()) {
				return true
			}
			continue
		}
		host := entry
		if h, port, err := net.SplitHostPort(entry); err == nil {
			if port != t.port {
				continue
			}
			host = h
		}
		host = strings.Trim(host, "[]")
		if other, err := netip.ParseAddr(host); err == nil {
			if isIP && other.Unmap() == ip.Unmap() {
				return true
			}
			continue
		}
		if strings.HasPrefix(host, "*.") {
			host = host[1:]
		}
		switch {
		case host == "" || isIP:
		case strings.HasPrefix(host, "."):
			if strings.HasSuffix(t.host, host) {
				return true
			}
		case t.host == host || strings.HasSuffix(t.host, "."+host):
			return true
		}
	}
	return false
}
