package oauth

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	bodyLimit    = 1 << 20 // bytes of any answer that we read
	getTimeout   = 10 * time.Second
	tokenTimeout = 15 * time.Second
	maxRedirects = 3
)

// web is our side of HTTP for discovery, tokens and keys: bounded in time and
// size, https only, and its errors are clean.
type web struct {
	site   Site
	client *credential
	get    *http.Client // follows up to three redirects
	post   *http.Client // follows none: it carries codes and tokens
}

func newWeb(site Site, given *http.Client) *web {
	base := http.DefaultTransport
	if given != nil && given.Transport != nil {
		base = given.Transport
	}
	w := &web{site: site, client: &credential{site: site}}
	capped := cappedTransport{base}
	w.get = &http.Client{Transport: capped, Timeout: getTimeout, CheckRedirect: w.checkRedirect}
	w.post = &http.Client{Transport: capped, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return w
}

func (w *web) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &failure{doing: "redirected in a circle",
			sentence: "The sign-in server sends Castray in a circle: your administrator has to check fhir_url."}
	}
	if err := w.site.usable(r.URL); err != nil {
		return &failure{doing: "redirected to an address that " + err.Error(),
			sentence: "The sign-in server sends Castray to an unsafe address: your administrator has to check fhir_url."}
	}
	return nil
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   []byte // without byte order mark
}

func (r *reply) looksHTML() bool {
	b := bytes.TrimLeft(r.body, " \t\r\n")
	return len(b) > 0 && b[0] == '<'
}

// fetch GETs address, https or refused before any request.
func (w *web) fetch(ctx context.Context, doing, address, accept string) (*reply, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, settingError("fhir_url", "is not a URL")
	}
	if err := w.site.usable(u); err != nil {
		return nil, &failure{doing: doing + ": address " + err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &failure{doing: doing + ": address cannot be requested"}
	}
	req.Header.Set("Accept", accept)
	return do(w.get, doing, req)
}

// ask sends a form once, as the client that to names, to its token endpoint or to
// another one of the same server where the client proves itself in the same way.
func (w *web) ask(ctx context.Context, doing, address string, to saved, form url.Values) (*reply, error) {
	form, authorization, err := w.client.prove(ctx, to, form)
	if err != nil {
		return nil, err
	}
	return w.send(ctx, doing, address, authorization, form)
}

// send POSTs a form once. net/http repeats a POST only when no byte of it was
// written, so a code is never sent twice.
func (w *web) send(ctx context.Context, doing, address, authorization string, form url.Values) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &failure{doing: doing + ": address cannot be requested"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return do(w.post, doing, req)
}

func do(c *http.Client, doing string, req *http.Request) (*reply, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, networkError(doing, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, networkError(doing, err)
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	return &reply{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// retryAfter reads the header in both its forms; 0 = not said. A server that
// says a day gets an hour: someone waits.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return min(time.Duration(min(n, 3600))*time.Second, time.Hour)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), time.Hour)
	}
	return 0
}

// cappedTransport ends an answer with an error after bodyLimit bytes. It sits
// below the JWKS reader of go-oidc too, which reads without limit.
type cappedTransport struct{ base http.RoundTripper }

func (t cappedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err == nil {
		resp.Body = &cappedBody{resp.Body, bodyLimit}
	}
	return resp, err
}

type cappedBody struct {
	io.ReadCloser
	left int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// One byte more decides between the end and too much.
		var one [1]byte
		if n, err := b.ReadCloser.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, &failure{doing: "answer over 1 MiB", sentence: "The sign-in server answers with too much: your administrator has to check fhir_url."}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
