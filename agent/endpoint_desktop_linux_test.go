//go:build desktop

package agent_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// A stranger is an app that is made with @medplum/core, a FHIRcast library that nobody here wrote.
type stranger struct {
	mu   sync.Mutex
	said []spoken
}

type spoken struct {
	Subscribed, Lost      bool
	Event, Patient, Topic string
}

func (w *world) stranger() *stranger {
	w.Helper()
	keys := w.keys()
	node := exec.CommandContext(w.ctx, "node", "app.mjs")
	node.Dir = "testdata/fhircast-app"
	node.Env = append(os.Environ(), "HUB="+keys.Endpoint, "KEY="+keys.AppKey)
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := node.Start(); err != nil {
		w.Fatal(err)
	}
	s := &stranger{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var what spoken
			if err := json.Unmarshal(lines.Bytes(), &what); err != nil {
				w.Errorf("the app says %q", lines.Text())
			}
			s.mu.Lock()
			s.said = append(s.said, what)
			s.mu.Unlock()
		}
	}()
	w.Cleanup(func() {
		_ = node.Process.Kill()
		<-read
		_ = node.Wait() // it was killed
	})
	return s
}

// sees waits until the app has said these, in this order and whatever else between them.
func (s *stranger) sees(w *world, want ...spoken) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; wait(w.ctx) {
		s.mu.Lock()
		left := want
		for _, what := range s.said {
			if len(left) > 0 && what == left[0] {
				left = left[1:]
			}
		}
		said := s.said
		s.mu.Unlock()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("the app said %+v, not %+v; is npm ci done in testdata/fhircast-app?", said, left)
		}
	}
}

// TestDesktopFHIRcastLibrary follows the hub through its restart with an app that knows nothing of Castray. It fails without
// node and the packages of testdata/fhircast-app (npm ci); make desktop-test sees to them. The library answers without a
// status, so the row says no better than that it was told.
func TestDesktopFHIRcastLibrary(t *testing.T) {
	h := newHospital(t)
	h.endpoint("")
	app := h.stranger()
	subscribed, lost := spoken{Subscribed: true}, spoken{Lost: true}
	opened := func(patient string) spoken {
		return spoken{Event: "Patient-open", Patient: patient, Topic: "castray"}
	}
	app.sees(h.world, subscribed)
	h.opensPatient("p1")
	app.sees(h.world, subscribed, opened("p1"))
	h.app("it is told, and cannot confirm", outcome(protocol.OutcomeSent))
	h.phase(protocol.PhaseUnconfirmed)
	if err := h.hub.Restart(h.ctx, false); err != nil {
		t.Fatal(err)
	}
	app.sees(h.world, subscribed, opened("p1"), lost, subscribed, opened("p1"))
	h.opensPatient("p2")
	app.sees(h.world, subscribed, lost, subscribed, opened("p2"))
	h.phase(protocol.PhaseUnconfirmed)
	h.opensPatient("p3")
	app.sees(h.world, lost, subscribed, opened("p2"), opened("p3"))
}
