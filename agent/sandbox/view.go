package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// A pageView is what the EHR page draws.
type pageView struct {
	User     userView
	Users    []userView
	Token    string
	Notice   string
	Launches bool // there is a link that launches Castray
	Patients []patientView
	Live     liveView
}

type userView struct {
	ID, Name string
	Current  bool
}

type patientView struct {
	rowView
	Items []rowView
}

// A rowView is a record with its button.
type rowView struct{ Kind, ID, Word, Title, Note string }

// A liveView is what changes: the part of the page that is sent again.
type liveView struct {
	State       string // "open", "home" or "none"
	Current     *contextView
	Behind      []contextView // open, but not in front; the latest first
	Subscribers []subscriberView
	Log         []entryView // the latest first
}

// A contextView is one open. It may come from anybody who may publish, so nothing in it is believed.
type contextView struct {
	Event, Reference, ID, Row string
	Lines                     []lineView
}

type lineView struct{ Key, Title, Note string }

type subscriberView struct {
	Name         string
	Events       []fhircast.Name
	Since        timeView
	Answer, Mood string
}

type entryView struct {
	At                    timeView
	What, Event, ID, Mood string
}

// A timeView is a time for people, who sit at this machine, and for programs.
type timeView struct{ Clock, Stamp string }

func newTimeView(t time.Time) timeView {
	return timeView{t.Local().Format(time.TimeOnly), t.UTC().Format(time.RFC3339Nano)}
}

// words name records on the page.
var words = map[string]string{"Patient": "patient", "Encounter": "encounter", "ImagingStudy": "study", "DiagnosticReport": "report"}

func newRow(r *record) rowView {
	return rowView{Kind: r.kind, ID: r.id, Word: words[r.kind], Title: r.title, Note: r.note}
}

// patientsView lists the records under their patients.
func (h *hospital) patientsView() []patientView {
	var list []patientView
	for _, p := range h.kinds["Patient"] {
		v := patientView{rowView: newRow(p)}
		for _, kind := range []string{"Encounter", "ImagingStudy", "DiagnosticReport"} {
			for _, r := range h.kinds[kind] {
				if r.patient == p {
					v.Items = append(v.Items, newRow(r))
				}
			}
		}
		list = append(list, v)
	}
	return list
}

// logLines is how much of the log is drawn.
const logLines = 40

func (s *Sandbox) liveView(ctx context.Context, u user) (liveView, error) {
	now, err := s.sessions.Load(ctx, u.topic)
	if err != nil {
		return liveView{}, fmt.Errorf("session: %w", err)
	}
	return newLiveView(now, s.hub.Subscribers(u.topic), s.hub.Log(u.topic, 0)), nil
}

// newLiveView draws a session. It is pure.
func newLiveView(now hub.Session, subscribers []hub.Subscriber, log []hub.Entry) liveView {
	v := liveView{State: "none"}
	if now.Current != nil {
		v.State = "home"
		if !now.Current.Name.Is(fhircast.HomeOpen) {
			v.State = "open"
			current := newContextView(now.Current)
			v.Current = &current
		}
	}
	for _, open := range slices.Backward(now.Open) {
		if open != now.Current {
			v.Behind = append(v.Behind, newContextView(open))
		}
	}
	latest := ""
	for _, entry := range slices.Backward(log) {
		if len(v.Log) < logLines {
			v.Log = append(v.Log, newEntryView(entry))
		}
		if entry.What == "published" && latest == "" {
			latest = entry.EventID
		}
	}
	for _, one := range subscribers {
		row := subscriberView{Name: one.Name, Events: one.Events, Since: newTimeView(one.Since)}
		row.Answer, row.Mood = answerOf(one, latest, log)
		v.Subscribers = append(v.Subscribers, row)
	}
	return v
}

// answerOf says what a subscriber answered to the latest event of the session.
func answerOf(one hub.Subscriber, latest string, log []hub.Entry) (sentence, mood string) {
	if one.Last.EventID != "" && one.Last.EventID == latest {
		sentence, mood = verdict(one.Last.Status)
		return sentence + " (" + string(one.Last.EventName) + ")", mood
	}
	i := slices.IndexFunc(log, func(e hub.Entry) bool { return e.EventID == latest && e.What == "published" })
	switch {
	case latest == "" || log[i].At.Before(one.Since):
		return "nothing sent yet", ""
	case !log[i].EventName.In(one.Events):
		return "did not ask for " + string(log[i].EventName), ""
	}
	return "no answer yet (" + string(log[i].EventName) + ")", "wait"
}

func verdict(status int) (sentence, mood string) {
	switch {
	case status == 0:
		return "heard, without a status", "wait"
	case status == 202:
		return "202 heard", "wait"
	case status/100 == 2:
		return fmt.Sprintf("%d follows", status), "good"
	case status/100 == 4:
		return fmt.Sprintf("%d refused", status), "bad"
	}
	return fmt.Sprintf("%d failed", status), "bad"
}

func newEntryView(e hub.Entry) entryView {
	v := entryView{At: newTimeView(e.At), Event: string(e.EventName), ID: e.EventID}
	if len(v.ID) > 8 {
		v.ID = v.ID[:8]
	}
	who := e.Subscriber
	if who == "" {
		who = "a subscriber without a name"
	}
	switch e.What {
	case "published":
		v.What = "happened"
	case "subscribed":
		v.What = who + " subscribed"
	case "renewed":
		v.What = who + " renewed"
	case "answered":
		v.What, v.Mood = verdict(e.Status)
		v.What = who + ": " + v.What
	case "syncerror":
		v.What, v.Mood = "the hub told the others: "+who+" "+e.Detail, "bad"
	case "gone":
		v.What, v.Mood = who+" is gone", "wait"
		if e.Detail != "" {
			v.What += ": " + e.Detail
		}
	default:
		v.What, v.Mood = who+" sent what cannot be read", "bad"
	}
	return v
}

// newContextView reads an open for people: of each entry what a person calls it by.
func newContextView(e *fhircast.Event) contextView {
	v := contextView{Event: string(e.Name.Canonical()), Reference: referenceOf(e)}
	v.ID = strings.ReplaceAll(v.Reference, "/", "-")
	v.Row = "row-" + v.ID
	for _, i := range e.Context {
		v.Lines = append(v.Lines, newLine(i))
	}
	order := []string{"patient", "encounter", "study", "report"}
	slices.SortStableFunc(v.Lines, func(a, b lineView) int { return slices.Index(order, a.Key) - slices.Index(order, b.Key) })
	return v
}

func newLine(i fhircast.Item) lineView {
	var r struct {
		ID          string
		Name        []humanName
		BirthDate   string
		Identifier  []identifier
		Description string
		ReasonCode  []concept
		Code        concept
		Status      string
	}
	line := lineView{Key: i.Key, Title: "cannot be read"}
	if i.Kind != "resource" || json.Unmarshal(i.Value, &r) != nil {
		return line
	}
	line.Title = r.ID
	for _, title := range []string{nameOf(r.Name), r.Description, reasonOf(r.ReasonCode), r.Code.Text} {
		if title != "" {
			line.Title = title
			break
		}
	}
	var notes []string
	if r.BirthDate != "" {
		notes = append(notes, "born "+r.BirthDate)
	}
	for _, ident := range r.Identifier {
		if ident.System != studySystem { // nobody reads UIDs aloud
			notes = append(notes, ident.Value)
		}
	}
	line.Note = strings.Join(notes, ", ")
	return line
}

func nameOf(names []humanName) string {
	if len(names) == 0 {
		return ""
	}
	if names[0].Text != "" {
		return names[0].Text
	}
	return strings.TrimSpace(strings.Join(names[0].Given, " ") + " " + names[0].Family)
}

func reasonOf(reasons []concept) string {
	if len(reasons) == 0 {
		return ""
	}
	return reasons[0].Text
}
