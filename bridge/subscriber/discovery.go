package subscriber

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// discoveryLimit is short: what a hub says about itself is useful and not needed, and a subscription waits for it.
const discoveryLimit = 3 * time.Second

// discovered is what a hub says about itself (FHIRcast 3.0.0, 2.7), as far as it changes what we do.
type discovered struct {
	dialect   fhircast.Dialect
	context   bool // it advertises the current context
	heartbeat bool
}

// discover asks the hub about itself, once. That it has no good answer is not an error. Without any answer it is asked
// again with the next subscribe, unless this one is answered.
func (h *requests) discover(ctx context.Context) {
	h.mu.Lock()
	asked := h.known != nil
	h.mu.Unlock()
	if asked || h.configured.NoDiscovery {
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

// dialect is how to speak with this hub: as it says, and over that as is configured.
func (h *requests) dialect() fhircast.Dialect { return h.says().dialect }

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
	known = h.nothing()
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
	return h.read(body), resp.StatusCode, nil
}

// read reads a discovery document. A member of another type leaves the others readable; a page of HTML leaves nothing
// known. Members that are not here are ignored, webhookSupport among them (FHIRcast 3.0.0, 2.7).
func (h *requests) read(document []byte) discovered {
	var says struct {
		Version      string   `json:"fhircastVersion"`
		Events       []string `json:"eventsSupported"`
		Socket       *bool    `json:"websocketSupport"`
		Current      bool     `json:"getCurrentSupport"`
		Capabilities struct {
			Current bool `json:"supportsGetCurrentContext"`
		} `json:"capabilities"`
	}
	_ = json.Unmarshal(document, &says)
	if says.Socket != nil && !*says.Socket && !h.hooked() {
		h.cfg.Log.Warn("the hub says that it has no sockets; they are tried all the same")
	}
	d := fhircast.DialectOf(says.Version)
	d.Supported = fhircast.Names(says.Events)
	if says.Socket != nil && *says.Socket {
		d.NoChannelType = false // where there is a choice of channels it has to be named, whatever the version
	}
	d, err := d.With(h.cfg.Quirks)
	if err != nil {
		d = h.configured
	}
	return discovered{dialect: d, heartbeat: fhircast.Heartbeat.In(d.Supported), context: says.Current || says.Capabilities.Current}
}

// nothing is what is known without a word of the hub.
func (h *requests) nothing() discovered { return discovered{dialect: h.configured} }

// wanted is what a subscribe asks for.
func (h *requests) wanted() []fhircast.Name {
	words := []string{}
	for _, n := range h.cfg.Events {
		words = append(words, string(n))
	}
	words = append(words, string(fhircast.SyncError))
	if says := h.says(); says.heartbeat || says.dialect.Heartbeat {
		words = append(words, string(fhircast.Heartbeat))
	}
	return fhircast.Names(words)
}

// events is that in the hub's own spelling, each name once.
func (h *requests) events() string { return strings.Join(h.dialect().Spell(h.wanted()), ",") }

func (h *requests) says() discovered {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		return h.nothing()
	}
	return *h.known
}
