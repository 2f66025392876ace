package subscriber

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// discoveryLimit is short: what a hub says about itself is useful and not needed, and a subscription waits for it.
const discoveryLimit = 3 * time.Second

// discovered is what a hub says about itself (FHIRcast 3.0.0, 2.7), as far as it changes what we do.
type discovered struct {
	context   bool // it advertises the current context
	heartbeat bool
}

// discover asks the hub about itself, once. That it has no good answer is not an error. Without any answer it is asked
// again with the next subscribe, unless this one is answered.
func (h *requests) discover(ctx context.Context) {
	h.mu.Lock()
	asked := h.known != nil
	h.mu.Unlock()
	if asked {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, discoveryLimit)
	defer cancel()
	known, status, err := h.configuration(ctx, h.plain)
	if status == http.StatusUnauthorized && h.cfg.HTTP != nil {
		known, _, err = h.configuration(ctx, h.signed)
	}
	if h.plain != h.signed {
		h.plain.CloseIdleConnections()
	}
	if err == nil {
		h.learn(known)
	}
}

// forget makes the next subscribe ask again.
func (h *requests) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known = nil
}

// learn keeps what is known of the hub; the first word counts.
func (h *requests) learn(known discovered) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = &known
	}
}

func (h *requests) configuration(ctx context.Context, client *http.Client) (known discovered, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.below(".well-known", "fhircast-configuration"), nil)
	if err != nil {
		return known, 0, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return known, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil || resp.StatusCode != http.StatusOK {
		return known, resp.StatusCode, nil
	}
	var says struct {
		Events       []string `json:"eventsSupported"`
		Current      bool     `json:"getCurrentSupport"`
		Capabilities struct {
			Current bool `json:"supportsGetCurrentContext"`
		} `json:"capabilities"`
	}
	// A member of another type leaves the others readable; a page of HTML leaves nothing known.
	_ = json.Unmarshal(body, &says)
	known.context = says.Current || says.Capabilities.Current
	known.heartbeat = fhircast.Heartbeat.In(fhircast.Names(says.Events))
	return known, resp.StatusCode, nil
}

// asked is what a subscribe asks for: each name once, in whatever case.
func (h *requests) asked() []string {
	var words []string
	for _, n := range h.cfg.Events {
		words = append(words, string(n))
	}
	words = append(words, string(fhircast.SyncError))
	if h.says().heartbeat {
		words = append(words, string(fhircast.Heartbeat))
	}
	names := fhircast.Names(words)
	words = words[:0]
	for _, n := range names {
		words = append(words, string(n))
	}
	return words
}

func (h *requests) says() discovered {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		return discovered{}
	}
	return *h.known
}
