package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// A soakHub is a hub in a process of its own, so that it can be killed. It keeps nothing between two lives but what its
// command line says: its address, its certificate, its topics and who is the current patient. What it is to do it reads
// from stdin, a JSON object a line, and answers each with one; it ends with stdin.
type soakHub struct {
	server *hubtest.Server
	store  *hub.Memory
	topics int
	life   int64 // in the ids of events, so that none is used twice
	events int   // made in this life
}

// A soakOrder is one thing to do. Do is "open", "close", "home", "fault", "reply", "clear", "drop", "deny", "silence",
// "send", "state" or "storm".
type soakOrder struct {
	Do      string
	Patient string
	Fault   hubtest.Fault
	On      hubtest.On
	Reply   hubtest.Reply
	Text    string
	Rate    int           // of a storm: events a second
	Lasts   time.Duration // how long
	Size    int           // bytes of an event
}

// A soakState is what the hub says after each order.
type soakState struct {
	Error       string
	Current     string // patient, "" for none
	Subscribers int    // of the first topic
	Fleet       int    // of all topics
	Subscribes  int    // requests so far
	Goroutines  int

	Sent, Answered int           // of a storm
	Lasted         time.Duration // the sending
	Worst, P99     time.Duration // from sending to answer
}

// soakTopic is the nth topic, from 0.
func soakTopic(n int) fhircast.Secret { return fhircast.Secret(fmt.Sprintf("5f7a2e7c-soak-%d", n)) }

// runSoakHub is the process: soakhub ADDRESS PEM_FILE TOPICS PATIENT.
func runSoakHub(args []string) int {
	topics, err := strconv.Atoi(args[2])
	if err == nil {
		err = serveSoakHub(args[0], args[1], topics, args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveSoakHub(address, pemFile string, topics int, patient string) error {
	certificate, err := tls.LoadX509KeyPair(pemFile, pemFile)
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		return err
	}
	h := &soakHub{store: &hub.Memory{}, topics: topics, life: time.Now().UnixNano()}
	for n := range topics {
		if err := h.store.Save(context.Background(), soakTopic(n), hub.Session{User: hubtest.User}); err != nil {
			return err
		}
	}
	if h.server, err = hubtest.New(hub.Config{BaseURL: "https://" + ln.Addr().String() + "/hub", Store: h.store,
		Events: append(hub.Catalogue(), fhircast.Heartbeat, soakUpdate)}); err != nil {
		return err
	}
	if patient != "" {
		if err := h.open(patient); err != nil {
			return err
		}
	}
	served := make(chan error, 1)
	web := &http.Server{Handler: h.server}
	go func() { served <- web.Serve(ln) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(soakState{}); err != nil { // ready
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Buffer(nil, 1<<20); in.Scan(); {
		var order soakOrder
		if err := json.Unmarshal(in.Bytes(), &order); err != nil {
			return err
		}
		if err := out.Encode(h.obey(order)); err != nil {
			return err
		}
	}
	h.server.Close()
	_ = web.Close()
	<-served
	return nil
}

func (h *soakHub) obey(order soakOrder) (s soakState) {
	var err error
	switch order.Do {
	case "open":
		err = h.open(order.Patient)
	case "close":
		err = h.publish("Patient-close", soakPatient(order.Patient))
	case "home":
		err = h.publish(fhircast.HomeOpen, json.RawMessage(`[]`))
	case "fault":
		h.server.Fault(order.Fault, 1)
	case "reply":
		h.server.Reply(order.On, order.Reply, 1)
	case "clear":
		h.server.Clear()
	case "drop":
		h.server.Drop("")
	case "deny":
		h.server.Deny("", "soak")
	case "silence":
		h.server.Silence("")
	case "send":
		h.server.Send("", order.Text)
	case "storm":
		s = h.storm(order)
	case "state":
	default:
		err = fmt.Errorf("no such order: %q", order.Do)
	}
	if err != nil {
		s.Error = err.Error()
	}
	s.Current, s.Subscribers, s.Fleet = h.current(), len(h.server.Hub().Subscribers(soakTopic(0))), 0
	if order.Do == "state" {
		for n := range h.topics {
			s.Fleet += len(h.server.Hub().Subscribers(soakTopic(n)))
		}
	}
	s.Goroutines, s.Subscribes = runtime.NumGoroutine(), len(h.server.Requests(hubtest.Subscribe))
	return s
}

// current is the id of the resource that the current context of the first topic is about, "" for none.
func (h *soakHub) current() string {
	if e := h.session().Current; e != nil {
		if item, ok := e.Anchor(); ok {
			var r struct{ ID string }
			_ = json.Unmarshal(item.Value, &r)
			return r.ID
		}
	}
	return ""
}

func (h *soakHub) session() hub.Session {
	s, err := h.store.Load(context.Background(), soakTopic(0))
	if err != nil {
		panic(err) // it was saved at the start and nobody ends it
	}
	return s
}

func soakPatient(id string) json.RawMessage {
	return fmt.Appendf(nil, `[{"key":"patient","resource":{"resourceType":"Patient","id":%q,"identifier":[{"system":"urn:oid:1.2.36.146","value":"mrn-%[2]s"}]}}]`, id, id)
}

func (h *soakHub) open(patient string) error { return h.publish("Patient-open", soakPatient(patient)) }

func (h *soakHub) publish(name fhircast.Name, about json.RawMessage) error {
	h.events++
	e, err := fhircast.NewEvent(fhircast.Draft{ID: fmt.Sprintf("soak-%d-%d", h.life, h.events), At: time.Now(), Topic: soakTopic(0), Name: name, Context: about})
	if err != nil {
		return err
	}
	return h.server.Hub().Publish(context.Background(), soakTopic(0), e)
}

const soakUpdate fhircast.Name = "DiagnosticReport-update"

// storm opens a report and sends updates of it many times a second, on the pace of the clock whatever the answers do, past
// the hub, whose bookkeeping would take the processor that the agent is to have. It returns when all updates are answered,
// or none has been for 5 s.
func (h *soakHub) storm(order soakOrder) (s soakState) {
	reads := len(h.server.Requests(hubtest.Context))
	if err := h.publish("DiagnosticReport-open", json.RawMessage(`[{"key":"report","resource":{"resourceType":"DiagnosticReport","id":"r-1","status":"unknown",`+
		`"subject":{"reference":"Patient/p-1"}}},{"key":"patient","resource":{"resourceType":"Patient","id":"p-1","identifier":[{"value":"1"}]}},`+
		`{"key":"study","resource":{"resourceType":"ImagingStudy","id":"s-1","identifier":[{"system":"urn:dicom:uid","value":"urn:oid:1.2.3"}],"subject":{"reference":"Patient/p-1"}}}]`)); err != nil {
		return soakState{Error: err.Error()}
	}
	if !h.hasRead(reads) {
		return soakState{Error: "the agent does not read what is shared in the report"}
	}
	shared := h.session().Shared
	prior, about := shared[len(shared)-1].Version, soakUpdateContext(order.Size)
	total := int(order.Lasts.Seconds() * float64(order.Rate))
	sent, ages := make([]time.Time, total), make([]time.Duration, 0, total)
	answered := map[string]bool{}
	listen := func() {
		for _, a := range h.server.Answers("") {
			var n int
			if _, err := fmt.Sscanf(a.ID, "storm-%d", &n); err == nil && !answered[a.ID] {
				answered[a.ID] = true
				ages = append(ages, a.At.Sub(sent[n]))
			}
		}
	}
	began := time.Now()
	for n := range total {
		if wait := time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(order.Rate))); wait > 0 {
			<-time.After(wait)
		}
		if n%order.Rate == 0 {
			listen()
		}
		version := fmt.Sprintf("storm-version-%d", n)
		sent[n] = time.Now()
		h.server.Send("", fmt.Sprintf(`{"timestamp":%q,"id":"storm-%d","event":{"hub.topic":%q,"hub.event":%q,"context.versionId":%q,"context.priorVersionId":%q,"context":%s}}`,
			sent[n].UTC().Format(time.RFC3339Nano), n, soakTopic(0).Reveal(), soakUpdate, version, prior, about))
		prior = version
	}
	s = soakState{Sent: total, Lasted: time.Since(began)}
	for news := time.Now(); len(ages) < total && time.Since(news) < 5*time.Second; {
		<-time.After(50 * time.Millisecond)
		before := len(ages)
		if listen(); len(ages) > before {
			news = time.Now()
		}
	}
	if s.Answered = len(ages); s.Answered > 0 {
		slices.Sort(ages)
		s.Worst, s.P99 = ages[len(ages)-1], ages[len(ages)*99/100]
	}
	return s
}

// hasRead waits until the agent has read the context once more, as it does after an open of what is shared, for the hub may
// have kept something of it. This one knows nothing of a storm's updates: one that came before its answer would be missing
// there, and be told to the apps by a snapshot instead.
func (h *soakHub) hasRead(before int) bool {
	for began := time.Now(); time.Since(began) < 20*time.Second; <-time.After(10 * time.Millisecond) {
		if all := h.server.Requests(hubtest.Context); len(all) > before && all[len(all)-1].Status != 0 {
			<-time.After(2 * time.Second) // for the answer to arrive
			return true
		}
	}
	return false
}

// soakUpdateContext is an update of about that many bytes, made of many small values as FHIR is.
func soakUpdateContext(size int) json.RawMessage {
	text := []byte(`[{"key":"report","reference":{"reference":"DiagnosticReport/r-1"}},{"key":"updates","resource":{"resourceType":"Bundle","id":"b-1","type":"transaction","entry":[`)
	for i := 0; i == 0 || len(text) < size-400; i++ {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, `{"fullUrl":"https://example.test/Observation/o%d","request":{"method":"PUT","url":"Observation/o%[1]d"},"resource":{"resourceType":"Observation","id":"o%[1]d",`+
			`"identifier":[{"value":"o%[1]d"}],"status":"preliminary","code":{"text":"nodule"},"subject":{"reference":"Patient/p-1"},"valueQuantity":{"value":%[1]d.5,"unit":"mm"},"note":[{"text":"left \"upper\" lobe \u00e9 nodule"}]}}`, i)
	}
	return append(text, `]}}]`...)
}
