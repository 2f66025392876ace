package desktop

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// askLimit is how long a request waits for the system's answer. A script of the network's may have to be found and
	// fetched first, and where that does not come to an end a browser goes without it too.
	askLimit = 5 * time.Second
	// keepFor is how long an answer holds, and for how long a failure is not repeated.
	keepFor = 3 * time.Minute
	// keepAtMost is how many hosts are remembered: we talk to three.
	keepAtMost = 64
)

// Proxies tells which proxy a request has to take. The zero value is ready; make one for the process, and give
// [Proxies.For] to every client.
//
// What the environment says wins: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in lower case, as net/http reads
// them, once per process. Where it names no proxy, Windows is asked for the user's settings: a fixed proxy with its
// exceptions, or a script (PAC) named or found in the network. NO_PROXY alone makes exceptions from those. Other systems
// have no such settings that we read.
type Proxies struct {
	Log *slog.Logger // nil discards; told which way was chosen, by the hosts' names

	// In tests.
	environment func(*http.Request) (*url.URL, error) // nil = net/http's
	env         func(string) string                   // nil = os.Getenv
	system      func(target) *url.URL                 // nil = this system's; may block

	mu    sync.Mutex
	asked map[target]*question
}

// A target is where a request goes, as far as a system may know: never its path, which may be a secret.
type target struct{ scheme, host, port string }

// A question is on its way, or answered once done is closed.
type question struct {
	done  chan struct{}
	proxy *url.URL // nil = none
	until time.Time
}

// For is the proxy for a request, nil for none. It is what http.Transport wants, and may block for some seconds, less if
// the request's context ends. An error means that the environment names something that is no proxy, and repeats none of
// it: there may be a password in it.
func (p *Proxies) For(r *http.Request) (*url.URL, error) {
	t, ok := targetOf(r.URL)
	if !ok || t.loopback() {
		return nil, nil
	}
	if p.environmentNames() {
		u, err := p.fromEnvironment(r)
		if err != nil || u != nil && u.Host == "" {
			return nil, errEnvironment
		}
		return u, nil
	}
	if excepted(p.variable("NO_PROXY"), t) {
		return nil, nil
	}
	q := p.ask(t)
	late := time.NewTimer(askLimit)
	defer late.Stop()
	select {
	case <-q.done:
		return q.proxy, nil
	case <-late.C:
		return nil, nil // an answer that comes later is there for the next try
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

// Forget drops what was learnt of the system: this may be another network now.
func (p *Proxies) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.asked)
}

// ask asks the system, unless that has been done, or is being done.
func (p *Proxies) ask(t target) *question {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.asked[t]; q != nil && (q.until.IsZero() || time.Now().Before(q.until)) {
		return q
	}
	if p.asked == nil || len(p.asked) >= keepAtMost {
		p.asked = map[target]*question{}
	}
	q := &question{done: make(chan struct{})}
	p.asked[t] = q
	system := p.system
	if system == nil {
		system = systemProxy
	}
	// Nobody can end the system's search. It holds nothing of ours, ends by limits of its own, and who asked for it waits
	// for askLimit.
	go func() {
		proxy := system(t)
		p.mu.Lock()
		defer p.mu.Unlock()
		q.proxy, q.until = proxy, time.Now().Add(keepFor)
		p.tell(t, proxy)
		close(q.done)
	}()
	return q
}

// tell says which way the system chose; that it has nothing to say is no news.
func (p *Proxies) tell(t target, proxy *url.URL) {
	if p.Log != nil && proxy != nil {
		p.Log.Info("proxy of the system's settings", "for", t.host, "proxy", proxy.Host)
	}
}

func (p *Proxies) fromEnvironment(r *http.Request) (*url.URL, error) {
	if p.environment != nil {
		return p.environment(r)
	}
	return http.ProxyFromEnvironment(r)
}

// environmentNames tells whether there is a proxy in the environment, for whatever requests.
func (p *Proxies) environmentNames() bool {
	return p.variable("HTTPS_PROXY") != "" || p.variable("HTTP_PROXY") != ""
}

// variable is one of the environment, in capitals or not, as net/http reads them.
func (p *Proxies) variable(name string) string {
	env := p.env
	if env == nil {
		env = os.Getenv
	}
	if v := env(name); v != "" {
		return v
	}
	return env(strings.ToLower(name))
}

func targetOf(u *url.URL) (target, bool) {
	t := target{strings.ToLower(u.Scheme), strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()}
	if t.port == "" {
		switch t.scheme {
		case "http":
			t.port = "80"
		case "https":
			t.port = "443"
		}
	}
	return t, t.host != "" && t.port != ""
}

// loopback: no proxy leads to this machine.
func (t target) loopback() bool {
	ip, err := netip.ParseAddr(t.host)
	return t.host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
