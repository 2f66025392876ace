package agent_test

import (
	"testing"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
)

// FC-SEC-07, SM-FC-07: a lease ends with the token that it was asked for with, so a new token renews it at once, on the same socket.
func TestANewTokenRenewsTheLease(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.follows("p1")
	h.hub.Reply(hubtest.Context, hubtest.Reply{Status: 401}, 1)
	h.do(protocol.MethodResync, `{}`)
	h.until("a renewal", func(protocol.Status) bool { return len(h.forms(hubtest.Subscribe)) == 2 })
	forms := h.forms(hubtest.Subscribe)
	if forms[0]["hub.channel.endpoint"] != "" || forms[1]["hub.channel.endpoint"] == "" {
		t.Errorf("the second subscribe is no renewal")
	}
	if n := h.auth.Count("/auth/token"); n != 2 {
		t.Errorf("%d tokens", n)
	}
	if s := h.phase(protocol.PhaseInSync); s.Counters.Reconnects != 0 {
		t.Errorf("%d reconnects", s.Counters.Reconnects)
	}
}
