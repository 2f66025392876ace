package subscriber

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// subscribe asks for a subscription, or, with the place of one, for its renewal (FHIRcast 3.0.0, 2.4.1). It returns the
// place that the hub names, none if it accepted a renewal and named none.
func (h *requests) subscribe(ctx context.Context, at place) (place, error) {
	if at.callback != nil {
		return at, h.subscribeHook(ctx, at.callback)
	}
	form := h.form("subscribe", at)
	h.wish(form)
	named, err := h.ask(ctx, form, requestLimit)
	if err == nil && named == "" && at.socket == "" {
		err = errNoEndpoint
	}
	if err == nil && named != "" {
		named, err = h.endpoint(named)
	}
	if err != nil {
		return place{}, fmt.Errorf("subscribe: %w", err)
	}
	return place{socket: named}, nil
}

// unsubscribe ends the subscription of that place (FHIRcast 3.0.0, 2.4.5).
func (h *requests) unsubscribe(ctx context.Context, at place) error {
	if at.callback != nil {
		return h.unsubscribeHook(ctx, at.callback)
	}
	form := h.form("unsubscribe", at)
	if h.dialect().UnsubscribeEvents {
		form.Set("hub.events", h.events())
	}
	if _, err := h.ask(ctx, form, leaveLimit); err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	return nil
}

// form is what subscribe and unsubscribe have in common.
func (h *requests) form(mode string, at place) url.Values {
	form := url.Values{"hub.mode": {mode}, "hub.topic": {h.cfg.Topic.Reveal()}}
	if !h.dialect().NoChannelType {
		form.Set("hub.channel.type", cmp.Or(h.cfg.Channel, websocketChannel))
	}
	switch {
	case at.callback != nil:
		form.Set("hub.callback", at.callback.address())
	case at.socket != "":
		form.Set("hub.channel.endpoint", at.socket.Reveal())
	}
	return form
}

// wish adds what a subscribe asks for.
func (h *requests) wish(form url.Values) {
	form.Set("hub.events", h.events())
	if h.cfg.Name != "" {
		form.Set("subscriber.name", h.cfg.Name)
	}
	lease := h.cfg.Lease
	if h.hooked() {
		lease = cmp.Or(lease, hookLease)
	}
	if seconds := int64(lease / time.Second); seconds > 0 {
		form.Set("hub.lease_seconds", strconv.FormatInt(seconds, 10))
	}
}

// ask posts such a form and returns the socket that an answer of 200, 201 or 202 names. Any other answer is a
// *StatusError.
func (h *requests) ask(ctx context.Context, form url.Values, limit time.Duration) (fhircast.Secret, error) {
	deadline := fmt.Sprintf("no answer within %v", limit)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body, media := form.Encode(), "application/x-www-form-urlencoded"
	if h.dialect().JSONSubscribe {
		body, media = inJSON(form), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.HubURL, strings.NewReader(body))
	if err != nil {
		return "", clean(err, deadline)
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Accept", "application/json")
	resp, err := h.signed.Do(req)
	if err != nil {
		return "", clean(err, deadline)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
	default:
		return "", refusal(resp)
	}
	switch {
	case err != nil:
		return "", clean(err, deadline)
	case isPage(text):
		return "", errPage
	}
	return socketIn(text, resp.Header), nil
}

// inJSON is a form for hubs that take no other: the same members, the lease as the number that it is.
func inJSON(form url.Values) string {
	members := make(map[string]any, len(form))
	for name := range form {
		members[name] = form.Get(name)
		if seconds, err := strconv.ParseInt(form.Get(name), 10, 64); err == nil && name == "hub.lease_seconds" {
			members[name] = seconds
		}
	}
	text, _ := json.Marshal(members)
	return string(text)
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

// endpoint is the socket that the hub named, which has to be wss and at the hub's own host or one that is configured. Only
// for a hub that is known to name it by an address of its inside, and so configured, the hub's own host is put in the place
// of that.
func (h *requests) endpoint(named fhircast.Secret) (fhircast.Secret, error) {
	u, err := url.Parse(named.Reveal())
	if err != nil {
		return "", errEndpoint
	}
	if h.dialect().RebaseEndpoint && u.User == nil {
		u.Scheme, u.Host = "wss", h.url.Host
		if !strings.HasPrefix(u.Path, "/") {
			return "", errEndpoint
		}
		return fhircast.Secret(u.String()), nil
	}
	if u.Scheme != "wss" || u.User != nil || !h.isSocketHost(u.Hostname()) {
		return "", errEndpoint
	}
	return named, nil
}
