package subscriber

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	cfg    Config
	url    *url.URL
	signed *http.Client
	plain  *http.Client

	mu        sync.Mutex
	known     *discovered // nil until the hub was asked
	publishTo route
}

func newRequests(cfg Config) (*requests, error) {
	u, err := url.Parse(cfg.HubURL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return nil, errors.New("subscribe: the hub's address is not an https URL")
	case cfg.Topic == "":
		return nil, errors.New("subscribe: no topic")
	case cfg.Handler == nil:
		return nil, errors.New("subscribe: no handler")
	}
	plain := &http.Transport{TLSClientConfig: tlsOver(cfg.TLS), DialContext: cfg.Dial, TLSHandshakeTimeout: tlsLimit,
		IdleConnTimeout: time.Minute, Proxy: cfg.proxyFor, OnProxyConnectResponse: proxyAnswer}
	h := &requests{cfg: cfg, url: u, plain: sameOrigin(&http.Client{Transport: plain})}
	h.signed = h.plain
	if cfg.HTTP != nil {
		h.signed = sameOrigin(cfg.HTTP)
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

// subscribe asks for a subscription, or, with the socket of one, for its renewal (FHIRcast 3.0.0, 2.4.1). It returns
// the socket that the hub names, "" if it accepted a renewal and named none.
func (h *requests) subscribe(ctx context.Context, socket fhircast.Secret) (fhircast.Secret, error) {
	form := url.Values{
		"hub.channel.type": {"websocket"},
		"hub.mode":         {"subscribe"},
		"hub.topic":        {h.cfg.Topic.Reveal()},
		"hub.events":       {strings.Join(h.asked(), ",")},
	}
	if h.cfg.Name != "" {
		form.Set("subscriber.name", h.cfg.Name)
	}
	if seconds := int64(h.cfg.Lease / time.Second); seconds > 0 {
		form.Set("hub.lease_seconds", strconv.FormatInt(seconds, 10))
	}
	if socket != "" {
		form.Set("hub.channel.endpoint", socket.Reveal())
	}
	named, err := h.postForm(ctx, form, requestLimit)
	if err != nil {
		return "", fmt.Errorf("subscribe: %w", err)
	}
	switch {
	case named == "" && socket == "":
		return "", fmt.Errorf("subscribe: %w", errNoEndpoint)
	case named != "" && !h.owns(named):
		return "", fmt.Errorf("subscribe: %w", errEndpoint)
	}
	return named, nil
}

// unsubscribe ends the subscription of that socket (FHIRcast 3.0.0, 2.4.5).
func (h *requests) unsubscribe(ctx context.Context, socket fhircast.Secret) error {
	_, err := h.postForm(ctx, url.Values{
		"hub.channel.type":     {"websocket"},
		"hub.mode":             {"unsubscribe"},
		"hub.topic":            {h.cfg.Topic.Reveal()},
		"hub.channel.endpoint": {socket.Reveal()},
	}, leaveLimit)
	if err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	return nil
}

// postForm returns the socket that an answer of 200, 201 or 202 names. Any other answer is a *StatusError.
func (h *requests) postForm(ctx context.Context, form url.Values, limit time.Duration) (fhircast.Secret, error) {
	deadline := fmt.Sprintf("no answer within %v", limit)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.HubURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", clean(err, deadline)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := h.signed.Do(req)
	if err != nil {
		return "", clean(err, deadline)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
	default:
		return "", refusal(resp)
	}
	switch {
	case err != nil:
		return "", clean(err, deadline)
	case isPage(body):
		return "", errPage
	}
	return socketIn(body, resp.Header), nil
}

// isPage tells whether an answer is a web page, by what it holds: its content type is no proof of anything.
func isPage(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff"))), []byte("<"))
}

// socketIn reads the body whatever its content type says; the ballot of February 2020 had a header instead.
func socketIn(body []byte, header http.Header) fhircast.Secret {
	var answer struct {
		Endpoint string `json:"hub.channel.endpoint"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Endpoint == "" {
		answer.Endpoint = header.Get("Content-Location")
	}
	return fhircast.Secret(strings.TrimSpace(answer.Endpoint))
}

// owns tells whether an address is a socket of this hub: wss, on the same host.
func (h *requests) owns(socket fhircast.Secret) bool {
	u, err := url.Parse(socket.Reveal())
	return err == nil && u.Scheme == "wss" && u.User == nil && strings.EqualFold(u.Hostname(), h.url.Hostname())
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
