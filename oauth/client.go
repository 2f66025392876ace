package oauth

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Client signs requests to the granted origins: that of the FHIR server, that
// of the granted hub, and that of the configured hub (RFC 6750, 2.1). It sends
// nothing to any other, and follows no redirect to one: such an answer is
// returned as it is.
//
// A 401 leads to one refresh and one repeat, where the body can be repeated
// (Request.GetBody); the second answer is returned whatever it is. Requests
// return ErrLoginNeeded (wrapped) when there is no token and only a person can
// get one. After the server has ended the session the last token still signs
// until it expires, so that a subscription can be ended politely; after SignOut
// none does.
func (s *Session) Client() *http.Client {
	return clientOf(&signer{s: s, base: s.base()})
}

// Static signs with a fixed token, for a hub that wants one without sign-in.
// Origins that are neither https nor loopback literals are left out.
func Static(token Secret, base *http.Client, origins ...string) *http.Client {
	t := &staticSigner{token: token, base: http.DefaultTransport}
	if base != nil && base.Transport != nil {
		t.base = base.Transport
	}
	for _, raw := range origins {
		u, err := url.Parse(raw)
		if err == nil && (Site{LoopbackHTTP: true}).usable(u) == nil {
			t.origins = append(t.origins, origin(u))
		}
	}
	return clientOf(t)
}

func clientOf(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		// The body may hold a topic, so it goes no further than the token.
		if len(via) > maxRedirects || origin(r.URL) != origin(via[0].URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func (s *Session) base() http.RoundTripper {
	if h := s.launcher.HTTP; h != nil && h.Transport != nil {
		return h.Transport
	}
	return http.DefaultTransport
}

type staticSigner struct {
	token   Secret
	base    http.RoundTripper
	origins []string
}

func (t *staticSigner) RoundTrip(r *http.Request) (*http.Response, error) {
	if !slices.Contains(t.origins, origin(r.URL)) {
		return nil, refuse(r)
	}
	return t.base.RoundTrip(signed(r, t.token.Reveal()))
}

// CloseIdleConnections is of http.Client's: what is idle may be dead after a change of network, and cost the next request
// its deadline.
func (t *staticSigner) CloseIdleConnections() { closeIdle(t.base) }

// CloseIdleConnections is as that of staticSigner.
func (t *signer) CloseIdleConnections() { closeIdle(t.base) }

func closeIdle(t http.RoundTripper) { (&http.Client{Transport: t}).CloseIdleConnections() }

type signer struct {
	s    *Session
	base http.RoundTripper
}

func (t *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.s.granted(r.URL) {
		return nil, refuse(r)
	}
	tok, err := t.s.token(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := t.send(r, tok)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !t.s.doubt(r, tok.number) {
		return resp, err
	}
	again := r.Clone(r.Context())
	if r.Body != nil && r.Body != http.NoBody {
		if r.GetBody == nil {
			return resp, nil
		}
		if again.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	if tok, err = t.s.token(again); err != nil {
		closeBody(again)
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	resp, err = t.send(again, tok)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		t.s.refusedFresh(tok.number)
	}
	return resp, err
}

func (t *signer) send(r *http.Request, a access) (*http.Response, error) {
	token := a.token.Reveal()
	resp, err := t.base.RoundTrip(signed(r, token))
	if err == nil {
		t.s.judgeSize(len(token), resp.StatusCode)
	}
	return resp, err
}

// granted reports whether u may see the token.
func (s *Session) granted(u *url.URL) bool {
	s.mu.Lock()
	hub, topic := s.grant.HubURL, s.web.topicURL(s.grant.HubTopic.Reveal())
	s.mu.Unlock()
	to := origin(u)
	for _, raw := range []string{s.launcher.Site.FHIRURL, hub, topic, s.launcher.Site.HubURL} {
		if raw != "" && originOf(raw) == to {
			return true
		}
	}
	return false
}

// token gives a token that has not expired, refreshing if need be.
func (s *Session) token(r *http.Request) (access, error) {
	for {
		s.mu.Lock()
		a, out, over := s.access, s.out, s.over
		s.mu.Unlock()
		switch {
		case out:
			return access{}, over
		case a.number > 0 && time.Now().Round(0).Before(a.expires):
			return a, nil
		}
		if err := s.renew(r.Context(), a.number, false); err != nil {
			return access{}, err
		}
	}
}

// doubt handles a 401 for the token of that number, and reports whether there
// is a newer one to try.
func (s *Session) doubt(r *http.Request, number uint64) bool {
	s.mu.Lock()
	current := s.access.number
	refused := s.access.refused && time.Now().Round(0).Before(s.access.received.Add(longestPause))
	s.mu.Unlock()
	if current == number && (refused || s.renew(r.Context(), number, false) != nil) {
		return false
	}
	return true
}

// refusedFresh notes that a token was refused right after its refresh: another
// refresh would change nothing, and one per request would be an attack. After
// five minutes it is tried again, since some servers end a token when another
// agent of the user gets one, and then the reason was that.
func (s *Session) refusedFresh(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access.number == number {
		s.access.refused = true
	}
}

func signed(r *http.Request, token string) *http.Request {
	c := r.Clone(r.Context())
	c.Header.Set("Authorization", "Bearer "+token)
	return c
}

func refuse(r *http.Request) error {
	closeBody(r)
	return &failure{doing: "request to an origin that was not granted",
		sentence: "Castray was asked to send the sign-in to a server that it was not granted for: your administrator has to check the hub's address."}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
