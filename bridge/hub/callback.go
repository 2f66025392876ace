package hub

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	callWithin = 5 * time.Second // of one request to a callback
	firstPause = time.Second     // before a delivery is tried again; it doubles
)

// callBack serves a webhook until it ends: it has the callback confirm what was asked for, delivers one event after the
// other, keeps the lease, and says at the end that it is over. It waits for nobody but the callback, and nobody but its
// own queue waits for it.
func (h *Hub) callBack(ctx context.Context, s *subscription) {
	for {
		if in, lease := h.takeIntent(s); in != nil {
			h.settle(ctx, s, in, h.verify(ctx, s, in, lease))
			continue
		}
		o, wait, end := h.next(s)
		switch {
		case o.frame != nil:
			h.deliver(ctx, s, o)
		case end != nil:
			if end.deny {
				h.deny(context.WithoutCancel(ctx), s, end.reason)
			}
			return
		default:
			timer := time.NewTimer(wait)
			select {
			case <-s.wake:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

// verify asks the callback whether it wants what was asked for: it agrees by a 2xx with the challenge as its whole body
// (FHIRcast 2.0, 2.4).
func (h *Hub) verify(ctx context.Context, s *subscription, in *intent, lease time.Duration) bool {
	challenge := rand.Text()
	status, body, err := h.ask(ctx, s, url.Values{
		"hub.mode": {in.mode}, "hub.events": {join(in.wish.events)}, "hub.challenge": {challenge},
		"hub.lease_seconds": {strconv.Itoa(int(lease / time.Second))},
	})
	return err == nil && status/100 == 2 && string(body) == challenge
}

// deny tells the callback that it is over and why. Whether it hears that is its own affair.
func (h *Hub) deny(ctx context.Context, s *subscription, reason string) {
	_, _, _ = h.ask(ctx, s, url.Values{"hub.mode": {"denied"}, "hub.events": {join(s.events)}, "hub.reason": {reason}})
}

// ask makes a GET with these parameters behind those that the callback has itself, which are its own and stay.
func (h *Hub) ask(ctx context.Context, s *subscription, more url.Values) (status int, body []byte, err error) {
	u := *s.callback.url
	more.Set("hub.topic", s.room.topic.Reveal())
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += more.Encode()
	return h.call(ctx, &u, http.MethodGet, nil, "")
}

// deliver posts an event until it is answered, or 10 s are over: then the subscriber is given up, as one with a socket
// would be. An answer that says "later" is asked for again, and is the answer if nothing better comes.
func (h *Hub) deliver(ctx context.Context, s *subscription, o outgoing) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	signature := h.signature(s, o.frame)
	last, pause := 0, firstPause
	for {
		status, _, err := h.call(ctx, s.callback.url, http.MethodPost, o.frame, signature)
		if err == nil {
			last = status
			if !transient(status) {
				break
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
		pause *= 2
	}
	if last != 0 {
		h.answered(s, &fhircast.Answer{ID: o.id, Status: last})
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost(s, o.about, noAnswer, ending{deny: true, now: true}) // nothing, if the end is what stopped the request
}

func transient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// signature is of the body as it goes out, byte by byte (FHIRcast 2.0, 2.5); "" for who gave no secret.
func (h *Hub) signature(s *subscription, body []byte) string {
	h.mu.Lock()
	secret := s.callback.secret
	h.mu.Unlock()
	if secret == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// errNoAnswer stands for what the client says, which names the address.
var errNoAnswer = errors.New("the callback does not answer")

// call makes one request. It returns no more of a body than tells a challenge from what is longer.
func (h *Hub) call(ctx context.Context, u *url.URL, method string, event []byte, signature string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(event))
	if err != nil {
		return 0, nil, errNoAnswer
	}
	if event != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if signature != "" {
		r.Header.Set("X-Hub-Signature", signature)
	}
	resp, err := h.caller.Do(r)
	if err != nil {
		return 0, nil, errNoAnswer
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, 1024)); err != nil {
		return 0, nil, errNoAnswer
	}
	return resp.StatusCode, body, nil
}

// newCaller is a client that goes where it is told and nowhere else.
func newCaller(c *http.Client) *http.Client {
	if c == nil {
		return nil
	}
	caller := *c
	caller.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	caller.Jar = nil
	return &caller
}
