package sandbox

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// launches are those that the EHR page has given out.
type launches struct {
	port int // of the agent's loopback GET /launch, 0 = none

	mu    sync.Mutex
	users map[string]string // who clicked, by launch
}

// maxLaunches is more than any test needs at once; then the older ones are forgotten.
const maxLaunches = 1000

// give makes a launch for a user.
func (l *launches) give(user string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == nil || len(l.users) >= maxLaunches {
		l.users = map[string]string{}
	}
	handle := rand.Text()
	l.users[handle] = user
	return handle
}

// of tells whom a launch is for. One that we never gave is for nobody in particular, so that people can try their own.
func (l *launches) of(handle string) (user string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.users[handle], true
}

// launch sends the browser to the agent, as an EHR does. It is a page of its own in a new window: browsers ask people before
// a page inside another may reach this machine's own network.
func (p *page) launch(w http.ResponseWriter, r *http.Request) {
	u, err := p.user(r.URL.Query().Get("user"))
	if err != nil || p.launches.port == 0 {
		http.NotFound(w, r)
		return
	}
	q := url.Values{"iss": {p.info.FHIRURL}, "launch": {p.launches.give(u.id)}}
	http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d/launch?%s", p.launches.port, q.Encode()), http.StatusSeeOther)
}
