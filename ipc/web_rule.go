package ipc

import (
	"crypto/subtle"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/websocket"
)

const (
	webPath = "/v1"
	// subprotocol is what is spoken, and what we answer: an answer that names the key would write it wherever answers
	// are shown.
	subprotocol = "castray.v1"
	// subprotocolKey, before the app_key, is how a page shows it, which can send no other header.
	subprotocolKey = "castray.key."
)

// webRule is who may use the loopback WebSocket, as far as a request tells.
type webRule struct {
	port    uint16
	origins []string
	appKey  string
}

func newWebRule(port int, origins []string, appKey string) webRule {
	r := webRule{port: uint16(port), appKey: appKey}
	for _, o := range origins {
		r.origins = append(r.origins, plainOrigin(o))
	}
	return r
}

// refusal is the answer to a request, without anything of what it said.
type refusal struct {
	status   int
	sentence string
}

// judgeSender says why a request is refused for where it comes from, nil when it is not. Host comes first: behind a name, a
// page of the web may stand that has made the name ours (DNS rebinding).
func (rule webRule) judgeSender(r *http.Request) *refusal {
	switch {
	case !rule.isOurs(r.Host):
		return &refusal{http.StatusMisdirectedRequest, "Host must be 127.0.0.1 with the port of castray.json."}
	case !rule.admits(r.Header.Values("Origin")):
		return &refusal{http.StatusForbidden, "This page is not among local.origins of the configuration."}
	}
	return nil
}

// judge says why a request is refused, nil when it is not.
func (rule webRule) judge(r *http.Request) *refusal {
	if no := rule.judgeSender(r); no != nil {
		return no
	}
	switch {
	case r.URL.Path != webPath:
		return &refusal{http.StatusNotFound, "The local protocol is at " + webPath + "."}
	case !websocket.IsWebSocketUpgrade(r):
		return &refusal{http.StatusUpgradeRequired, "Only a WebSocket is served here."}
	}
	offered := websocket.Subprotocols(r)
	switch {
	case len(offered) > 0 && !slices.Contains(offered, subprotocol):
		return &refusal{http.StatusBadRequest, "Offer the subprotocol " + subprotocol + " too."}
	case !rule.opens(keysShown(r, offered)):
		return &refusal{http.StatusUnauthorized, "Show the app_key of castray.json: it is new each time that the agent starts."}
	}
	return nil
}

// isOurs takes the loopback as a number only: a name may be anybody's.
func (rule webRule) isOurs(host string) bool {
	at, err := netip.ParseAddrPort(host)
	return err == nil && at.Addr().IsLoopback() && at.Port() == rule.port
}

// admits takes no origin, which only programs do not send, and those listed. A page without one of its own sends "null".
func (rule webRule) admits(origins []string) bool {
	for _, o := range origins {
		if !slices.Contains(rule.origins, plainOrigin(o)) {
			return false
		}
	}
	return true
}

// plainOrigin is an origin as browsers write it: in lower case, without the port that goes without saying.
func plainOrigin(origin string) string {
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil || u.Host == "" {
		return origin
	}
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.String()
}

// keysShown are what a request says is the key.
func keysShown(r *http.Request, offered []string) []string {
	var keys []string
	for _, p := range offered {
		if key, ok := strings.CutPrefix(p, subprotocolKey); ok {
			keys = append(keys, key)
		}
	}
	if scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		keys = append(keys, strings.TrimSpace(key))
	}
	return keys
}

// opens compares so that the time it takes tells nothing of the key.
func (rule webRule) opens(keys []string) bool {
	good := 0
	for _, key := range keys {
		good |= subtle.ConstantTimeCompare([]byte(key), []byte(rule.appKey))
	}
	return good == 1
}
