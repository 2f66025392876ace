package bridge

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// What a random history shares in its reports: the hub's side, and the apps' that take part.

func anchorIn(what string) string {
	anchor, _, _ := strings.Cut(what, "/")
	return anchor
}

// versionOf is for who holds the mutex: the version of a report, and none of anything else.
func (h *simHub) versionOf(name fhircast.Name, what string) string {
	if r := h.reports[anchorIn(what)]; r != nil && name.Is("DiagnosticReport-open") {
		return r.version
	}
	return ""
}

// openReport gives a report a version; what was shared in it before stays, until it is closed.
func (h *simHub) openReport(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.reports[anchorIn(what)]
	if r == nil {
		r = &simReport{}
		h.reports[anchorIn(what)] = r
	}
	r.version = h.version()
}

func (h *simHub) version() string {
	h.versions++
	return fmt.Sprint("v", h.versions)
}

// shared is what is shared in the current report, and whether there is one.
func (h *simHub) shared() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.reports[anchorIn(h.current)]
	if r == nil || !h.name.Is("DiagnosticReport-open") {
		return "", false
	}
	return strings.Join(sorted(r.shared), " "), true
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// update changes what is shared in a report that is open. What gets lost is followed by another, or nobody could know.
func (h *simHub) update() {
	var open []string
	h.mu.Lock()
	for id := range h.reports {
		open = append(open, id)
	}
	h.mu.Unlock()
	if len(open) == 0 {
		return
	}
	anchor := sorted(open)[h.s.IntN(len(open))]
	fate := []string{"", "", "", "lost", "twice", "broken"}[h.s.IntN(6)]
	e := h.change(anchor, h.s.wish())
	h.s.note("%s %s of %s to %s %s", e.ID, e.Name, anchor, e.Version, fate)
	switch fate {
	case "lost":
		e = h.change(anchor, h.s.wish())
	case "broken":
		e = decoded(strings.Replace(string(e.Wire()), `"Bundle"`, `"Basket"`, 1))
	case "twice":
		h.send(e)
	}
	h.send(e)
}

// wish is an observation that somebody shares, or with a "-" one that is taken back.
func (s *schedule) wish() string {
	return []string{"", "-"}[s.IntN(4)/3] + fmt.Sprint("o", 1+s.IntN(4))
}

// change is an update of the hub's, with a new version.
func (h *simHub) change(anchor, what string) *fhircast.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids++
	return h.changed(fmt.Sprint("h", h.ids), anchor, what)
}

func (h *simHub) changed(id, anchor, what string) *fhircast.Event {
	r := h.reports[anchor]
	prior := r.version
	r.version = h.version()
	r.shared = changed(r.shared, what)
	return up(id, anchor, prior, r.version, what)
}

func changed(list []string, what string) []string {
	name, gone := strings.CutPrefix(what, "-")
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
	if !gone {
		list = append(list, name)
	}
	return list
}

// takes is an app's update: taken if its version fits, dropped without a word if it does not, for it was accepted.
func (h *simHub) takes(e *fhircast.Event) {
	c, err := e.Update()
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	r := h.reports[c.ID]
	if r == nil || r.version != e.Version {
		h.mu.Unlock()
		return
	}
	echo := h.changed(e.ID, c.ID, wordOf(c.Entries[0]))
	h.mu.Unlock()
	h.send(echo)
}

func wordOf(e fhircast.Entry) string {
	if e.Method == "DELETE" {
		return "-" + e.ID
	}
	return e.ID
}

// selects points at something in what is current, or elsewhere.
func (h *simHub) selects() {
	anchor := fmt.Sprint("r", 1+h.s.IntN(2))
	h.mu.Lock()
	h.ids++
	id := fmt.Sprint("h", h.ids)
	h.mu.Unlock()
	h.s.note("%s select in %s", id, anchor)
	h.send(decoded(`{"timestamp":"2026-01-02T03:00:00.000Z","id":"` + id + `","event":{"hub.topic":"` + topic + `","hub.event":"DiagnosticReport-select","context":[` +
		anchorOf(anchor) + `,{"key":"select","reference":{"reference":"Observation/o1"}}]}}`))
}

// shrink grants less than was asked, or all again.
func (h *simHub) shrink() {
	var list []fhircast.Name
	if h.s.IntN(2) == 0 {
		for _, n := range h.s.events() {
			if h.s.IntN(6) != 0 {
				list = append(list, n)
			}
		}
	}
	h.mu.Lock()
	h.granted, h.marks = list, make(map[fhircast.Name]time.Time) // what comes unheard sets no mark at the relay
	n, up := h.n, h.up
	h.mu.Unlock()
	h.s.note("grants %v", list)
	if up {
		h.s.relay.Subscribed(n, list)
	}
}

// takesPart tells whether an app asked for the opens and updates of reports.
func (a *simApp) takesPart() bool {
	return a.events == "" || strings.Contains(a.events, "DiagnosticReport-open") && strings.Contains(a.events, "DiagnosticReport-update")
}

// heard is what an app makes of an open or an update, of what is shared in what it shows.
func (a *simApp) heard(e *fhircast.Event) {
	switch e.Name.Verb() {
	case fhircast.Open:
		a.shared = nil
		list, _ := e.Content()
		for _, one := range list {
			a.shared = append(a.shared, one.ID)
		}
	case fhircast.Update:
		if c, err := e.Update(); err == nil && anchorIn(a.shows) == c.ID {
			for _, one := range c.Entries {
				a.shared = changed(a.shared, wordOf(one))
			}
		}
	}
}

// share is an app's own update: it shows at once what it wishes.
func (a *simApp) share(what string) {
	a.mu.Lock()
	anchor := anchorIn(a.shows)
	if !strings.HasPrefix(anchor, "r") || a.gone {
		a.mu.Unlock()
		return
	}
	a.shared = changed(a.shared, what)
	a.mu.Unlock()
	var context struct {
		Event struct{ Context json.RawMessage }
	}
	if err := json.Unmarshal(up("x", anchor, "", "", what).Wire(), &context); err != nil {
		panic(err)
	}
	go a.s.relay.Send(a.id, protocol.SendParams{Event: "DiagnosticReport-update", Context: context.Event.Context})
}

// wantShared looks whether an app that takes part shows what is shared.
func (s *schedule) wantShared(a *simApp) {
	want, any := s.hub.shared()
	a.mu.Lock()
	got, at, missed := strings.Join(sorted(a.shared), " "), anchorIn(a.shows), a.missed
	a.mu.Unlock()
	if !s.hub.offered { // what was shared before we came, or before a doubt, nobody can say there: the manual says so
		return
	}
	if missed || !any || !a.takesPart() || at != anchorIn(s.hub.now()) {
		return
	}
	s.contents++
	if got != want {
		s.Errorf("%s: %s shows %q of what is shared, the hub has %q", s.Name(), a.id, got, want)
		s.note("SILENT content: %s", a.id)
	}
}

// derived are the opens, or closes, that a hub makes of a report's: least specific first, or last.
func (h *simHub) derived(verb fhircast.Verb, what string) {
	if !h.derives {
		return
	}
	parts := strings.Split(what, "/")[1:]
	if verb == fhircast.Open {
		slices.Reverse(parts)
	}
	for _, id := range parts {
		resource := map[byte]fhircast.Name{'p': "Patient-", 's': "ImagingStudy-"}[id[0]]
		whole := id
		if id[0] == 's' {
			whole = what[strings.Index(what, id):]
		}
		h.s.note("derived %s%s %s", resource, verb, whole)
		e := h.event(resource+fhircast.Name(verb), whole, time.Millisecond)
		h.send(e)
	}
}
