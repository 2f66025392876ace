//go:build linux

package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/oauth/oauthtest"
)

// TestSoakKilledDuringRefresh kills the agent with -9 around its refresh, at a server that replaces the refresh token each
// time and ends the sign-in when one comes twice. Whatever is stored then has to be good for the next agent; only where the
// server's answer was lost with the process is a sign-in needed, which has to be asked for and not tried again and again.
// Every fourth time a second agent of the user waits for the one that is killed, so the lock has to end with it.
//
// FM-12, SM-REF-04, SM-REF-05, SM-REF-07
func TestSoakKilledDuringRefresh(t *testing.T) {
	kills := max(10, 1000*soakPercent(t)/100)
	w := newSoakSignIn(t)
	w.signIn()
	var lost int
	var handedOver []time.Duration
	for n := range kills {
		if !w.storedIsGood() {
			lost++
			w.needsLogin()
			w.signIn()
		}
		at := w.expect(soakMoments[rand.N(len(soakMoments))])
		one := w.startAgent("one")
		select {
		case <-at.reached:
		case <-time.After(20 * time.Second):
			t.Fatalf("life %d: no refresh; the agent says:\n%s", n, one.log)
		}
		var two *soakProcess
		var next *soakRefresh
		if n%4 == 3 && at.moment != onceAnswered {
			next, two = w.expect(onceAnswered), w.startAgent("two")
			soakPause(50*time.Millisecond + rand.N(50*time.Millisecond)) // so that it waits
		}
		soakPause(rand.N(4 * time.Millisecond))
		one.kill()
		good, killed := w.storedIsGood(), time.Now()
		if at.moment == beforeRotation && !good {
			t.Fatalf("life %d: what was stored is lost before the server replaced it; the agent says:\n%s", n, one.log)
		}
		close(at.over)
		if two == nil {
			continue
		}
		select {
		case <-next.reached:
			handedOver = append(handedOver, time.Since(killed))
		case <-time.After(20 * time.Second):
			t.Fatalf("life %d: the second agent still waits; it says:\n%s", n, two.log)
		}
		if next.refused == good {
			t.Fatalf("life %d: the stored token was good: %v, the server refused the second agent: %v", n, good, next.refused)
		}
		soakPause(rand.N(4 * time.Millisecond))
		two.kill()
		if !good {
			w.forget() // the second may have been killed before it did; what follows is another sign-in
			lost++
			w.signIn()
		}
	}
	if !w.storedIsGood() {
		lost++
		w.needsLogin()
		w.signIn()
	}
	w.goesOn()
	soakResult{
		What: "the agent killed during a refresh, the server rotating", HowMuch: fmt.Sprintf("%d times", kills),
		Result:   fmt.Sprintf("gone on with what was stored each time, but for %d answers that were lost with the process: login needed, asked once; no token presented twice otherwise", lost),
		Measured: []string{"from the kill of one agent to the refresh of another that waited for it: " + spread(handedOver)},
	}.tell(t)
}

// A soakMoment is when in a refresh the agent is killed.
type soakMoment int

const (
	beforeRotation soakMoment = iota // the server has the request and has done nothing
	afterRotation                    // it has replaced the token, and the answer is not sent
	onceAnswered                     // the answer is on its way, being stored, or stored
)

// soakMoments are as often as they are worth it: what is lost afterRotation cannot but be lost.
var soakMoments = []soakMoment{beforeRotation, beforeRotation, afterRotation, onceAnswered, onceAnswered, onceAnswered}

// A soakRefresh is one request for the moment of which the test waits.
type soakRefresh struct {
	moment  soakMoment
	reached chan struct{} // closed then
	over    chan struct{} // closed when the process has been killed
	refused bool          // by the server; set before reached is closed
}

// A soakSignIn is a sign-in server in this process, and agents that keep what they get in files.
type soakSignIn struct {
	*soakWorld
	auth   *oauthtest.Server
	server *httptest.Server
	store  string

	mu    sync.Mutex
	next  *soakRefresh
	asked int             // refreshes so far
	spent map[string]bool // refresh tokens that the server has replaced
}

func newSoakSignIn(t *testing.T) *soakSignIn {
	dir := t.TempDir()
	w := &soakSignIn{soakWorld: &soakWorld{T: t, dir: dir}, store: filepath.Join(dir, "keychain"), spent: map[string]bool{}}
	w.auth = &oauthtest.Server{ClientID: "castray", AutoApprove: true, Users: []oauthtest.User{{ID: "ada", Name: "Ada", FHIRUser: "Practitioner/ada"}}}
	w.server = httptest.NewTLSServer(w)
	t.Cleanup(w.server.Close)
	ca := filepath.Join(dir, "ca.pem")
	benchCheck(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw}), 0o600))
	benchCheck(t, os.WriteFile(filepath.Join(dir, "castray.toml"), fmt.Appendf(nil,
		"[[site]]\nname = \"Hospital\"\nfhir_url = %q\nclient_id = \"castray\"\nca_file = %q\n", w.server.URL+"/fhir", ca), 0o600))
	benchCheck(t, os.Mkdir(w.store, 0o700))
	t.Setenv("SANDBOX_CA", ca)
	t.Setenv("SOAK_STORE", w.store)
	return w
}

func (w *soakSignIn) startAgent(name string) *soakProcess {
	w.Helper()
	p := w.start("castray", "run", "--no-tray", "--config", filepath.Join(w.dir, "castray.toml"), "--socket", filepath.Join(w.dir, name))
	w.Cleanup(p.kill)
	return p
}

// expect says what is to happen to the next refresh.
func (w *soakSignIn) expect(m soakMoment) *soakRefresh {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = &soakRefresh{moment: m, reached: make(chan struct{}), over: make(chan struct{})}
	return w.next
}

func (w *soakSignIn) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/auth/token" || r.FormValue("grant_type") != "refresh_token" {
		w.auth.ServeHTTP(rw, r)
		return
	}
	w.mu.Lock()
	w.asked++
	at := w.next
	w.next = nil
	w.mu.Unlock()
	if at != nil && at.moment == beforeRotation {
		close(at.reached)
		<-at.over
		return // nobody is there any more
	}
	answer := httptest.NewRecorder()
	w.auth.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK {
		w.mu.Lock()
		w.spent[r.FormValue("refresh_token")] = true
		w.mu.Unlock()
	}
	if at != nil {
		at.refused = answer.Code != http.StatusOK
	}
	if at != nil && at.moment == afterRotation {
		close(at.reached)
		<-at.over
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(answer.Body.Bytes())
	_ = http.NewResponseController(rw).Flush()
	if at != nil {
		close(at.reached)
	}
}

// item is the file of the stored sign-in, "" if there is none. What a save that was interrupted left is none.
func (w *soakSignIn) item() string {
	files, err := filepath.Glob(filepath.Join(w.store, "*"))
	benchCheck(w, err)
	for _, file := range files {
		if !strings.HasSuffix(file, ".new") {
			return file
		}
	}
	return ""
}

// storedIsGood tells whether the server has not replaced what is stored.
func (w *soakSignIn) storedIsGood() bool {
	w.Helper()
	text, err := os.ReadFile(w.item())
	benchCheck(w, err)
	var saved struct {
		Refresh string `json:"refresh_token"`
	}
	benchCheck(w, json.Unmarshal(text, &saved))
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.spent[saved.Refresh]
}

func (w *soakSignIn) forget() {
	if file := w.item(); file != "" {
		benchCheck(w, os.Remove(file))
	}
}

func (w *soakSignIn) refreshes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// until waits for something of an agent.
func (w *soakSignIn) until(p *soakProcess, what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); soakPause(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s did not happen; the agent says:\n%s", what, p.log)
		}
	}
}

// needsLogin is an agent whose stored sign-in the server has ended. It asks once, says so, and rests.
func (w *soakSignIn) needsLogin() {
	w.Helper()
	before := w.refreshes()
	p := w.startAgent("one")
	w.until(p, "login needed", func() bool { return strings.Contains(p.log.String(), "is=login_needed") })
	soakPause(50 * time.Millisecond)
	if n := w.refreshes() - before; n != 1 || w.item() != "" {
		w.Fatalf("asked %d times, stored: %v; the agent says:\n%s", n, w.item() != "", p.log)
	}
	p.kill()
}

// signIn is a sign-in by a browser that says yes, and the end of that agent.
func (w *soakSignIn) signIn() {
	w.Helper()
	p := w.startAgent("one")
	address := filepath.Join(w.dir, "one")
	w.until(p, "the start", func() bool { return strings.Contains(p.log.String(), "msg=ready") })
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	keys, err := ipc.ReadKeys(address)
	benchCheck(w, err)
	c, err := client.Dial(ctx, client.Options{Address: address, Name: "soak", Events: []string{}, Key: keys.Key})
	benchCheck(w, err)
	defer hangUp(c)
	benchCheck(w, c.Call(ctx, "signin", map[string]any{}, nil))
	w.until(p, "the sign-in", func() bool { return w.item() != "" })
	p.kill()
}

// goesOn is an agent that nobody kills.
func (w *soakSignIn) goesOn() {
	w.Helper()
	before := w.refreshes()
	p := w.startAgent("one")
	w.until(p, "the refresh", func() bool { return w.refreshes() == before+1 && w.storedIsGood() })
	if strings.Contains(p.log.String(), "login_needed") {
		w.Errorf("the agent says:\n%s", p.log)
	}
	p.kill()
}
