package subscriber

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// Ports are those of this computer, in memory: who listens, and who calls them.
type ports struct {
	mu     sync.Mutex
	opened int
	open   map[string]*port
}

// A port is a listener of theirs.
type port struct {
	*ports
	address string
	lines   chan net.Conn
	closed  chan struct{}
}

func (p *ports) listen(_, address string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if address != "127.0.0.1:0" {
		return nil, syscall.EADDRNOTAVAIL
	}
	p.opened++
	l := &port{p, fmt.Sprint("127.0.0.1:", 49151+p.opened), make(chan net.Conn), make(chan struct{})}
	if p.open == nil {
		p.open = map[string]*port{}
	}
	p.open[l.address] = l
	return l, nil
}

func (p *ports) dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	l := p.open[address]
	p.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	select {
	case l.lines <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *port) Accept() (net.Conn, error) {
	select {
	case c := <-l.lines:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *port) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[l.address] == l {
		delete(l.open, l.address)
		close(l.closed)
	}
	return nil
}

func (l *port) Addr() net.Addr {
	address, err := net.ResolveTCPAddr("tcp", l.address)
	if err != nil {
		panic(err)
	}
	return address
}

// A hooks is a world whose hub has no sockets: it calls back. By default it verifies what it accepts.
type hooks struct {
	*world
	ports  ports
	caller *http.Client
	work   sync.WaitGroup               // of the hub
	verify func(n int, form url.Values) // after the answer to the nth subscribe
}

// back plays a test at such a hub.
func back(t *testing.T, prepare, act func(k *hooks)) *hooks {
	k := &hooks{}
	k.world = play(t, func(w *world) {
		k.world = w
		k.caller = &http.Client{Transport: &http.Transport{DialContext: k.ports.dial}}
		w.Cleanup(func() { k.work.Wait(); k.caller.CloseIdleConnections() })
		k.verify = func(_ int, form url.Values) { k.agrees(form, "600") }
		// The hub is on this computer; its certificate is for the name that a network in memory has.
		w.config.HubURL, w.config.Channel, w.config.Listen = "https://127.0.0.1/fc?tenant=7", "webhook", k.ports.listen
		w.config.TLS.ServerName = "hub.example.test"
		w.config.HTTP.Transport.(signer).RoundTripper.(*http.Transport).TLSClientConfig.ServerName = "hub.example.test"
		w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
			rw.WriteHeader(http.StatusAccepted)
			k.work.Go(func() { k.verify(n, form) })
		}
		if prepare != nil {
			prepare(k)
		}
	}, func(*world) { act(k); synctest.Wait() })
	for _, form := range k.posts {
		for _, name := range []string{"hub.callback", "hub.secret"} {
			secret := form.Get(name)
			if u, err := url.Parse(secret); err == nil && name == "hub.callback" {
				secret = u.Path
			}
			if log := k.logs.String(); secret != "" && strings.Contains(log, secret) {
				t.Errorf("%s is told: %s", name, log)
			}
		}
	}
	return k
}

// A said is what a callback answered.
type said struct {
	status int
	kind   string
	body   string
}

// call makes a request to a callback. The change is made last.
func (k *hooks) call(form url.Values, method, query, body string, change func(r *http.Request)) said {
	k.Helper()
	address := form.Get("hub.callback")
	if query != "" {
		address += "?" + query
	}
	r, err := http.NewRequestWithContext(k.Context(), method, address, strings.NewReader(body))
	if err != nil {
		k.Error(err)
		return said{}
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hub-Signature", "sha256="+mac(form, body))
	}
	if change != nil {
		change(r)
	}
	resp, err := k.caller.Do(r)
	if err != nil {
		k.Log(err)
		return said{}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return said{resp.StatusCode, resp.Header.Get("Content-Type"), string(text)}
}

func mac(form url.Values, body string) string {
	m := hmac.New(sha256.New, []byte(form.Get("hub.secret")))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// intends is the query by which a hub verifies a request, with changes: names and values.
func intends(form url.Values, change ...string) string {
	q := url.Values{"hub.mode": {form.Get("hub.mode")}, "hub.topic": {form.Get("hub.topic")}, "hub.events": {form.Get("hub.events")},
		"hub.challenge": {"challenge <b>&1"}, "hub.lease_seconds": {"600"}}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
		if change[i+1] == "" {
			q.Del(change[i])
		}
	}
	return q.Encode()
}

func (k *hooks) agrees(form url.Values, lease string) {
	k.Helper()
	if got := k.call(form, "GET", intends(form, "hub.lease_seconds", lease), "", nil); got.status != 0 && got != (said{200, "text/html", "challenge <b>&1"}) {
		k.Errorf("the callback says %+v", got)
	}
}

func eventText(id, name string) string {
	return fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","id":%q,"event":{"hub.topic":%q,"hub.event":%q,"context":[]}}`, id, topic.Reveal(), name)
}

// event has the hub post an event to the latest callback.
func (k *hooks) event(id, name string) said {
	k.Helper()
	return k.call(k.latest(), "POST", "", eventText(id, name), nil)
}

// latest is the latest subscribe.
func (k *hooks) latest() (form url.Values) {
	for _, p := range k.subscribes() {
		if p.Get("hub.mode") == "subscribe" {
			form = p
		}
	}
	return form
}
