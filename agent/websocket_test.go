package agent_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// startWeb runs an agent with a WebSocket beside its pipe and says how to get there.
func (w *world) startWeb(port int) (client.Options, protocol.Keys) {
	w.Helper()
	file, err := w.sandbox.WriteStaticConfig()
	if err != nil {
		w.Fatal(err)
	}
	settings := w.settings(file)
	settings.Local.WebSocket, settings.Local.WebSocketPort = true, port
	w.runs(settings, w.sandbox.CertPool())
	w.phase(protocol.PhaseNoContext)
	keys, err := ipc.ReadKeys(w.address)
	if err != nil {
		w.Fatal(err)
	}
	return client.Options{Address: fmt.Sprintf("ws://127.0.0.1:%d/v1", keys.Port), AppKey: keys.AppKey}, keys
}

// DESIGN 3.2: the same messages on every transport, also to two apps that go by one name. A page that is closed leaves no
// row behind: its process is the browser's, which lives on.
func TestAnAppAtEachTransport(t *testing.T) {
	w := newWorld(t)
	page, _ := w.startWeb(0)
	native, web := w.viewer("viewer", client.Options{}), w.viewer("viewer", page)
	w.opens("Patient", "p01")
	w.sees(native, "Patient-open")
	w.sees(web, "Patient-open")
	s := w.phase(protocol.PhaseInSync)
	if len(s.Apps) != 2 || s.Apps[0].ID != "viewer" || s.Apps[0].Via != "pipe" || s.Apps[1].ID != "viewer#2" || s.Apps[1].Via != "websocket" {
		t.Errorf("apps %+v", s.Apps)
	}
	for _, a := range s.Apps {
		if a.PID != os.Getpid() || a.Outcome != protocol.OutcomeAcknowledged {
			t.Errorf("row %+v", a)
		}
	}
	web.Close()
	_ = web.Wait()
	s = w.until("the page's row goes", func(s protocol.Status) bool { return len(s.Apps) == 1 })
	if has(s, "app_lost") || s.Apps[0].Via != "pipe" {
		t.Errorf("status %+v", s)
	}
	w.opens("Patient", "p02")
	w.until("the other follows", func(protocol.Status) bool {
		native.mu.Lock()
		defer native.mu.Unlock()
		return len(native.events) == 2
	})
}

// S1: a page that we cut off has not been closed by anybody, so it may still show a patient: its row stays until a page of that
// browser says hello.
func TestS1_APageThatIsCutOffKeepsItsRow(t *testing.T) {
	w := newWorld(t)
	page, _ := w.startWeb(0)
	native, web := w.viewer("native", client.Options{}), w.viewer("page", page)
	w.opens("Patient", "p01")
	w.sees(native, "Patient-open")
	w.sees(web, "Patient-open")
	w.phase(protocol.PhaseInSync)
	for { // more than 1,000 messages in a second
		if err := web.Call(w.ctx, protocol.MethodStatus, protocol.Empty{}, nil); err != nil && code(err) != protocol.CodeBusy {
			break
		}
	}
	w.until("that it is lost", func(s protocol.Status) bool { return s.Phase != protocol.PhaseInSync })
	w.rest()
	if s := w.running.agent.Status(); !has(s, "app_lost") || s.Phase != protocol.PhaseAttention || len(s.Apps) != 2 {
		t.Errorf("status %+v", s)
	}
	w.viewer("page", page)
	w.until("that it is back", func(s protocol.Status) bool { return s.Phase == protocol.PhaseInSync && len(s.Apps) == 2 })
}

// DESIGN 3.2: app_key admits and grants nothing else; the key in hello grants control, on every transport.
func TestWhatTheAppKeyGrants(t *testing.T) {
	w := newWorld(t)
	page, keys := w.startWeb(0)
	if keys.Port == 0 || keys.AppKey == keys.Key {
		t.Fatal("castray.json has no port, or one key for both")
	}
	v := w.viewer("viewer", page)
	if err := v.Call(w.ctx, protocol.MethodPause, protocol.Empty{}, nil); code(err) != protocol.CodeNotAllowed {
		t.Errorf("pause: %v", err)
	}
	if _, err := v.send("", "Patient-open", []byte(`[]`)); code(err) != protocol.CodeNotAllowed {
		t.Errorf("send: %v", err)
	}
	posing := page
	posing.Name, posing.Key = "posing", page.AppKey
	if c, err := client.Dial(w.ctx, posing); code(err) != protocol.CodeNotAllowed {
		t.Errorf("the app_key as the key: %v", err)
		if err == nil {
			c.Close()
			_ = c.Wait()
		}
	}
	guess := page
	guess.Name, guess.AppKey = "guess", keys.Key
	if c, err := client.Dial(w.ctx, guess); err == nil {
		t.Error("the key opens the WebSocket")
		c.Close()
		_ = c.Wait()
	}
	master := page
	master.Key = keys.Key
	if err := w.viewer("master", master).Call(w.ctx, protocol.MethodApps, protocol.Empty{}, nil); err != nil {
		t.Errorf("apps, with the key: %v", err)
	}
	if text := w.log.String(); strings.Contains(text, keys.AppKey) || strings.Contains(text, keys.Key) {
		t.Error("S11: a key is in the log")
	}
}

func TestTheWebSocketGoesWithItsAgent(t *testing.T) {
	w := newWorld(t)
	page, _ := w.startWeb(0)
	v := w.viewer("viewer", page)
	w.end()
	_ = v.Wait()
	page.Name = "late"
	if _, err := client.Dial(w.ctx, page); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the agent: %v", err)
	}
	w.start(true)
	w.phase(protocol.PhaseNoContext)
	if keys, err := ipc.ReadKeys(w.address); err != nil || keys.Port != 0 {
		t.Errorf("unless it is asked for there is no WebSocket: port %d, %v", keys.Port, err)
	}
}

// The apps at the pipe do not lose their agent because another program has the port.
func TestAPortThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t)
	_, keys := w.startWeb(taken.Addr().(*net.TCPAddr).Port)
	if keys.Port != 0 {
		t.Errorf("castray.json tells port %d", keys.Port)
	}
	w.viewer("viewer", client.Options{})
	if text := w.log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "local.websocket_port") {
		t.Errorf("the log says %s", text)
	}
}

// A rule holds for its executable on every transport, by its content too.
func TestARuleHoldsAtTheWebSocket(t *testing.T) {
	t.Parallel()
	_, digest := program(t)
	h := newHospital(t)
	h.rules(fmt.Sprintf("[local]\nwebsocket = true\nunknown_apps = \"deny\"\n[[app]]\nname = \"viewer\"\nsha256 = %q\ncontrol = true\n", digest))
	keys, err := ipc.ReadKeys(h.address)
	if err != nil {
		t.Fatal(err)
	}
	v := h.viewer("viewer", client.Options{Address: fmt.Sprintf("ws://127.0.0.1:%d/v1", keys.Port), AppKey: keys.AppKey})
	if err := v.Call(h.ctx, protocol.MethodPause, protocol.PauseParams{}, nil); err != nil {
		t.Errorf("control: %v", err)
	}
	if s := h.phase(protocol.PhasePaused); len(s.Apps) != 1 || s.Apps[0].Via != "websocket" {
		t.Errorf("rows %+v", s.Apps)
	}
}
