package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// deafHub takes what is posted, broadcasts each id once, and its answers get lost: the line breaks, or says nothing.
type deafHub struct {
	fakeHub
	silent bool
	mu     sync.Mutex
	took   []*fhircast.Event
}

func (h *deafHub) Publish(ctx context.Context, e *fhircast.Event) (int, error) {
	h.mu.Lock()
	h.took = append(h.took, e)
	h.mu.Unlock()
	if h.silent {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	time.Sleep(time.Second)
	return 0, errors.New("reset")
}

func (h *deafHub) posts() []*fhircast.Event {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*fhircast.Event(nil), h.took...)
}

// FM-30, FC-REQ-13: the answer of a POST is lost. The app is told within 15 s, one id is used for all tries, the apps see
// one event, and nothing waits for the next sign-in.
func TestS12_ALostAnswerIsToldInTimeAndLeavesOneEvent(t *testing.T) {
	for name, silent := range map[string]bool{"the line breaks": false, "the hub says nothing": true} {
		t.Run(name, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				asks := d.attach("asks", "", &fakeApp{status: 200})
				other := d.attach("other", "", &fakeApp{status: 200})
				hub := &deafHub{fakeHub: fakeHub{offered: true}, silent: silent}
				s := d.session()
				s.Hub = hub
				d.relay.Join(s)
				d.confirm()
				other.news()
				ask := func() error {
					_, err := d.relay.Send(asks.id, protocol.SendParams{ID: "q1", Event: "Patient-open", Context: json.RawMessage(contextOf("p1"))})
					return err
				}
				from := time.Now()
				err := ask()
				var fault *protocol.Error
				if !errors.As(err, &fault) || fault.Code != protocol.CodeNotConnected || fault.Data == nil || !fault.Data.Unknown {
					t.Errorf("told %v", err)
				}
				if after := time.Since(from); after > 15*time.Second {
					t.Errorf("told after %v", after)
				}
				_ = ask() // it is for the app to try again, with the same id
				posts := hub.posts()
				if len(posts) != 2 || posts[0].ID != "q1" || posts[1].ID != "q1" {
					t.Errorf("posted %v", posts)
				}
				hub.set("Patient-open", contextOf("p1"))
				d.deliver(ev("Patient-open", "q1", 1, "p1"))
				d.deliver(ev("Patient-open", "q1", 1, "p1")) // a hub that took both
				d.wantNews("one event", other, "Patient-open:p1")

				d.relay.Lost(d.n, "reset")
				s.User = "Practitioner/2"
				d.relay.Join(s)
				d.confirm()
				d.afterAll()
				if n := len(hub.posts()); n != 2 {
					t.Errorf("%d posts after the next sign-in", n)
				}
				if err := ask(); err == nil || len(hub.posts()) != 2 {
					t.Errorf("an id of the last session: %v, %d posts", err, len(hub.posts()))
				}
			})
		})
	}
}
