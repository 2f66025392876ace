package subscriber

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// TestADayOfFaults is a day, in virtual time, at a hub and behind a network that do all they can to a subscription. When
// they stop for three minutes it has to be in force, an event has to come once and last, and no goroutine may be left
// over since the first time. Between faults no event may overtake another. CASTRAY_SOAK is the percentage of the day.
//
// FM-32
func TestADayOfFaults(t *testing.T) {
	percent := 17 // four hours
	if s := os.Getenv("CASTRAY_SOAK"); s != "" {
		var err error
		if percent, err = strconv.Atoi(s); err != nil {
			t.Fatal("CASTRAY_SOAK is a percentage")
		}
	}
	const seed = 32
	synctest.Test(t, func(t *testing.T) {
		d := newDay(t, seed)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.client.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			d.http.CloseIdleConnections()
			d.hub.Close()
			d.net.Close()
		}()
		var goroutines int
		for end := time.Now().Add(24 * time.Hour * time.Duration(percent) / 100); time.Now().Before(end); {
			for healing := time.Now().Add(10 * time.Minute); time.Now().Before(healing); {
				d.act()
				time.Sleep(time.Duration(d.ExpFloat64() * float64(15*time.Second)))
			}
			d.heal()
			switch n := runtime.NumGoroutine(); {
			case goroutines == 0:
				goroutines = n
			case n > goroutines+8: // a line kept for the next request has some
				t.Fatalf("%d goroutines, %d after the first ten minutes", n, goroutines)
			}
		}
		t.Logf("%d faults, %d events sent, %d subscriptions", d.faults, d.sent, d.subscriptions)
	})
}

// day is a subscriber, its hub, and what it heard.
type day struct {
	*testing.T
	*rand.Rand
	hub    *hubtest.Server
	net    *hubtest.Network
	http   *http.Client
	client *Client
	topic  fhircast.Secret
	faults int
	sent   int
	denied time.Time

	mu            sync.Mutex
	subscriptions int
	heard         []int // numbers of events, of the subscription in force
}

func newDay(t *testing.T, seed uint64) *day {
	server, err := hubtest.New(hub.Config{Lease: 20 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	d := &day{T: t, Rand: rand.New(rand.NewPCG(seed, 1)), hub: server, net: hubtest.Pipe(server)}
	if d.topic, err = server.Hub().NewTopic(t.Context(), hubtest.User); err != nil {
		t.Fatal(err)
	}
	d.http = &http.Client{Transport: bearer{d.net.Client().Transport}}
	random := rand.New(rand.NewPCG(seed, 2)) // of the client's own goroutine
	d.client = New(Config{HubURL: server.URL(), Topic: d.topic, Events: hub.Catalogue(), Name: "Day", HTTP: d.http,
		TLS: d.net.TLS(), Dial: d.net.Dial, Handler: d, Rand: random.Float64})
	return d
}

func (d *day) Subscribed(n int, _ []fhircast.Name) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n != d.subscriptions {
		d.subscriptions, d.heard = n, nil
	}
}

// Deliver wants order. The hub may tell again what was current before, so a repeat at the beginning is none of ours.
func (d *day) Deliver(e *fhircast.Delivery) {
	var number int
	if _, err := fmt.Sscanf(e.Event.ID, "day-%d", &number); err == nil {
		d.mu.Lock()
		if last := len(d.heard) - 1; last >= 0 && number < d.heard[last] {
			d.Errorf("event %d came after %d", number, d.heard[last])
		}
		d.heard = append(d.heard, number)
		d.mu.Unlock()
	}
	e.Answer(200)
}

func (d *day) Refused(int, *fhircast.FrameError) {}
func (d *day) Lost(int, string)                  {}
func (d *day) State(State)                       {}

func (d *day) publish() {
	d.Helper()
	d.sent++
	e, err := fhircast.NewEvent(fhircast.Draft{ID: fmt.Sprintf("day-%d", d.sent), At: time.Now(), Topic: d.topic, Name: "Patient-open",
		Context: fmt.Appendf(nil, `[{"key":"patient","resource":{"resourceType":"Patient","id":"p-%d","identifier":[{"value":"%[1]d"}]}}]`, d.sent)})
	if err == nil {
		err = d.hub.Hub().Publish(d.Context(), d.topic, e)
	}
	if err != nil {
		d.Fatal(err)
	}
}

// act lets an event or a fault happen.
func (d *day) act() {
	d.Helper()
	if d.IntN(3) == 0 {
		d.publish()
		return
	}
	d.faults++
	switch d.IntN(10) {
	case 0:
		d.hub.Drop("")
	case 1:
		d.net.Cut()
	case 2:
		d.net.Freeze()
		time.Sleep(time.Duration(d.IntN(90)) * time.Second)
		d.net.Thaw()
	case 3:
		d.net.Refuse(true)
		time.Sleep(time.Duration(d.IntN(60)) * time.Second)
		d.net.Refuse(false)
	case 4:
		if err := d.hub.Restart(d.Context(), d.IntN(2) == 0); err != nil {
			d.Fatal(err)
		}
	case 5:
		d.hub.Silence("")
	case 6:
		if time.Since(d.denied) > time.Hour { // a second denial in a minute is believed, and some come by themselves
			d.denied = time.Now()
			d.hub.Deny("", "day")
		}
	case 7:
		d.client.Reconnect("the user asked")
	case 8:
		d.hub.Fault(dayFaults[d.IntN(len(dayFaults))], 1)
	case 9:
		d.hub.Reply(dayRequests[d.IntN(len(dayRequests))], dayReplies[d.IntN(len(dayReplies))], 1+d.IntN(3))
	}
}

// heal ends all faults. Three minutes are the longest window and the watchdog, with a try that was under way.
func (d *day) heal() {
	d.Helper()
	d.hub.Clear()
	time.Sleep(3 * time.Minute)
	if s := d.client.State(); !s.Subscribed() {
		d.Fatalf("three minutes after the last fault it is %v: %s", s, d.client.Trouble())
	}
	d.publish()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.heard); n == 0 || d.heard[n-1] != d.sent || slices.Index(d.heard, d.sent) != n-1 {
		d.Fatalf("event %d was to come once and last, heard %v", d.sent, d.heard)
	}
}

var dayFaults = []hubtest.Fault{hubtest.EndpointMissing, hubtest.RenewalMovesOn, hubtest.NeverConfirm, hubtest.ConfirmOtherTopic,
	hubtest.EventFragmented, hubtest.FrameForeignTopic, hubtest.FrameUnasked, hubtest.FrameNotJSON, hubtest.FrameEmpty, hubtest.FrameBinary,
	hubtest.FrameTwoNames, hubtest.FrameWrongType, hubtest.Drop, hubtest.Silent, hubtest.CloseRestart, hubtest.CloseInternal}

var dayRequests = []hubtest.On{hubtest.Subscribe, hubtest.Connect, hubtest.Discovery}

var dayReplies = []hubtest.Reply{{Status: 503}, {Status: 503, RetryAfter: 20 * time.Second}, {Status: 429}, {Status: 500}, {Lose: true},
	{Late: 15 * time.Second}, {Delay: 8 * time.Second}, {Status: 200, Kind: "text/html", Body: "<html></html>"}}
