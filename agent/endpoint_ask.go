package agent

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

const (
	maxPosted  = 4 << 20         // as the relay sends at most
	echoWithin = 5 * time.Second // of a request that the hub accepted
)

// A caller asks something without being subscribed: no request of FHIRcast says which subscription it belongs to. To the
// relay it is an app that follows nothing, for as long as it takes, under the same rule.
type caller struct {
	bridge.Sink // nil: it is told nothing
}

// Close is for bridge.Sink.
func (*caller) Close(string) {}

func (e *endpoint) call(rule *config.App, with func(id string, current *protocol.ContextResult) error) error {
	app := bridge.App{Name: "fhircast request", Via: viaFHIRcast, Events: []fhircast.Name{}, Hidden: true}
	if rule != nil {
		follow(rule, &app)
	}
	app.Rule, app.Required = "", protocol.RequiredNever // it does not stand for the app that the rule misses
	us := &caller{}
	id, current, err := e.agent.relay.Attach(app, us)
	if err != nil {
		return errNotJoined
	}
	defer e.agent.relay.Detach(id, us, false)
	return with(id, current)
}

// context answers Get Current Context (FHIRcast 3.0.0, 2.9) with what the program that asks may see. What is not known is
// not given as none.
func (e *endpoint) context(w http.ResponseWriter, rule *config.App) error {
	return e.call(rule, func(_ string, current *protocol.ContextResult) error {
		if current == nil {
			return errNotJoined
		}
		answer := struct {
			Type    string          `json:"context.type"`
			Version string          `json:"context.versionId,omitempty"`
			Context json.RawMessage `json:"context"`
		}{Context: json.RawMessage("[]")}
		if len(current.Current) > 0 {
			m, err := fhircast.Decode(current.Current)
			if err != nil {
				return err
			}
			var text struct {
				Event struct{ Context json.RawMessage }
			}
			if err := json.Unmarshal(current.Current, &text); err != nil {
				return err
			}
			answer.Type, answer.Version, answer.Context = m.(*fhircast.Event).Name.Resource(), current.Version, text.Event.Context
		}
		return reply(w, http.StatusOK, answer)
	})
}

// send takes a request for a context change (FHIRcast 3.0.0, 2.6), by the same checks as those of the local protocol.
func (e *endpoint) send(w http.ResponseWriter, r *http.Request, peer ipc.Peer, rule *config.App) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPosted))
	if err != nil {
		return deny(http.StatusRequestEntityTooLarge, "The event is larger than 4 MiB.")
	}
	m, err := fhircast.Decode(body)
	event, ok := m.(*fhircast.Event)
	if err != nil || !ok {
		return deny(http.StatusBadRequest, "The body is no event.")
	}
	if event.Topic != endpointTopic {
		return deny(http.StatusNotFound, "The one hub.topic here is "+endpointTopic+".")
	}
	if rule == nil || len(rule.Send) == 0 {
		return deny(http.StatusForbidden, "This app may follow but not send; ask the administrator for a rule that permits it.")
	}
	var text struct {
		Event struct{ Context json.RawMessage }
	}
	if err := json.Unmarshal(body, &text); err != nil {
		return deny(http.StatusBadRequest, "The body is no event.")
	}
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	default:
		return deny(http.StatusTooManyRequests, "Too many requests at once; wait for an answer before the next.")
	}
	return e.call(rule, func(id string, _ *protocol.ContextResult) error {
		before := e.toldTo(peer.PID)
		result, err := e.agent.relay.Send(id, protocol.SendParams{ID: event.ID, Event: string(event.Name), Context: text.Event.Context, Version: event.Version})
		fault, failed := errors.AsType[*protocol.Error](err)
		if err == nil || failed && fault.Data != nil && fault.Data.Unknown {
			e.agent.wait.Go(func() { e.expectEcho(before) })
		}
		if failed {
			return deny(statusOf(fault), fault.Message)
		}
		if err != nil {
			return err
		}
		return reply(w, result.Status, struct{}{})
	})
}

// toldTo is how many messages the subscriptions of a process have had.
func (e *endpoint) toldTo(pid int) map[*follower]int {
	told := make(map[*follower]int)
	for _, f := range e.all() {
		if f.peer.PID == pid {
			told[f] = f.messages()
		}
	}
	return told
}

// expectEcho sends those away that asked for a change and were told nothing since: they may have gone where they asked to go,
// and nobody else has (S9). When they return they are told what is current.
func (e *endpoint) expectEcho(before map[*follower]int) {
	timer := time.NewTimer(echoWithin)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.done:
		return
	}
	for f, told := range before {
		if f.messages() == told {
			f.hub.GoAway()
		}
	}
}

func (f *follower) messages() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// statusOf is an error of the local protocol in HTTP.
func statusOf(fault *protocol.Error) int {
	switch fault.Code {
	case protocol.CodeInvalidParams:
		return http.StatusBadRequest
	case protocol.CodeNotAllowed, protocol.CodeNotGranted:
		return http.StatusForbidden
	case protocol.CodeTooLate:
		return http.StatusConflict
	case protocol.CodeBusy:
		return http.StatusTooManyRequests
	case protocol.CodeRefused:
		if fault.Data != nil && fault.Data.Status >= 400 {
			return fault.Data.Status
		}
	}
	return http.StatusServiceUnavailable
}

func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody to tell
	return nil
}
