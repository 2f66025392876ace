package bridge

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

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

// FC-CNF-03
func TestWhatWasSharedWhileUpdatesWereNotGrantedIsRead(t *testing.T) {
	reporting(t, func(d *deskTest, creator, _ *fakeApp) {
		d.grant("Patient-open Patient-close Encounter-open ImagingStudy-open ImagingStudy-close DiagnosticReport-open DiagnosticReport-close Home-open")
		d.hub.share("DiagnosticReport-open", "r1/s1/p1", "v2", "o1")
		d.grant("")
		d.wantNews("the whole", creator, "DiagnosticReport-open:r1/snapshot")
		creator.wantContent(d, "v2 o1")
	})
}
