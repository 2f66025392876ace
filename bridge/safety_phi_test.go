package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

func TestS11_NeitherLogNorViewNorErrorNamesThePatientOrTheTopic(t *testing.T) {
	var log bytes.Buffer
	cfg := Config{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	var said []string
	onDeskWith(t, cfg, func(d *deskTest) {
		canary := func(what string) string { return strings.ReplaceAll(contextOf(what), "MRN-", "CANARY-") }
		at := func(second int) time.Time { return time.Date(2026, 1, 2, 3, 0, second, 0, time.UTC) }
		viewer := d.attach("viewer", "", &fakeApp{status: 200})
		refuses := d.attach("refuses", "", &fakeApp{status: 409})
		d.subscribe()
		d.deliver(evAt("Patient-open", "1", at(1), canary("p1")))
		d.relay.Refused(d.n, &fhircast.FrameError{Reason: "x"})
		d.deliver(evAt("Patient-open", "2", at(0), canary("p2")))
		d.deliver(evAt("ImagingStudy-open", "3", at(3), canary("p3")))
		for _, err := range []error{errors.New("CANARY"), nil} {
			d.hub.publish = func(*fhircast.Event) (int, error) { return map[bool]int{true: 0, false: 403}[err != nil], err }
			_, fault := d.relay.Send(viewer.id, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(canary("p4"))})
			said = append(said, fmt.Sprint(fault))
		}
		_, fault := d.relay.Send(viewer.id, protocol.SendParams{Event: "Patient-open", Context: json.RawMessage(canary("s1/p4"))})
		said = append(said, fmt.Sprint(fault))
		d.relay.Detach(refuses.id, refuses, true)
		d.relay.Lost(d.n, "CANARY")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, params := range viewer.params { // which hold the patient, but nothing that opens doors
			said = append(said, strings.ReplaceAll(params, "CANARY", ""))
		}
		for _, v := range d.views {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, string(text), fmt.Sprintf("%+v", *v))
		}
		for _, e := range d.hub.sent() {
			if e.Name.Is(fhircast.SyncError) {
				said = append(said, strings.ReplaceAll(string(e.Wire()), topic, ""))
			}
		}
	})
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
	for _, text := range append(said, log.String()) {
		if strings.Contains(text, "CANARY") || strings.Contains(text, topic) {
			t.Errorf("spilled: %.300s", text)
		}
	}
}
