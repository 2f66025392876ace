package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth/oauthtest"
)

// follows signs in with an app that follows and a patient open, and returns the app.
func (h *hospital) follows(patient string) *viewer {
	h.Helper()
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
	h.opensPatient(patient)
	h.current(v, patient)
	h.phase(protocol.PhaseInSync)
	return v
}

// joins signs in while a patient is open, with an app that follows: nothing is left to be read again later.
func (h *hospital) joins(patient string) *viewer {
	h.Helper()
	h.starts()
	v := h.viewer("viewer", client.Options{})
	h.opensPatient(patient)
	h.do("signin", `{}`)
	h.current(v, patient)
	h.phase(protocol.PhaseInSync)
	return v
}

// sleeper is a computer that sleeps: its wall clock goes on, and nothing else does.
type sleeper struct{ slept atomic.Int64 }

func (s *sleeper) wall() time.Time           { return time.Now().Add(time.Duration(s.slept.Load())) }
func (s *sleeper) sleeps(for_ time.Duration) { s.slept.Add(int64(for_)) }

// FM-06: what happened while the computer slept is there within 5 s of the look that notices it: the line that looks alive
// is dropped, another subscription made, the context read, the sign-in refreshed.
func TestS2_AfterASuspendTheOldLineIsDroppedAndTheContextReadAgain(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	var night sleeper
	h.wall = night.wall
	v := h.joins("p1")
	name := h.forms(hubtest.Subscribe)[0]["subscriber.name"]
	tokens, reads := h.auth.Count("/auth/token"), len(h.hub.Requests(hubtest.Context))
	h.hub.Silence(name) // what is sent to who sleeps is lost, and nobody says so
	h.opensPatient("p2")
	woke := time.Now()
	night.sleeps(8 * time.Hour)
	h.current(v, "p2")
	if took := time.Since(woke); took > 10*time.Second {
		t.Errorf("back after %v", took)
	}
	s := h.phase(protocol.PhaseInSync)
	if s.Counters.Reconnects != 1 || len(h.forms(hubtest.Subscribe)) != 2 || len(h.hub.Requests(hubtest.Context)) == reads {
		t.Errorf("%d reconnects, %d subscribes", s.Counters.Reconnects, len(h.forms(hubtest.Subscribe)))
	}
	h.until("the refresh", func(protocol.Status) bool { return h.auth.Count("/auth/token") == tokens+1 })
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.told, "Patient-close") {
		t.Errorf("told %v", v.told)
	}
}

// FM-12: a user whom the server no longer knows. The hub is left, the sign-in forgotten, and everyone told; nothing is
// tried again by itself.
func TestARevokedUserIsToldAndNothingIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	var night sleeper
	h.wall = night.wall
	kept := new(drawer)
	h.store = kept
	var seen pushed
	h.follows("p1")
	watching := h.viewer("watching", client.Options{Status: seen.note})
	h.auth.Misbehave(oauthtest.Faults{TokenError: "invalid_grant"})
	night.sleeps(8 * time.Hour)
	s := h.phase(protocol.PhaseLoginNeeded)
	if !has(s, "signin_ended") || s.SignedIn || kept.len() != 0 {
		t.Errorf("status %+v, %d kept", s, kept.len())
	}
	h.until("the app told", func(protocol.Status) bool { return seen.has(protocol.PhaseLoginNeeded) })
	h.until("the hub left", func(protocol.Status) bool { return len(h.hub.Hub().Subscribers(h.topic)) == 0 })
	var got protocol.ContextResult
	if err := watching.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); code(err) != protocol.CodeContextUnknown {
		t.Errorf("context %s, %v", got.Current, err)
	}
	tokens, subscribes := h.auth.Count("/auth/token"), len(h.forms(hubtest.Subscribe))
	night.sleeps(time.Hour) // two more reasons to try
	if _, err := h.running.agent.Do(h.ctx, "resync", nil); code(err) != protocol.CodeSigninNeeded {
		t.Errorf("resync: %v", err)
	}
	h.until("another look at the clock", func(protocol.Status) bool { return strings.Count(h.log.String(), "the clock has jumped") == 2 })
	if h.auth.Count("/auth/token") != tokens || len(h.forms(hubtest.Subscribe)) != subscribes {
		t.Error("something is tried again")
	}
}

// pushed are the statuses that an app was sent.
type pushed struct {
	mu   sync.Mutex
	list []protocol.Status
}

func (p *pushed) note(s protocol.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, s)
}

func (p *pushed) has(phase protocol.Phase) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.list, func(s protocol.Status) bool { return s.Phase == phase })
}

// FC-SYN-01, FC-SYN-06: who is not in step any more is told so, in words that say what may be wrong, the user and every
// app; and no app can take the old patient for the current one.
func TestS1_ALossIsToldToTheUserAndToEveryApp(t *testing.T) {
	h := newHospital(t)
	var seen pushed
	v := h.follows("p1")
	h.viewer("watching", client.Options{Status: seen.note})
	h.phase(protocol.PhaseInSync)
	h.hub.Reply(hubtest.Subscribe, hubtest.Reply{Status: 503}, -1)
	h.hub.Drop("")
	s := h.phase(protocol.PhaseOffline)
	if s.Sentence != "No connection to the hub. Apps may show different patients." || !has(s, "offline") {
		t.Errorf("the user reads %q, %v", s.Sentence, s.Problems)
	}
	h.until("every app told", func(protocol.Status) bool { return seen.has(protocol.PhaseOffline) })
	var got protocol.ContextResult
	if err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); code(err) != protocol.CodeContextUnknown {
		t.Errorf("context %s, %v", got.Current, err)
	}
	h.hub.Clear()
	h.do("resync", `{}`)
	h.phase(protocol.PhaseInSync)
}

// FC-SYN-05: a lease is renewed before it ends; where the hub does not renew it, the user is told at its end and not before.
func TestS1_ALeaseThatCannotBeRenewedIsTold(t *testing.T) {
	t.Parallel()
	h := newHospitalWith(t, hub.Config{Lease: 10 * time.Second})
	h.follows("p1")
	h.until("a renewal", func(s protocol.Status) bool {
		return len(h.forms(hubtest.Subscribe)) == 2 && h.forms(hubtest.Subscribe)[1]["hub.channel.endpoint"] != ""
	})
	h.hub.Reply(hubtest.Subscribe, hubtest.Reply{Status: 503}, -1)
	h.until("a renewal refused", func(s protocol.Status) bool {
		if s.Phase != protocol.PhaseInSync && len(h.forms(hubtest.Subscribe)) < 3 {
			t.Errorf("phase %s", s.Phase)
		}
		return len(h.forms(hubtest.Subscribe)) > 2
	})
	if s := h.phase(protocol.PhaseOffline); !has(s, "offline") {
		t.Errorf("problems %v", s.Problems)
	}
}

// FC-SYN-02: an app with unsaved work refuses. The hub hears 409 and the user where to look.
func TestAnAppThatRefusesIsNamedToTheUserAndTheHubHears409(t *testing.T) {
	h := newHospital(t)
	v := h.follows("p1")
	v.answers(409)
	h.opensPatient("p2")
	s := h.phase(protocol.PhaseAttention)
	if !slices.ContainsFunc(s.Problems, func(p protocol.Problem) bool {
		return p.Code == "refused" && p.App == "viewer" && p.Sentence == "viewer did not follow. Look for a question or unsaved work in it."
	}) {
		t.Errorf("problems %v", s.Problems)
	}
	h.until("the answer", func(protocol.Status) bool { return h.answer("event-2") == 409 })
}

// answer is what the hub heard about an event, 0 = nothing yet.
func (h *hospital) answer(id string) int {
	for _, a := range h.hub.Answers(id) {
		return a.Status
	}
	return 0
}

// FC-CNF-03: a hub that grants fewer events than asked is a note to the user, in one sentence; what it does grant is
// followed, and nobody is sure to have heard of every change.
func TestS1_AHubThatGrantsFewerEventsIsAProblemWithASentence(t *testing.T) {
	t.Parallel()
	h := newHospital(t)
	v := h.follows("p1")
	h.hub.Send("", fmt.Sprintf(`{"hub.mode":"denied","hub.topic":%q,"hub.events":"ImagingStudy-open"}`, h.topic.Reveal()))
	s := h.phase(protocol.PhaseUnconfirmed)
	if len(s.Problems) != 1 || s.Problems[0].Code != "events_not_granted" || s.Sentence != "The hub does not send everything that was asked for" ||
		s.Problems[0].Sentence != "The hub does not send everything that was asked for. If an app does not follow, tell your administrator." {
		t.Errorf("%q, problems %v", s.Sentence, s.Problems)
	}
	h.opensPatient("p2")
	h.current(v, "p2")
	h.viewer("studies", client.Options{Events: []string{"ImagingStudy-open"}})
	s = h.phase(protocol.PhaseAttention) // what it waits for never comes
	if !slices.ContainsFunc(s.Problems, func(p protocol.Problem) bool {
		return p.Code == "app_event_not_granted" && strings.HasPrefix(p.Sentence, "The hub does not tell studies what it waits for.")
	}) {
		t.Errorf("problems %v", s.Problems)
	}
}

// What a hub does not know cannot happen there: that it does not grant it is no problem.
func TestEventsThatTheHubDoesNotKnowAreNotMissed(t *testing.T) {
	t.Parallel()
	h := newHospitalWith(t, hub.Config{Events: []fhircast.Name{"Patient-open", "Patient-close", "SyncError"}})
	h.follows("p1")
	h.viewer("studies", client.Options{Events: []string{"ImagingStudy-open"}})
	if s := h.phase(protocol.PhaseInSync); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
}

// FC-CAT-22: signing out, pausing and quitting end our subscription and nobody else's: no UserLogout or UserHibernate is
// sent for it, nor may an app send one unless that is configured.
func TestNoLogoutOrHibernateIsSentByDefault(t *testing.T) {
	h := newHospital(t)
	h.follows("p1")
	v := h.viewer("asks", client.Options{Key: h.key()})
	for _, event := range []string{"UserLogout", "UserHibernate"} {
		if _, err := v.send("", event, json.RawMessage(`[]`)); code(err) != protocol.CodeNotAllowed {
			t.Errorf("%s: %v", event, err)
		}
	}
	h.do("pause", `{}`)
	h.do("resume", `{}`)
	h.do("signout", `{}`)
	h.phase(protocol.PhaseSignedOut)
	h.end()
	if posted := h.hub.Requests(hubtest.Publish); len(posted) != 0 {
		t.Errorf("%d events sent", len(posted))
	}
}

// FC-REQ-12: what the sign-in did not grant is not asked of the hub; the app is told why.
func TestAnEventWithoutAWriteScopeIsNotPosted(t *testing.T) {
	h := newHospital(t)
	h.auth.Misbehave(oauthtest.Faults{Body: map[string]any{"scope": "openid fhircast/Patient-open.read fhircast/Patient-close.*"}})
	v := h.reports("reader")
	_, err := v.send("", "Patient-open", json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"p1"}}]`))
	if code(err) != protocol.CodeNotGranted {
		t.Errorf("sent: %v", err)
	}
	if n := len(h.hub.Requests(hubtest.Publish)); n != 0 {
		t.Errorf("%d posted", n)
	}
}

// FC-REQ-10: two workstations change the patient at the same time. Each asks once; both end where the hub is, and stay there.
func TestCrossingChangesEndAtTheSamePatient(t *testing.T) {
	h := newHospital(t)
	one := h.reports("one")
	other := h.second()
	two := other.reports("two")
	for range 5 {
		before := len(h.hub.Requests(hubtest.Publish))
		var both sync.WaitGroup
		for i, v := range []*viewer{one, two} {
			both.Go(func() {
				patient := `[{"key":"patient","resource":{"resourceType":"Patient","id":"` + []string{"a1", "b2"}[i] + `"}}]`
				if _, err := v.send("", "Patient-open", json.RawMessage(patient)); err != nil {
					t.Errorf("sent: %v", err)
				}
			})
		}
		both.Wait()
		agree := 0
		h.until("both at one patient, and they stay there", func(protocol.Status) bool {
			h.rest()
			agree++
			if got := h.patient(one); got == "" || got != other.patient(two) {
				agree = 0
			}
			return agree == 5
		})
		h.phase(protocol.PhaseInSync)
		other.phase(protocol.PhaseInSync)
		if n := len(h.hub.Requests(hubtest.Publish)) - before; n != 2 {
			t.Errorf("two changes were asked for %d times", n)
		}
	}
}

// patient is the id of the current one of two, as an app may read it, "" = unknown.
func (h *hospital) patient(v *viewer) string {
	h.Helper()
	var got protocol.ContextResult
	if err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); err != nil && code(err) != protocol.CodeContextUnknown {
		h.Fatal(err)
	}
	for _, id := range []string{"a1", "b2"} {
		if contains(string(got.Current), `"`+id+`"`) {
			return id
		}
	}
	return ""
}

// FC-LCH-04: an app that no server has launched learns from us what session it is in, and nothing that opens one.
func TestS11_AnAppLearnsTheSessionAndNothingThatOpensOne(t *testing.T) {
	h := newHospital(t)
	h.follows("p1")
	child := h.viewer("child", client.Options{})
	hello := child.Hello()
	if hello.Status.Site != "Hospital" || hello.Status.Hub != "127.0.0.1" || !hello.Status.SignedIn || hello.Status.Phase == "" ||
		hello.Context == nil || !contains(string(hello.Context.Current), `"p1"`) {
		t.Errorf("hello %+v", hello)
	}
	text, err := json.Marshal(hello)
	if err != nil {
		t.Fatal(err)
	}
	secrets := h.telltale()
	for _, r := range h.hub.Requests("") {
		secrets = append(secrets, r.Token.Reveal())
	}
	for _, secret := range append(secrets, "Ada") { // who signed in is not for apps
		if secret != "" && contains(string(text), secret) {
			t.Errorf("hello tells %q", secret)
		}
	}
}

// FC-LCH-05: one agent for each user's session, each at its own address and with its own keys; a second one at the same
// address gives way.
func TestOneAgentForEachSessionOfThisMachine(t *testing.T) {
	h := newHospital(t)
	h.follows("p1")
	second := agent.New(agent.Config{Settings: h.settings(h.file), Address: h.address, Store: agent.Memory()})
	if err := second.Run(h.ctx); !errors.Is(err, ipc.ErrInUse) {
		t.Errorf("a second agent at the same address: %v", err)
	}
	h.phase(protocol.PhaseInSync) // and the first does not notice

	other := h.second()
	other.starts()
	other.phase(protocol.PhaseSignedOut)
	if h.key() == other.key() {
		t.Error("two sessions have one key")
	}
	if _, err := client.Dial(h.ctx, client.Options{Address: other.address, Name: "stray", Key: h.key()}); code(err) != protocol.CodeNotAllowed {
		t.Errorf("the key of another session: %v", err)
	}
	v := other.viewer("theirs", client.Options{})
	var got protocol.ContextResult
	if err := v.Call(h.ctx, protocol.MethodContext, protocol.Empty{}, &got); code(err) != protocol.CodeContextUnknown {
		t.Errorf("the other session's patient: %s, %v", got.Current, err)
	}
	s := other.until("its own app alone", func(s protocol.Status) bool { return len(s.Apps) > 0 })
	if s.SignedIn || len(s.Apps) != 1 || s.Apps[0].Name != "theirs" {
		t.Errorf("status %+v", s)
	}
}
