package hub_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// behind writes down what it hears.
type behind struct {
	mu    sync.Mutex
	heard []string
}

func (b *behind) note(format string, facts ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, fmt.Sprintf(format, facts...))
}

func (b *behind) Subscribed(name string, events []fhircast.Name) { b.note("%s: %s", name, events) }
func (b *behind) Answered(id string, status int)                 { b.note("%s: %d", id, status) }
func (b *behind) Gone(asked bool)                                { b.note("gone: %t", asked) }

func (b *behind) wants(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.heard, want) {
		t.Errorf("heard %q, want %q", b.heard, want)
	}
	b.heard = nil
}

// Who is behind a hub decides what is told: also what the hub itself would refuse, an id once more with other content. It
// hears the first answer to each.
func TestWhoIsBehindTheHubTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &behind{}
		w := newWorld(t, hub.Config{Behind: b})
		e := w.draft("1", "Patient-open", patient("a"))
		if err := w.hub.Tell(e); !errors.Is(err, net.ErrClosed) {
			t.Errorf("told nobody: %v", err)
		}
		p := w.join("all", "hub.events", "Patient-open")
		b.wants(t, "Viewer: [Patient-open]")
		for _, told := range []*fhircast.Event{e, w.draft("1", "Patient-open", patient("b"))} {
			if err := w.hub.Tell(told); err != nil {
				t.Fatal(err)
			}
			if got := p.event(); string(got.Wire()) != string(told.Wire()) {
				t.Errorf("got %s", got)
			}
		}
		p.say(`{"id":"1","status":409}`)
		p.say(`{"id":"1"}`)
		p.say(`{"id":"1","status":500}`)
		p.say(`{"id":"unknown","status":500}`)
		b.wants(t, "1: 409", "1: 0")
		if _, body := w.do("GET", "/fc/"+w.topic.Reveal(), "all", "", ""); strings.Contains(body, "Patient") {
			t.Errorf("the hub has a context: %s", body)
		}
		again := w.endpoint("all", "hub.channel.endpoint", p.endpoint, "hub.events", "Home-open")
		if again != p.endpoint {
			t.Fatal("no renewal")
		}
		b.wants(t, "Viewer: [Home-open]")
		w.do("POST", "/fc", "all", formType, w.form("hub.mode", "unsubscribe", "hub.channel.endpoint", p.endpoint))
		b.wants(t, "gone: true")
		if err := w.hub.Tell(e); !errors.Is(err, net.ErrClosed) {
			t.Errorf("told who has left: %v", err)
		}
	})
}

func TestWhoIsBehindTheHubHearsOfEveryEnd(t *testing.T) {
	for name, end := range map[string]func(w *world, p *peer){
		"the socket is lost":    func(w *world, p *peer) { p.conn.Close() },
		"it is closed":          func(w *world, p *peer) { closeWith(1000)(p) },
		"the lease ends":        func(w *world, p *peer) { time.Sleep(2 * time.Minute) },
		"the hub sends it away": func(w *world, p *peer) { w.hub.GoAway() },
		"an event is not answered": func(w *world, p *peer) {
			_ = w.hub.Tell(w.draft("1", "Patient-open", patient("a")))
			time.Sleep(11 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &behind{}
				w := newWorld(t, hub.Config{Behind: b})
				p := w.join("all", "hub.events", "Patient-open", "hub.lease_seconds", "60")
				end(w, p)
				synctest.Wait()
				b.wants(t, "Viewer: [Patient-open]", "gone: false")
			})
		})
	}
}

// Who waits for an event to be written is let go when it cannot be any more.
func TestTellingASocketThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &behind{}
		w := newWorld(t, hub.Config{Behind: b})
		near, far := net.Pipe()
		w.dial <- far
		d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return near, nil }}
		conn, resp, err := d.Dial("ws"+strings.TrimPrefix(w.endpoint("all"), "wss"), nil) // and never reads
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		defer conn.Close()
		synctest.Wait()
		told := make(chan error, 1)
		go func() { told <- w.hub.Tell(w.draft("1", "Patient-open", patient("a"))) }()
		synctest.Wait()
		select {
		case err := <-told:
			t.Errorf("nobody has read it: %v", err)
		default:
		}
		w.hub.GoAway()
		synctest.Wait()
		select {
		case err := <-told:
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		default:
			t.Error("still waiting")
			<-told
		}
	})
}
