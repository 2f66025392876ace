package agent

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/castray/castray/bridge"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// A screen is an app that shows what it is told to.
type screen struct {
	bridge.App
	w      *ward
	id     string
	asks   []string // keys of what it asks for, the most specific first
	mu     sync.Mutex
	twice  bool              // it may be told the same event twice
	status int               // of its answers
	shows  map[string]string // ids by key
	told   []telling
}

// A telling is one thing that an app was told.
type telling struct {
	what, id string // "Patient-open", "clear:closed"
	about    string // id of the anchor
	mark     protocol.Mark
}

func (w *ward) attach(a bridge.App) *screen {
	w.Helper()
	a.Answers = true
	s := &screen{App: a, w: w, status: 200, shows: map[string]string{}}
	for _, level := range levels {
		if fhircast.Name(level.resource + "-open").In(a.Events) {
			s.asks = append(s.asks, level.key)
		}
	}
	var err error
	if s.id, _, err = w.agent.relay.Attach(a, s); err != nil {
		w.Fatal(err)
	}
	w.apps = append(w.apps, s)
	return s
}

// levels are what can be current here, the most specific first.
var levels = []struct{ key, resource string }{{"report", "DiagnosticReport"}, {"study", "ImagingStudy"}, {"patient", "Patient"}}

// Write is of bridge.Sink.
func (s *screen) Write(m bridge.Message, answer func(int)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t telling
	if m.Method == protocol.MethodClear {
		var c protocol.Clear
		_ = json.Unmarshal(m.Params, &c)
		t.what = "clear:" + string(c.Reason)
		clear(s.shows)
	} else {
		s.event(m.Params, &t)
	}
	if n := len(s.told); n > 0 && !s.twice && t.mark == (protocol.Mark{}) && s.told[n-1].what == t.what && s.told[n-1].id == t.id {
		s.w.Errorf("%s was told %s of %s twice in a row", s.Name, t.what, t.about)
	}
	s.told = append(s.told, t)
	if m.Answer {
		answer(s.status)
	}
	return nil
}

// Shown is for bridge.Sink. A screen does not say that it can tell.
func (s *screen) Shown(func([]protocol.Window, bool)) error { return errors.ErrUnsupported }

func (s *screen) event(text []byte, t *telling) {
	var m protocol.Event
	_ = json.Unmarshal(text, &m)
	t.id = m.ID
	if m.Castray != nil {
		t.mark = *m.Castray
	}
	var e struct {
		Name    string `json:"hub.event"`
		Topic   string `json:"hub.topic"`
		Context []item
	}
	if err := json.Unmarshal(m.Event, &e); err != nil || e.Topic != alias {
		s.w.Errorf("%s was told %s", s.Name, text)
	}
	t.what = string(fhircast.Name(e.Name).Canonical())
	named := ids(e.Context)
	resource, verb, _ := strings.Cut(t.what, "-")
	for _, level := range levels {
		if level.resource == resource {
			t.about = named[level.key]
		}
		if level.resource == resource && verb == "close" && t.about == s.shows[level.key] {
			clear(s.shows)
		}
	}
	if verb == "open" {
		s.shows = named
	}
}

const alias = "castray" // stands for the topic

// Close is of bridge.Sink.
func (s *screen) Close(reason string) {
	if s.w.ctx.Err() == nil {
		s.w.Errorf("%s was cut off: %s", s.Name, reason)
	}
}

type item struct {
	Key      string
	Resource struct{ ID string }
}

// ids are the resources that a context holds, by key, of those that can be current.
func ids(context []item) map[string]string {
	named := map[string]string{}
	for _, level := range levels {
		for _, i := range context {
			if i.Key == level.key {
				named[i.Key] = i.Resource.ID
			}
		}
	}
	return named
}

func (s *screen) showing() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	shows := map[string]string{}
	for key, id := range s.shows {
		shows[key] = id
	}
	return shows
}

// tellings are what the app was told from the nth on.
func (s *screen) tellings(from int) []telling {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told[from:])
}

func (s *screen) answers(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// right tells whether the app is where the hub is: at the most specific of what it asks for, or, where the hub is at nothing
// of that, at nothing of another patient.
func (s *screen) right(current map[string]string) bool {
	shows := s.showing()
	for _, key := range s.asks {
		if id, named := current[key]; named {
			return shows[key] == id && shows["patient"] == current["patient"]
		}
	}
	return len(shows) == 0 || len(current) > 0 && shows["patient"] == current["patient"]
}

// sends has the app ask for an event. Where it is taken the app goes there by itself, for the echo is not for it (S9), unless
// it has been told something else by then.
func (s *screen) sends(name, context, version string) (protocol.SendResult, error) {
	told := len(s.tellings(0))
	result, err := s.w.agent.relay.Send(s.id, protocol.SendParams{Event: name, Context: json.RawMessage(context), Version: version})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(s.told) == told && strings.HasSuffix(name, "-open") {
		var items []item
		_ = json.Unmarshal([]byte(context), &items)
		s.shows = ids(items)
	}
	return result, err
}
