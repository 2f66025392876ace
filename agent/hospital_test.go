package agent_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/oauth/oauthtest"
)

// A hospital is a world whose sign-in server and hub misbehave on request.
type hospital struct {
	*world
	auth   *oauthtest.Server
	hub    *hubtest.Server
	server *httptest.Server
	topic  fhircast.Secret
	file   string
	dir    string
	config []byte
	events int
}

func newHospital(t *testing.T) *hospital {
	t.Helper()
	return newHospitalWith(t, hub.Config{})
}

// newHospitalWith is one with such a hub, but for its address and who is let in.
func newHospitalWith(t *testing.T, kind hub.Config) *hospital {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	w := &world{T: t, ctx: ctx, address: filepath.Join(dir, "s"), store: agent.Memory(), state: filepath.Join(dir, "state")}
	h := &hospital{world: w, dir: dir, file: filepath.Join(dir, "castray.toml")}
	var hubHandler atomic.Pointer[hubtest.Server]
	h.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hub") {
			hubHandler.Load().ServeHTTP(rw, r)
			return
		}
		h.auth.ServeHTTP(rw, r)
	}))
	h.auth = &oauthtest.Server{ClientID: "castray", AutoApprove: true, Users: []oauthtest.User{{ID: "ada", Name: "Ada", FHIRUser: "Practitioner/ada"}},
		Hub: func(string) (string, string) { return h.server.URL + "/hub", h.topic.Reveal() }}
	kind.BaseURL = h.server.URL + "/hub"
	kind.Authorize = func(token string) (hub.Grant, bool) {
		g, ok := h.auth.Check(token)
		if slices.Contains(g.Scopes, "fhircast") { // the one of 2019 stands for all
			g.Scopes = append(g.Scopes, "fhircast/*.*")
		}
		return hub.Grant{User: g.User, Scopes: fhircast.ParseScopes(g.Scopes), Expires: g.Expires}, ok
	}
	var err error
	if h.hub, err = hubtest.New(kind); err != nil {
		t.Fatal(err)
	}
	hubHandler.Store(h.hub)
	if h.topic, err = h.hub.Hub().NewTopic(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "ca.pem")
	h.write(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}))
	h.config = fmt.Appendf(nil, "[[site]]\nname = \"Hospital\"\nfhir_url = %q\nclient_id = \"castray\"\nca_file = %q\n", h.server.URL+"/fhir", ca)
	h.write(h.file, h.config)
	t.Cleanup(func() {
		h.end()
		h.hub.Close()
		h.server.CloseClientConnections()
		h.server.Close()
		cancel()
	})
	return h
}

func (h *hospital) write(file string, text []byte) {
	h.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		h.Fatal(err)
	}
}

func (h *hospital) starts() *agent.Agent {
	h.Helper()
	return h.run(h.file, h.authorities())
}

func (h *hospital) authorities() *x509.CertPool {
	return h.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

// opensPatient has the hub say that a patient is opened.
func (h *hospital) opensPatient(id string) {
	h.Helper()
	h.events++
	e, err := fhircast.NewEvent(fhircast.Draft{ID: fmt.Sprint("event-", h.events), At: time.Now(), Topic: h.topic, Name: "Patient-open",
		Context: json.RawMessage(`[{"key":"patient","resource":{"resourceType":"Patient","id":"` + id + `","identifier":[{"system":"urn:x","value":"` + id + `"}]}}]`)})
	if err == nil {
		err = h.hub.Hub().Publish(h.ctx, h.topic, e)
	}
	if err != nil {
		h.Fatal(err)
	}
}

// telltale is what nobody may find in a log or a Status (S11).
func (h *hospital) telltale() []string {
	return []string{h.topic.Reveal(), "canary", h.server.URL + "/hub", "wss:"}
}

func (h *hospital) keepsSecrets() {
	h.Helper()
	text, err := json.Marshal(h.running.agent.Status())
	if err != nil {
		h.Fatal(err)
	}
	for _, secret := range h.telltale() {
		if contains(string(text), secret) {
			h.Errorf("the status tells %q: %s", secret, text)
		}
		if log := h.log.String(); contains(log, secret) {
			h.Errorf("the log tells %q: %s", secret, log)
		}
	}
}
