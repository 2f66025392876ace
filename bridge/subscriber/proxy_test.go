package subscriber

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A connectProxy is an HTTP proxy between a world's client and its hub. It keeps every byte that it could read.
type connectProxy struct {
	*world
	answer func(r *http.Request) string // the status line of what CONNECT is answered, "" is nothing

	mu    sync.Mutex
	asked []string // of CONNECT: address and credentials
	clear strings.Builder
}

const proxyHost = "proxy.example.test:3128"

// dial stands for net.Dial where nothing but the proxy can be reached.
func (p *connectProxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != proxyHost {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EHOSTUNREACH}
	}
	near, far := net.Pipe()
	go p.serve(far)
	return near, nil
}

func (p *connectProxy) serve(conn net.Conn) {
	defer conn.Close()
	head := bufio.NewReader(io.TeeReader(conn, p))
	r, err := http.ReadRequest(head)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
	p.mu.Unlock()
	line := p.answer(r)
	if line == "" {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	fmt.Fprintf(conn, "%s\r\nX-Note: %s\r\n\r\n", line, canary)
	if !strings.Contains(line, " 200") {
		return
	}
	hub, err := p.net.Dial(context.Background(), "tcp", r.Host)
	if err != nil {
		return
	}
	defer hub.Close()
	go func() { _, _ = io.Copy(conn, hub); conn.Close() }()
	_, _ = io.Copy(hub, head)
}

func (p *connectProxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clear.Write(b)
}

// behind puts the world behind a proxy: all of it, or only what the signing client does not do.
func (w *world) behind(via string, all bool, answer func(r *http.Request) string) *connectProxy {
	p := &connectProxy{world: w, answer: answer}
	settings := func(r *http.Request) (*url.URL, error) {
		if strings.Contains(r.URL.String(), "/ws/") {
			w.Errorf("the proxy's settings are asked about %v", r.URL)
		}
		return url.Parse(via)
	}
	w.config.Proxy, w.config.Dial = settings, p.dial
	if all {
		t := &http.Transport{Proxy: settings, DialContext: p.dial, TLSClientConfig: w.net.TLS()}
		w.config.HTTP = &http.Client{Transport: signer{t}}
	}
	return p
}

// FM-31: everything goes by the proxy, which learns the hub's name and port and nothing else of ours, no byte of a token.
func TestThroughAProxy(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct{ name, via, credentials string }{
		{"that wants no sign-in", "http://" + proxyHost, ""},
		{"that wants a name and a password", "http://ward7:p%40ss@" + proxyHost, basic("ward7:p@ss")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p *connectProxy
			w := play(t, func(w *world) {
				p = w.behind(tt.via, true, func(r *http.Request) string {
					if r.Header.Get("Proxy-Authorization") != tt.credentials {
						return "HTTP/1.1 407 Proxy Authentication Required"
					}
					return "HTTP/1.1 200 OK"
				})
			}, func(w *world) {
				w.after(time.Second)
				w.last().event("e1", "Patient-open")
				if status, err := w.client.Publish(w.Context(), patientOpen(t, "p1")); status != 202 || err != nil {
					t.Errorf("publish: %d, %v", status, err)
				}
				w.after(2 * time.Second)
			})
			w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "1s event 1: e1 Patient-open", "2s run returned: <nil>")
			want := strings.TrimSuffix("CONNECT hub.example.test:443 "+tt.credentials, " ")
			for _, got := range p.asked {
				if strings.TrimSuffix(got, " ") != want {
					t.Errorf("asked %q, want %q", got, want)
				}
			}
			if len(p.asked) != 3 { // discovery, requests, socket
				t.Errorf("%d connections by the proxy: %q", len(p.asked), p.asked)
			}
			for _, secret := range []string{token, canary, url.QueryEscape(topic.Reveal()), "Authorization: Bearer", "/ws/"} {
				if strings.Contains(p.clear.String(), secret) {
					t.Errorf("the proxy could read %q", secret)
				}
			}
		})
	}
}

// FM-31: a way that a proxy does not open is told in one sentence of ours, and a 407 is not tried faster than every 30 s:
// a wrong password locks accounts.
func TestAProxyThatDoesNotOpenTheWay(t *testing.T) {
	const signIn = "the proxy wants a sign-in of its own (407): the administrator has to let this hub through, or name the proxy's user"
	for _, tt := range []struct {
		name, via, answer string
		words             string
		next              time.Duration // when the second try is
	}{
		{"it wants a sign-in", "http://" + proxyHost, "HTTP/1.1 407 Proxy Authentication Required for " + canary, signIn, 32500 * time.Millisecond},
		{"it wants a sign-in and says it in one number", "http://" + proxyHost, "HTTP/1.1 407", signIn, 32500 * time.Millisecond},
		{"the password is wrong", "http://" + canary + ":" + canary + "@" + proxyHost, "HTTP/1.1 407 No", signIn, 32500 * time.Millisecond},
		{"it has no way either", "http://" + proxyHost, "HTTP/1.1 503 " + canary, "the proxy answered 503", 2500 * time.Millisecond},
		{"it says what is no HTTP", "http://" + proxyHost, "SSH-2.0-" + canary, "the proxy cannot be reached", 2500 * time.Millisecond},
		{"it says nothing", "http://" + proxyHost, "", "no answer from the proxy within 10s", 12500 * time.Millisecond},
		{"it is not there", "http://" + canary + ".example.test", "", "the proxy cannot be reached", 2500 * time.Millisecond},
		{"it is of no kind we know", "gopher://" + proxyHost, "", "the proxy's address cannot be used", 2500 * time.Millisecond},
		{"its address is none", "http://%zz" + canary, "", "the proxy's address cannot be used", 2500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.behind(tt.via, false, func(*http.Request) string { return tt.answer })
			}, func(w *world) {
				w.after(30 * time.Second)
				if got := w.client.Trouble(); got != "connect: "+tt.words {
					t.Errorf("trouble %q, want %q", got, "connect: "+tt.words)
				}
				w.after(90 * time.Second)
			})
			var tries []string
			for _, s := range w.hubSaw {
				if strings.HasSuffix(s, " subscribe") {
					tries = append(tries, s)
				}
			}
			first := time.Duration(0)
			if tt.answer == "" && strings.Contains(tt.words, "within") {
				first = 3 * time.Second // what the hub says of itself is waited for so long
			}
			if want := fmt.Sprintf("%v subscribe", first); tries[0] != want {
				t.Errorf("first try %q, want %q", tries[0], want)
			}
			if want := fmt.Sprintf("%v subscribe", first+tt.next); !slices.Contains(tries[1:2], want) {
				t.Errorf("second try %q, want %q", tries[1], want)
			}
		})
	}
}

// FM-31: a signing client is not ours; where it has no words for a 407, we do.
func TestASigningClientBehindAProxyThatWantsASignIn(t *testing.T) {
	play(t, func(w *world) {
		w.behind("http://"+proxyHost, true, func(*http.Request) string { return "HTTP/1.1 407 Proxy Authentication Required" })
	}, func(w *world) {
		w.after(time.Second)
		want := "subscribe: " + (&proxyError{407}).Error()
		if got := w.client.Trouble(); got != want {
			t.Errorf("trouble %q, want %q", got, want)
		}
	})
}

// A proxy over TLS, and one of the SOCKS kind: the tunnel is another, what goes through it is not.
func TestOtherKindsOfProxy(t *testing.T) {
	t.Run("over TLS", func(t *testing.T) {
		connects := 0
		w := play(t, func(w *world) {
			direct := w.config.Dial
			w.config.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("https://proxy.example.test") }
			w.onConnect = func(rw http.ResponseWriter, r *http.Request) {
				if r.TLS == nil || r.TLS.ServerName != "proxy.example.test" || r.Header.Get("Authorization") != "" {
					t.Errorf("CONNECT as %q", r.TLS.ServerName)
				}
				connects++
				hub, err := direct(r.Context(), "tcp", r.Host)
				if err != nil {
					return
				}
				defer hub.Close()
				conn, buffered, err := http.NewResponseController(rw).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
				go func() { _, _ = io.Copy(conn, hub); conn.Close() }()
				_, _ = io.Copy(hub, buffered)
			}
		}, func(w *world) { w.after(time.Minute) })
		w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "1m0s run returned: <nil>")
		if connects != 2 {
			t.Errorf("%d tunnels", connects)
		}
	})
	t.Run("SOCKS", func(t *testing.T) {
		w := play(t, func(w *world) {
			p := &connectProxy{world: w}
			w.config.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("socks5://" + proxyHost) }
			w.config.Dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
				if addr != proxyHost {
					return nil, errors.New("only the proxy is there")
				}
				near, far := net.Pipe()
				go p.socks(far)
				return near, nil
			}
		}, func(w *world) { w.after(time.Minute) })
		w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "1m0s run returned: <nil>")
	})
}

// socks is RFC 1928 without a sign-in, to a name.
func (p *connectProxy) socks(conn net.Conn) {
	defer conn.Close()
	hello := make([]byte, 3)
	head := make([]byte, 5)
	if _, err := io.ReadFull(conn, hello[:2]); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, conn, int64(hello[1])); err != nil {
		return
	}
	_, _ = conn.Write([]byte{5, 0})
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	name := make([]byte, int(head[4])+2)
	if _, err := io.ReadFull(conn, name); err != nil {
		return
	}
	hub, err := p.net.Dial(context.Background(), "tcp", string(name[:head[4]])+":443")
	if err != nil {
		return
	}
	defer hub.Close()
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { _, _ = io.Copy(conn, hub); conn.Close() }()
	_, _ = io.Copy(hub, conn)
}
