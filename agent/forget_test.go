package agent

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// chest is a keychain that is locked until somebody opens it, and tells how often something was deleted from it.
type chest struct {
	open    atomic.Bool
	deleted atomic.Int32
}

func (c *chest) Load(context.Context, string) ([]byte, error) {
	if !c.open.Load() {
		return nil, oauth.ErrLocked
	}
	return []byte("rubbish"), nil // which is forgotten without a server
}

func (c *chest) Save(context.Context, string, []byte) error { return oauth.ErrLocked }

func (c *chest) Delete(context.Context, string) error {
	c.deleted.Add(1)
	return nil
}

// SM-STORE-11: what should be forgotten and lies in a locked keychain is tried again until it is, and said until then.
func TestWhatIsLockedAwayIsForgottenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(chest)
		settings := &config.Config{Sites: []config.Site{{Name: "A", FHIRURL: "https://a.example.org", ClientID: "c"}, {Name: "B", FHIRURL: "https://b.example.org", ClientID: "c"}}}
		settings.Session.Shared = true
		a := New(Config{Settings: settings, Store: store})
		ctx, cancel := context.WithCancel(t.Context())
		a.running = ctx
		a.wait.Go(func() { a.own(ctx) })
		said := func() bool {
			synctest.Wait()
			return slices.ContainsFunc(a.Status().Problems, func(p protocol.Problem) bool { return p.Code == problemEarlierKept })
		}
		if err := a.do(ctx, a.forgetEarlier); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(forgetAgain + time.Second)
			if !said() || store.deleted.Load() != 0 {
				t.Fatalf("said %t, %d deleted", said(), store.deleted.Load())
			}
		}
		store.open.Store(true)
		time.Sleep(forgetAgain + time.Second)
		if said() || store.deleted.Load() != 2 {
			t.Errorf("said %t, %d deleted", said(), store.deleted.Load())
		}
		time.Sleep(3 * forgetAgain)
		synctest.Wait()
		if store.deleted.Load() != 2 {
			t.Errorf("%d deleted: it does not end", store.deleted.Load())
		}
		cancel()
		a.wait.Wait()
	})
}
