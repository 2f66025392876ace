package bridge

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// shares sends an update as an app would: it puts or deletes ("-") observations, or deletes the resource "Type/id".
func (d *deskTest) shares(a *fakeApp, id, anchor, version string, changes ...string) error {
	d.Helper()
	var context struct {
		Event struct{ Context json.RawMessage }
	}
	if err := json.Unmarshal(up("x", anchor, "", "", changes...).Wire(), &context); err != nil {
		d.Fatal(err)
	}
	_, err := d.relay.Send(a.id, protocol.SendParams{ID: id, Event: "DiagnosticReport-update", Context: context.Event.Context, Version: version})
	d.phase()
	return err
}

func (d *deskTest) wantFault(what string, err error, code, status int) {
	d.Helper()
	var fault *protocol.Error
	switch {
	case !errors.As(err, &fault) || fault.Code != code:
		d.Errorf("%s: %v, want %d", what, err, code)
	case status != 0 && (fault.Data == nil || fault.Data.Status != status):
		d.Errorf("%s: data %+v, want status %d", what, fault.Data, status)
	}
}

// FC-CS-02: the app's version goes to the hub; without one, the newest that we have heard of.
func TestAnUpdateCarriesTheVersionOfTheAppOrTheNewest(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		for _, version := range []string{"", "v1"} {
			if err := d.shares(creator, "", "r1", version, "o2"); err != nil {
				t.Fatal(err)
			}
		}
		sent := d.hub.sent()
		if sent[0].Version != "v2" || sent[1].Version != "v1" {
			t.Errorf("versions %q, %q", sent[0].Version, sent[1].Version)
		}
		d.wantFault("of what is not open", d.shares(creator, "", "r9", "", "o2"), protocol.CodeContextUnknown, 0)
		if err := d.shares(creator, "", "r9", "v7", "o2"); err != nil { // the hub knows
			t.Error(err)
		}
	})
}

// FC-CS-11: sharing in a report begins with its open; until the hub has given that a version, there is nothing to share in.
func TestSharingBeginsWithAnOpen(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		s := d.session()
		s.Send = append(s.Send, "DiagnosticReport-open")
		d.relay.Join(s)
		d.confirm()
		d.wantFault("before the open", d.shares(creator, "", "r1", "", "o1"), protocol.CodeContextUnknown, 0)
		if _, err := d.relay.Send(creator.id, protocol.SendParams{ID: "open", Event: "DiagnosticReport-open", Context: json.RawMessage(contextOf("r1/p1"))}); err != nil {
			t.Fatal(err)
		}
		d.wantFault("before the hub's version", d.shares(creator, "", "r1", "", "o1"), protocol.CodeContextUnknown, 0)
		d.deliver(openIn("v1", "open", "r1/p1"))
		if err := d.shares(creator, "", "r1", "", "o1"); err != nil {
			t.Fatal(err)
		}
		sent := d.hub.sent()
		if len(sent) != 2 || !sent[0].Name.Is("DiagnosticReport-open") || !sent[1].Name.Is("DiagnosticReport-update") || sent[1].Version != "v1" {
			t.Errorf("sent %v", sent)
		}
	})
}

// FC-CS-10: who takes part is told of the open, of each update and of the close, whatever else it asks for; selects are
// for who asks for them.
func TestWhoSharesIsToldOfOpenUpdateAndClose(t *testing.T) {
	selects := func() *fhircast.Event {
		return decoded(`{"timestamp":"2026-01-02T03:00:00.000Z","id":"s1","event":{"hub.topic":"` + topic + `","hub.event":"DiagnosticReport-select","context":[` + anchorOf("r1") + `]}}`)
	}
	for events, want := range map[string]string{
		"DiagnosticReport-open DiagnosticReport-update DiagnosticReport-close": "DiagnosticReport-open:r1 DiagnosticReport-update:r1 DiagnosticReport-update:r1 DiagnosticReport-close:r1",
		sharing: "DiagnosticReport-open:r1 DiagnosticReport-update:r1 DiagnosticReport-update:r1 DiagnosticReport-select:r1 DiagnosticReport-close:r1",
		"DiagnosticReport-open DiagnosticReport-update": "DiagnosticReport-open:r1 DiagnosticReport-update:r1 DiagnosticReport-update:r1 clear:closed",
	} {
		t.Run(events, func(t *testing.T) {
			onDesk(t, func(d *deskTest) {
				creator := d.attach("creator", events, &fakeApp{status: 200})
				d.subscribe()
				creator.news()
				d.hub.share("DiagnosticReport-open", "r1/p1", "v1")
				for _, e := range []*fhircast.Event{openIn("v1", "open", "r1/p1"), up("u1", "r1", "v1", "v2", "o1"), up("u2", "r1", "v2", "v3", "-o1"), selects(), closeOf("close", "r1/p1")} {
					d.wantAnswer(string(e.Name), d.deliver(e), map[bool]int{true: 200, false: 202}[e.ID != "s1" || events == sharing])
				}
				d.wantNews("in order", creator, want)
				d.wantPhase(protocol.PhaseNoContext)
			})
		})
	}
}

// FC-CS-24
func TestAnUpdateNeverDeletesWhatTheOpenNamed(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		for _, name := range []string{"DiagnosticReport/r1", "ImagingStudy/s1", "Patient/p1"} {
			context := `[` + anchorOf("r1") + `,{"key":"updates","resource":{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"` + name +
				`","request":{"method":"DELETE","url":"` + name + `"}}]}}]`
			_, err := d.relay.Send(creator.id, protocol.SendParams{Event: "DiagnosticReport-update", Context: json.RawMessage(context)})
			d.wantFault(name, err, protocol.CodeInvalidParams, 0)
		}
		if err := d.shares(creator, "", "r1", "", "-o1"); err != nil { // FC-CS-25: others come and go
			t.Error(err)
		}
		if n := len(d.hub.sent()); n != 1 {
			t.Errorf("%d updates reached the hub", n)
		}
	})
}

// FC-CS-03, FC-CS-13, RAD-150: whatever the hub says against it, the app hears it and gets what the hub has.
func TestAnAppWhoseUpdateIsNotTakenIsToldAndGetsWhatTheHubHas(t *testing.T) {
	for _, status := range []int{400, 409, 412, 413, 500} {
		reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
			d.hub.publish = func(*fhircast.Event) (int, error) { return status, nil }
			d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v2", "o1")
			d.wantFault("the answer", d.shares(creator, "q1", "r1", "v1", "o9"), protocol.CodeRefused, status) // FC-CS-27
			d.wantNews("then", creator, "DiagnosticReport-open:r1/snapshot")
			creator.wantContent(d, "v2 o1")
			d.wantNews("the other", viewer, "")
			d.wantPhase(protocol.PhaseInSync)
		})
	}
	for name, content := range map[string][]string{"nothing is shared": nil, "what it had": {"o1"}} {
		reporting(t, func(d *deskTest, creator, _ *fakeApp) {
			d.deliver(up("u1", "r1", "v1", "v2", content...))
			creator.news()
			d.hub.publish = func(*fhircast.Event) (int, error) { return 409, nil }
			d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v2", content...)
			d.wantFault(name, d.shares(creator, "q1", "r1", "v2", "o9"), protocol.CodeRefused, 409)
			d.wantNews(name+": it may show what it asked for", creator, "DiagnosticReport-open:r1/snapshot")
		})
	}
}

// FC-CS-03, FC-REQ-04: accepted and refused afterwards, which the hub says to the sender alone.
func TestAnUpdateThatIsRefusedAfterItWasAccepted(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v2", "o1")
		if err := d.shares(creator, "q1", "r1", "v1", "o9"); err != nil {
			t.Fatal(err)
		}
		e, err := fhircast.NewSyncError("se", time.Now(), topic, fhircast.Failure{EventID: "q1", EventName: "DiagnosticReport-update"})
		if err != nil {
			t.Fatal(err)
		}
		d.deliver(e)
		d.wantNews("then", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v2 o1")
		d.wantFault("the same id", d.shares(creator, "q1", "r1", "v1", "o9"), protocol.CodeRefused, 0)
		d.wantPhase(protocol.PhaseInSync) // it says nothing of who is at which patient
		asked := d.hub.questions()
		d.afterAll()
		if d.hub.questions() != asked {
			t.Error("read once more for want of an echo")
		}
	})
}

func TestS9_AnUpdateWithoutItsEchoIsReadFromTheHub(t *testing.T) {
	for name, answer := range map[string]error{"accepted": nil, "its answer lost": errors.New("reset")} {
		t.Run(name, func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, _ *fakeApp) {
				d.hub.publish = func(*fhircast.Event) (int, error) {
					if answer != nil {
						return 0, answer
					}
					return 202, nil
				}
				_ = d.shares(creator, "q1", "r1", "v1", "o9")
				asked := d.hub.questions()
				time.Sleep(4900 * time.Millisecond)
				d.wantNews("not yet", creator, "")
				time.Sleep(200 * time.Millisecond)
				d.wantNews("then", creator, "DiagnosticReport-open:r1/snapshot")
				if d.hub.questions() != asked+1 {
					t.Errorf("asked %d times", d.hub.questions()-asked)
				}
			})
		})
	}
}

// The hub may have refused it with nobody there to hear so.
func TestS9_AfterAReconnectAnAppWhoseUpdateHadNotComeGetsWhatTheHubHas(t *testing.T) {
	for name, answer := range map[string]int{"accepted": 202, "its answer lost": 0} {
		t.Run(name, func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
				d.hub.publish = func(*fhircast.Event) (int, error) { return answer, nil }
				_ = d.shares(creator, "q1", "r1", "v1", "o9")
				d.relay.Lost(d.n, "reset")
				d.confirm()
				d.wantNews("who asked", creator, "DiagnosticReport-open:r1/snapshot")
				d.wantNews("the other", viewer, "")
				creator.wantContent(d, "v1")
			})
		})
	}
}

func TestS9_TheEchoOfAnUpdateBringsTheNewVersionToWhoAsked(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		if err := d.shares(creator, "q1", "r1", "", "o1"); err != nil {
			t.Fatal(err)
		}
		d.deliver(up("q1", "r1", "v1", "v2", "o1"))
		asked := d.hub.questions()
		d.wantNews("its echo", creator, "DiagnosticReport-update:r1")
		d.afterAll()
		d.wantNews("and no more", creator, "")
		if d.hub.questions() != asked {
			t.Error("the hub was asked")
		}
		if err := d.shares(creator, "q2", "r1", "", "o2"); err != nil || d.hub.sent()[1].Version != "v2" {
			t.Errorf("%v, next version %q", err, d.hub.sent()[1].Version)
		}
	})
}

// FC-CS-30: refused before the hub is asked.
func TestASelectElsewhereIsRefused(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		selects := func(anchor string) error {
			_, err := d.relay.Send(creator.id, protocol.SendParams{Event: "DiagnosticReport-select",
				Context: json.RawMessage(`[` + anchorOf(anchor) + `,{"key":"select","reference":{"reference":"Observation/o1"}}]`)})
			return err
		}
		if err := selects("r1"); err != nil {
			t.Error(err)
		}
		d.wantFault("another", selects("r2"), protocol.CodeTooLate, 0)
		d.deliver(closeOf("close", "r1/p1"))
		d.wantFault("nothing is current", selects("r1"), protocol.CodeTooLate, 0)
		d.hub.err = errors.New("x")
		d.relay.Refused(d.n, &fhircast.FrameError{})
		d.wantPhase(protocol.PhaseAttention)
		d.wantFault("unknown", selects("r1"), protocol.CodeContextUnknown, 0)
		if n := len(d.hub.sent()); n != 1 {
			t.Errorf("%d selects reached the hub", n)
		}
	})
}

// FC-CS-27: what is too large to come back to the apps is refused as a hub would.
func TestAnUpdateThatIsTooLargeIsRefused(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		big := `[` + anchorOf("r1") + `,{"key":"updates","resource":{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"PUT","url":"Observation/o1"},"resource":` +
			strings.Replace(observation("o1"), `"x"`, `"`+strings.Repeat("x", eventLimit)+`"`, 1) + `}]}}]`
		_, err := d.relay.Send(creator.id, protocol.SendParams{Event: "DiagnosticReport-update", Context: json.RawMessage(big)})
		d.wantFault("5 MiB", err, protocol.CodeRefused, 413)
		if n := len(d.hub.sent()); n != 0 {
			t.Errorf("%d reached the hub", n)
		}
	})
}

func TestS13_WhatIsSharedFitsALine(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		version := "v1"
		for _, o := range []string{"o1", "o2", "o3"} {
			text := string(up("u-"+o, "r1", version, "v"+o, o).Wire())
			d.deliver(decoded(strings.Replace(text, `"text":"x"`, `"text":"`+strings.Repeat("x", 1700<<10)+`"`, 1)))
			version = "v" + o
		}
		got, err := d.relay.Context(creator.id)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(got)
		if len(text) > protocol.MaxLine || got.Version != "vo3" {
			t.Errorf("%d bytes, version %s", len(text), got.Version)
		}
		late := d.attach("late", sharing, &fakeApp{status: 200})
		d.wantNews("without what is too much", late, "DiagnosticReport-open:r1/replay")
		d.wantPhase(protocol.PhaseAttention)
		if got := d.problems(); got != "content_unknown" {
			t.Errorf("problems %q", got)
		}
	})
}
