package subscriber

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// get is how a hub verifies what it was asked for, and how it denies (FHIRcast STU2, 2.4).
func (c *callback) get(w http.ResponseWriter, r *http.Request) {
	q := parameters(r.URL)
	mode, events := strings.ToLower(q.Get("hub.mode")), fhircast.Names(strings.Split(q.Get("hub.events"), ","))
	switch {
	case !c.hub.isTopic(q.Get("hub.topic")):
		http.NotFound(w, r)
	case mode == "denied":
		c.hear()
		if !c.hand(frame{message: &fhircast.Denial{Topic: c.hub.cfg.Topic, Events: events}}) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	default:
		c.verify(w, r, mode, events, q)
	}
}

// verify agrees by the challenge, and to nothing but what is pending: not to what a stranger, or the hub itself by
// mistake, has asked for in our name. A hub may ask twice. One that names no events means those that were asked for.
func (c *callback) verify(w http.ResponseWriter, r *http.Request, mode string, events []fhircast.Name, q url.Values) {
	challenge := q.Get("hub.challenge")
	c.mu.Lock()
	in := c.intent
	pending := mode == in.mode && mode != "" && time.Now().Before(in.until)
	agrees := pending && challenge != "" && asked(events, in.events)
	if agrees && mode == "subscribe" {
		c.agreed = true // an event may come as soon as the challenge is out
	}
	c.mu.Unlock()
	if !agrees {
		http.NotFound(w, r)
		return
	}
	c.hear()
	head := w.Header()
	head.Set("Content-Type", "text/html")
	head.Set("Content-Length", strconv.Itoa(len(challenge)))
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", "sandbox; default-src 'none'") // it is somebody else's text, for no browser
	_, err := io.WriteString(w, challenge)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil || mode == "subscribe" && !c.hand(frame{message: &fhircast.Confirmation{Topic: c.hub.cfg.Topic, Events: events, Lease: leaseIn(q)}}) {
		return
	}
	select {
	case in.verified <- struct{}{}:
	default: // it was verified before
	}
}

// parameters reads the query, in which the printed example of a denial misses the & before hub.events.
func parameters(u *url.URL) url.Values {
	q := u.Query()
	for _, name := range []string{"hub.mode", "hub.topic"} {
		if before, events, ok := strings.Cut(q.Get(name), "hub.events="); ok && !q.Has("hub.events") {
			q.Set(name, before)
			q.Set("hub.events", events)
		}
	}
	return q
}

func leaseIn(q url.Values) time.Duration {
	seconds, err := strconv.ParseFloat(q.Get("hub.lease_seconds"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, (366*24*time.Hour).Seconds()) * float64(time.Second))
}
