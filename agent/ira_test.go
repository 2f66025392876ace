package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// The transactions of IHE Radiology's Integrated Reporting Applications 1.0, each between the real agent with the preset
// ihe-ira, an app at its pipe, and the real hub under the rules of that profile.

// newIRA is a hospital with such a hub, whose agents have the preset.
func newIRA(t *testing.T, kind hub.Config) *hospital {
	t.Helper()
	kind.Rules = hub.IRA()
	h := newHospitalWith(t, kind)
	h.write(h.file, append(h.config, "[hub]\npreset = \"ihe-ira\"\n"...))
	return h
}

// reports signs in and returns an app that follows and may send, and its agent's name at the hub.
func (h *hospital) reports(name string) *viewer {
	h.Helper()
	h.starts()
	h.phase(protocol.PhaseSignedOut)
	v := h.viewer(name, client.Options{Key: h.key()})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	return v
}

// second is another workstation of the same user at the same hub.
func (h *hospital) second() *hospital {
	h.Helper()
	dir := h.TempDir()
	w := &world{T: h.T, ctx: h.ctx, address: filepath.Join(dir, "s"), store: agent.Memory(), state: filepath.Join(dir, "state")}
	other := *h
	other.world = w
	h.Cleanup(w.end)
	return &other
}

// report is the context of a report: with the patient's and the study's identifiers as IRA wants them.
func report(n int) json.RawMessage {
	return fmt.Appendf(nil, `[{"key":"report","resource":%s},`+
		`{"key":"patient","resource":{"resourceType":"Patient","id":"p%d","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"urn:x:mr","value":"mr-%d"}]}},`+
		`{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s%d","status":"available","subject":{"reference":"Patient/p%d"},"identifier":[{"system":"urn:dicom:uid","value":"urn:oid:2.999.%d"},{"system":"urn:x:acsn","value":"acc-%d"}]}}]`,
		reportOf(n, "unknown"), n, n, n, n, n, n)
}

func reportOf(n int, status string) string {
	return fmt.Sprintf(`{"resourceType":"DiagnosticReport","id":"r%d","status":%q,"code":{"text":"x"},"subject":{"reference":"Patient/p%d"},"imagingStudy":[{"reference":"ImagingStudy/s%d"}],"identifier":[{"system":"urn:x:report","value":"rpt-%d"}]}`,
		n, status, n, n, n)
}

// update is one that adds an observation to a report, or changes it.
func update(n int, observation, text string) json.RawMessage {
	return fmt.Appendf(nil, `[{"key":"report","reference":{"reference":"DiagnosticReport/r%d"}},{"key":"patient","reference":{"reference":"Patient/p%d"}},`+
		`{"key":"updates","resource":{"resourceType":"Bundle","id":"b-%s","type":"transaction","entry":[{"request":{"method":"PUT","url":"Observation/%s"},`+
		`"resource":{"resourceType":"Observation","id":"%s","status":"preliminary","code":{"text":%q},"subject":{"reference":"Patient/p%d"}}}]}}]`,
		n, n, observation, observation, observation, text, n)
}

// selects is a selection in a report; of nothing, it unselects all.
func selects(n int, refs ...string) json.RawMessage {
	s := fmt.Sprintf(`[{"key":"report","reference":{"reference":"DiagnosticReport/r%d"}}`, n)
	for _, ref := range refs {
		s += fmt.Sprintf(`,{"key":"select","reference":{"reference":%q}}`, ref)
	}
	return json.RawMessage(s + "]")
}

// sends asks for an event and expects that the hub takes it with that status.
func (h *hospital) sends(v *viewer, p protocol.SendParams, want int) protocol.SendResult {
	h.Helper()
	r, err := v.sendAs(p)
	if err != nil || r.Status != want {
		h.Fatalf("%s: status %d, %v; want %d", p.Event, r.Status, err, want)
	}
	return r
}

func (v *viewer) sendAs(p protocol.SendParams) (r protocol.SendResult, err error) {
	ctx, cancel := contextWithin(15 * time.Second)
	defer cancel()
	err = v.Call(ctx, protocol.MethodSend, p, &r)
	return r, err
}

// version is the newest context.versionId that the app can know: for an update.
func (h *hospital) version(v *viewer) string {
	h.Helper()
	var got protocol.ContextResult
	if err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); err != nil {
		h.Fatal(err)
	}
	return got.Version
}

// hears waits for an event of that name that holds all the words, and returns it.
func (h *hospital) hears(v *viewer, name string, words ...string) string {
	h.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; wait(h.ctx) {
		v.mu.Lock()
		for _, e := range v.events {
			text := string(e)
			if contains(text, `"hub.event":"`+name+`"`) && !slices.ContainsFunc(words, func(w string) bool { return !contains(text, w) }) {
				v.mu.Unlock()
				return text
			}
		}
		told := v.told
		v.mu.Unlock()
		if time.Now().After(deadline) {
			h.Fatalf("no %s with %q; told %v", name, words, told)
		}
	}
}

// forms are the subscribe or unsubscribe requests so far.
func (h *hospital) forms(on hubtest.On) (list []map[string]string) {
	for _, r := range h.hub.Requests(on) {
		m := map[string]string{}
		for k, v := range r.Form {
			m[k] = strings.Join(v, ",")
		}
		list = append(list, m)
	}
	return list
}

// RAD-146: Subscribe to Reporting Session.
func TestRAD146_TwoWorkstationsSubscribeUnderDifferentNames(t *testing.T) {
	h := newIRA(t, hub.Config{})
	h.reports("viewer")
	other := h.second()
	other.reports("viewer")
	asked := h.forms(hubtest.Subscribe)
	if len(asked) != 2 {
		t.Fatalf("%d subscribed", len(asked))
	}
	for _, form := range asked {
		events := strings.Split(strings.ToLower(form["hub.events"]), ",")
		for _, required := range []string{"diagnosticreport-open", "diagnosticreport-close", "diagnosticreport-update", "diagnosticreport-select", "syncerror"} {
			if !slices.Contains(events, required) {
				t.Errorf("%s is not asked for", required)
			}
		}
		if form["hub.channel.type"] != "websocket" || form["hub.mode"] != "subscribe" || form["hub.topic"] != h.topic.Reveal() || form["hub.channel.endpoint"] != "" {
			t.Errorf("asked %v", form)
		}
		if form["subscriber.name"] == "" {
			t.Error("no name")
		}
	}
	if asked[0]["subscriber.name"] == asked[1]["subscriber.name"] {
		t.Error("two of one name")
	}

	// Within a run the name stays, and a new subscription takes over no endpoint.
	h.do("pause", `{}`)
	h.do("resume", `{}`)
	again := h.forms(hubtest.Subscribe)[2]
	if again["subscriber.name"] != asked[0]["subscriber.name"] || again["hub.channel.endpoint"] != "" {
		t.Error("the name changes, or an old endpoint is named")
	}
}

// RAD-146: a hub that refuses the subscription for good is not asked for ever.
func TestRAD146_ARefusedSubscriptionIsTold(t *testing.T) {
	h := newIRA(t, hub.Config{})
	h.write(h.file, append(h.config, "[hub]\nname = \"\"\n"...)) // a name is what this hub insists on, and the preset gives
	h.starts()
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseLoginNeeded); !has(s, "hub_refused") {
		t.Errorf("problems %v", s.Problems)
	}
}

// RAD-147: Connect to Notification Channel.
func TestRAD147_TheLeaseIsRenewedOnTheEndpointThatIsThere(t *testing.T) {
	t.Parallel()
	h := newIRA(t, hub.Config{Lease: 10 * time.Second})
	v := h.reports("viewer")
	sockets := h.hub.Requests(hubtest.Connect)
	if len(sockets) != 1 || sockets[0].Status != http.StatusSwitchingProtocols {
		t.Fatalf("connected %d times", len(sockets))
	}
	h.until("the renewal", func(protocol.Status) bool { return len(h.forms(hubtest.Subscribe)) > 1 })
	renewal := h.forms(hubtest.Subscribe)[1]
	if endpoint := renewal["hub.channel.endpoint"]; !strings.HasSuffix(endpoint, strings.TrimPrefix(sockets[0].Path, "/hub")) || !strings.HasPrefix(endpoint, "wss://") {
		t.Errorf("renewed %q", endpoint)
	}
	h.sends(v, protocol.SendParams{Event: "DiagnosticReport-open", Context: report(1)}, 202)
	h.current(v, "r1")
	h.phase(protocol.PhaseInSync)
	if n := len(h.hub.Requests(hubtest.Connect)); n != 1 {
		t.Errorf("connected %d times", n)
	}
}

// RAD-152: Unsubscribe Session. The socket is left, and its address is never used again.
func TestRAD152_LeavingNamesTheEndpointAndNeverUsesItAgain(t *testing.T) {
	h := newIRA(t, hub.Config{})
	h.reports("viewer")
	h.do("pause", `{}`)
	left := h.forms(hubtest.Unsubscribe)
	first := h.hub.Requests(hubtest.Connect)[0]
	if len(left) != 1 || left[0]["hub.mode"] != "unsubscribe" || left[0]["hub.topic"] != h.topic.Reveal() ||
		!strings.HasSuffix(left[0]["hub.channel.endpoint"], strings.TrimPrefix(first.Path, "/hub")) {
		t.Fatalf("left %v", left)
	}
	if status := h.hub.Requests(hubtest.Unsubscribe)[0].Status; status != http.StatusAccepted {
		t.Errorf("the hub said %d", status)
	}
	if n := len(h.hub.Hub().Subscribers(h.topic)); n != 0 {
		t.Errorf("%d still subscribed", n)
	}
	h.do("resume", `{}`)
	h.phase(protocol.PhaseNoContext)
	if sockets := h.hub.Requests(hubtest.Connect); len(sockets) != 2 || sockets[1].Path == first.Path {
		t.Error("the old endpoint is used again")
	}
}
