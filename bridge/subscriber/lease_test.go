package subscriber

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	sources "go/token"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A counter is a client that answers renewals itself, without a network, so that there can be many.
type counter struct {
	http.RoundTripper
	renewed func() (status int, date time.Time, err error)
}

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	if form.Get("hub.mode") != "subscribe" || !form.Has("hub.channel.endpoint") {
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		return c.RoundTripper.RoundTrip(r)
	}
	status, date, err := c.renewed()
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Date": {date.Format(http.TimeFormat)}}, Request: r,
		Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"hub.channel.endpoint":%q}`, endpoint(1))))}, nil
}

// FM-10 FM-07 FC-CNF-05 FC-SYN-05: ten thousand renewals without a gap, each within 50 to 80 % of its lease, whatever the
// hub's clock says, which jumps by hours and years. A hub that refuses a few times in a row costs no gap either.
func TestTenThousandRenewals(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	for _, tt := range []struct {
		lease    time.Duration
		renewals int64
		refusals int // in a row, before each
	}{
		{10 * time.Second, 9000, 0},
		{10 * time.Second, 1000, 1},
		{time.Minute, 200, 2},
		{time.Hour, 40, 6},
		{24 * time.Hour, 2, 8},
	} {
		t.Run(fmt.Sprintf("%v refused %d times", tt.lease, tt.refusals), func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, 7))
			var done atomic.Int64
			var refused int
			var last time.Duration
			w := play(t, func(w *world) {
				w.config.Rand, w.config.Log = random.Float64, nil
				w.onSocket = func(n int, s *socket) { s.confirm(int(tt.lease / time.Second)) }
				w.config.HTTP.Transport = counter{w.config.HTTP.Transport, func() (int, time.Time, error) {
					at := time.Since(w.start)
					if refused < tt.refusals {
						if refused++; refused == 1 && (at-last < tt.lease/2 || at-last >= tt.lease*8/10) {
							t.Errorf("renewed after %v of a lease of %v", at-last, tt.lease)
						}
						return []int{404, 500, 503}[refused%3], time.Now(), map[bool]error{true: errors.New("no way")}[refused%4 == 3]
					}
					if tt.refusals == 0 && (at-last < tt.lease/2 || at-last >= tt.lease*8/10) || at-last > leaseOver(tt.lease) {
						t.Errorf("renewed after %v of a lease of %v", at-last, tt.lease)
					}
					refused, last = 0, at
					done.Add(1)
					return 202, time.Now().Add(time.Duration(random.Int64N(int64(2*365*24*time.Hour))) - 365*24*time.Hour), nil
				}}
			}, func(w *world) {
				for done.Load() < tt.renewals {
					time.Sleep(tt.lease)
				}
			})
			if len(w.appHeard) != 2 {
				t.Errorf("heard %q", w.appHeard[1:])
			}
		})
	}
}

// FM-07: nothing here is decided by the clock on the wall. What times are made of is the monotonic clock, as long as
// nobody takes a time apart; the one date that is read is a hub's, by that hub's own clock.
func TestNothingGoesByTheClockOnTheWall(t *testing.T) {
	wall := []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Round", "Truncate", "UTC", "Local", "AddDate", "Date", "Clock",
		"Format", "Parse", "ParseInLocation", "ParseTime", "MarshalText", "MarshalJSON"}
	allowed := map[string]int{
		"requests.go ParseTime": 2, // Retry-After and Date of one answer
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(sources.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		read++
		ast.Inspect(parsed, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(wall, s.Sel.Name) {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && (x.Name == "url" || x.Name == "fhircast") {
				return true // url.Parse
			}
			where := file.Name() + " " + s.Sel.Name
			if allowed[where]--; allowed[where] < 0 {
				t.Errorf("%s: goes by the clock on the wall, or takes the monotonic one out", where)
			}
			return true
		})
	}
	if read < 10 {
		t.Errorf("%d files read", read)
	}
}

// FM-29: a thousand times a hub asks for time, and each time it gets it, up to five minutes, and up to a fifth more.
func TestRetryAfterIsObeyedAThousandTimes(t *testing.T) {
	const draws = 1000
	random := rand.New(rand.NewPCG(9, 9))
	var asked time.Duration // of the answer before
	var last time.Duration
	play(t, func(w *world) {
		w.config.Rand = random.Float64
		w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) {
			at := time.Since(w.start)
			if want := min(asked, 5*time.Minute); n > 1 && n <= draws+1 && (at-last < want || at-last > want*12/10) {
				t.Errorf("try %d came %v after the hub had asked for %v", n, at-last, asked)
			}
			if n > draws {
				w.accept(n, rw)
				return
			}
			last, asked = at, time.Duration(1+random.IntN(400))*time.Second
			if n%2 == 0 {
				rw.Header().Set("Retry-After", fmt.Sprint(int(asked/time.Second)))
			} else { // by the hub's clock, which is another than ours
				theirs := time.Date(1970+random.IntN(100), 5, 1, 0, 0, 0, 0, time.UTC)
				rw.Header().Set("Date", theirs.Format(http.TimeFormat))
				rw.Header().Set("Retry-After", theirs.Add(asked).Format(http.TimeFormat))
			}
			rw.WriteHeader([]int{429, 503}[n%2])
		}
	}, func(w *world) {
		for !w.client.State().Subscribed() {
			time.Sleep(time.Hour)
			if time.Since(w.start) > 2*draws*5*time.Minute {
				t.Fatal("not subscribed")
			}
		}
	})
}

// A freshener signs as oauth's client does: a 401 leads to one refresh, however many meet it at once, and to one repeat.
type freshener struct {
	http.RoundTripper
	mu        sync.Mutex
	token     int
	refreshes int
}

func (f *freshener) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	with := f.token
	f.mu.Unlock()
	send := func(with int) (*http.Response, error) {
		r := r.Clone(r.Context())
		r.Header.Set("Authorization", fmt.Sprintf("Bearer %d", with))
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
		return f.RoundTripper.RoundTrip(r)
	}
	resp, err := send(with)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	resp.Body.Close()
	f.mu.Lock()
	if f.token == with {
		f.token++
		f.refreshes++
	}
	with = f.token
	f.mu.Unlock()
	return send(with)
}

// FM-11: tokens that end in the middle of everything: fifty events at once, each is taken once, after one refresh; the
// renewal likewise, and nobody is told of a loss.
func TestATokenThatEndsInTheMiddle(t *testing.T) {
	var valid atomic.Int64 // the token that the hub takes
	signing := &freshener{}
	var taken sync.Map
	var twice atomic.Int64
	fresh := func(r *http.Request) bool {
		return r.Header.Get("Authorization") == fmt.Sprintf("Bearer %d", valid.Load())
	}
	var refusedRenewals atomic.Int64
	w := play(t, func(w *world) {
		signing.RoundTripper = w.config.HTTP.Transport.(signer).RoundTripper
		w.config.HTTP = &http.Client{Transport: signing}
		w.onSocket = func(n int, s *socket) { s.confirm(100) }
		w.onForm = func(r *http.Request, rw http.ResponseWriter) bool {
			if !fresh(r) {
				refusedRenewals.Add(1)
				rw.WriteHeader(http.StatusUnauthorized)
			}
			return fresh(r)
		}
		w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) { w.accept(1, rw) }
		w.onEvent = func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if !fresh(r) {
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			if _, was := taken.LoadOrStore(string(body), true); was {
				twice.Add(1)
			}
			rw.WriteHeader(http.StatusAccepted)
		}
	}, func(w *world) {
		w.after(time.Second)
		valid.Add(1)
		var posts sync.WaitGroup
		for n := range 50 {
			posts.Go(func() {
				if status, err := w.client.Publish(w.Context(), patientOpen(t, fmt.Sprintf("p%d", n))); status != 202 || err != nil {
					t.Errorf("p%d: %d, %v", n, status, err)
				}
			})
		}
		posts.Wait()
		if signing.refreshes != 1 {
			t.Errorf("%d refreshes for fifty events", signing.refreshes)
		}
		for range 5 { // each renewal finds its token ended
			valid.Add(1)
			w.after(time.Since(w.start) + 65*time.Second)
		}
		w.after(10 * time.Minute)
	})
	count := 0
	taken.Range(func(any, any) bool { count++; return true })
	if count != 50 || twice.Load() != 0 {
		t.Errorf("%d events were taken, %d of them twice", count, twice.Load())
	}
	if refusedRenewals.Load() != 5 || signing.refreshes != 6 {
		t.Errorf("%d renewals with an ended token, %d refreshes", refusedRenewals.Load(), signing.refreshes)
	}
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "10m0s run returned: <nil>")
}

// FC-SEC-07 FC-SUB-10: a lease ends with its token; with a new token it is renewed at once, on the same socket, and is as
// long as the new token's life.
func TestTheLeaseFollowsANewToken(t *testing.T) {
	const life = 1000 * time.Second
	until := life // of the token, since the start
	w := play(t, func(w *world) {
		lease := func() int { return int((until - time.Since(w.start)) / time.Second) }
		w.onSocket = func(n int, s *socket) { s.confirm(lease()) }
		w.onSubscribe = func(n int, form url.Values, rw http.ResponseWriter) {
			w.accept(1, rw)
			if n > 1 {
				w.last().confirm(lease())
			}
		}
		w.onEvent = nil
	}, func(w *world) {
		w.after(400 * time.Second)
		until = 400*time.Second + life
		w.client.Renew()
		w.client.Renew() // asked for twice, done once
		w.after(1400 * time.Second)
	})
	w.wantSaw("0s subscribe", "0s socket 1",
		"6m40s subscribe",                                                                      // at 400 s
		"17m30s subscribe",                                                                     // and at 65 % of the new lease: 1,050 s
		"21m17.5s subscribe", "22m36.8s subscribe", "23m4.75s subscribe", "23m14.5s subscribe", // the rest of that token
		"23m20s unsubscribe", "23m20s socket 1 ended: 1000")
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "23m20s run returned: <nil>")
}

// Without a subscription there is nothing to renew, and what was asked for then is not done later.
func TestRenewWithoutASubscription(t *testing.T) {
	w := play(t, func(w *world) {
		w.onSubscribe = func(n int, _ url.Values, rw http.ResponseWriter) {
			if n == 1 {
				rw.WriteHeader(500)
				return
			}
			w.accept(n, rw)
		}
	}, func(w *world) {
		w.after(time.Second)
		w.client.Renew()
		w.after(time.Minute)
	})
	w.wantSaw("0s subscribe", "2.5s subscribe", "2.5s socket 1", "1m0s unsubscribe", "1m0s socket 1 ended: 1000")
}
