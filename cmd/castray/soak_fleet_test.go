//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/bridge/subscriber"
)

// TestSoakFleet subscribes two thousand workstations at one hub, each with a socket of its own over TLS, and takes the
// cost of one at both ends. Then it kills the hub: within a minute of its return all are subscribed again, after at most
// three tries each, and when they leave nothing is left of them at either end.
//
// FM-33
func TestSoakFleet(t *testing.T) {
	agents := 2000 * soakPercent(t) / 100
	if agents < 200 {
		t.Parallel()
	}
	w := newSoakWorld(t, agents)
	f := newFleet(w, agents)
	hubBefore, before := w.order(soakOrder{Do: "state"}), f.takes()
	hubBytes, hubLines := w.hub.own(), w.hub.descriptors()
	f.join()
	f.all(time.Minute)
	f.settle()
	hubAfter, after := w.order(soakOrder{Do: "state"}), f.takes()
	hubCost := fleetCost{w.hub.own() - hubBytes, hubAfter.Goroutines - hubBefore.Goroutines, w.hub.descriptors() - hubLines}
	cost := fleetCost{after.bytes - before.bytes, after.goroutines - before.goroutines, after.descriptors - before.descriptors}

	w.killHub()
	f.tries.Store(0)
	down := time.Now()
	soakPause(3 * time.Second)
	w.startHub("")
	up := time.Now()
	last := f.all(time.Minute)
	back, peak := f.since(up)
	tries := float64(f.tries.Load()) / float64(agents)
	if tries > 3 {
		t.Errorf("%.1f tries each to come back", tries)
	}
	f.settle()
	again := w.order(soakOrder{Do: "state"})
	if again.Fleet != agents || again.Goroutines > hubAfter.Goroutines+slack {
		t.Errorf("the hub has %d subscriptions of %d agents and %d goroutines, %d before", again.Fleet, agents, again.Goroutines, hubAfter.Goroutines)
	}
	f.leave()
	w.flat("subscriptions", 0, func() int { return w.order(soakOrder{Do: "state"}).Fleet })
	w.flat("goroutines here", before.goroutines, runtime.NumGoroutine)
	w.flat("the hub's descriptors", hubLines, w.hub.descriptors)
	if hubCost.bytes > int64(agents)*200<<10 && !soakRace && agents >= 200 {
		t.Errorf("a subscription costs the hub %s", hubCost.each(agents))
	}
	soakResult{
		What: "a fleet at one hub, the hub killed and back after 3 s", HowMuch: fmt.Sprintf("%d subscribers, TLS", agents),
		Result: "all back; nothing left over when they had left",
		Measured: []string{
			fmt.Sprintf("half back %.1f s after the hub, 99 %% %.1f s, the last %.1f s (%.1f s after the end)", back[len(back)/2].Seconds(),
				back[len(back)*99/100].Seconds(), back[len(back)-1].Seconds(), last.Sub(down).Seconds()),
			fmt.Sprintf("%.1f tries each, at most %d came back in one second", tries, peak),
			"one subscription costs the hub " + hubCost.each(agents), "and a subscriber (without the rest of an agent) " + cost.each(agents)},
	}.tell(t)
}

type fleetCost struct {
	bytes                   int64
	goroutines, descriptors int
}

func (c fleetCost) each(n int) string {
	per := func(v int) float64 { return float64(v) / float64(n) }
	return fmt.Sprintf("%.0f KB, %.1f goroutines and %.1f descriptors", float64(c.bytes)/float64(n)/1e3, per(c.goroutines), per(c.descriptors))
}

// A fleet is the subscribers of many agents, in this process.
type fleet struct {
	*soakWorld
	members []*fleetMember
	tries   atomic.Int64
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// A fleetMember hears of its own subscription.
type fleetMember struct {
	client *subscriber.Client
	http   *http.Client
	since  atomic.Int64 // when it was subscribed, in ns of the wall clock; 0 while it is not
}

func newFleet(w *soakWorld, agents int) *fleet {
	f := &fleet{soakWorld: w}
	pem, err := os.ReadFile(w.pem)
	benchCheck(w, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trust := &tls.Config{RootCAs: roots}
	for n := range agents {
		m := &fleetMember{}
		m.http = &http.Client{Transport: &fleetSigner{f, &http.Transport{TLSClientConfig: trust, IdleConnTimeout: 2 * time.Second}}}
		m.client = subscriber.New(subscriber.Config{HubURL: "https://" + w.hubAddress + "/hub", Topic: soakTopic(n),
			Events: []fhircast.Name{"Patient-open", "Patient-close"}, Name: fmt.Sprintf("Workstation %d", n), HTTP: m.http, TLS: trust, Handler: m})
		f.members = append(f.members, m)
	}
	return f
}

func (f *fleet) join() {
	ctx, stop := context.WithCancel(f.Context())
	f.stop = stop
	f.Cleanup(f.leave)
	for _, m := range f.members {
		f.ended.Go(func() {
			if err := m.client.Run(ctx); err != nil {
				f.Errorf("a subscriber ended: %v", err)
			}
			m.http.CloseIdleConnections()
		})
	}
}

func (f *fleet) leave() {
	f.stop()
	f.ended.Wait()
}

// all waits until each is subscribed, and tells when the last was.
func (f *fleet) all(within time.Duration) time.Time {
	f.Helper()
	for deadline := time.Now().Add(within); ; soakPause(20 * time.Millisecond) {
		missing, last := 0, int64(0)
		for _, m := range f.members {
			since := m.since.Load()
			if since == 0 {
				missing++
			}
			last = max(last, since)
		}
		if missing == 0 {
			return time.Unix(0, last)
		}
		if time.Now().After(deadline) {
			f.Fatalf("%d of %d are not subscribed after %v", missing, len(f.members), within)
		}
	}
}

// since is how long after up each was back, in order, and how many in the second in which most were.
func (f *fleet) since(up time.Time) (back []time.Duration, peak int) {
	seconds := map[int]int{}
	for _, m := range f.members {
		d := time.Unix(0, m.since.Load()).Sub(up)
		back = append(back, d)
		seconds[int(d.Seconds())]++
	}
	for _, n := range seconds {
		peak = max(peak, n)
	}
	slices.Sort(back)
	return back, peak
}

// settle waits until connections that were only for requests are closed.
func (f *fleet) settle() { soakPause(4 * time.Second) }

// takes is what this process takes.
func (f *fleet) takes() fleetCost {
	runtime.GC()
	return fleetCost{memoryOf(f.T, "self", "RssAnon:"), runtime.NumGoroutine(), descriptorsOf(f.T, "self")}
}

func (m *fleetMember) Subscribed(int, []fhircast.Name)   { m.since.Store(time.Now().UnixNano()) }
func (m *fleetMember) Deliver(d *fhircast.Delivery)      { d.Answer(200) }
func (m *fleetMember) Refused(int, *fhircast.FrameError) {}
func (m *fleetMember) Lost(int, string)                  { m.since.Store(0) }
func (m *fleetMember) State(subscriber.State)            {}

// A fleetSigner signs, and counts the tries to subscribe.
type fleetSigner struct {
	fleet *fleet
	*http.Transport
}

func (s *fleetSigner) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		s.fleet.tries.Add(1)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+hubtest.Token)
	return s.Transport.RoundTrip(r)
}
