package bridge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// grant is a confirmation of the subscription that is there, with these events.
func (d *deskTest) grant(events string) {
	d.relay.Subscribed(d.n, fhircast.Names(strings.Fields(events)))
	d.phase()
}

func (d *deskTest) problems() string {
	d.phase()
	var list []string
	for _, p := range d.relay.View().Problems {
		list = append(list, strings.TrimSuffix(p.Code+":"+p.App, ":"))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// FC-CNF-03: fewer events than asked is seen by the user, and more are not relayed.
func TestS1_AnAppThatAskedForAnEventThatIsNotGrantedIsNotInSync(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		all := d.attach("all", "", &fakeApp{status: 200})
		d.subscribe()
		all.news()
		const fewer = "patient-open patient-close ImagingStudy-open ImagingStudy-close Encounter-open DiagnosticReport-open DiagnosticReport-close DiagnosticReport-update DiagnosticReport-select home-open UserLogout UserHibernate"
		d.grant(fewer)
		d.deliver(ev("ImagingStudy-open", "1", 1, "s1/p1"))
		d.wantPhase(protocol.PhaseInSync) // names differ only by case
		if got := d.problems(); got != "" {
			t.Errorf("problems %q", got)
		}

		d.grant("ImagingStudy-open ImagingStudy-close Encounter-close")
		d.wantPhase(protocol.PhaseUnconfirmed) // a patient may be opened without a word to us
		if got := d.problems(); got != "events_not_granted" {
			t.Errorf("problems %q", got)
		}
		d.wantAnswer("more than we asked for", d.deliver(ev("Encounter-close", "2", 2, "e1/p1")), 200)
		d.wantNews("never reaches an app", all, "ImagingStudy-open:s1")

		patients := d.attach("patients", "Patient-open", &fakeApp{status: 200})
		d.wantNews("S13 brings it along", patients, "Patient-open:p1/replay/derived")
		if got := d.outcome(patients.id); got != protocol.OutcomeAcknowledged {
			t.Errorf("its row: %s", got)
		}
		d.wantPhase(protocol.PhaseAttention) // and yet the hub opens patients without a word to us
		if got := d.problems(); got != "app_event_not_granted:patients events_not_granted" {
			t.Errorf("problems %q", got)
		}
		d.relay.Pause(patients.id, true)
		d.wantPhase(protocol.PhaseUnconfirmed)
		d.relay.Pause(patients.id, false)
		d.wantPhase(protocol.PhaseAttention)
		patients.news()
		d.hub.set("Patient-open", contextOf("p2"))
		d.grant(fewer)
		d.wantPhase(protocol.PhaseInSync)
		d.wantNews("what happened unheard", patients, "Patient-open:p2/snapshot")
		d.grant("ImagingStudy-open")
		d.relay.Lost(d.n, "reset")
		d.confirm() // the next subscription grants what it grants
		if got := d.problems(); got != "" {
			t.Errorf("problems %q", got)
		}
	})
}

// FC-CNF-03: where an event is granted no more while we are subscribed, that is seen at once.
func TestS1_AGrantThatShrinksIsSeenWithoutAnEvent(t *testing.T) {
	onDesk(t, func(d *deskTest) {
		d.attach("patients", "Patient-open Patient-close", &fakeApp{status: 200})
		d.subscribe()
		d.deliver(ev("Patient-open", "1", 1, "p1"))
		d.wantPhase(protocol.PhaseInSync)
		asked := d.hub.questions()
		time.Sleep(time.Second)
		d.grant("Patient-open")
		d.wantPhase(protocol.PhaseAttention)
		if d.hub.questions() != asked {
			t.Error("the context was read again: nothing is new about it")
		}
		if p := d.relay.View().Problems[0]; !p.Since.Equal(time.Now()) {
			t.Errorf("since %v", p.Since)
		}
	})
}
