package agent_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A hub that lies or sends rubbish beside its events: nothing of it reaches an app, it is counted, and the next patient is
// followed as if nothing had been.
func TestAHubThatSendsRubbish(t *testing.T) {
	rows := []struct {
		fault   hubtest.Fault
		counted func(protocol.Counters) int
	}{
		{hubtest.FrameForeignTopic, func(c protocol.Counters) int { return c.ForeignTopic }}, // S5
		{hubtest.FrameUnasked, func(c protocol.Counters) int { return c.Unasked }},
		{hubtest.FrameNotJSON, func(c protocol.Counters) int { return c.Malformed }},
		{hubtest.FrameTwoNames, func(c protocol.Counters) int { return c.Malformed }},
		{hubtest.FrameWrongType, func(c protocol.Counters) int { return c.Malformed }},
		{hubtest.FrameHuge, func(c protocol.Counters) int { return c.Malformed }},
		{hubtest.EventTwice, nil},
		{hubtest.EventFragmented, nil},
	}
	h := newHospital(t)
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	for i, row := range rows {
		before := h.running.agent.Status().Counters
		h.hub.Fault(row.fault, 1)
		h.opensPatient("p" + string(rune('1'+i)))
		h.current(v, "p"+string(rune('1'+i)))
		h.until("in sync after "+string(row.fault), func(s protocol.Status) bool {
			return s.Phase == protocol.PhaseInSync && len(s.Problems) == 0 && (row.counted == nil || row.counted(s.Counters) == row.counted(before)+1)
		})
	}
	v.mu.Lock()
	for _, told := range v.told {
		if told != "Patient-open" && told != "clear:unknown" && told != "clear:closed" {
			t.Errorf("told %v", v.told)
		}
	}
	v.mu.Unlock()
	h.keepsSecrets()
}

// current waits until the app's context is that patient's.
func (h *hospital) current(v *viewer, id string) {
	h.Helper()
	var got protocol.ContextResult
	for deadline := time.Now().Add(10 * time.Second); ; wait(h.ctx) {
		err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got)
		if err == nil && contains(string(got.Current), `"`+id+`"`) {
			return
		}
		if time.Now().After(deadline) {
			h.Fatalf("the context is %s, %v; want %s", got.Current, err, id)
		}
	}
}

// A hub whose line ends in any way: the apps cannot take the old patient for the current one meanwhile, and are brought to
// what the hub says afterwards.
func TestS2_AHubThatBreaksOff(t *testing.T) {
	for _, fault := range []hubtest.Fault{hubtest.Drop, hubtest.CloseRestart, hubtest.CloseInternal, hubtest.Deny} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			h.starts()
			v := h.viewer("viewer", client.Options{})
			h.do("signin", `{}`)
			h.phase(protocol.PhaseNoContext)
			h.opensPatient("p1")
			h.current(v, "p1")
			h.hub.Fault(fault, 1)
			h.opensPatient("p2") // lost with the line
			h.until("a reconnect", func(s protocol.Status) bool { return s.Counters.Reconnects > 0 })
			h.current(v, "p2")
			h.phase(protocol.PhaseInSync)
			h.keepsSecrets()
		})
	}
}

// What a hub can get wrong when it is asked for a subscription. None of it is a connection, and none of it is silent.
func TestAHubThatCannotBeSubscribedTo(t *testing.T) {
	refusals := map[string]func(*hubtest.Server){
		"an address without TLS":      func(s *hubtest.Server) { s.Fault(hubtest.EndpointPlain, -1) },
		"an address of somebody else": func(s *hubtest.Server) { s.Fault(hubtest.EndpointForeign, -1) },
		"no address":                  func(s *hubtest.Server) { s.Fault(hubtest.EndpointMissing, -1) },
		"an answer that breaks off":   func(s *hubtest.Server) { s.Reply(hubtest.Subscribe, hubtest.Reply{Lose: true}, -1) },
		"an error with a long story":  func(s *hubtest.Server) { s.Reply(hubtest.Subscribe, hubtest.Reply{Status: 500, Kind: "text/html"}, -1) },
		"too many, for half an hour": func(s *hubtest.Server) {
			s.Reply(hubtest.Subscribe, hubtest.Reply{Status: 429, RetryAfter: 30 * time.Minute}, -1)
		},
		"a socket that is not let in":   func(s *hubtest.Server) { s.Reply(hubtest.Connect, hubtest.Reply{Status: 403}, -1) },
		"a topic it does not know":      func(s *hubtest.Server) { s.Reply(hubtest.Subscribe, hubtest.Reply{Status: 404}, -1) },
		"a token that it does not take": func(s *hubtest.Server) { s.Reply(hubtest.Subscribe, hubtest.Reply{Status: 401}, -1) },
	}
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			refuse(h.hub)
			h.starts()
			v := h.viewer("viewer", client.Options{})
			h.do("signin", `{}`)
			s := h.until("a word", func(s protocol.Status) bool {
				return (s.Phase == protocol.PhaseOffline || s.Phase == protocol.PhaseLoginNeeded) && len(s.Problems) > 0
			})
			for _, p := range s.Problems {
				if p.Sentence == "" {
					t.Errorf("problem %s says nothing", p.Code)
				}
			}
			h.sees(v, "clear:unknown")
			h.keepsSecrets()
		})
	}
}

// A hub that cannot say what is current, or says it wrong: unknown is not "no patient" (S3), and the next open mends it.
func TestS3_AHubThatCannotSayWhatIsCurrent(t *testing.T) {
	for _, fault := range []hubtest.Fault{hubtest.ContextHTML, hubtest.ContextNotOffered} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			h := newHospital(t)
			h.hub.Fault(fault, -1)
			h.starts()
			v := h.viewer("viewer", client.Options{})
			h.do("signin", `{}`)
			s := h.phase(protocol.PhaseAttention)
			if !has(s, "context_unknown") {
				t.Errorf("problems %v", s.Problems)
			}
			var got json.RawMessage
			if err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); code(err) != protocol.CodeContextUnknown {
				t.Errorf("context %s, %v", got, err)
			}
			h.opensPatient("p1")
			h.current(v, "p1")
			h.phase(protocol.PhaseInSync)
			h.keepsSecrets()
		})
	}
}

// What an app asks for and does not get is told with a code of its own, and nothing of the hub's words.
func TestSendsThatFail(t *testing.T) {
	h := newHospital(t)
	h.starts()
	h.phase(protocol.PhaseSignedOut)
	asks := h.viewer("asks", client.Options{Key: h.key()})
	follows := h.viewer("follows", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	patient := json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"x1","identifier":[{"system":"urn:x","value":"canary"}]}}]`)
	fails := func(name, id string, want int, data protocol.ErrorData) {
		t.Helper()
		_, err := asks.send(id, "Patient-open", patient)
		var fault *protocol.Error
		if !errors.As(err, &fault) || fault.Code != want {
			t.Errorf("%s: %v, want %d", name, err, want)
			return
		}
		var got protocol.ErrorData
		if fault.Data != nil {
			got = *fault.Data
		}
		if got != data || contains(err.Error(), "canary") {
			t.Errorf("%s: %v with %+v, want %+v", name, err, got, data)
		}
	}
	for status, want := range map[int]int{400: protocol.CodeRefused, 403: protocol.CodeRefused, 409: protocol.CodeRefused, 500: protocol.CodeRefused} {
		h.hub.Reply(hubtest.Publish, hubtest.Reply{Status: status, Kind: "text/html", Body: "canary"}, 1)
		fails("refused", "", want, protocol.ErrorData{Status: status})
	}
	h.hub.Fault(hubtest.Drop, 1) // and no broadcast tells that it was taken
	h.hub.Reply(hubtest.Publish, hubtest.Reply{Lose: true}, 1)
	fails("lost", "once", protocol.CodeNotConnected, protocol.ErrorData{Unknown: true})
	h.until("the line again", func(s protocol.Status) bool {
		return s.Counters.Reconnects == 1 && s.Phase == protocol.PhaseInSync
	})
	if _, err := follows.send("", "Patient-open", patient); code(err) != protocol.CodeNotAllowed {
		t.Errorf("without the key: %v", err)
	}
	if _, err := asks.send("", "Encounter-open", patient); code(err) != protocol.CodeNotAllowed {
		t.Errorf("not configured: %v", err)
	}
	if _, err := asks.send("", "Patient-open", nil); code(err) != protocol.CodeInvalidParams {
		t.Errorf("nothing to open: %v", err)
	}
	h.do("pause", `{}`)
	fails("paused", "", protocol.CodeNotConnected, protocol.ErrorData{})
	h.do("signout", `{}`)
	fails("signed out", "", protocol.CodeSigninNeeded, protocol.ErrorData{})
	h.keepsSecrets()
}
