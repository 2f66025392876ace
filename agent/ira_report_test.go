package agent_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/protocol"
)

// two are two workstations that share a report session: the app of the first reports, that of the second follows.
func two(t *testing.T) (h *hospital, v *viewer, other *hospital, follows *viewer) {
	t.Helper()
	h = newIRA(t, hub.Config{})
	v = h.reports("reporter")
	other = h.second()
	follows = other.reports("images")
	return h, v, other, follows
}

// opens opens a report and waits until both sides are there.
func opensReport(n int, h *hospital, v *viewer, other *hospital, follows *viewer) {
	h.Helper()
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-open", Context: report(n)}, 202)
	h.current(v, id("r", n))
	other.current(follows, id("r", n))
	h.phase(protocol.PhaseInSync)
	other.phase(protocol.PhaseInSync)
}

func id(kind string, n int) string { return kind + string(rune('0'+n)) }

// RAD-148: Open Report Context. The hub makes it the current context and tells everyone.
func TestRAD148_OpenReportContext(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	got := other.hears(follows, "DiagnosticReport-open")
	for _, part := range []string{`"mr-1"`, `"urn:oid:2.999.1"`, `"acc-1"`, `"rpt-1"`} {
		if !contains(got, part) {
			t.Errorf("%s did not arrive", part)
		}
	}

	if posted := string(h.hub.Requests(hubtest.Publish)[0].Body); !contains(posted, `"study":[{"reference"`) || contains(posted, "imagingStudy") {
		t.Error("the report names its study as R4 does")
	}

	// Without its study it is no open of IRA: the hub refuses, and the app is told with which status.
	_, err := v.sendAs(protocol.SendParams{Event: "DiagnosticReport-open",
		Context: json.RawMessage(`[{"key":"report","resource":` + reportOf(2, "unknown") + `},{"key":"patient","resource":{"resourceType":"Patient","id":"p2"}}]`)})
	var fault *protocol.Error
	if !errors.As(err, &fault) || fault.Code != protocol.CodeRefused || fault.Data == nil || fault.Data.Status != 400 {
		t.Errorf("without its study: %v", err)
	}
	h.current(v, "r1")
}

// RAD-148 to RAD-151: what was not answered is sent again with its id, and what was refused with a new one (FC-REQ-13).
func TestRAD148_ARetryKeepsItsIDAndAnotherTryHasANewOne(t *testing.T) {
	h := newIRA(t, hub.Config{})
	v := h.reports("reporter")
	open := protocol.SendParams{ID: "mine", Event: "DiagnosticReport-open", Context: report(1)}

	h.hub.Reply(hubtest.Publish, hubtest.Reply{Lose: true}, 1)
	if _, err := v.sendAs(open); code(err) != 0 && code(err) != protocol.CodeNotConnected { // the echo may have confirmed it
		t.Fatalf("lost: %v", err)
	}
	h.sends(v, open, 202)
	h.current(v, "r1")
	for _, r := range h.hub.Requests(hubtest.Publish) {
		if !contains(string(r.Body), `"id":"mine"`) {
			t.Error("a retry has another id")
		}
	}

	h.hub.Reply(hubtest.Publish, hubtest.Reply{Status: 503}, 1)
	before := len(h.hub.Requests(hubtest.Publish))
	refused := protocol.SendParams{ID: "refused", Event: "DiagnosticReport-open", Context: report(2)}
	for range 2 { // the same id is the same refusal: it is not asked again
		if _, err := v.sendAs(refused); code(err) != protocol.CodeRefused {
			t.Errorf("refused: %v", err)
		}
	}
	if n := len(h.hub.Requests(hubtest.Publish)) - before; n != 1 {
		t.Errorf("a refused id was posted %d times", n)
	}
	refused.ID = ""
	if r := h.sends(v, refused, 202); r.ID == "refused" || r.ID == "" {
		t.Errorf("the new try has the id %q", r.ID)
	}
	h.current(v, "r2")
}

// RAD-149: Close Report Context. Nothing is current afterwards, and nobody falls back to another report (S6).
func TestRAD149_CloseReportContext(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	opensReport(2, h, v, other, follows)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-close", Context: report(2)}, 202)
	other.hears(follows, "DiagnosticReport-close", `"r2"`)
	for _, side := range []*hospital{h, other} {
		side.phase(protocol.PhaseNoContext)
	}
	var got protocol.ContextResult
	if err := follows.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); err != nil || len(got.Current) > 0 && string(got.Current) != "null" {
		t.Errorf("current %s, %v", got.Current, err)
	}
}

// RAD-151: Select Report Content. The hub leaves out what it does not know, and says so with 206.
func TestRAD151_SelectReportContent(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o1", "cyst"), Version: h.version(v)}, 202)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-select", Context: selects(1, "Observation/o1", "ImagingStudy/s1")}, 202)
	other.hears(follows, "DiagnosticReport-select", `Observation/o1`, `ImagingStudy/s1`)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-select", Context: selects(1, "ImagingStudy/s1", "Observation/unknown")}, 206)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-select", Context: selects(1)}, 202)
	other.until("nothing selected", func(protocol.Status) bool {
		follows.mu.Lock()
		defer follows.mu.Unlock()
		last := string(follows.events[len(follows.events)-1])
		return contains(last, "DiagnosticReport-select") && !contains(last, `"select"`)
	})
	follows.mu.Lock()
	defer follows.mu.Unlock()
	for _, e := range follows.events {
		if contains(string(e), "Observation/unknown") {
			t.Error("what the hub does not know was passed on")
		}
	}
}
