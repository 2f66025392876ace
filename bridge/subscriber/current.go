package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// Context reads the hub's current context (FHIRcast 3.0.0, 2.9) as the open that it stands for, with the given id and
// the time of reading. No event, no error and offered: nothing is current. Not offered: this hub does not tell, and the
// other results say nothing. An error is a *[StatusError] for an answer that is neither, else about a request that was
// not answered or an answer that could not be read (up to 4 MiB); the context is then not known. It takes 10 s at most.
func (c *Client) Context(ctx context.Context, id string) (e *fhircast.Event, offered bool, err error) {
	if c.fault != nil {
		return nil, true, c.fault
	}
	e, offered, err = c.hub.current(ctx, id)
	if err != nil {
		return nil, true, fmt.Errorf("read the current context: %w", err)
	}
	return e, offered, nil
}

func (h *requests) current(ctx context.Context, id string) (*fhircast.Event, bool, error) {
	deadline := fmt.Sprintf("no answer within %v", requestLimit)
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	address, err := h.topicAddress()
	if err != nil {
		return nil, true, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, true, clean(err, deadline)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := h.signed.Do(req)
	if err != nil {
		return nil, true, clean(err, deadline)
	}
	defer resp.Body.Close()
	says := h.says()
	advertised := says.context || says.dialect.GetContext
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return nil, true, nil
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		switch {
		case !advertised:
			return nil, false, nil
		case resp.StatusCode == http.StatusNotFound && !h.elsewhere():
			return nil, true, nil
		}
		return nil, true, refusal(resp)
	default:
		return nil, true, refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, relayLimit+1))
	if err != nil {
		return nil, true, clean(err, deadline)
	}
	switch {
	case len(body) > relayLimit:
		return nil, true, errTooLarge
	case isPage(body):
		return nil, true, errPage
	}
	e, err := fhircast.DecodeContext(body, h.cfg.Topic, id, time.Now())
	return e, true, err
}

// elsewhere tells whether the context is read at another place than the topic names: a topic that is an absolute address, at
// a hub that is not known to mean it so (quirk topic-url). Then its 404 does not say that nothing is current.
func (h *requests) elsewhere() bool {
	u, err := url.Parse(h.cfg.Topic.Reveal())
	return err == nil && u.IsAbs() && u.Host != "" && !h.dialect().TopicURL
}

var errTooLarge = errors.New("it is larger than 4 MiB")
