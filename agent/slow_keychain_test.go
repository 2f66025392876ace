package agent_test

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// A troubled keychain is a drawer that from some time on does not do what it is asked.
type troubled struct {
	drawer
	trouble atomic.Pointer[func(context.Context) error]
}

func (k *troubled) Load(ctx context.Context, key string) ([]byte, error) {
	if trouble := k.trouble.Load(); trouble != nil {
		return nil, (*trouble)(ctx)
	}
	return k.drawer.Load(ctx, key)
}

func (k *troubled) Save(ctx context.Context, key string, value []byte) error {
	if trouble := k.trouble.Load(); trouble != nil {
		return (*trouble)(ctx)
	}
	return k.drawer.Save(ctx, key, value)
}

// FM-13, SM-STORE-05, SM-STORE-06: while a refresh waits for a keychain that hangs, is locked or is not there any more, each
// event reaches the app as ever, and the refresh is finished from memory.
func TestAKeychainInTroubleDelaysNoEvent(t *testing.T) {
	for name, says := range map[string]error{"hangs": nil, "is locked": oauth.ErrLocked, "is gone": oauth.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			h := newHospital(t)
			kept := new(troubled)
			h.store = kept
			h.starts()
			h.phase(protocol.PhaseSignedOut)
			v := h.viewer("viewer", client.Options{Key: h.key()})
			h.do("signin", `{}`)
			h.phase(protocol.PhaseNoContext)
			h.opensPatient("p1")
			h.current(v, "p1")
			asked, answered := make(chan struct{}), make(chan struct{})
			trouble := sync.OnceFunc(func() { close(asked) })
			hangs := func(ctx context.Context) error {
				trouble()
				if says != nil {
					return says
				}
				select {
				case <-answered:
				case <-ctx.Done():
				}
				return oauth.ErrLocked
			}
			kept.trouble.Store(&hangs)
			h.hub.Reply(hubtest.Publish, hubtest.Reply{Status: 401}, 1) // which makes a refresh
			sent := make(chan error, 1)
			go func() {
				_, err := v.sendAs(protocol.SendParams{ID: "asked", Event: "Patient-open",
					Context: json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"p9","identifier":[{"system":"urn:x","value":"p9"}]}}]`)})
				sent <- err
			}()
			select {
			case <-asked:
			case <-h.ctx.Done():
				t.Fatal("nobody asks the keychain")
			}
			for _, patient := range []string{"p2", "p3", "p4"} {
				began := time.Now()
				told := h.toldTo(v)
				h.opensPatient(patient)
				h.until("the event", func(protocol.Status) bool { return h.toldTo(v) > told })
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s came after %v", patient, took)
				}
			}
			close(answered)
			if err := <-sent; err != nil {
				t.Errorf("what needed the refresh: %v", err)
			}
			s := h.until("the sentence", func(s protocol.Status) bool { return has(s, "keychain") })
			if !s.SignedIn {
				t.Errorf("status %+v", s)
			}
		})
	}
}
