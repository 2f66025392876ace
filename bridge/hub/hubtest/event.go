package hubtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

func eventRows() []deviation {
	return []deviation{
		{name: EventOld, help: "An event's timestamp is a day earlier.", said: onEvent(func(_ *socket, n *notice) bool {
			n.top.set("timestamp", stamp(time.Now().Add(-24*time.Hour)))
			return true
		})},
		{name: CloseClearsCurrent, help: "A close ends the current context, whatever it names."}, // see sessions
		{name: ReportWithoutAnchor, help: "A DiagnosticReport-open comes without its report.", said: onEvent(func(_ *socket, n *notice) bool {
			i := slices.IndexFunc(n.context, func(o object) bool { return o.text("key") == "report" })
			if i < 0 || !strings.EqualFold(n.name(), "DiagnosticReport-open") {
				return false
			}
			n.context = slices.Delete(n.context, i, i+1)
			return true
		})},
		{name: LogoutEmpty, help: "UserLogout and UserHibernate have an empty context, as before 3.0.0.", said: onEvent(func(_ *socket, n *notice) bool {
			leaves := strings.EqualFold(n.name(), "UserLogout") || strings.EqualFold(n.name(), "UserHibernate")
			if leaves {
				n.context = nil
			}
			return leaves
		})},
		{name: BroadcastNewID, help: "The hub gives an event an id of its own.", said: onEvent(newID)},
		{name: NamesLower, help: "Event names are in lower case.", said: spelt(strings.ToLower), after: advertised(strings.ToLower)},
		{name: NamesMixed, help: "Event names are in a case that nobody would choose (pAtIeNt-OpEn).", said: spelt(mixed), after: advertised(mixed)},
		{name: Names2019, help: "Events are called as in 2019 (open-patient-chart), and the names of today are not known.", made: []Fault{},
			before: understand2019, said: speak2019, after: advertise2019},
		{name: DeriveEvents, help: "Opens and closes of what an event refers to go out too, with new ids and timestamps: opens before it, closes after it.",
			before: func(c *call) bool { return c.server.derive(c) }},
		{name: EventTwice, help: "An event is sent twice."},
		{name: EventFragmented, help: "An event comes in fragments of 7 bytes, with a ping in the middle."},
	}
}

func onEvent(f func(*socket, *notice) bool) func(*socket, *notice) bool {
	return func(to *socket, n *notice) bool { return n.event != nil && f(to, n) }
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// newID renames an event; what the subscriber answers is renamed back. A SyncError names events as they were renamed.
func newID(to *socket, n *notice) bool {
	const prefix = "hub-"
	n.top.set("id", prefix+n.top.text("id"))
	to.renamed = prefix
	eachCoding(n, func(c coding) (coding, bool) {
		if c.what() == "eventid" {
			c.Code = prefix + c.Code
		}
		return c, true
	})
	return true
}

// mixed turns every other letter.
func mixed(name string) string {
	upper := false
	return strings.Map(func(r rune) rune {
		upper = !upper
		if upper {
			return []rune(strings.ToLower(string(r)))[0]
		}
		return []rune(strings.ToUpper(string(r)))[0]
	}, name)
}

// spelt changes the names in what is said to a socket.
func spelt(spell func(string) string) func(*socket, *notice) bool {
	return func(_ *socket, n *notice) bool {
		if n.event != nil {
			n.event.set("hub.event", spell(n.name()))
		} else {
			n.top.set("hub.events", spell(n.top.text("hub.events")))
		}
		return true
	}
}

// advertised changes the names in discovery, which is not counted.
func advertised(spell func(string) string) func(*call) bool {
	return func(c *call) bool {
		c.eventsSupported(spell)
		return false
	}
}

// eventsSupported changes the names in discovery; "" leaves one out.
func (c *call) eventsSupported(spell func(string) string) {
	if c.asked.On != Discovery || c.answer.status != http.StatusOK {
		return
	}
	c.edit(func(doc object) {
		var names []string
		_ = json.Unmarshal(doc["eventsSupported"], &names)
		spelt := []string{}
		for _, name := range names {
			if name = spell(name); name != "" {
				spelt = append(spelt, name)
			}
		}
		doc.set("eventsSupported", spelt)
	})
}

// levels are what an event may refer to, the widest first.
var levels = []struct{ key, name string }{{"patient", "Patient"}, {"encounter", "Encounter"}, {"study", "ImagingStudy"}}

// Publish is the hub's, with what is derived from the event where [DeriveEvents] is set.
func (s *Server) Publish(ctx context.Context, topic fhircast.Secret, e *fhircast.Event) error {
	var before, after [][]byte
	if n, ok := readNotice(e.Wire()); ok {
		before, after = derived(n)
	}
	if (before != nil || after != nil) && !s.takes(DeriveEvents) {
		before, after = nil, nil
	}
	for _, text := range before {
		s.publishWire(ctx, text)
	}
	if err := s.Hub().Publish(ctx, topic, e); err != nil {
		return err
	}
	for _, text := range after {
		s.publishWire(ctx, text)
	}
	return nil
}

// derive is that for a request. The lock is held.
func (s *Server) derive(c *call) bool {
	n := c.event()
	if n == nil {
		return false
	}
	grant, ok := s.config.Authorize(strings.TrimPrefix(c.origin.Header.Get("Authorization"), "Bearer "))
	if !ok || !grant.Scopes.Write(fhircast.Name(n.name())) {
		return false
	}
	before, after := derived(n)
	for _, text := range before {
		c.first = append(c.first, func() { s.publishWire(c.origin.Context(), text) })
	}
	for _, text := range after {
		c.then = append(c.then, func() {
			if c.answer.status/100 == 2 {
				s.publishWire(c.origin.Context(), text)
			}
		})
	}
	return before != nil || after != nil
}

// derived are the events that a hub makes of one: opens before it, the widest first, and closes after it, the other way
// round.
func derived(n *notice) (before, after [][]byte) {
	resource, verb, _ := strings.Cut(n.name(), "-")
	opens := strings.EqualFold(verb, "open")
	if !opens && !strings.EqualFold(verb, "close") {
		return nil, nil
	}
	for _, level := range levels {
		item := n.item(level.key)
		if item == nil || item["resource"] == nil || strings.EqualFold(resource, level.name) {
			continue
		}
		made := &notice{top: object{}, event: object{"hub.topic": n.event["hub.topic"]}, context: []object{item}}
		if patient := n.item("patient"); patient != nil && level.key != "patient" {
			made.context = append(made.context, patient)
		}
		made.top.set("id", rand.Text())
		made.top.set("timestamp", stamp(time.Now()))
		made.event.set("hub.event", level.name+"-"+strings.ToLower(verb))
		if opens {
			before = append(before, made.write())
		} else {
			after = append([][]byte{made.write()}, after...)
		}
	}
	return before, after
}

func (s *Server) publishWire(ctx context.Context, text []byte) {
	m, err := fhircast.Decode(text)
	if e, ok := m.(*fhircast.Event); ok && err == nil {
		_ = s.Hub().Publish(ctx, e.Topic, e) // an event that the hub does not offer is not derived
	}
}
