package oauth

import (
	"encoding/json"
	"net/url"
)

// names2019 are members of a token response as the drafts of FHIRcast up to
// May 2019 called them, and what they are called since: `cast-hub` and
// `cast-session` stood on slides of January 2019, where `hub.opic` was a slip
// of the pen that was copied into servers.
var names2019 = []struct{ then, now string }{
	{"cast-hub", "hub.url"}, {"cast-session", "hub.topic"}, {"hub.opic", "hub.topic"},
}

// rename2019 gives the members their present names. One that has both is
// believed under the present one.
func rename2019(m map[string]json.RawMessage) {
	for _, n := range names2019 {
		if said, ok := m[n.then]; ok && text(m[n.now]) == "" {
			m[n.now] = said
		}
		delete(m, n.then)
	}
}

// topicURL is a topic of 2019 that is itself the address to post to and to read
// from, "" for any other.
func (w *web) topicURL(topic string) string {
	if !w.site.Names2019 {
		return ""
	}
	u, err := url.Parse(topic)
	if err != nil || w.site.usable(u) != nil {
		return ""
	}
	return topic
}
