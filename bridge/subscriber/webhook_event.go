package subscriber

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// replyLimit is how long a hub waits for an answer to what it posts: longer than apps are ever waited for.
const replyLimit = 2 * time.Second

var (
	errSignature = errors.New("its signature is missing, wrong, or not by SHA-256")
	errHuge      = errors.New("it is larger than 32 MiB")
	errNoEvent   = errors.New("it is no event")
)

// post takes an event, and answers with the event's answer (FHIRcast STU2, 2.5). What is refused is told like any frame
// that is: it could have been the event that matters.
func (c *callback) post(w http.ResponseWriter, r *http.Request) {
	if !c.subscribed() {
		w.WriteHeader(http.StatusGone)
		return
	}
	patience := time.NewTimer(replyLimit)
	defer patience.Stop()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-patience.C:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case <-c.ctx.Done():
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	f, err := c.frame(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest) // it is not whole, so it was not signed
		return
	}
	answers := make(chan int, 1) // a delivery has one answer
	f.reply = func(a fhircast.Answer) { answers <- a.Status }
	if !c.hand(f) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	patience.Reset(replyLimit)
	select {
	case status := <-answers:
		w.WriteHeader(sayable(status))
	case <-patience.C:
		w.WriteHeader(http.StatusAccepted)
	case <-c.ctx.Done():
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// subscribed tells whether the hub has any reason to post.
func (c *callback) subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agreed && c.intent.mode == "subscribe"
}

// frame reads what is posted. Nothing of it is looked at before all of it is known to be signed.
func (c *callback) frame(r *http.Request) (frame, error) {
	body, err := fill(make([]byte, 0, smallFrame), r.Body)
	if err != nil {
		return frame{}, err
	}
	if len(body) > relayLimit {
		return c.largeFrame(r, body)
	}
	if !c.signed(body, r.Header) {
		return refusedFrame(errSignature, http.StatusForbidden), nil
	}
	c.hear()
	f := decode(body)
	e, ok := f.message.(*fhircast.Event)
	switch {
	case !ok && f.refused == nil:
		return refusedFrame(errNoEvent, http.StatusBadRequest), nil
	case ok && e.Name.Is(fhircast.Heartbeat):
		c.life.beat(e.Period())
	}
	return f, nil
}

// largeFrame reads the rest of what will be refused, one at a time, for its name.
func (c *callback) largeFrame(r *http.Request, begun []byte) (frame, error) {
	select {
	case c.large <- struct{}{}:
		defer func() { <-c.large }()
	case <-c.ctx.Done():
		return frame{}, c.ctx.Err()
	}
	body := bytes.NewBuffer(begun)
	if _, err := body.ReadFrom(io.LimitReader(r.Body, int64(frameLimit-len(begun)+1))); err != nil {
		return frame{}, err
	}
	switch {
	case body.Len() > frameLimit:
		return refusedFrame(errHuge, http.StatusRequestEntityTooLarge), nil
	case !c.signed(body.Bytes(), r.Header):
		return refusedFrame(errSignature, http.StatusForbidden), nil
	}
	c.hear()
	f := refusedFrame(errTooLarge, http.StatusRequestEntityTooLarge)
	f.refused.ID, f.refused.Name = fhircast.Skim(body)
	return f, nil
}

// signed tells whether the hub wrote exactly these bytes. SHA-1, which STU1 has in its example, is no proof any more.
func (c *callback) signed(body []byte, head http.Header) bool {
	method, word, _ := strings.Cut(head.Get("X-Hub-Signature"), "=")
	given, err := hex.DecodeString(strings.TrimSpace(word))
	if err != nil || !strings.EqualFold(strings.TrimSpace(method), "sha256") {
		return false
	}
	mac := hmac.New(sha256.New, []byte(c.secret.Reveal()))
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

func refusedFrame(why error, status int) frame {
	return frame{refused: &fhircast.FrameError{Reason: why.Error()}, status: status}
}

// sayable is a status that ends a request.
func sayable(status int) int {
	if status < 200 || status > 599 || status/100 == 3 {
		return http.StatusInternalServerError
	}
	return status
}
