package subscriber

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	requestLimit = 10 * time.Second // for a request to the hub, answer included
	answerLimit  = 64 << 10         // of an answer, where we need little or nothing of it
)

// requests is the HTTP half: what is asked of the hub, and what was learnt from its answers. It may be used from any
// goroutine.
type requests struct {
	cfg        Config
	url        *url.URL
	configured fhircast.Dialect // with nothing known of the hub but the quirks
	signed     *http.Client
	plain      *http.Client

	mu        sync.Mutex
	known     *discovered // nil until the hub was asked
	publishTo *route      // as the hub's answers have taught us, nil while they have not
}

func newRequests(cfg Config) (*requests, error) {
	u, err := url.Parse(cfg.HubURL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return nil, errors.New("subscribe: the hub's address is not an https URL")
	case cfg.Topic == "":
		return nil, errors.New("subscribe: no topic")
	case !slices.Contains([]string{"", websocketChannel, webhookChannel}, cfg.Channel):
		return nil, errors.New("subscribe: the channel is neither websocket nor webhook")
	case cfg.Handler == nil:
		return nil, errors.New("subscribe: no handler")
	}
	configured, err := fhircast.Dialect{}.With(cfg.Quirks)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	plain := &http.Transport{TLSClientConfig: tlsOver(cfg.TLS), DialContext: cfg.Dial, TLSHandshakeTimeout: tlsLimit,
		IdleConnTimeout: time.Minute, Proxy: cfg.proxyFor, OnProxyConnectResponse: proxyAnswer}
	h := &requests{cfg: cfg, url: u, configured: configured, plain: sameOrigin(&http.Client{Transport: plain})}
	h.signed = h.plain
	if cfg.HTTP != nil {
		h.signed = sameOrigin(cfg.HTTP)
	}
	if _, err := h.topicAddress(); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return h, nil
}

// sameOrigin is the client, but for redirects: those that stay at the hub and keep the method are followed, the others
// are answers like any other. A request carries a topic, which is a secret, and a signature.
func sameOrigin(client *http.Client) *http.Client {
	c := *client
	c.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		first := via[0]
		if len(via) > 3 || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &c
}

// below is the address of something under the hub's, as FHIRcast appends it: after the path, one escaped segment each.
func (h *requests) below(segments ...string) string {
	u := *h.url
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	for _, s := range segments {
		path += "/" + url.PathEscape(s)
	}
	// Both spellings of the path, or url.URL would decide about the escapes itself.
	u.RawPath = path
	u.Path, _ = url.PathUnescape(path)
	return u.String()
}

// topicAddress is where the topic is found at the hub: below its address, or, for hubs of 2019, where the topic says. It
// is then an address that came from outside, and has to be the hub's.
func (h *requests) topicAddress() (string, error) {
	if !h.dialect().TopicURL {
		return h.below(h.cfg.Topic.Reveal()), nil
	}
	if u, err := url.Parse(h.cfg.Topic.Reveal()); err != nil || !h.owns(u, "https") {
		return "", errTopicAddress
	}
	return h.cfg.Topic.Reveal(), nil
}

// owns tells whether an address of that scheme is at the hub's host.
func (h *requests) owns(u *url.URL, scheme string) bool {
	return u.Scheme == scheme && u.User == nil && strings.EqualFold(u.Hostname(), h.url.Hostname())
}

func (h *requests) isSocketHost(name string) bool {
	return strings.EqualFold(name, h.url.Hostname()) ||
		slices.ContainsFunc(h.cfg.SocketHosts, func(other string) bool { return strings.EqualFold(name, other) })
}

func refusal(resp *http.Response) *StatusError {
	return &StatusError{Status: resp.StatusCode, retryAfter: retryAfter(resp.Header)}
}

// retryAfter is how long a hub asks us to wait; a date is read by the hub's own clock, not ours.
func retryAfter(header http.Header) time.Duration {
	word := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(word); err == nil {
		return time.Duration(min(max(seconds, 0), int(longestWait/time.Second))) * time.Second
	}
	until, err1 := http.ParseTime(word)
	now, err2 := http.ParseTime(header.Get("Date"))
	if err1 != nil || err2 != nil {
		return 0
	}
	return max(until.Sub(now), 0)
}

// isPage tells whether an answer is a web page, by what it holds: its content type is no proof of anything.
func isPage(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff"))), []byte("<"))
}
