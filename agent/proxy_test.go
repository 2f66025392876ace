package agent_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A proxy is that of a hospital's network: it opens ways by CONNECT, or says why not, and keeps what it could read.
type proxy struct {
	listener net.Listener
	refuses  atomic.Pointer[string] // a status line instead of the way; "" or nil = none

	mu    sync.Mutex
	saw   bytes.Buffer // all that came, in the clear or not
	asked []string
	ways  []net.Conn
	work  sync.WaitGroup
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	p.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) url() *url.URL { return &url.URL{Scheme: "http", Host: p.listener.Addr().String()} }

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	p.mu.Lock()
	p.ways = append(p.ways, conn)
	p.mu.Unlock()
	from := bufio.NewReader(io.TeeReader(conn, p))
	r, err := http.ReadRequest(from)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	p.mu.Unlock()
	if no := p.refuses.Load(); no != nil && *no != "" {
		_, _ = io.WriteString(conn, "HTTP/1.1 "+*no+"\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n")
		return
	}
	hub, err := net.Dial("tcp", r.Host)
	if err != nil {
		return
	}
	defer hub.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	p.work.Go(func() {
		_, _ = io.Copy(hub, from)
		hub.Close()
	})
	_, _ = io.Copy(conn, hub)
}

// Write keeps what was read of a client.
func (p *proxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.saw.Write(b)
}

// cut ends all ways that are open.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.ways {
		c.Close()
	}
	p.ways = nil
}

// tells wants every request to be a CONNECT to that host, and nothing of the secrets to have been readable.
func (p *proxy) tells(t *testing.T, host string, secrets ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) < 2 || slices.ContainsFunc(p.asked, func(s string) bool { return s != "CONNECT "+host }) {
		t.Errorf("the proxy was asked %v", p.asked)
	}
	for _, s := range append(secrets, "Authorization", "Bearer", "/hub", "/fhir", "/auth") {
		if bytes.Contains(p.saw.Bytes(), []byte(s)) {
			t.Errorf("the proxy could read %.4s...", s)
		}
	}
}

// FM-31: the whole agent, its sign-in, its requests and its socket, by a proxy that learns a host and a port. Where the
// proxy breaks off, everyone is told, and the way back is by the proxy too.
func TestTheWholeAgentGoesByTheProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newProxy(t)
	w.tune = func(c *agent.Config) { c.Proxy = http.ProxyURL(p.url()) }
	v := w.reads()
	p.cut()
	w.until("a second subscription", func(s protocol.Status) bool { return s.Counters.Reconnects == 1 && s.Phase == protocol.PhaseInSync })
	w.opens("Patient", "p02")
	w.sees(v, "Patient-open")
	w.until("p02 is followed", func(s protocol.Status) bool { return s.Phase == protocol.PhaseInSync })
	hub, err := url.Parse(w.sandbox.Info().HubURL)
	if err != nil {
		t.Fatal(err)
	}
	p.tells(t, hub.Host, w.sandbox.Info().Topic)
	if said := w.log.String(); strings.Contains(said, w.sandbox.Info().Topic) {
		t.Error("the log tells the topic")
	}
}

// FM-31: a proxy that wants a sign-in of its own, at our sign-in and later at the hub. Both say that it is the proxy and
// what to do about it, in words of ours.
func TestAProxyThatWantsASignInOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newProxy(t)
	no, yes := "407 hush authenticationrequired", ""
	p.refuses.Store(&no)
	w.tune = func(c *agent.Config) { c.Proxy = http.ProxyURL(p.url()) }
	w.start(false)
	w.viewer("viewer", client.Options{})
	_, err := w.running.agent.Do(w.ctx, "signin", []byte(`{}`))
	if err == nil || !strings.Contains(err.Error(), "proxy") || !strings.Contains(err.Error(), "administrator") {
		t.Fatalf("signin: %v", err)
	}
	p.refuses.Store(&yes)
	w.do("signin", `{}`)
	w.phase(protocol.PhaseNoContext)

	p.refuses.Store(&no)
	p.cut()
	s := w.until("told about the proxy", func(s protocol.Status) bool {
		return s.Phase == protocol.PhaseOffline && slices.ContainsFunc(s.Problems, func(p protocol.Problem) bool {
			return p.Code == "offline" && strings.Contains(p.Sentence, "proxy") && strings.Contains(p.Sentence, "407") && strings.Contains(p.Sentence, "administrator")
		})
	})
	for _, problem := range s.Problems {
		if strings.Contains(problem.Sentence, "hush") {
			t.Error("the proxy's words are repeated:", problem.Sentence)
		}
	}
	if strings.Contains(w.log.String(), "hush") {
		t.Error("the log repeats the proxy's words")
	}
}

// FM-08, as far as one process shows it: a network that comes leaves a connection alone that is well; one that goes takes
// it away at once, though it still looks alive.
func TestAnotherNetworkIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := newProxy(t)
	var here atomic.Pointer[[]netip.Prefix]
	var looks atomic.Int32
	move := func(networks ...string) {
		var list []netip.Prefix
		for _, n := range networks {
			list = append(list, netip.MustParsePrefix(n))
		}
		here.Store(&list)
	}
	move("192.0.2.1/32")
	w.tune = func(c *agent.Config) {
		c.Proxy = http.ProxyURL(p.url())
		c.Networks = func() ([]netip.Prefix, error) { looks.Add(1); return *here.Load(), nil }
	}
	w.reads()
	move("192.0.2.1/32", "198.51.100.1/32")
	looked := looks.Load()
	w.until("two looks at the networks", func(protocol.Status) bool { return looks.Load() >= looked+2 })
	if s := w.running.agent.Status(); s.Counters.Reconnects != 0 || s.Phase != protocol.PhaseInSync {
		t.Errorf("a network that came broke a connection that was well: %s", s.Phase)
	}
	move("198.51.100.1/32")
	w.until("a new subscription", func(s protocol.Status) bool { return s.Counters.Reconnects == 1 && s.Phase == protocol.PhaseInSync })
	if !strings.Contains(w.log.String(), "this is another network") {
		t.Error("the log does not say why")
	}
}
