package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

const sharing = "DiagnosticReport-open DiagnosticReport-close DiagnosticReport-update DiagnosticReport-select"

// openIn is the open of what, as a hub that shares content broadcasts it.
func openIn(version, id, what string) *fhircast.Event {
	resource := map[byte]fhircast.Name{'p': "Patient", 'r': "DiagnosticReport"}[what[0]]
	e, err := fhircast.NewEvent(fhircast.Draft{ID: id, At: time.Now(), Topic: topic, Name: resource + "-open", Context: json.RawMessage(contextOf(what)), Version: version})
	if err != nil {
		panic(err)
	}
	return e
}

func closeOf(id, what string) *fhircast.Event {
	return evAt("DiagnosticReport-close", id, time.Now(), contextOf(what))
}

// sharesIn is what an app was last told of: version and observations of the newest event that holds content.
func (a *fakeApp) sharesIn(t *testing.T) string {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.params) - 1; i >= 0; i-- {
		if strings.Contains(a.params[i], `"content"`) {
			return contentIn(decoded(a.params[i]))
		}
	}
	return "nothing"
}

func contentIn(e *fhircast.Event) string {
	item, ok := e.Item("content")
	if !ok {
		return e.Version + " without content"
	}
	var b struct {
		ResourceType, Type string
		Entry              []struct{ Resource struct{ ID string } }
	}
	if err := json.Unmarshal(item.Value, &b); err != nil || b.ResourceType != "Bundle" || b.Type != "collection" {
		return "no Bundle of type collection"
	}
	words := []string{e.Version}
	for _, one := range b.Entry {
		words = append(words, one.Resource.ID)
	}
	return strings.Join(words, " ")
}

func (a *fakeApp) wantContent(d *deskTest, want string) {
	d.Helper()
	if got := a.sharesIn(d.T); got != want {
		d.Errorf("%s was told of %q, want %q", a.id, got, want)
	}
}

// contextOfApp is the version and the content that an app gets when it asks for the context.
func (d *deskTest) contextOfApp(a *fakeApp) string {
	d.Helper()
	got, err := d.relay.Context(a.id)
	if err != nil || got == nil {
		d.Fatalf("context %v %v", got, err)
	}
	return got.Version + ": " + contentIn(decoded(string(got.Current)))
}

// reporting is a desk with a report open in version v1, an app that shares in it and one that does not.
func reporting(t *testing.T, body func(d *deskTest, creator, viewer *fakeApp)) {
	t.Helper()
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		viewer := d.attach("viewer", "Patient-open ImagingStudy-open", &fakeApp{status: 200})
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v1")
		d.subscribe()
		d.deliver(openIn("v1", "open", "r1/s1/p1"))
		creator.news()
		viewer.news()
		body(d, creator, viewer)
	})
}

// FC-CS-12, FC-CS-14, FC-CAT-09: in the order of the hub, whatever their timestamps; the version is tracked, and what
// is shared is what the updates made.
func TestUpdatesAreRelayedInOrderAndTheVersionFollows(t *testing.T) {
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		asked := d.hub.questions()
		d.wantAnswer("o1", d.deliver(up("u1", "r1", "v1", "v2", "o1")), 200)
		d.deliver(up("u2", "r1", "v2", "v3", "o2", "o3")) // FC-CS-26: several at once
		d.deliver(up("u3", "r1", "v3", "v4", "-o1", "o4"))
		d.wantNews("the one that takes part", creator, "DiagnosticReport-update:r1 DiagnosticReport-update:r1 DiagnosticReport-update:r1")
		d.wantNews("the other", viewer, "")
		if got := d.contextOfApp(viewer); got != "v4: v4 o2 o3 o4" {
			t.Errorf("context %s", got)
		}
		if d.hub.questions() != asked {
			t.Error("the hub was asked though nothing was missing")
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-CS-12: versions are tracked also when no app wants the updates.
func TestVersionsAreTrackedWhenNoAppWantsUpdates(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		viewer := d.attach("viewer", "ImagingStudy-open", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(openIn("v1", "open", "r1/s1/p1"))
		asked := d.hub.questions()
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		d.deliver(up("u2", "r1", "lost", "v9", "o2"))
		if got, _ := d.relay.Context(viewer.id); got.Version != "v9" {
			t.Errorf("version %s", got.Version)
		}
		if d.hub.questions() != asked {
			t.Error("the hub was asked for content that nobody wants")
		}
		d.wantPhase(protocol.PhaseInSync)
	})
}

// FC-CS-15, FC-CS-13, RAD-154: a gap is healed by reading, and only who takes part hears of it.
func TestAnUpdateThatSkipsAVersionIsReadAgain(t *testing.T) {
	for name, skips := range map[string]func(d *deskTest){
		"a prior version that we do not have": func(d *deskTest) { d.deliver(up("u3", "r1", "v2", "v3", "o3")) },
		"no version at all":                   func(d *deskTest) { d.deliver(up("u3", "r1", "", "", "o3")) },
		"no Bundle": func(d *deskTest) {
			d.deliver(decoded(strings.Replace(string(up("u3", "r1", "v1", "v3", "o3").Wire()), `"Bundle"`, `"Basket"`, 1)))
		},
		"no anchor": func(d *deskTest) {
			d.deliver(decoded(strings.Replace(string(up("u3", "r1", "v1", "v3", "o3").Wire()), `"report"`, `"rapport"`, 1)))
		},
		"a frame that could not be read": func(d *deskTest) { d.relay.Refused(d.n, &fhircast.FrameError{Name: "diagnosticreport-UPDATE"}) },
	} {
		t.Run(name, func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
				d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v3", "o2", "o3")
				asked := d.hub.questions()
				skips(d)
				if n := d.hub.questions(); n != asked+1 {
					t.Errorf("asked %d times", n-asked)
				}
				d.wantNews("the whole", creator, "DiagnosticReport-open:r1/snapshot")
				creator.wantContent(d, "v3 o2 o3")
				d.wantNews("not disturbed", viewer, "")
				d.deliver(up("u4", "r1", "v3", "v4", "-o2"))
				d.wantNews("and on from there", creator, "DiagnosticReport-update:r1")
				if got := d.contextOfApp(creator); got != "v4: v4 o3" {
					t.Errorf("context %s", got)
				}
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

func TestS1_WhatIsSharedAndCannotBeReadIsSeenUntilItIs(t *testing.T) {
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		d.hub.err = errors.New("x")
		d.deliver(up("u3", "r1", "v2", "v3", "o3"))
		d.deliver(up("u4", "r1", "v3", "v4", "o4"))
		time.Sleep(time.Second)
		d.wantPhase(protocol.PhaseAttention)
		if got := d.problems(); got != "content_unknown" {
			t.Errorf("problems %q", got)
		}
		d.wantNews("no patient is in doubt", viewer, "")
		d.wantNews("nothing that does not fit", creator, "")
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v4", "o2", "o3", "o4")
		d.hub.mu.Lock()
		d.hub.err = nil
		d.hub.mu.Unlock()
		time.Sleep(time.Minute)
		d.wantNews("the whole, once", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v4 o2 o3 o4")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS4_AnUpdateBeatsTheReadingThatWasUnderWay(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.hub.delay = 100 * time.Millisecond
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v3", "o3")
		d.deliver(up("u3", "r1", "v2", "v3", "o3")) // asks, and is answered with v3
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v4", "o3", "o4")
		d.deliver(up("u4", "r1", "v3", "v4", "o4"))
		time.Sleep(time.Second)
		d.wantNews("one whole, not an old one", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v4 o3 o4")
	})
}

func TestS4_AHubWhoseAnswersAreBehindItsEventsTakesNoAppBack(t *testing.T) {
	for name, of := range map[string]struct{ current, told string }{
		"behind":          {"r2/p2", ""},
		"an event lacked": {"r1/s1/p1", "DiagnosticReport-open:r1/snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
				d.deliver(openIn("w1", "other", "r2/p2")) // and the hub still says r1
				d.wantNews("at once", creator, "DiagnosticReport-open:r2")
				d.wantNews("at once", viewer, "Patient-open:p2/derived")
				if got, _ := d.relay.Context(creator.id); got != nil {
					t.Error("it is said to be known")
				}
				time.Sleep(900 * time.Millisecond)
				d.wantPhase(protocol.PhaseAttention)
				d.hub.share("DiagnosticReport-open", of.current, "w1")
				time.Sleep(200 * time.Millisecond)
				d.wantNews("then", creator, of.told)
				d.wantPhase(protocol.PhaseInSync)
			})
		})
	}
}

// FC-CS-35
func TestAReplayedUpdateChangesNothing(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		creator.news()
		asked := d.hub.questions()
		d.wantAnswer("the same id", d.deliver(up("u1", "r1", "v1", "v2", "o1")), 202)
		d.wantAnswer("the same version", d.deliver(up("u1-again", "r1", "v1", "v2", "o1")), 202)
		d.wantNews("nothing", creator, "")
		if d.hub.questions() != asked {
			t.Error("the hub was asked")
		}
		if got := d.contextOfApp(creator); got != "v2: v2 o1" {
			t.Errorf("context %s", got)
		}
	})
}

func TestAnUpdateUnderAnIdThatWasUsedIsNoRepeat(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.deliver(up("1", "r1", "v1", "v2", "o1"))
		another := up("1", "r1", "v2", "v3", "o2")
		another.Timestamp = fhircast.At(another.Timestamp.At.Add(time.Second))
		d.wantAnswer("the other", d.deliver(another), 200)
		if got := d.contextOfApp(creator); got != "v3: v3 o1 o2" {
			t.Errorf("context %s", got)
		}
	})
}

// FC-CS-33: an update of an open context that is not current changes that one, and never what is current.
func TestAnUpdateOfAnotherOpenContextNeverSwitches(t *testing.T) {
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		d.hub.share("DiagnosticReport-open", "r2/p2", "w1")
		d.deliver(openIn("w1", "other", "r2/p2"))
		creator.news()
		viewer.news()
		d.wantAnswer("an update of r1", d.deliver(up("u1", "r1", "v1", "v2", "o1")), 200)
		d.wantNews("relayed", creator, "DiagnosticReport-update:r1")
		d.wantNews("to who asked", viewer, "")
		if got := d.contextOfApp(viewer); !strings.HasPrefix(got, "w1: ") {
			t.Errorf("context %s", got)
		}
		if e := d.relay.core.desk.event; e.ID != "other" {
			t.Errorf("%v is current", e)
		}
		// FC-CS-29, RAD-148: opened again, what was shared before comes back to who takes part.
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v3", "o1")
		d.deliver(openIn("v3", "again", "r1/s1/p1"))
		d.wantNews("the open, then the whole", creator, "DiagnosticReport-open:r1 DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v3 o1")
		if !strings.Contains(creator.params[len(creator.params)-1], `"fullUrl":"urn:shared:o1"`) {
			t.Error("under another address than before")
		}
		d.wantNews("the others: the patient, once", viewer, "ImagingStudy-open:s1/derived")
	})
}

// FC-ACK-04, FC-ACK-07: what is shared comes after the app has answered the open, or its refusal would be that of a snapshot, of which
// nobody hears.
func TestTheHubHearsWhatAnAppSaysToAnOpenThatContentFollows(t *testing.T) {
	for name, of := range map[string]struct {
		after        time.Duration
		answer, errs int
	}{"in time": {100 * time.Millisecond, 409, 0}, "late": {2 * time.Second, 202, 1}} {
		t.Run(name, func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, _ *fakeApp) {
				creator.mu.Lock()
				creator.status, creator.after = 409, of.after
				creator.mu.Unlock()
				d.hub.share("DiagnosticReport-open", "r2/p2", "w1", "o1")
				d.hub.delay = 50 * time.Millisecond
				answer := d.deliver(openIn("w1", "open2", "r2/p2"))
				time.Sleep(of.after + 10*time.Millisecond)
				d.wantAnswer("the refusal", answer, of.answer)
				d.wantNews("then", creator, "DiagnosticReport-open:r2 DiagnosticReport-open:r2/snapshot")
				d.afterAll()
				if n := len(d.hub.sent()); n != of.errs {
					t.Errorf("%d SyncErrors, want %d", n, of.errs)
				}
			})
		})
	}
}

// RAD-148: a report that was suspended before we subscribed, or whose hub cannot be asked, comes back whole.
func TestAReportThatIsResumedComesBackWithItsContent(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.subscribe()
		creator.news()
		d.hub.share("DiagnosticReport-open", "r5/p5", "x7", "o7")
		d.deliver(openIn("x7", "open", "r5/p5"))
		d.wantNews("what the hub kept", creator, "DiagnosticReport-open:r5 DiagnosticReport-open:r5/snapshot")
		creator.wantContent(d, "x7 o7")
	})
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		d.deliver(openIn("x7", "before", "r7/p1"))
		d.afterAll()
		if got := d.problems(); got != "content_unknown" { // it was open before we came
			t.Errorf("problems %q", got)
		}
		d.deliver(openIn("v1", "open", "r1/p1"))
		d.wantPhase(protocol.PhaseInSync)
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		d.deliver(openIn("w1", "other", "r2/p2"))
		creator.news()
		d.deliver(openIn("v3", "again", "r1/p1"))
		d.wantNews("what we kept", creator, "DiagnosticReport-open:r1 DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v3 o1")
	})
}

// Two of the opens that tell a new subscriber what is open may be of one context.
func TestInitialOpensAreOfContextsWhoseContentIsNotKnown(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.offered = false
		initial := func(version, id, what string, second int) {
			e := openIn(version, id, what)
			e.Timestamp = fhircast.At(e.Timestamp.At.Add(time.Duration(second) * time.Second))
			d.deliver(e)
		}
		d.subscribe()
		initial("v3", "newest", "r1/p1", 5)
		initial("v2", "older", "r1/p1", 2)
		initial("w2", "other", "r2/p1", 1)
		time.Sleep(3 * time.Second)
		d.deliver(up("u", "r1", "v3", "v4", "o1"))
		got, err := d.relay.Context(creator.id)
		if err != nil || got.Version != "v4" || len(got.Open) != 2 {
			t.Errorf("version %s, %d open, %v", got.Version, len(got.Open), err)
		}
		initial("w2", "again", "r2/p1", 9)
		time.Sleep(time.Second)
		if got := d.problems(); got != "content_unknown" {
			t.Errorf("problems %q", got)
		}
	})
}

// FC-CS-07: what was shared goes with the close.
func TestACloseDropsWhatWasShared(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		d.deliver(closeOf("close", "r1/p1"))
		if n := len(d.relay.core.desk.open); n != 0 {
			t.Errorf("%d contexts kept", n)
		}
		creator.news()
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v5")
		d.deliver(openIn("v5", "again", "r1/s1/p1"))
		d.wantNews("a new one of the same name", creator, "DiagnosticReport-open:r1")
		if got := d.contextOfApp(creator); got != "v5: v5 without content" {
			t.Errorf("context %s", got)
		}
	})
}

func TestS13_AnAppThatTakesPartLaterGetsWhatIsShared(t *testing.T) {
	reporting(t, func(d *deskTest, _, viewer *fakeApp) {
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		late := d.attach("late", sharing, &fakeApp{status: 200})
		d.wantNews("hello", late, "DiagnosticReport-open:r1/replay/snapshot")
		late.wantContent(d, "v2 o1")
		d.relay.Subscribe(viewer.id, fhircast.Names(strings.Fields(sharing)))
		d.wantNews("subscribe", viewer, "DiagnosticReport-open:r1/replay/snapshot")
		viewer.wantContent(d, "v2 o1")
	})
}

func TestS2_AfterAReconnectWhatIsSharedIsToldOnlyIfItChanged(t *testing.T) {
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		creator.news()
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v2", "o1")
		d.relay.Lost(d.n, "reset")
		d.confirm()
		d.wantNews("as it was", creator, "")
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v3", "o1", "o2")
		d.relay.Lost(d.n, "reset")
		d.confirm()
		d.wantNews("more was shared meanwhile", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v3 o1 o2")
		d.wantNews("the same patient", viewer, "")
	})
}

// A hub that started anew may count its versions from one again.
func TestS2_AfterAReconnectOtherContentOfTheSameVersionIsTold(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		creator.news()
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v2", "o2")
		d.relay.Lost(d.n, "reset")
		d.confirm()
		d.wantNews("the whole", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v2 o2")
	})
	reporting(t, func(d *deskTest, creator, _ *fakeApp) { // and one that gives no content here
		d.hub.set("DiagnosticReport-open", contextOf("r1/s1/p1"))
		d.relay.Lost(d.n, "reset")
		d.confirm()
		d.deliver(up("u1", "r1", "", "", "o1"))
		creator.news()
		d.relay.Lost(d.n, "reset")
		d.confirm()
		d.wantNews("has it still", creator, "")
		d.attach("late", sharing, &fakeApp{status: 200}).wantContent(d, " o1")
	})
}

// FC-CS-30, FC-CS-31, FC-CAT-10: a select is relayed for what is current and for nothing else.
func TestASelectIsRelayedForTheCurrentContextOnly(t *testing.T) {
	selects := func(id, anchor string) *fhircast.Event {
		return decoded(`{"timestamp":"2026-01-02T03:00:00.000Z","id":"` + id + `","event":{"hub.topic":"` + topic + `","hub.event":"DiagnosticReport-select","context":[` +
			anchorOf(anchor) + `,{"key":"select","reference":{"reference":"Observation/o1"}}]}}`)
	}
	reporting(t, func(d *deskTest, creator, viewer *fakeApp) {
		d.wantAnswer("the current", d.deliver(selects("s1", "r1")), 200)
		d.wantNews("relayed", creator, "DiagnosticReport-select:r1")
		d.wantAnswer("another", d.deliver(selects("s2", "r2")), 202)
		d.wantAnswer("of nobody knows what", d.deliver(decoded(strings.Replace(string(selects("s3", "r1").Wire()), `"report"`, `"rapport"`, 1))), 400)
		d.deliver(closeOf("close", "r1/p1"))
		creator.news()
		d.wantAnswer("when nothing is current", d.deliver(selects("s4", "r1")), 202)
		d.wantNews("none of them", creator, "")
		d.wantNews("who did not ask", viewer, "clear:closed")
	})
}

// FC-ERR-11, FC-ACK-10: an app that does not follow an update or a select draws no SyncError of ours.
func TestNoSyncErrorIsSentAboutUpdatesAndSelects(t *testing.T) {
	for status, want := range map[int]int{409: 409, 500: 500, 0: 202} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, _ *fakeApp) {
				creator.mu.Lock()
				creator.status = status
				creator.mu.Unlock()
				answer := d.deliver(up("u1", "r1", "v1", "v2", "o1"))
				d.afterAll()
				d.wantAnswer("the hub", answer, want)
				if got := d.hub.sent(); len(got) != 0 {
					t.Errorf("sent %v", got)
				}
			})
		})
	}
}

func TestS4_AnUpdateOfAReportThatIsOnlyBeingReadBeatsTheAnswer(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.delay = 100 * time.Millisecond
		d.hub.share("DiagnosticReport-open", "r1/p1", "v1")
		d.subscribe() // asks, and is answered with v1
		d.hub.share("DiagnosticReport-open", "r1/p1", "v2", "o1")
		d.deliver(up("u1", "r1", "v1", "v2", "o1"))
		time.Sleep(time.Second)
		creator.wantContent(d, "v2 o1")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS4_AnUpdateThatCannotBeReadBeatsTheReadingThatWasUnderWay(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.delay = 100 * time.Millisecond
		d.hub.share("DiagnosticReport-open", "r1/p1", "v1")
		d.subscribe() // asks, and is answered with v1
		d.hub.share("DiagnosticReport-open", "r1/p1", "v2", "o1")
		d.relay.Refused(d.n, &fhircast.FrameError{Name: "diagnosticReport-update"})
		time.Sleep(time.Second)
		creator.wantContent(d, "v2 o1")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS1_WhatIsSharedAndNotReadInTimeIsSeen(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.hub.share("DiagnosticReport-open", "r2/p2", "w1", "o1")
		d.hub.delay = time.Minute
		d.deliver(openIn("w1", "open2", "r2/p2"))
		time.Sleep(700 * time.Millisecond)
		d.wantPhase(protocol.PhaseInSync)
		time.Sleep(200 * time.Millisecond)
		d.wantPhase(protocol.PhaseAttention)
		p := d.relay.View().Problems
		if got := d.problems(); got != "content_unknown" || time.Since(p[0].Since) != 900*time.Millisecond {
			t.Errorf("problems %v", p)
		}
		time.Sleep(time.Minute)
		creator.wantContent(d, "w1 o1")
		d.wantPhase(protocol.PhaseInSync)
	})
}

// The open that tells a new subscriber what the hub has just said comes while what is shared in it waits to be read again.
func TestS2_WhatIsSharedIsReadAlsoWhereAnOpenConfirmsTheReading(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.set("DiagnosticReport-open", contextOf("r1/p1"))
		d.subscribe()
		d.hub.err = errors.New("x")
		d.relay.Refused(d.n, &fhircast.FrameError{Name: "DiagnosticReport-update"})
		d.phase()
		d.deliver(openIn("v5", "open", "r1/p1"))
		d.hub.share("DiagnosticReport-open", "r1/p1", "v5", "o5")
		d.hub.mu.Lock()
		d.hub.err = nil
		d.hub.mu.Unlock()
		time.Sleep(2 * time.Minute)
		creator.wantContent(d, "v5 o5")
		d.wantPhase(protocol.PhaseInSync)
	})
}

func TestS8_WhatIsSharedWhileAppsAreClearedComesWhole(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200, clearsAfter: time.Second})
		d.subscribe()
		d.deliver(openIn("v2", "again", "r1/p1"))
		d.deliver(up("u1", "r1", "v2", "v3", "o2"))
		d.hub.share("DiagnosticReport-open", "r1/p1", "v3", "o1", "o2") // o1 was there before we came
		time.Sleep(3 * time.Second)
		creator.wantContent(d, "v3 o1 o2")
	})
}

// FC-CS-10: who asked for the opens of reports and not for their updates is not disturbed by what is shared.
func TestWhoTakesNoPartIsNotToldOfContent(t *testing.T) {
	reporting(t, func(d *deskTest, _, _ *fakeApp) {
		reader := d.attach("reader", "DiagnosticReport-open", &fakeApp{status: 200})
		reader.news()
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v3", "o3")
		d.deliver(up("u3", "r1", "v2", "v3", "o3"))
		d.wantNews("nothing", reader, "")
	})
}

// What apps know is not told by versions alone: a hub may give none, or none with its updates.
func TestS13_WhoLacksAnUpdateIsToldTheWholeWhateverItsVersionIs(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v1", "o1")
		d.deliver(up("u1", "r1", "", "", "o1")) // kept back
		d.wantNews("the whole", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v1 o1")
	})
	onDesk(t, func(d *deskTest) {
		d.hub.set("DiagnosticReport-open", withContent(contextOf("r1/p1"), []string{"o1"}))
		reader := d.attach("reader", "DiagnosticReport-open", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(up("u1", "r1", "", "", "-o1")) // not asked for
		reader.news()
		d.relay.Subscribe(reader.id, fhircast.Names(strings.Fields(sharing)))
		d.wantNews("then", reader, "DiagnosticReport-open:r1/snapshot")
		reader.wantContent(d, "")
	})
}

func TestS13_WhoComesLaterGetsWhatIsSharedAtAHubWithoutVersions(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.subscribe()
		creator.news()
		asked := d.hub.questions()
		d.deliver(openIn("", "open", "r1/p1"))
		d.deliver(up("u1", "r1", "", "", "o1"))
		d.attach("late", sharing, &fakeApp{status: 200}).wantContent(d, " o1")
		d.deliver(openIn("", "other", "r2/p2"))
		d.wantNews("who was there", creator, "DiagnosticReport-open:r1 DiagnosticReport-update:r1 DiagnosticReport-open:r2")
		d.deliver(openIn("", "again", "r1/p1"))
		creator.wantContent(d, " o1")
		if d.hub.questions() != asked {
			t.Error("the hub was asked")
		}
	})
	onDesk(t, func(d *deskTest) {
		d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.set("DiagnosticReport-open", withContent(contextOf("r1/p1"), []string{"o0"}))
		d.subscribe()
		d.deliver(up("u1", "r1", "", "", "o1"))
		d.attach("late", sharing, &fakeApp{status: 200}).wantContent(d, " o0 o1")
	})
}

func TestAnUpdateAtAHubWhoseVersionsStandStillIsNoRepeat(t *testing.T) {
	for name, prior := range map[string]string{"it says so": "v1", "it does not say on what it builds": ""} {
		t.Run(name, func(t *testing.T) {
			reporting(t, func(d *deskTest, creator, _ *fakeApp) {
				d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v1", "o0")
				d.deliver(openIn("v1", "again", "r1/s1/p1"))
				creator.news()
				d.deliver(up("u1", "r1", prior, "v1", "o1"))
				d.wantNews("relayed", creator, "DiagnosticReport-update:r1")
				d.attach("late", sharing, &fakeApp{status: 200}).wantContent(d, "v1 o0 o1")
			})
		})
	}
}

// An update is kept back only where the whole comes instead.
func TestAnUpdateThatSkipsAVersionIsRelayedWhereNothingMendsIt(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) { // not current, so not read
		d.hub.share("DiagnosticReport-open", "r2/p2", "w1")
		d.deliver(openIn("w1", "other", "r2/p2"))
		creator.news()
		d.wantAnswer("of another", d.deliver(up("u9", "r1", "v8", "v9", "o9")), 200)
		d.wantNews("of another", creator, "DiagnosticReport-update:r1")
	})
	onDesk(t, func(d *deskTest) { // the hub cannot be asked
		creator := d.attach("creator", sharing, &fakeApp{status: 200})
		d.hub.offered = false
		d.subscribe()
		time.Sleep(3 * time.Second)
		d.deliver(openIn("v1", "open", "r1/p1"))
		creator.news()
		d.wantAnswer("nobody to ask", d.deliver(up("u9", "r1", "v8", "v9", "o9")), 200)
		d.wantNews("nobody to ask", creator, "DiagnosticReport-update:r1")
		time.Sleep(time.Second)
		d.wantPhase(protocol.PhaseAttention)
	})
	reporting(t, func(d *deskTest, creator, _ *fakeApp) { // and who asks for no open is not told the whole
		d.relay.Subscribe(creator.id, fhircast.Names([]string{"Patient-open", "DiagnosticReport-update"}))
		creator.news()
		d.wantAnswer("no part in it", d.deliver(up("u9", "r1", "v8", "v9", "o9")), 200)
		d.wantNews("no part in it", creator, "DiagnosticReport-update:r1")
	})
}

func TestS13_WhatIsSharedShowsNoPatientToWhomTheUserCleared(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		if _, err := d.relay.Clear(protocol.ReasonUser); err != nil {
			t.Fatal(err)
		}
		d.wantNews("Clear all", creator, "clear:user")
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v3", "o3")
		d.deliver(up("u3", "r1", "v2", "v3", "o3"))
		d.wantNews("an update that skips a version", creator, "")
		_ = d.relay.Resync()
		d.wantNews("a re-sync", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v3 o3")
	})
}

// FC-CNF-03: what the hub does not tell it is not asked for.
func TestWhatIsSharedIsNotReadWhereUpdatesAreNotGranted(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.grant("DiagnosticReport-open DiagnosticReport-close Patient-open")
		asked := d.hub.questions()
		d.deliver(openIn("w1", "other", "r2/p2"))
		d.wantNews("the open", creator, "DiagnosticReport-open:r2")
		if d.hub.questions() != asked {
			t.Error("the hub was asked")
		}
		d.wantPhase(protocol.PhaseAttention) // it asked for updates by name
	})
}
