package agent_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A viewer that can say what it shows, at the real pipe: what it shows is in its row, another patient is told in the Status
// and to the hub, and both are gone when it is mended. A prior of the same patient is no mismatch.
func TestS1_WhatAViewerShowsIsSeenByEverybody(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	h.starts()
	var screen atomic.Pointer[[]protocol.Window]
	shows := func(windows ...protocol.Window) { screen.Store(&windows) }
	shows()
	v := h.viewer("viewer", client.Options{Shown: func(context.Context) []protocol.Window { return *screen.Load() }})
	h.opensPatient("p1")
	h.do("signin", `{}`)
	h.current(v, "p1")
	h.opensPatient("p2") // by an event, which a SyncError can name
	window := func(patient, study string) protocol.Window {
		return protocol.Window{Patient: []protocol.Identifier{{System: "urn:x", Value: patient}}, Study: study}
	}
	outcome := func(want protocol.Outcome) protocol.Status {
		t.Helper()
		return h.until("outcome "+string(want), func(s protocol.Status) bool { return len(s.Apps) == 1 && s.Apps[0].Outcome == want })
	}
	shows(window("p2", ""), window("p2", "2.999.1")) // and a prior
	outcome(protocol.OutcomeVerified)
	h.phase(protocol.PhaseInSync)

	shows(window("p2", ""), window("p1", ""))
	h.do("resync", `{}`)
	s := outcome(protocol.OutcomeMismatch)
	if s.Phase != protocol.PhaseOutOfSync || !has(s, "mismatch") || s.Problems[0].Sentence != "viewer shows another patient. Check it, then choose Re-sync." {
		t.Errorf("status %+v", s)
	}
	h.until("the SyncError", func(protocol.Status) bool {
		for _, r := range h.hub.Requests(hubtest.Publish) {
			if body := string(r.Body); contains(body, `"SyncError"`) && contains(body, "viewer shows another patient") && contains(body, "event-2") {
				return true
			}
		}
		return false
	})

	shows(window("p2", ""))
	s = outcome(protocol.OutcomeVerified)
	if s.Phase != protocol.PhaseInSync || has(s, "mismatch") {
		t.Errorf("status %+v", s)
	}
	h.keepsSecrets()
}
