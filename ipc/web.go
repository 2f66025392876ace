package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// handshakes is how many callers may be between their connection and their admission at once: a page that knocks
	// without end takes no place of an app. More wait.
	handshakes = 16
	// handshakeWithin is for the request and for its answer.
	handshakeWithin = 5 * time.Second
	maxHandshake    = 8 << 10 // bytes of a request
	// tellEvery is how often at most a refused caller is logged. They are all counted.
	tellEvery = time.Minute
)

// ListenWebSocket lets apps come by ws://127.0.0.1:<port>/v1 too, with the app_key of castray.json, and tells the port
// (0 takes any). A page of the web may use it when its origin is listed; who sends no origin is no page. The result
// accepts them: with the places that l has left, and only programs of our user, on Windows of our logon session, where
// the operating system tells who is at the other end of a loopback connection. On macOS it does not, and the key decides.
// It has the Log of l. Close gives the port back, and is not called by that of l.
func (l *Listener) ListenWebSocket(port int, origins []string, appKey string) (*Listener, int, error) {
	if appKey == "" {
		return nil, 0, errors.New("listen for apps at a WebSocket: there is no app_key")
	}
	tcp, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, 0, fmt.Errorf("listen for apps at a WebSocket: %w", err)
	}
	port = tcp.Addr().(*net.TCPAddr).Port
	w := &web{
		tcp: tcp, rule: newWebRule(port, origins, appKey), callers: make(chan struct{}, handshakes),
		admitted: make(chan *socket), done: make(chan struct{}),
	}
	w.listener = &Listener{
		Log: l.Log, raw: w, us: l.us, places: l.places,
		peerOf:  func(c net.Conn) (Peer, error) { return c.(*socket).peer, nil },
		release: func() error { return nil },
	}
	w.server = &http.Server{
		Handler: w, ReadTimeout: handshakeWithin, WriteTimeout: handshakeWithin, MaxHeaderBytes: maxHandshake,
		ErrorLog:    log.New(io.Discard, "", 0), // it would print what others send
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, callerKey{}, c) },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateHijacked || state == http.StateClosed {
				<-w.callers
			}
		},
	}
	w.server.SetKeepAlivesEnabled(false) // a kept connection would hold one of the handshakes
	return w.listener, port, nil
}

// web is the loopback WebSocket as a net.Listener that gives *sockets: of callers of our user who showed the key.
type web struct {
	tcp      net.Listener
	rule     webRule
	listener *Listener // whose raw this is
	server   *http.Server
	callers  chan struct{}
	admitted chan *socket
	done     chan struct{}

	start   sync.Once
	serving sync.WaitGroup

	telling sync.Mutex
	told    time.Time // when a refusal was last logged
}

// Accept starts the HTTP server when it is first called; Close ends it.
func (w *web) Accept() (net.Conn, error) {
	w.start.Do(func() {
		w.serving.Go(func() { _ = w.server.Serve(gate{w.tcp, w}) }) // it ends with Close only
	})
	select {
	case s := <-w.admitted:
		return s, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *web) Close() error {
	close(w.done)
	w.start.Do(func() {}) // from here on Accept starts nothing
	err := w.server.Close()
	if closed := w.tcp.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	w.serving.Wait()
	return err
}

func (w *web) Addr() net.Addr { return w.tcp.Addr() }

// caller is a connection of a program of our user, before its handshake.
type caller struct {
	net.Conn
	peer         Peer
	ours, theirs netip.AddrPort
}

type callerKey struct{} // of the *caller in the context of its request

// gate is where the HTTP server finds callers. Others are hung up on before a byte of theirs is read.
type gate struct {
	net.Listener
	web *web
}

func (g gate) Accept() (net.Conn, error) {
	for {
		select {
		case g.web.callers <- struct{}{}:
		case <-g.web.done:
			return nil, net.ErrClosed
		}
		raw, err := g.Listener.Accept()
		if err != nil {
			<-g.web.callers
			return nil, err
		}
		c, err := g.whoCalls(raw)
		if err == nil {
			return c, nil
		}
		g.web.turnAway(c.peer, err.Error())
		raw.Close()
		<-g.web.callers
	}
}

// whoCalls admits programs of our user, by the rule of the local transport.
func (g gate) whoCalls(raw net.Conn) (*caller, error) {
	c := &caller{Conn: raw}
	var err error
	if c.ours, c.theirs, err = ends(raw); err != nil {
		return c, err
	}
	us := g.web.listener.us
	c.peer, err = loopbackPeer(c.theirs, c.ours)
	if errors.Is(err, errors.ErrUnsupported) {
		c.peer, err = Peer{User: us.User, Session: us.Session}, nil
	}
	c.peer.Via = ViaWebSocket
	if err == nil {
		err = admit(us, c.peer)
	}
	return c, err
}

// ServeHTTP is the handshake. Which program that is, is found before it is answered, and so before its first frame.
func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(callerKey{}).(*caller)
	if no := w.rule.judge(r); no != nil {
		w.turnAway(c.peer, no.sentence)
		if no.status == http.StatusUpgradeRequired {
			out.Header().Set("Upgrade", "websocket")
		}
		http.Error(out, no.sentence, no.status)
		return
	}
	peer := identify(c.peer, c.theirs, c.ours)
	// The origin was judged before.
	upgrader := websocket.Upgrader{Subprotocols: []string{subprotocol}, CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := upgrader.Upgrade(out, r, nil)
	if err != nil {
		w.turnAway(peer, "the handshake is none of a WebSocket")
		peer.Release()
		return
	}
	s := newSocket(ws, peer, newLimits())
	select {
	case w.admitted <- s:
	case <-w.done:
		_ = s.close(&endError{reason: "stopping", cause: net.ErrClosed})
		peer.Release()
	}
}

// turnAway counts a refusal and logs it: but once in a while, for a page can be refused as often as it likes.
func (w *web) turnAway(peer Peer, because string) {
	n := w.listener.refused.Add(1)
	w.telling.Lock()
	defer w.telling.Unlock()
	if now := time.Now(); w.told.IsZero() || now.Sub(w.told) >= tellEvery {
		w.told = now
		w.listener.log().Warn("the WebSocket turned a caller away", "because", because, "user", peer.User, "pid", peer.PID, "refused", n)
	}
}
