package agent_test

import (
	"testing"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
)

func (v *viewer) answers(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = status
}

// RAD-155: Generate SyncError Event. One workstation's app refuses, the hub says so to the others, and they are not in sync
// until the next report.
func TestRAD155_WhoRefusesIsToldToTheOthers(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	follows.answers(409)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-open", Context: report(2)}, 202)
	s := h.phase(protocol.PhaseOutOfSync)
	if !has(s, "sync_error") {
		t.Errorf("problems %v", s.Problems)
	}
	s = other.phase(protocol.PhaseAttention) // there it is known which app it is
	if !has(s, "refused") || has(s, "sync_error") {
		t.Errorf("problems %v", s.Problems)
	}
	h.current(v, "r2") // that a Subscriber failed changes no context
	follows.answers(200)
	opensReport(3, h, v, other, follows)
}

// RAD-156, FC-SYN-03: Notify Error. What was answered 202, since the app asks its user, and then came to nothing is told to
// the hub by a SyncError that it takes, and so to the others.
func TestRAD156_WhatFailsAfterA202IsNotified(t *testing.T) {
	t.Parallel()
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	follows.answers(0) // it asks its user
	sent := h.sends(v, protocol.SendParams{Event: "DiagnosticReport-open", Context: report(2)}, 202)
	s := h.until("the SyncError", func(s protocol.Status) bool { return has(s, "sync_error") })
	if s.Phase != protocol.PhaseOutOfSync {
		t.Errorf("phase %s", s.Phase)
	}
	name := h.forms(hubtest.Subscribe)[1]["subscriber.name"]
	heard := 0
	for _, a := range h.hub.Answers(sent.ID) {
		if a.Subscriber == name {
			heard = a.Status
		}
	}
	if heard != 202 {
		t.Errorf("the hub heard %d before", heard)
	}
	posted := 0
	for _, r := range h.hub.Requests(hubtest.Publish) {
		if body := string(r.Body); contains(body, `"SyncError"`) {
			posted++
			if r.Status != 202 || !contains(body, `"warning"`) || !contains(body, name) || !contains(body, "DiagnosticReport-open") {
				t.Errorf("answered %d: %s", r.Status, body)
			}
		}
	}
	if posted != 1 {
		t.Errorf("%d SyncErrors posted", posted)
	}
	if s := other.phase(protocol.PhaseAttention); !has(s, "silent") {
		t.Errorf("problems %v", s.Problems)
	}
}
