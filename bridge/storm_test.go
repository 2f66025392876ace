package bridge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// FM-18: whatever an update brought along is gone with its answers, and they change nothing that is shown.
func TestAStormOfUpdatesLeavesNothingBehind(t *testing.T) {
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		timers := func() (n int) {
			d.relay.post(probe{func(c *core) { n = len(c.timers) }})
			synctest.Wait()
			return n
		}
		before := timers()
		d.views = nil
		const storm = 100
		for n := range storm {
			d.wantAnswer("an update", d.deliver(up(fmt.Sprint("u", n), "r1", fmt.Sprint("v", n+1), fmt.Sprint("v", n+2), "o1")), 200)
		}
		if len(d.views) != storm {
			t.Errorf("%d views for %d updates, each of which is counted", len(d.views), storm)
		}
		if after := timers(); after != before {
			t.Errorf("%d timers before, %d after", before, after)
		}
	})
}

// S1: what an app answers about an update is not about what is current, but what comes with it may be.
func TestS1_AnswersToUpdatesHideNoChangeOfTheDesk(t *testing.T) {
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		creator.mu.Lock()
		creator.after = time.Second
		creator.mu.Unlock()
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		d.hub.share("DiagnosticReport-open", "r2/s2/p2", "w1")
		d.deliver(openIn("w1", "other", "r2/s2/p2"))
		d.wantPhase(protocol.PhaseInSync) // pending
		time.Sleep(900 * time.Millisecond)
		d.wantPhase(protocol.PhaseAttention) // and too late, whatever is answered about the update meanwhile
		time.Sleep(200 * time.Millisecond)
		d.wantPhase(protocol.PhaseInSync)
	})
}
