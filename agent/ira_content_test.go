package agent_test

import (
	"errors"
	"testing"

	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// versionAfter waits until the version is another one than that, and returns it.
func (h *hospital) versionAfter(v *viewer, old string) string {
	h.Helper()
	for range 400 {
		if now := h.version(v); now != old && now != "" {
			return now
		}
		h.rest()
	}
	h.Fatal("the version stays")
	return ""
}

// RAD-153: Get Current Context, after subscribing, with the content that was shared before.
func TestRAD153_WhoComesLateGetsTheReportAndItsContent(t *testing.T) {
	h := newIRA(t, hub.Config{})
	v := h.reports("viewer")
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-open", Context: report(1)}, 202)
	h.current(v, "r1")
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o1", "cyst"), Version: h.version(v)}, 202)

	other := h.second()
	other.starts()
	late := other.viewer("late", client.Options{})
	other.do("signin", `{}`)
	other.phase(protocol.PhaseInSync)
	other.hears(late, "DiagnosticReport-open", `"r1"`, `"mr-1"`, `"urn:oid:2.999.1"`, `"content"`, `"cyst"`, `"context.versionId"`)
	other.phase(protocol.PhaseInSync)
	if got := other.version(late); got != h.version(v) {
		t.Error("the one who came late is at another version")
	}
	if n := len(h.hub.Requests(hubtest.Context)); n < 2 {
		t.Errorf("the context was read %d times by two", n)
	}
}

// RAD-150: Update Report Content, with the newest version and with an old one.
func TestRAD150_UpdateReportContent(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	first := h.version(v)
	if first == "" {
		t.Fatal("the open has no version")
	}
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o1", "cyst"), Version: first}, 202)
	got := other.hears(follows, "DiagnosticReport-update", `"cyst"`)
	if !contains(got, `"context.priorVersionId":"`+first+`"`) || contains(got, `"context.versionId":"`+first+`"`) {
		t.Errorf("versions: %s", got)
	}
	second := h.versionAfter(v, first)

	// Who still holds the first version is refused, and the next try is made of what the context says now.
	_, err := follows.sendAs(protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o2", "nodule"), Version: first})
	var fault *protocol.Error
	if !errors.As(err, &fault) || fault.Code != protocol.CodeRefused || fault.Data == nil || fault.Data.Status != 400 {
		t.Errorf("an old version: %v", err)
	}
	if got := other.versionAfter(follows, first); got != second {
		t.Error("the two workstations are at different versions")
	}
	other.sends(follows, protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o2", "nodule"), Version: second}, 202)
	h.hears(v, "DiagnosticReport-update", `"nodule"`)
	h.phase(protocol.PhaseInSync)
}

// RAD-154: Distribute Context Event. What comes is answered, and an update that skips a version is read again.
func TestRAD154_AnUpdateThatSkipsAVersionIsReadAgain(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	first := h.version(v)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o1", "cyst"), Version: first}, 202)
	other.hears(follows, "DiagnosticReport-update", `"cyst"`)
	h.until("both answered", func(protocol.Status) bool {
		answered := 0
		for _, e := range h.hub.Hub().Log(h.topic, 0) {
			if e.What == "answered" && e.EventName.Is("DiagnosticReport-update") && e.Status == 200 {
				answered++
			}
		}
		return answered == 2
	})

	// The second workstation misses an update, and sees it from the next one.
	now := h.versionAfter(v, first)
	other.versionAfter(follows, first)
	reads := len(h.hub.Requests(hubtest.Context))
	name := h.forms(hubtest.Subscribe)[1]["subscriber.name"]
	h.hub.Send(name, `{"timestamp":"2030-01-01T00:00:00.000Z","id":"gap","event":{"hub.topic":"`+h.topic.Reveal()+`","hub.event":"DiagnosticReport-update",`+
		`"context.versionId":"later","context.priorVersionId":"missed","context":`+string(update(1, "o3", "mass"))+`}}`)
	h.until("a reading", func(protocol.Status) bool { return len(h.hub.Requests(hubtest.Context)) > reads })
	other.phase(protocol.PhaseInSync)
	if got := other.versionAfter(follows, "later"); got != now {
		t.Error("the version after the reading is not the hub's")
	}
}

// A report that is suspended and resumed: another is opened without closing it, then it is opened again, with the content
// that was shared before (RAD-148, RAD-153).
func TestRAD148_AResumedReportHasItsContentAgain(t *testing.T) {
	h, v, other, follows := two(t)
	opensReport(1, h, v, other, follows)
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-update", Context: update(1, "o1", "cyst"), Version: h.version(v)}, 202)
	other.hears(follows, "DiagnosticReport-update", `"cyst"`)
	opensReport(2, h, v, other, follows)
	var got protocol.ContextResult
	if err := follows.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); err != nil || contains(string(got.Current), "cyst") {
		t.Errorf("the second report has the first one's content: %s, %v", got.Current, err)
	}
	opensReport(1, h, v, other, follows)
	other.until("the content again", func(protocol.Status) bool {
		var got protocol.ContextResult
		err := follows.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got)
		return err == nil && contains(string(got.Current), `"r1"`) && contains(string(got.Current), "cyst")
	})
	for _, side := range []*hospital{h, other} {
		side.phase(protocol.PhaseInSync)
	}
}
