package agent

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// Write is for bridge.Sink.
func (f *follower) Write(m bridge.Message, answer func(status int)) error {
	if !m.Answer {
		answer = nil
	}
	if m.Method == protocol.MethodClear {
		var p protocol.Clear
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return err
		}
		events, ok := f.clearing()
		if len(events) > 0 {
			return f.tell(events, answer)
		}
		if answer != nil && ok {
			answer(http.StatusOK)
		} else if answer != nil {
			answer(uncleared(p.Reason))
		}
		return nil
	}
	decoded, err := fhircast.Decode(m.Params)
	if err != nil {
		return err
	}
	e, ok := decoded.(*fhircast.Event)
	if !ok {
		return errors.New("no event")
	}
	return f.tell([]*fhircast.Event{e}, answer)
}

// tell writes events, and hands on the worst of the answers when all are there, to nobody if answer is nil.
func (f *follower) tell(events []*fhircast.Event, answer func(status int)) error {
	all := &answers{left: len(events), status: http.StatusOK, done: answer}
	for _, e := range events {
		f.mu.Lock()
		f.told++
		if answer != nil {
			f.waiting[e.ID] = func(status int) {
				if status >= 200 && status < 300 && status != http.StatusAccepted {
					f.closed(e)
				}
				all.add(status)
			}
		}
		if e.Name.Verb() == fhircast.Open && e.Name.Resource() != "" {
			f.opens, f.blank = append(f.without(e.Name.Resource()), e), false
		}
		f.mu.Unlock()
		if err := f.hub.Tell(e); err != nil {
			return err
		}
	}
	return nil
}

// answers gathers those to several events, which count as one.
type answers struct {
	mu     sync.Mutex
	left   int
	status int
	done   func(status int)
}

// add keeps the highest: a refusal counts more than an acceptance, a failure more than a refusal.
func (a *answers) add(status int) {
	a.mu.Lock()
	a.left--
	a.status = max(a.status, status)
	last := a.left == 0
	a.mu.Unlock()
	if last {
		a.done(a.status)
	}
}

// closed forgets what the app says that it has closed.
func (f *follower) closed(e *fhircast.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case e.Name.Is(fhircast.HomeOpen):
		f.opens, f.blank = nil, true
	case e.Name.Verb() == fhircast.Close && len(f.opens) > 0:
		f.opens = f.without(e.Name.Resource())
		f.blank = len(f.opens) == 0
	}
}

func (f *follower) without(resource string) []*fhircast.Event {
	return slices.DeleteFunc(slices.Clone(f.opens), func(o *fhircast.Event) bool { return strings.EqualFold(o.Name.Resource(), resource) })
}

// clearing is how the app is told to show no patient, for which FHIRcast has no word: Home-open, after which there is no
// current context, or else the close of all that it was told to open, which is nothing where all of that is closed already.
// It is not ok where the app asked for neither, or was told nothing so far: then nobody can say that it shows none.
func (f *follower) clearing() (events []*fhircast.Event, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fhircast.HomeOpen.In(f.events) {
		e, err := fhircast.NewEvent(fhircast.Draft{ID: rand.Text(), At: time.Now(), Topic: endpointTopic, Name: fhircast.HomeOpen})
		return []*fhircast.Event{e}, err == nil
	}
	for _, open := range slices.Backward(f.opens) {
		name := fhircast.Name(open.Name.Resource() + "-" + string(fhircast.Close))
		e, err := fhircast.NewEvent(fhircast.Draft{ID: rand.Text(), At: time.Now(), Topic: endpointTopic, Name: name, Context: patientOf(open)})
		if err != nil || !name.In(f.events) {
			return nil, false
		}
		events = append(events, e)
	}
	return events, len(events) > 0 || f.blank
}

// patientOf is what a close says of an open: what is shared about it stays out.
func patientOf(open *fhircast.Event) json.RawMessage {
	type entry struct {
		Key      string          `json:"key"`
		Resource json.RawMessage `json:"resource"`
	}
	list := []entry{}
	for _, item := range open.Context {
		if item.Kind == "resource" && slices.Contains([]string{"patient", "encounter", "study", "report"}, strings.ToLower(item.Key)) {
			list = append(list, entry{item.Key, item.Value})
		}
	}
	text, _ := json.Marshal(list) // of what was JSON
	return text
}

// uncleared is what to say for an app that cannot be cleared, as for an adapter that cannot (DESIGN 2): after the end of a
// context or session that it may still show a patient, else that the clear failed.
func uncleared(why protocol.Reason) int {
	switch why {
	case protocol.ReasonClosed, protocol.ReasonSignedOut, protocol.ReasonUserLogout, protocol.ReasonLoss:
		return http.StatusAccepted
	}
	return http.StatusInternalServerError
}

// Shown is for bridge.Sink, which calls it of no app that speaks FHIRcast.
func (f *follower) Shown(answer func(windows []protocol.Window, ok bool)) error {
	answer(nil, false)
	return nil
}

// Close is for bridge.Sink.
func (f *follower) Close(string) { f.hub.GoAway() }
