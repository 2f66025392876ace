package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// proxy is how a request leaves this network: as the configuration of this process says, which only tests set, or as the
// system says. It is asked about sign-in servers and hubs alike.
func (a *Agent) proxy(r *http.Request) (*url.URL, error) {
	if a.cfg.Proxy != nil {
		return a.cfg.Proxy(r)
	}
	return a.proxies.For(r)
}

// proxyRefusal is what a proxy answered to our CONNECT instead of 200. The text is ours and nothing that the
// proxy wrote, and oauth and the subscriber, which know their own packages only, read it from there: net/http by itself
// would give them the proxy's words.
type proxyRefusal struct{ status int }

func (e *proxyRefusal) ProxyStatus() int { return e.status }

func (e *proxyRefusal) Error() string {
	if e.status == http.StatusProxyAuthRequired {
		return http.StatusText(e.status)
	}
	return fmt.Sprintf("the proxy answered %d", e.status)
}

// proxyAnswered is of http.Transport.
func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyRefusal{answer.StatusCode}
	}
	return nil
}
