//go:build netns && linux

package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// hubName is where the agents of all streets find their hub, at the address that the street's name server tells.
const hubName = "hub.example.test"

// A townHub is the hub of a street. It serves both addresses of its side, over sockets that were made there, from this
// process.
type townHub struct {
	*hubtest.Server
	topic  fhircast.Secret
	ca     []byte
	portal atomic.Bool // a web page answers instead
	server *http.Server
	served sync.WaitGroup

	mu     sync.Mutex
	opened []string // patients, in order
	via    []string // local addresses of the sockets that came
}

func newTownHub(s *street) *townHub {
	s.Helper()
	h := &townHub{}
	var err error
	if h.Server, err = hubtest.New(hub.Config{BaseURL: "https://" + hubName + "/fc"}); err != nil {
		s.Fatal(err)
	}
	if h.topic, err = h.Hub().NewTopic(s.ctx, hubtest.User); err != nil {
		s.Fatal(err)
	}
	certificate, err := h.certificate()
	if err != nil {
		s.Fatal(err)
	}
	h.server = &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: h.came}
	for _, address := range []string{hubAddress, secondAddress} {
		l := s.listen(address + ":443")
		h.served.Go(func() { _ = h.server.ServeTLS(l, "", "") })
	}
	return h
}

// certificate makes that of the hub, which is its own authority.
func (h *townHub) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{hubName}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	h.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (h *townHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.portal.Load() {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Welcome to the guest network</title><form>I accept</form>")
		return
	}
	h.Server.ServeHTTP(w, r)
}

func (h *townHub) came(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.via = append(h.via, c.LocalAddr().(*net.TCPAddr).IP.String())
	}
}

// lastVia is the address at which the last connection came.
func (h *townHub) lastVia() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.via[len(h.via)-1]
}

func (h *townHub) close() {
	h.Close()
	_ = h.server.Close()
	h.served.Wait()
}

// opens opens the next patient in the session: p1, p2, ...
func (h *townHub) opens(s *street) (patient string) {
	s.Helper()
	h.mu.Lock()
	patient = fmt.Sprint("p", len(h.opened)+1)
	h.opened = append(h.opened, patient)
	h.mu.Unlock()
	e, err := fhircast.NewEvent(fhircast.Draft{ID: "open-" + patient, At: time.Now(), Topic: h.topic, Name: "Patient-open",
		Context: []byte(`[{"key":"patient","resource":{"resourceType":"Patient","id":"` + patient + `","identifier":[{"system":"urn:x","value":"` + patient + `"}]}}]`)})
	if err == nil {
		err = h.Hub().Publish(s.ctx, h.topic, e)
	}
	if err != nil {
		s.Fatal(err)
	}
	return patient
}

// opensSoFar are the patients in order.
func (h *townHub) opensSoFar() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.opened)
}

// configFile writes the configuration of an agent that joins this hub.
func (h *townHub) configFile(s *street) string {
	s.Helper()
	files := map[string]string{
		"ca.pem": string(h.ca), "token": hubtest.Token,
		"castray.toml": fmt.Sprintf("[hub]\nurl = %q\ntopic = %q\ntoken_file = %q\nca_file = %q\ntest = true\n[log]\nlevel = \"debug\"\n",
			h.URL(), h.topic.Reveal(), filepath.Join(s.dir, "token"), filepath.Join(s.dir, "ca.pem")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	return filepath.Join(s.dir, "castray.toml")
}
