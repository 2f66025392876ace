package subscriber

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	mostConns    = 64       // that a callback has at a time; whoever comes then is hung up on
	mostPosts    = 8        // that are read and answered at a time; others wait
	mostHead     = 16 << 10 // of a request
	headLimit    = 5 * time.Second
	postLimit    = 30 * time.Second // for a request with all its bytes
	hookIdle     = 2 * time.Minute  // that a connection waits for the next request
	verifyWindow = requestLimit + verifyLimit
)

// A callback is an address of this computer that a hub calls: the channel of a line that has no socket. It is plain http
// on a port of loopback under a path that nobody can guess, and lives as long as its line.
//
// What others on this computer can do is to take its connections, so that the hub is lost: that is then told. They learn
// nothing and cannot say anything, without the path, the topic and, for an event, the secret.
type callback struct {
	pulse
	ctx      context.Context // of the line
	hub      *requests
	listener net.Listener
	host     string // as requests have to name it
	path     fhircast.Secret
	secret   fhircast.Secret // signs what the hub posts

	frames chan frame    // to the reader; a full one makes the hub wait
	turns  chan struct{} // of those who post
	large  chan struct{} // of those who post more than is relayed
	dead   chan struct{} // closed when the hub is gone
	life   life

	open  atomic.Int32 // connections
	conns sync.WaitGroup

	mu     sync.Mutex
	intent intent
	agreed bool  // the hub has verified a subscribe
	dying  error // why the hub is gone
}

// An intent is what we have asked for and the hub may verify.
type intent struct {
	mode     string // subscribe or unsubscribe
	events   []fhircast.Name
	until    time.Time
	verified chan struct{} // takes one word
}

func makeCallback(ctx context.Context, h *requests, listener net.Listener) *callback {
	return &callback{
		pulse: pulse{born: time.Now()}, ctx: ctx, hub: h, listener: listener, host: listener.Addr().String(),
		path: fhircast.Secret("/" + rand.Text()), secret: fhircast.Secret(rand.Text() + rand.Text()), // 130 and 260 bits
		frames: make(chan frame, mostPosts), turns: make(chan struct{}, mostPosts), large: make(chan struct{}, 1), dead: make(chan struct{}),
	}
}

// address is hub.callback.
func (c *callback) address() string { return "http://" + c.host + c.path.Reveal() }

// expect has the hub verify that from now on, for a while, and nothing else.
func (c *callback) expect(mode string, events []fhircast.Name) (verified <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intent = intent{mode: mode, events: events, until: time.Now().Add(verifyWindow), verified: make(chan struct{}, 1)}
	return c.intent.verified
}

// serve answers the hub until the line ends, and returns when every connection has ended.
func (c *callback) serve() {
	server := &http.Server{
		Handler: c, ReadHeaderTimeout: headLimit, ReadTimeout: postLimit, WriteTimeout: 2 * postLimit, IdleTimeout: hookIdle,
		MaxHeaderBytes: mostHead, ConnState: c.count, ErrorLog: log.New(io.Discard, "", 0), // it would print addresses
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			c.die(&lineError{"this computer takes no calls of the hub any more", err})
		}
	}()
	<-c.ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), closeLimit)
	defer cancel()
	_ = server.Shutdown(ctx) // an answer that is under way gets out
	_ = server.Close()
	<-served
	c.conns.Wait()
}

// count is told of a new connection before it is served, and of its end after that.
func (c *callback) count(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.conns.Add(1)
		if c.open.Add(1) > mostConns {
			conn.Close()
		}
	case http.StateClosed:
		c.open.Add(-1)
		c.conns.Done()
	}
}

// ServeHTTP lets in who knows the path. The host has to be right as well: a web page can have its own name lead here (DNS
// rebinding), and its browser then says that name.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if known := sameSecret(r.URL.Path, c.path); r.Host != c.host || !known {
		w.Header().Set("Connection", "close") // there are not many
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet:
		c.get(w, r)
	case http.MethodPost:
		c.post(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// hand gives a frame to the reader, unless the line ends before.
func (c *callback) hand(f frame) bool {
	select {
	case c.frames <- f:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *callback) read(take func(frame)) error {
	for {
		select {
		case f := <-c.frames:
			take(f)
		case <-c.dead:
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.dying
		case <-c.ctx.Done():
			return c.ctx.Err() // nobody listens
		}
	}
}

// die says that the hub is gone; the reader tells.
func (c *callback) die(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dying == nil {
		c.dying = why
		close(c.dead)
	}
}

func (c *callback) bye(int, bool) {} // is an unsubscribe; the port closes when the line ends

func sameSecret(word string, secret fhircast.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(word), []byte(secret.Reveal())) == 1
}
