package subscriber

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// publishLimit is for both posts of an event: the person who asked for another patient is waiting.
const publishLimit = 15 * time.Second

// A route is how this hub wants to be sent events, where hubs differ: the text of the specification says the hub's own
// address and JSON, older examples the topic's address, newer ones FHIR's media type. A hub's answers may teach us
// another than its dialect says.
type route struct {
	toTopic bool
	fhir    bool
}

// route is the one to take, and own the one that the dialect says.
func (h *requests) route() (to, own route) {
	d := h.dialect()
	own = route{toTopic: d.PublishToTopic || d.TopicURL, fhir: d.FHIRMedia}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.publishTo != nil {
		return *h.publishTo, own
	}
	return own, own
}

// other is the route to try after an answer that proves that the hub has not taken the event. What an answer has taught
// us need not stay true: a proxy says 404 while the hub behind it is replaced.
func (r route) other(status int, own route) (route, bool) {
	switch {
	case !wrongRoute(status):
		return r, false
	case status == http.StatusUnsupportedMediaType && !r.fhir:
		return route{toTopic: r.toTopic, fhir: true}, true
	case status != http.StatusUnsupportedMediaType && !r.toTopic:
		return route{toTopic: true, fhir: r.fhir}, true
	}
	return own, r != own
}

func wrongRoute(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusUnsupportedMediaType
}

// A publishError says why there is no answer to a request.
type publishError struct {
	cause   error
	notSent bool
}

func (e *publishError) Error() string { return "publish: " + e.cause.Error() }
func (e *publishError) Unwrap() error { return e.cause }

// NotSent tells whether the hub surely did not get the event. If not, it may have, and the event may come back.
func (e *publishError) NotSent() bool { return e.notSent }

var (
	errNotSubscribed = errors.New("not subscribed")
	errForeignTopic  = errors.New("the event is for another topic")
)

// Publish asks the hub for a context change, or sends it any other event (FHIRcast 3.0.0, 2.6). A status above 0 is the
// hub's answer, whatever it is. With status 0 there is an error; it has a method NotSent() bool, true when the event
// surely did not reach the hub: because it is not fit to be sent, there is no subscription, or the request failed
// before its last byte was out. The event is posted once; only after an answer that proves that it was not taken (404,
// 405, 415) it is posted once more, with the same id, the way other hubs want it (safety rule S12). Nothing waits for a
// subscription. It takes 10 s at most, 15 s where it is posted twice.
func (c *Client) Publish(ctx context.Context, e *fhircast.Event) (status int, err error) {
	if c.fault != nil {
		return 0, &publishError{c.fault, true}
	}
	body, err := c.hub.dialect().Encode(e)
	switch {
	case err != nil:
		return 0, &publishError{err, true}
	case e.Topic != c.cfg.Topic:
		return 0, &publishError{errForeignTopic, true}
	case !c.State().Subscribed():
		return 0, &publishError{errNotSubscribed, true}
	}
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	to, own := c.hub.route()
	status, err = c.hub.postEvent(ctx, to, body)
	if err != nil {
		return 0, err
	}
	other, ok := to.other(status, own)
	if !ok {
		return status, nil
	}
	again, err := c.hub.postEvent(ctx, other, body)
	if err != nil {
		return 0, err
	}
	if wrongRoute(again) {
		return status, nil // the first answer was about the event, or about us
	}
	if again < http.StatusInternalServerError { // what is out of order says nothing about the way
		c.hub.mu.Lock()
		c.hub.publishTo = &other
		c.hub.mu.Unlock()
	}
	return again, nil
}

func (h *requests) postEvent(ctx context.Context, to route, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	address, media := h.cfg.HubURL, "application/json"
	if to.toTopic {
		var err error
		if address, err = h.topicAddress(); err != nil {
			return 0, &publishError{err, true}
		}
	}
	if to.fhir {
		media = "application/fhir+json"
	}
	var out atomic.Bool
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, &outgoing{bytes.NewReader(body), &out})
	if err != nil {
		return 0, &publishError{clean(err, ""), true}
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { // for whoever signs anew, and for a connection that was gone already
		return io.NopCloser(&outgoing{bytes.NewReader(body), &out}), nil
	}
	req.Header.Set("Content-Type", media)
	resp, err := h.signed.Do(req)
	if err != nil {
		return 0, &publishError{clean(err, fmt.Sprintf("no answer within %v", requestLimit)), !out.Load()}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, answerLimit)) // all of it, so that the connection can be used again
	if resp.StatusCode/100 == 2 && isPage(text) {
		return 0, &publishError{errPage, false}
	}
	return resp.StatusCode, nil
}

// outgoing notes when the last byte of a body is handed out. Before that no hub can have taken the event.
type outgoing struct {
	body *bytes.Reader
	out  *atomic.Bool
}

func (o *outgoing) Read(p []byte) (int, error) {
	n, err := o.body.Read(p)
	if o.body.Len() == 0 {
		o.out.Store(true)
	}
	return n, err
}
