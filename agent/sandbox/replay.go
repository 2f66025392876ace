package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// A Recording is what castray watch --record wrote: the events that a hub once sent, with the time between them.
type Recording []recorded

type recorded struct {
	after time.Duration // the one before
	name  fhircast.Name
	text  map[string]json.RawMessage // the notification
	event map[string]json.RawMessage // its member of that name
}

const (
	eventMethod = "event" // of the local protocol, in whose words a recording is written
	longestLine = 6 << 20
	longestGap  = 10 * time.Second // between two events: nobody wants to wait for a coffee break again
	lookForApps = 100 * time.Millisecond
)

// ReadRecording reads one. What was derived, read or told again on a desk is no event of the hub's, and left out. The error
// names the line.
func ReadRecording(r io.Reader) (Recording, error) {
	var list Recording
	var before time.Time
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestLine)
	for n := 1; lines.Scan(); n++ {
		var m struct {
			Method string                     `json:"method"`
			Params map[string]json.RawMessage `json:"params"`
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("line %d is no message", n)
		}
		if m.Method != eventMethod || m.Params["castray"] != nil {
			continue
		}
		e := recorded{text: m.Params}
		var at time.Time
		if json.Unmarshal(m.Params["timestamp"], &at) != nil || json.Unmarshal(m.Params["event"], &e.event) != nil ||
			json.Unmarshal(e.event["hub.event"], &e.name) != nil {
			return nil, fmt.Errorf("line %d is no event", n)
		}
		if !before.IsZero() {
			e.after = min(max(at.Sub(before), 0), longestGap)
		}
		before = at
		list = append(list, e)
	}
	if err := lines.Err(); err != nil {
		return nil, errors.New("a line is longer than 6 MiB")
	}
	if len(list) == 0 {
		return nil, errors.New("there is no event in it")
	}
	return list, nil
}

// at is the event as it happens now in a session.
func (r recorded) at(now time.Time, topic fhircast.Secret) (*fhircast.Event, error) {
	stamp, _ := json.Marshal(now.UTC().Format("2006-01-02T15:04:05.000Z"))
	session, _ := json.Marshal(topic.Reveal())
	r.event["hub.topic"] = session
	event, err := json.Marshal(r.event)
	if err != nil {
		return nil, err
	}
	r.text["timestamp"], r.text["event"] = stamp, event
	text, err := json.Marshal(r.text)
	if err != nil {
		return nil, err
	}
	m, err := fhircast.Decode(text)
	if err != nil {
		return nil, err
	}
	e, ok := m.(*fhircast.Event)
	if !ok {
		return nil, errors.New("it is no event")
	}
	return e, nil
}

// play waits until somebody is subscribed to the first user's session, and lets happen there what was recorded. What the hub
// refuses, because it was about something from before the recording, is said and left out.
func (s *Sandbox) play(ctx context.Context, r Recording) {
	topic := s.users[0].topic
	for len(s.hub.Subscribers(topic)) == 0 {
		if !pause(ctx, lookForApps) {
			return
		}
	}
	refused := 0
	for _, next := range r {
		if !pause(ctx, next.after) {
			return
		}
		e, err := next.at(time.Now(), topic)
		if err == nil {
			err = s.hub.Publish(ctx, topic, e)
		}
		if err != nil {
			refused++
			s.log.Warn("an event of the recording is refused", "event", string(next.name), "because", err.Error())
		}
	}
	s.log.Info("the recording has been played", "events", len(r), "refused", refused)
}

// pause tells whether the time went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
