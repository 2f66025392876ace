package agent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// FC-WH-08: the whole agent at a hub on this computer that has no sockets, in both versions that know webhooks. An app
// follows, its answer is the answer to the POST, what goes wrong elsewhere is told, and so is a hub that has gone.
func TestAnAppFollowsByAWebhook(t *testing.T) {
	for version, events := range map[string]string{"version-stu1": "patient-open,", "version-stu2": "Patient-open,"} { // as the hub advertises them
		t.Run(version, func(t *testing.T) {
			t.Parallel() // it waits for a hub that is silent
			caller := &http.Transport{}
			h := newHospitalWith(t, hub.Config{Webhooks: hub.Webhooks{Client: &http.Client{Transport: caller}}})
			t.Cleanup(caller.CloseIdleConnections)
			h.write(h.file, append(h.config, "[hub]\nchannel = \"webhook\"\nquirks = [\""+version+"\"]\n"...))
			h.starts()
			v := h.viewer("viewer", client.Options{})
			h.do("signin", `{}`)
			h.phase(protocol.PhaseNoContext)
			asked := h.forms(hubtest.Subscribe)[0]
			if !strings.HasPrefix(asked["hub.callback"], "http://127.0.0.1:") || !contains(asked["hub.events"], events) {
				t.Errorf("asked by %q for %q", asked["hub.callback"], asked["hub.events"])
			}
			h.opensPatient("p1")
			h.sees(v, "Patient-open")
			h.phase(protocol.PhaseInSync)
			h.answered(200)

			v.answers(409)
			h.opensPatient("p2")
			if s := h.phase(protocol.PhaseAttention); !has(s, "refused") {
				t.Errorf("problems %v", s.Problems)
			}
			h.answered(409)
			v.answers(200)
			h.opensPatient("p3")
			h.phase(protocol.PhaseInSync)

			e, err := fhircast.NewSyncError("sync-1", time.Now(), h.topic, fhircast.Failure{EventID: "event-3", EventName: "Patient-open", Subscriber: "Another ward"})
			if err == nil {
				err = h.hub.Hub().Publish(h.ctx, h.topic, e)
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := h.phase(protocol.PhaseOutOfSync); !has(s, "sync_error") {
				t.Errorf("problems %v", s.Problems)
			}
			h.opensPatient("p4")
			h.phase(protocol.PhaseInSync)
			h.keepsSecrets()

			h.server.CloseClientConnections()
			h.server.Close()
			h.phase(protocol.PhaseOffline)
		})
	}
}

// answered waits until the hub has that answer from its one subscriber.
func (h *hospital) answered(status int) {
	h.Helper()
	h.until("an answer", func(protocol.Status) bool {
		s := h.hub.Hub().Subscribers(h.topic)
		return len(s) == 1 && s[0].Last.Status == status
	})
}

// A webhook is for a hub on this computer: at another the agent says that it cannot, and calls nobody.
func TestAWebhookFromElsewhereIsAFaultOfTheConfiguration(t *testing.T) {
	h := newHospital(t)
	h.write(h.file, []byte("[hub]\nurl = \"https://192.0.2.1/hub\"\ntopic = \""+h.topic.Reveal()+"\"\nchannel = \"webhook\"\n"))
	h.starts()
	h.until("the fault", func(s protocol.Status) bool { return has(s, "hub_refused") })
	if log := h.log.String(); !contains(log, "a webhook is for a hub on this computer") {
		t.Errorf("log: %s", log)
	}
}
