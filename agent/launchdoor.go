package agent

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	launchPath     = "/launch"
	launchCallers  = 16 // connections at once; more are closed unread
	launchPatience = 5 * time.Second
	launchLeave    = time.Second / 2 // for the last pages, when the agent stops
)

// A launchDoor is the loopback GET /launch, to which an EHR's page sends the browser (RFC 8252, 8.3). Everybody on this
// machine can connect, and every page can send a browser here.
type launchDoor struct {
	agent *Agent
	hosts map[string]bool // that a request may be for: a page that binds its name to the loopback has another
}

// openLaunchDoor listens at the configured port until ctx ends. Where it cannot, that is said, and the agent goes on.
func (a *Agent) openLaunchDoor(ctx context.Context) {
	if a.cfg.Settings.Launch.Port == 0 {
		return
	}
	port := strconv.Itoa(a.cfg.Settings.Launch.Port)
	listeners, err := listenLoopback(ctx, port)
	if err != nil {
		a.cfg.Log.Warn("launch.port cannot be listened on", "port", port)
		a.notify(problemLaunchOff, "")
		return
	}
	d := &launchDoor{agent: a, hosts: map[string]bool{}}
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		d.hosts[net.JoinHostPort(host, port)] = true
	}
	server := &http.Server{
		Handler: d, ReadHeaderTimeout: launchPatience, ReadTimeout: launchPatience, WriteTimeout: 2 * launchPatience,
		MaxHeaderBytes: 2 * launchLimit,
		ErrorLog:       log.New(io.Discard, "", 0), // it would print what others send
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext:    func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, callerKey{}, c) },
	}
	server.SetKeepAlivesEnabled(false)
	for _, l := range listeners {
		a.wait.Go(func() { _ = server.Serve(&capped{Listener: l, places: make(chan struct{}, launchCallers)}) })
	}
	a.wait.Go(func() {
		<-ctx.Done() // with it whoever waits for the agent stops waiting
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), launchLeave)
		defer cancel()
		if server.Shutdown(last) != nil { // browsers open connections in advance and say nothing on them
			_ = server.Close()
		}
	})
}

// listenLoopback listens on both loopback addresses, since localhost may be either, where this machine has both. A port that
// another program has on one of them, perhaps another user's, is not used on the other.
func listenLoopback(ctx context.Context, port string) ([]net.Listener, error) {
	var config net.ListenConfig
	four, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	any, err := config.Listen(ctx, "tcp", "[::1]:0")
	if err != nil { // no IPv6 here
		return []net.Listener{four}, nil
	}
	any.Close()
	six, err := config.Listen(ctx, "tcp", net.JoinHostPort("::1", port))
	if err != nil {
		four.Close()
		return nil, err
	}
	return []net.Listener{four, six}, nil
}

type callerKey struct{}

// ServeHTTP answers with a page of ours, in which nothing of the request is.
func (d *launchDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != launchPath && d.hosts[r.Host] { // browsers ask for an icon
		pageNothing.Write(w, http.StatusNotFound)
		return
	}
	if status, why := d.guard(r); why != nil {
		d.agent.refuse(r.Context(), why)
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodGet)
		}
		pageOf(why).Write(w, status)
		return
	}
	to, why, err := d.agent.take(r.Context(), "?"+r.URL.RawQuery)
	switch {
	case err != nil:
		pageStopping.Write(w, http.StatusServiceUnavailable)
	case why == refusedMany:
		pageOf(why).Write(w, http.StatusTooManyRequests)
	case why != nil:
		pageOf(why).Write(w, http.StatusForbidden)
	case to == courseAsk || to == courseAsked:
		pageAsks.Write(w, http.StatusOK)
	default:
		pageTaken.Write(w, http.StatusOK)
	}
}

// guard is who may knock, and how.
func (d *launchDoor) guard(r *http.Request) (status int, why *refusal) {
	caller, ok := r.Context().Value(callerKey{}).(net.Conn)
	if !ok || d.agent.cfg.Caller(caller) != nil {
		return http.StatusForbidden, refusedCaller
	}
	mode := r.Header.Values("Sec-Fetch-Mode")
	switch {
	case !d.hosts[r.Host]:
		return http.StatusForbidden, refusedRequest
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, refusedRequest
	case len(mode) > 1 || len(mode) == 1 && mode[0] != "navigate":
		return http.StatusForbidden, refusedRequest
	case len(r.URL.RawQuery) > launchLimit:
		return http.StatusRequestURITooLong, refusedShape
	}
	return 0, nil
}

// capped closes the connections that are too many, so that whoever opens them and says nothing keeps nobody else out for
// longer than a request may take.
type capped struct {
	net.Listener
	places chan struct{}
}

func (l *capped) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
		default:
			c.Close()
		}
	}
}

type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
