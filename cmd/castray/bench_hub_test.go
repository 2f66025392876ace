//go:build linux

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	benchTopic = "5f7a2e7c-bench"
	benchToken = "bench-token"
)

// A benchHub is the least that an agent takes for a FHIRcast hub, at /hub, and a bare socket for the raw relay, at /raw.
// Nothing is between it and the two sockets: an event is stamped and written by the caller.
type benchHub struct {
	base    string // https://127.0.0.1:port
	ca      string // file
	sockets map[string]chan *benchSocket

	mu      sync.Mutex
	answers []int64             // ages of events at their answers, in ns
	waiting map[int64]chan bool // by send time
}

func startBenchHub(b *testing.B, dir string) *benchHub {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	benchCheck(b, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	benchCheck(b, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	benchCheck(b, err)
	h := &benchHub{base: "https://" + ln.Addr().String(), ca: filepath.Join(dir, "ca.pem"), waiting: map[int64]chan bool{},
		sockets: map[string]chan *benchSocket{"agent": make(chan *benchSocket, 1), "raw": make(chan *benchSocket, 1)}}
	benchCheck(b, os.WriteFile(h.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hub/.well-known/fhircast-configuration", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"eventsSupported":["DiagnosticReport-open"],"getCurrentSupport":true,"websocketSupport":true}`)
	})
	mux.HandleFunc("GET /hub/{topic}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"context.type":"","context":[]}`)
	})
	mux.HandleFunc("POST /hub", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+benchToken {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"hub.channel.endpoint":"wss://%s/agent"}`, ln.Addr())
	})
	mux.HandleFunc("GET /agent", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, "agent") })
	mux.HandleFunc("GET /raw", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, "raw") })
	server := &http.Server{Handler: mux}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	b.Cleanup(func() { server.Close(); <-done })
	return h
}

func (h *benchHub) serve(w http.ResponseWriter, r *http.Request, who string) {
	s, err := upgradeBench(w, r)
	if err != nil {
		return
	}
	defer s.conn.Close()
	if who == "agent" {
		confirmation, _ := json.Marshal(map[string]any{"hub.mode": "subscribe", "hub.topic": benchTopic,
			"hub.events": "DiagnosticReport-open,DiagnosticReport-update", "hub.lease_seconds": 7200})
		if s.write(opText, confirmation) != nil {
			return
		}
	}
	h.sockets[who] <- s
	for {
		op, payload, err := s.read()
		switch {
		case err != nil || op == opClose:
			return
		case op == opPing:
			_ = s.write(opPong, payload)
		case op == opText:
			h.answered(payload)
		}
	}
}

// answered takes {"id":"bench-<send time>","status":200}; other answers, to what is not measured, are passed over.
func (h *benchHub) answered(payload []byte) {
	now := benchNow()
	_, rest, ok := bytes.Cut(payload, []byte(`"id":"bench-`))
	if !ok || len(rest) < 20 {
		return
	}
	sent, err := strconv.ParseInt(string(rest[:20]), 10, 64)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = append(h.answers, now-sent)
	if c := h.waiting[sent]; c != nil {
		delete(h.waiting, sent)
		c <- true
	}
}

// expect gives a channel that is told of the answer to the event of that send time.
func (h *benchHub) expect(sent int64) <-chan bool {
	c := make(chan bool, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting[sent] = c
	return c
}

func (h *benchHub) takeAnswers() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.answers
	h.answers = nil
	return a
}

// socket waits for the next connection.
func (h *benchHub) socket(b *testing.B, who string) *benchSocket {
	select {
	case s := <-h.sockets[who]:
		return s
	case <-time.After(20 * time.Second):
		b.Fatalf("%s did not connect to the hub within 20 s", who)
		return nil
	}
}

// A benchEvent is an event of FHIRcast of about some size, made of many small values with escapes, as FHIR is; one long
// string would flatter every parser. Its id, version and timestamp are written over before each use.
type benchEvent struct {
	text               []byte
	id, version, stamp int // where the digits of the id and the version and the timestamp stand
}

const benchTime = "2006-01-02T15:04:05.000Z"

// newBenchEvent makes an event about one report; reports of another letter are another patient's.
func newBenchEvent(size int, verb, letter string) *benchEvent {
	var t bytes.Buffer
	fmt.Fprintf(&t, `{"timestamp":"%s","id":"bench-%020d","event":{"hub.topic":"%s","hub.event":"DiagnosticReport-%s","context.versionId":"%020d",`,
		benchTime, 0, benchTopic, verb, 0)
	if verb == "update" {
		fmt.Fprintf(&t, `"context":[{"key":"report","reference":{"reference":"DiagnosticReport/r-%s"}},{"key":"updates","resource":{"resourceType":"Bundle","type":"transaction","entry":[`, letter)
		for i := 0; i == 0 || t.Len() < size-200; i++ {
			if i > 0 {
				t.WriteByte(',')
			}
			fmt.Fprintf(&t, `{"request":{"method":"PUT","url":"Observation/o%d"},"resource":{"resourceType":"Observation","id":"o%[1]d","status":"preliminary",`+
				`"valueQuantity":{"value":%[1]d.5,"unit":"mm"},"note":[{"text":"left \"upper\" lobe \u00e9 nodule"}]}}`, i)
		}
		t.WriteString(`]}}]}}`)
		return benchEventOf(t.Bytes())
	}
	fmt.Fprintf(&t, `"context":[{"key":"patient","resource":{"resourceType":"Patient","id":"p-%s","identifier":[{"system":"urn:oid:1.2.36.146","value":"mrn-%[1]s"}],`+
		`"name":[{"family":"Example-%[1]s","given":["Alex"]}]}},{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s-%[1]s",`+
		`"identifier":[{"system":"urn:dicom:uid","value":"urn:oid:1.2.3.4.%d"}],"subject":{"reference":"Patient/p-%[1]s"}}},`, letter, letter[0])
	fmt.Fprintf(&t, `{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r-%s","identifier":[{"system":"urn:example:report","value":"r-%[1]s"}],`+
		`"status":"preliminary","subject":{"reference":"Patient/p-%[1]s"},"contained":[`, letter)
	for i := 0; i == 0 || t.Len() < size-200; i++ {
		if i > 0 {
			t.WriteByte(',')
		}
		fmt.Fprintf(&t, `{"resourceType":"Observation","id":"o%d","status":"preliminary","valueQuantity":{"value":%d.5,"unit":"mm"},`+
			`"note":[{"text":"left \"upper\" lobe \u00e9 nodule"}]}`, i, i)
	}
	t.WriteString(`]}}]}}`)
	return benchEventOf(t.Bytes())
}

func benchEventOf(text []byte) *benchEvent {
	e := &benchEvent{text: text}
	e.stamp = bytes.Index(e.text, []byte(benchTime))
	e.id = bytes.Index(e.text, []byte(`"bench-`)) + len(`"bench-`)
	e.version = bytes.Index(e.text, []byte(`"context.versionId":"`)) + len(`"context.versionId":"`)
	return e
}

// send stamps the event with this moment and writes it.
func (e *benchEvent) send(s *benchSocket, before func(sent int64)) error {
	copy(e.text[e.stamp:], time.Now().UTC().Format(benchTime))
	now := benchNow()
	copy(e.text[e.id:], fmt.Sprintf("%020d", now))
	copy(e.text[e.version:], e.text[e.id:e.id+20]) // an update of the version that is known is one that is known
	before(now)
	return s.write(opText, e.text)
}

func benchNow() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}

func benchCheck(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
