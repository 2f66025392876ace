package subscriber

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/castray/castray/bridge/hub/hubtest"
)

// FM-01: two hundred resets, each told in the same instant, each mended within the first window, and what the hub sends
// arrives once and in its order.
func TestResetsAreToldAtOnceAndMendedBySchedule(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	const resets = 200
	random := rand.New(rand.NewPCG(1, 1))
	var cuts []time.Duration
	w := play(t, func(w *world) {
		w.config.Rand = random.Float64
		w.onSocket = func(n int, s *socket) {
			s.confirm(24 * 3600)
			s.event(fmt.Sprintf("first-%d", n), "Patient-open")
			time.Sleep(time.Minute)
			s.event(fmt.Sprintf("last-%d", n), "Patient-close")
		}
	}, func(w *world) {
		for range resets {
			w.after(time.Since(w.start) + healthy + firstWindow + time.Second) // healthy again, so in the first window
			cuts = append(cuts, time.Since(w.start))
			w.net.Cut()
		}
		w.after(time.Since(w.start) + firstWindow + time.Second)
	})
	heard := w.appHeard
	for n := 1; n <= resets+1; n++ {
		back := firstWord(t, heard[0])
		want := []string{
			fmt.Sprintf("%v subscribed %d: Patient-open,Patient-close,SyncError", back, n),
			fmt.Sprintf("%v event %d: first-%d Patient-open", back, n, n),
		}
		if n <= resets {
			want = append(want, fmt.Sprintf("%v event %d: last-%d Patient-close", back+time.Minute, n, n), fmt.Sprintf("%v lost %d: the connection broke", cuts[n-1], n))
		}
		if diff := cmp.Diff(want, heard[:len(want)]); diff != "" {
			t.Fatalf("subscription %d: %s", n, diff)
		}
		if n > 1 && back-cuts[n-2] > firstWindow+time.Second {
			t.Errorf("reset %d: back after %v", n-1, back-cuts[n-2])
		}
		heard = heard[len(want):]
	}
}

// firstWord is when a line of a journal was written.
func firstWord(t *testing.T, line string) time.Duration {
	t.Helper()
	word, _, _ := strings.Cut(line, " ")
	at, err := time.ParseDuration(word)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// FM-02: a line that is half-open is found within 25 s, and 30 s later nothing of it is left, though its connection never
// ends.
func TestNothingIsLeftOfAHalfOpenLine(t *testing.T) {
	mine := func() (readers, writers int) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return strings.Count(string(stacks), "(*socketChannel).read("), strings.Count(string(stacks), "(*socketChannel).write(")
	}
	play(t, nil, func(w *world) {
		w.after(time.Second)
		if r, wr := mine(); r < 1 || wr < 1 {
			t.Fatalf("%d readers, %d writers: this test looks for the wrong names", r, wr)
		}
		w.net.Freeze()
		w.after(26 * time.Second)
		if w.client.State().Subscribed() || !slices.Contains(w.appHeard, "25s lost 1: silence for 25s") {
			t.Errorf("%v, heard %q", w.client.State(), w.appHeard)
		}
		w.after(56 * time.Second)
		if r, wr := mine(); r != 0 || wr != 0 {
			t.Errorf("%d readers and %d writers are left", r, wr)
		}
		w.net.Thaw()
	})
}

// What was connected before a loss may be as dead as the socket was: nothing that follows goes over it, or the first
// request would cost its ten seconds.
func TestOldConnectionsAreNotUsedAfterALoss(t *testing.T) {
	var mu sync.Mutex
	var conns []*deafConn
	w := play(t, func(w *world) {
		t := w.config.HTTP.Transport.(signer).RoundTripper.(*http.Transport)
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := w.net.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			d := &deafConn{Conn: c, deaf: make(chan struct{})}
			mu.Lock()
			conns = append(conns, d)
			mu.Unlock()
			return d, nil
		}
	}, func(w *world) {
		w.after(10 * time.Second)
		mu.Lock()
		for _, c := range conns {
			close(c.deaf) // the network that they were made on is gone
		}
		mu.Unlock()
		w.client.Reconnect("another network")
		w.after(20 * time.Second)
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"10s lost 1: another network",
		"10.5s subscribed 2: Patient-open,Patient-close,SyncError",
		"20s run returned: <nil>",
	)
}

// A deafConn takes what is written to it and passes nothing on, once it is deaf.
type deafConn struct {
	net.Conn
	deaf chan struct{}
}

func (c *deafConn) Write(p []byte) (int, error) {
	select {
	case <-c.deaf:
		return len(p), nil
	default:
		return c.Conn.Write(p)
	}
}

// FM-05: the name is looked up for each connection, so that a hub that moves is found; while it is not known that is said.
func TestAHubThatMovesIsFound(t *testing.T) {
	notFound := &net.DNSError{Err: canary, Name: canary, IsNotFound: true}
	slow := &net.DNSError{Err: canary, Name: canary, IsTimeout: true}
	for _, tt := range []struct {
		name  string
		fault error
		words string
	}{
		{"unknown for a while", notFound, "subscribe: the hub's name is not known here"},
		{"no name server for a while", slow, "subscribe: the hub's name could not be looked up: no name server answers"},
		{"another address", nil, "the connection broke"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			address, fault := "192.0.2.10", error(nil)
			var dialled []string
			w := play(t, func(w *world) {
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					defer mu.Unlock()
					if addr != "hub.example.test:443" { // a name, never what it stood for once
						t.Errorf("dialled %s", addr)
					}
					if fault != nil {
						return nil, &net.OpError{Op: "dial", Net: network, Err: fault}
					}
					dialled = append(dialled, address)
					return w.net.Dial(ctx, network, address+":443")
				}
				w.config.Dial = dial
				w.config.HTTP.Transport.(signer).RoundTripper.(*http.Transport).DialContext = dial
			}, func(w *world) {
				w.after(10 * time.Second)
				mu.Lock()
				address, fault, dialled = "192.0.2.20", tt.fault, nil
				mu.Unlock()
				w.net.Cut()
				w.after(12*time.Second + 500*time.Millisecond + time.Millisecond)
				if got := w.client.Trouble(); tt.fault != nil && got != tt.words {
					t.Errorf("trouble %q, want %q", got, tt.words)
				}
				mu.Lock()
				fault = nil
				mu.Unlock()
				w.after(30 * time.Second)
				mu.Lock()
				defer mu.Unlock()
				if len(dialled) < 2 || slices.Contains(dialled, "192.0.2.10") {
					t.Errorf("dialled %q", dialled)
				}
			})
			if !slices.ContainsFunc(w.appHeard, func(s string) bool { return strings.Contains(s, "subscribed 2") }) || w.appHeard[1] != "10s lost 1: the connection broke" {
				t.Errorf("heard %q", w.appHeard)
			}
		})
	}
}

// FM-08: what a guest network or a filter answers in the hub's place is never taken for the hub's word.
func TestAPortalIsNotTheHub(t *testing.T) {
	page := func(rw http.ResponseWriter) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, "\n <!DOCTYPE html><title>Welcome "+canary+"</title>")
	}
	var portal atomic.Bool
	w := play(t, func(w *world) {
		accept := w.onSubscribe
		w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
			if portal.Load() {
				page(rw)
				return
			}
			accept(n, form, rw)
		}
		w.onContext = func(rw http.ResponseWriter, _ *http.Request) { page(rw) }
		w.onEvent = func(rw http.ResponseWriter, _ *http.Request) { page(rw) }
		w.onUpgrade = func(n int, rw http.ResponseWriter) bool {
			if n == 2 {
				page(rw)
			}
			return n == 2
		}
	}, func(w *world) {
		w.after(time.Second)
		const words = "a web page answered in the hub's place"
		if status, err := w.client.Publish(w.Context(), patientOpen(t, "p1")); status != 0 || err == nil || err.Error() != "publish: "+words || notSent(err) {
			t.Errorf("publish: %d, %v", status, err)
		}
		if e, offered, err := w.client.Context(w.Context(), "s1"); e != nil || !offered || err == nil || err.Error() != "read the current context: "+words {
			t.Errorf("context: %v, %v, %v", e, offered, err)
		}
		portal.Store(true)
		w.client.Reconnect("another network")
		w.after(3 * time.Second)
		if got := w.client.Trouble(); got != "subscribe: "+words {
			t.Errorf("trouble %q", got)
		}
		portal.Store(false)
		w.after(4100 * time.Millisecond) // the next try, and now the portal is before the socket
		if got := w.client.Trouble(); got != "connect: the hub answered 200" {
			t.Errorf("trouble %q", got)
		}
		w.after(time.Minute)
	})
	if !slices.ContainsFunc(w.appHeard, func(s string) bool { return strings.Contains(s, "subscribed 2") }) {
		t.Errorf("heard %q", w.appHeard)
	}
}

// FM-09: a hub is restarted a hundred times, and each time it has forgotten its subscriptions; every second time it is
// away for a while. Each loss is told once, each time there is a new subscription that works, and its context can be read.
func TestAHundredRestartsOfTheHub(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	const restarts = 100
	inWard(t, nil, func(w *ward) {
		for n := 1; n <= restarts; n++ {
			time.Sleep(healthy)
			if n%2 == 0 {
				w.net.Refuse(true)
			}
			if err := w.hub.Restart(w.Context(), true); err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				time.Sleep(20 * time.Second)
				w.net.Refuse(false)
			}
			time.Sleep(2 * time.Minute)
			id := fmt.Sprintf("p%d", n)
			w.publish(id)
			if !w.has(fmt.Sprintf("subscribed %d", n+1)) || !w.has("event "+id) {
				t.Fatalf("restart %d: %q", n, w.heard)
			}
			if e, offered, err := w.client.Context(w.Context(), "s"); err != nil || !offered || e == nil {
				t.Errorf("restart %d: context %v, %v, %v", n, e, offered, err)
			}
		}
		losses := 0
		for _, line := range w.heard {
			if strings.HasPrefix(line, "lost ") {
				losses++
			}
		}
		if losses != restarts {
			t.Errorf("%d losses told of %d", losses, restarts)
		}
	})
}

// FC-HGS-05, as decided: whatever becomes of the old endpoint, after an abnormal end there is a fresh subscription that
// does not name it, by the schedule.
func TestAfterAnAbnormalEndTheSubscriptionIsFresh(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(w *world)
		back string
	}{
		{"1011", func(w *world) { w.last().close(1011) }, "3.5s subscribe"},
		{"1006", func(w *world) { w.last().ws.NetConn().Close() }, "3.5s subscribe"},
		{"a reset", func(w *world) { w.net.Cut() }, "3.5s subscribe"},
		{"a denial", func(w *world) { w.last().deny("") }, "3.5s subscribe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, func(w *world) {
				w.onUpgrade = func(n int, rw http.ResponseWriter) bool {
					switch n { // the new endpoints are no better at first: gone, then accepted and silent
					case 2:
						rw.WriteHeader(http.StatusNotFound)
						return true
					case 3:
						time.Sleep(time.Minute)
						return true
					}
					return false
				}
			}, func(w *world) {
				w.after(time.Second)
				tt.end(w)
				w.after(3 * time.Minute)
			})
			want := []string{"0s subscribe", tt.back, "8.5s subscribe", "28.5s subscribe"}
			var got []string
			for _, s := range w.hubSaw {
				if strings.HasSuffix(s, " subscribe") {
					got = append(got, s)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("tries %q, want %q", got, want)
			}
			for _, form := range w.posts[:4] {
				if form.Has("hub.channel.endpoint") {
					t.Error("an old endpoint in a new subscription")
				}
			}
		})
	}
}

// FC-UNS-11: a hub that cannot tell subscribers apart denies us when somebody else unsubscribes; we are back, and stay.
func TestDeniedBecauseSomebodyElseLeft(t *testing.T) {
	inWard(t, nil, func(w *ward) {
		other := New(w.config("Ward 8", &ward{T: t}))
		ctx, cancel := context.WithCancel(w.Context())
		ended := make(chan error, 1)
		go func() { ended <- other.Run(ctx) }()
		time.Sleep(time.Minute)
		w.hub.Fault(hubtest.DenyOthers, -1)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		w.publish("p1")
		if !w.has("lost 1: denied by the hub") || !w.has("subscribed 2") || !w.has("event p1") || w.has("lost 2: denied by the hub") {
			t.Errorf("heard %q", w.heard)
		}
		for _, r := range w.hub.Requests(hubtest.Unsubscribe) {
			if r.Form.Get("hub.channel.endpoint") == "" {
				t.Error("an unsubscribe that names no endpoint")
			}
		}
	})
}

// FM-30: the hub has taken the event, its answer is lost: the event is there once, and the one who asked knows that it may
// be. A hub that takes its time is given fifteen seconds in all, also where it sends us elsewhere first.
func TestAnEventWhoseAnswerIsLostIsThereOnce(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	inWard(t, nil, func(w *ward) {
		for n := range 200 {
			id := fmt.Sprintf("p%d", n)
			w.hub.Reply(hubtest.Publish, hubtest.Reply{Lose: true}, 1)
			status, err := w.client.Publish(w.Context(), patientOf(w, id))
			if status != 0 || err == nil || err.Error() != "publish: the connection broke" || notSent(err) {
				t.Fatalf("%s: %d, %v", id, status, err)
			}
			time.Sleep(time.Second)
			if got := len(w.hub.Answers(id)); got != 1 {
				t.Errorf("%s reached subscribers %d times", id, got)
			}
		}
		if got := len(w.hub.Requests(hubtest.Publish)); got != 200 {
			t.Errorf("%d posts of 200 events", got)
		}
	})
	publishing(t, func(n int, rw http.ResponseWriter, r *http.Request) {
		time.Sleep(9 * time.Second)
		rw.WriteHeader(http.StatusNotFound)
	}, func(w *world, seen func() []string) {
		before := time.Now()
		if status, err := w.client.Publish(w.Context(), patientOpen(t, "p1")); status != 0 || err == nil || notSent(err) {
			t.Errorf("%d, %v", status, err)
		}
		if took := time.Since(before); took != publishLimit {
			t.Errorf("it took %v", took)
		}
		if got := seen(); len(got) != 2 || !strings.HasSuffix(got[0], " p1") || !strings.HasSuffix(got[1], " p1") {
			t.Errorf("posted %q", got)
		}
	})
}

// FC-REQ-15: a hub that refuses an empty context is reported as it answers, and not asked again.
func TestAHubThatRefusesAnEmptyContext(t *testing.T) {
	publishing(t, func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadRequest) }, func(w *world, seen func() []string) {
		if status, err := w.client.Publish(w.Context(), homeOpen(t)); status != 400 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
		w.after(time.Minute)
		if len(seen()) != 1 || !w.client.State().Subscribed() {
			t.Errorf("posted %q, %v", seen(), w.client.State())
		}
	})
}

// FC-GCC-10: in a whole life nothing is asked but what FHIRcast has: no list of subscribers or subscriptions.
func TestWhatIsAskedInALifetime(t *testing.T) {
	inWard(t, nil, func(w *ward) {
		w.publish("p1")
		_, _, _ = w.client.Context(w.Context(), "s1")
		time.Sleep(3 * time.Hour) // a renewal or two
		w.hub.Drop("")
		time.Sleep(time.Minute)
		if status, err := w.client.Publish(w.Context(), patientOf(w, "p2")); status/100 != 2 {
			t.Error(status, err)
		}
		asked := map[string]bool{}
		for _, r := range w.hub.Requests("") {
			path := r.Path
			if r.On == hubtest.Connect {
				path = "a socket"
			}
			asked[r.Method+" "+strings.Replace(path, w.topic.Reveal(), "TOPIC", 1)] = true
		}
		want := map[string]bool{"GET /fc/.well-known/fhircast-configuration": true, "POST /fc": true, "GET /fc/TOPIC": true, "GET a socket": true}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Error(diff)
		}
	})
}

// Refusals to connect are told apart from names that are not known.
func TestANetworkThatIsDown(t *testing.T) {
	play(t, func(w *world) {
		w.config.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.Join(syscall.ENETUNREACH)}
		}
	}, func(w *world) {
		w.after(time.Second)
		if got := w.client.Trouble(); got != "connect: the hub cannot be reached" {
			t.Errorf("trouble %q", got)
		}
	})
}
