package agent_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// What another program of this machine can try: as the same user without the key at the pipe, and with what it saw in the list
// of processes, where the address of a sign-in stands for a moment. (Programs of other users do not get as far: package ipc.)

// FC-LCH-01, SM-LCH-06: without the key nothing is launched, answered, ended or learnt.
func TestAHostileProcessAtThePipe(t *testing.T) {
	h, _ := launchable(t, "")
	h.follows("p1")
	if err := h.launches(h.launch("canary-of-the-user")); err != nil {
		t.Fatal(err)
	}
	before := h.until("the question", func(s protocol.Status) bool { return has(s, "launch_waiting") })

	if _, err := client.Dial(h.ctx, client.Options{Address: h.address, Name: "castray-launch", Key: "guessed"}); code(err) != protocol.CodeNotAllowed {
		t.Errorf("a guessed key: %v", err)
	}
	evil := h.viewer("castray-launch", client.Options{Events: []string{}}) // a name gives nothing
	for _, try := range []struct {
		method string
		params any
	}{
		{protocol.MethodLaunch, protocol.LaunchParams{URL: h.launch("canary-evil")}},
		{protocol.MethodLaunch, protocol.LaunchParams{URL: "io.github.castray://callback?state=x&code=y"}},
		{protocol.MethodLaunchAccept, protocol.Empty{}},
		{protocol.MethodLaunchDecline, protocol.Empty{}},
		{protocol.MethodSignin, protocol.SigninParams{}},
		{protocol.MethodSignout, protocol.Empty{}},
		{protocol.MethodPause, protocol.PauseParams{}},
		{protocol.MethodClear, protocol.Empty{}},
		{protocol.MethodQuit, protocol.Empty{}},
		{protocol.MethodSend, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(`[]`)}},
	} {
		if err := evil.Call(h.ctx, try.method, try.params, nil); code(err) != protocol.CodeNotAllowed || contains(err.Error(), "canary") {
			t.Errorf("%s: %v", try.method, err)
		}
	}
	var seen protocol.Status
	if err := evil.Call(h.ctx, protocol.MethodStatus, protocol.Empty{}, &seen); err != nil || seen.User != nil {
		t.Errorf("it learns who is signed in: %v, %v", seen.User, err)
	}
	after := h.running.agent.Status()
	if problemOf(after, "launch_waiting") != problemOf(before, "launch_waiting") || !after.SignedIn || after.Phase != protocol.PhaseUnconfirmed && after.Phase != protocol.PhaseInSync ||
		after.Counters.StrayRedirects != 0 || len(h.authorized()) != 1 {
		t.Errorf("status %+v", after)
	}
	h.keepsSecrets()
}

// SM-REDIR-04, SM-REDIR-07, SM-REDIR-11: a program that saw the address of the sign-in knows the state and the port. It can end
// the sign-in, which is said; it cannot put its own in, since the verifier of the code is ours.
func TestAHostileProcessThatSawTheAddress(t *testing.T) {
	h, _ := launchable(t, "")
	pages := h.shown()
	h.starts()
	h.viewer("viewer", client.Options{})
	h.do("signin", `{}`)
	ours, err := url.Parse(<-pages)
	if err != nil {
		t.Fatal(err)
	}
	// Its own sign-in at the same server, of a user who lends a hand, gives a code that is good, but for another challenge.
	theirs := ours.Query()
	theirs.Set("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
	r, err := http.NewRequestWithContext(h.ctx, http.MethodGet, h.server.URL+"/auth/authorize?"+theirs.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.server.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil || back.Query().Get("state") != ours.Query().Get("state") || back.Query().Get("code") == "" {
		t.Fatalf("%v", err)
	}
	h.get(back.String())
	s := h.until("the end of the sign-in", func(s protocol.Status) bool { return has(s, "signin_failed") })
	if s.SignedIn || s.Phase != protocol.PhaseSignedOut || !contains(problemOf(s, "signin_failed"), "try again") || h.auth.Count("/auth/token") != 1 {
		t.Errorf("%d exchanges, status %+v", h.auth.Count("/auth/token"), s)
	}
	h.keepsSecrets()
	h.browser = nil
	h.do("signin", `{}`)
	h.phase(protocol.PhaseNoContext)
}
