package bridge

import (
	"encoding/json"
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
