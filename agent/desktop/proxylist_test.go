package desktop

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestAListOfProxiesIsReadAsWindowsWritesIt(t *testing.T) {
	for _, row := range []struct{ name, list, scheme, want string }{
		{"one for all", "proxy.example.org:8080", "https", "proxy.example.org:8080"},
		{"no port is 80", "proxy.example.org", "https", "proxy.example.org:80"},
		{"for each scheme", "http=a:81;https=b:82;ftp=c:83", "https", "b:82"},
		{"for each scheme, blanks", "http=a:81 https=b:82", "http", "a:81"},
		{"only for another scheme", "http=a:81;ftp=b:82", "https", ""},
		{"the scheme's own goes before the one for all", "all:80;https=b:82", "https", "b:82"},
		{"the first of a script's several", "a:81;b:82", "https", "a:81"},
		{"the first of a script's several for a scheme", "https=a:81;https=b:82", "https", "a:81"},
		{"written as a URL", "http://proxy.example.org:8080", "https", "proxy.example.org:8080"},
		{"written as a URL with a slash", "http://proxy.example.org:8080/", "https", "proxy.example.org:8080"},
		{"in capitals", "HTTPS=HTTP://Proxy:8080", "https", "Proxy:8080"},
		{"SOCKS is passed over", "socks=a:1080", "https", ""},
		{"SOCKS beside another", "socks=a:1080;https=b:82", "https", "b:82"},
		{"a proxy behind TLS is passed over", "https://a:443;b:82", "https", "b:82"},
		{"an address of IPv6", "[2001:db8::1]:8080", "https", "[2001:db8::1]:8080"},
		{"an address of IPv6 without port", "[2001:db8::1]", "https", "[2001:db8::1]:80"},
		{"nothing", "", "https", ""},
		{"only separators", " ;; \t", "https", ""},
		{"no host", ":8080", "https", ""},
		{"no number for a port", "a:http", "https", ""},
		{"port 0", "a:0", "https", ""},
		{"a port too high", "a:65536", "https", ""},
		{"a user in it", "user:password@a:80", "https", ""},
		{"a path", "a:80/x", "https", ""},
		{"a question", "a:80?x", "https", ""},
		{"a bad one is passed over, not what follows", "a:http;b:82", "https", "b:82"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			if u := pick(row.list, row.scheme); u != nil {
				if got = u.Host; u.Scheme != "http" {
					t.Error(u.Scheme)
				}
			}
			if got != row.want {
				t.Errorf("%q for %s gives %q, not %q", row.list, row.scheme, got, row.want)
			}
		})
	}
}

func TestTheExceptionsOfAProxy(t *testing.T) {
	hub := target{"https", "hub.hospital.example.org", "443"}
	for _, row := range []struct {
		name, list string
		to         target
		want       bool
	}{
		{"none", "", hub, false},
		{"the name itself", "hub.hospital.example.org", hub, true},
		{"in capitals", "HUB.Hospital.example.org", hub, true},
		{"only the name itself, not what is below", "hospital.example.org", hub, false},
		{"a star before", "*.hospital.example.org", hub, true},
		{"a star before does not take the name without", "*.hub.hospital.example.org", hub, false},
		{"a star behind", "hub.*", hub, true},
		{"a star in the middle", "hub.*.org", hub, true},
		{"two stars", "*hospital*org", hub, true},
		{"what stars leave out has its order", "*example*hospital*", hub, false},
		{"what stars leave out is not counted twice", "hub.hospital.example.org*hub.hospital.example.org", hub, false},
		{"everything", "*", hub, true},
		{"several, with semicolons", "a;b;*.example.org", hub, true},
		{"several, with blanks", "a b\t*.example.org", hub, true},
		{"a scheme that fits", "https://*.example.org", hub, true},
		{"a scheme that does not", "http://*.example.org", hub, false},
		{"a port that fits", "*.example.org:443", hub, true},
		{"a port that does not", "*.example.org:8443", hub, false},
		{"<local> is names without a dot", "<local>", target{"https", "hub", "443"}, true},
		{"<local> is no other names", "<local>", hub, false},
		{"<local> is no address", "<local>", target{"https", "2001:db8::1", "443"}, false},
		{"<LOCAL>", "<LOCAL>", target{"https", "hub", "443"}, true},
		{"an address", "10.1.*", target{"https", "10.1.2.3", "443"}, true},
		{"another address", "10.1.*", target{"https", "10.2.2.3", "443"}, false},
		{"an address of IPv6", "[2001:db8::1]", target{"https", "2001:db8::1", "443"}, true},
		{"an address of IPv6 and a port", "[2001:db8::1]:8443", target{"https", "2001:db8::1", "443"}, false},
		{"a bare address of IPv6", "2001:db8::1", target{"https", "2001:db8::1", "443"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := bypassed(row.list, row.to); got != row.want {
				t.Errorf("%q takes out %v: %v", row.list, row.to, got)
			}
		})
	}
}

func TestAScriptGoesBeforeTheFixedProxy(t *testing.T) {
	hub := target{"https", "hub.example.org", "443"}
	fixed := settings{proxy: "fixed:80", bypass: "*.example.com"}
	for _, row := range []struct {
		name         string
		settings     settings
		list, bypass string
		ok           bool
		want         string
		asked        bool
	}{
		{"no settings", settings{}, "", "", false, "", false},
		{"a fixed proxy", fixed, "script:80", "", true, "fixed:80", false},
		{"an exception of the fixed proxy", settings{proxy: "fixed:80", bypass: "*.example.org"}, "", "", false, "", false},
		{"a script", settings{script: "http://wpad/x"}, "script:81", "", true, "script:81", true},
		{"a script that is looked for", settings{detect: true}, "script:81", "", true, "script:81", true},
		{"a script and a fixed proxy", settings{script: "http://wpad/x", proxy: "fixed:80"}, "script:81", "", true, "script:81", true},
		{"a script that says direct", settings{detect: true, proxy: "fixed:80"}, "", "", true, "", true},
		{"a script's own exceptions", settings{detect: true}, "script:81", "hub.*", true, "", true},
		{"no script to be found", settings{detect: true, proxy: "fixed:80"}, "", "", false, "fixed:80", true},
		{"no script to be found, and nothing else", settings{detect: true}, "", "", false, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			asked := false
			u := decide(row.settings, hub, func(s settings, to target) (string, string, bool) {
				if asked = true; s != row.settings || to != hub {
					t.Error(s, to)
				}
				return row.list, row.bypass, row.ok
			})
			got := ""
			if u != nil {
				got = u.Host
			}
			if got != row.want || asked != row.asked {
				t.Errorf("%q, asked %v", got, asked)
			}
		})
	}
}

func TestNO_PROXYAloneMakesExceptionsFromTheSystem(t *testing.T) {
	hub := target{"https", "hub.example.org", "443"}
	for _, row := range []struct {
		name, list string
		to         target
		want       bool
	}{
		{"nothing", "", hub, false},
		{"everything", "*", hub, true},
		{"a domain", "example.org", hub, true},
		{"part of a label is none", "ample.org", hub, false},
		{"a domain with a dot", ".example.org", hub, true},
		{"with a dot it is not the domain itself", ".hub.example.org", hub, false},
		{"a star and a dot", "*.example.org", hub, true},
		{"one of several", "a, b , EXAMPLE.org", hub, true},
		{"with the port", "hub.example.org:443", hub, true},
		{"with another port", "hub.example.org:8443", hub, false},
		{"a network", "10.0.0.0/8", target{"https", "10.1.2.3", "443"}, true},
		{"another network", "10.0.0.0/8", target{"https", "11.1.2.3", "443"}, false},
		{"a network and a name", "10.0.0.0/8", hub, false},
		{"an address", "10.1.2.3", target{"https", "10.1.2.3", "443"}, true},
		{"an address of IPv6", "[2001:db8::1]:443", target{"https", "2001:db8::1", "443"}, true},
		{"a name is not compared with an address", "3", target{"https", "10.1.2.3", "443"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := excepted(row.list, row.to); got != row.want {
				t.Errorf("%q takes out %v: %v", row.list, row.to, got)
			}
		})
	}
}

// Whatever Windows says, what comes out is an address that can be dialled, and nothing takes long.
func FuzzTheSystemsLists(f *testing.F) {
	f.Add("http=a:81;https=b:82", "<local>;*.example.org", "hub.example.org")
	f.Add("[2001:db8::1]:8080 socks=x:1", "[2001:db8::1]:443", "2001:db8::1")
	f.Add("=:;://@", "*:*://*:", "*")
	f.Add("user:secret@host:1", "**********x", "aaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, list, bypass, host string) {
		to := target{"https", host, "443"}
		u := choose(list, bypass, to)
		if u == nil {
			return
		}
		n, err := strconv.Atoi(u.Port())
		if err != nil || n < 1 || n > 65535 || u.Hostname() == "" || u.User != nil || u.Scheme != "http" || u.Path != "" {
			t.Errorf("%q gives %q", list, u)
		}
		if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host {
			t.Errorf("%q gives %q, which is none: %v", list, u, err)
		}
		if strings.Contains(bypass, "*") && bypassed("*", to) != true {
			t.Error("* is not everything")
		}
	})
}
