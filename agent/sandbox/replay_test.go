package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

const recordedOpen = `{"jsonrpc":"2.0","method":"event","params":{"timestamp":"2026-01-01T00:00:00.000Z","id":"event-1","event":{"hub.topic":"castray",` +
	`"hub.event":"Patient-open","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"patient-1"}}]}}}` + "\n"

func TestARecordingIsWhatTheHubSent(t *testing.T) {
	later := func(at, id string) string {
		return strings.NewReplacer("00:00:00.000Z", at, "event-1", id).Replace(recordedOpen)
	}
	derived := strings.Replace(recordedOpen, `"params":{`, `"params":{"castray":{"derived":true},`, 1)
	status := `{"jsonrpc":"2.0","method":"status","params":{"phase":"in_sync"}}` + "\n"
	list, err := ReadRecording(strings.NewReader(recordedOpen + derived + status + later("00:00:02.500Z", "event-2") + later("00:30:00.000Z", "event-3") + later("00:00:01.000Z", "event-4")))
	if err != nil || len(list) != 4 {
		t.Fatalf("%d events, %v", len(list), err)
	}
	for n, want := range []time.Duration{0, 2500 * time.Millisecond, longestGap, 0} {
		if list[n].after != want {
			t.Errorf("event %d comes after %v, want %v", n+1, list[n].after, want)
		}
	}
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	e, err := list[1].at(now, "another session")
	if err != nil || e.ID != "event-2" || !e.Timestamp.At.Equal(now) || e.Topic != fhircast.Secret("another session") || !e.Name.Is("Patient-open") {
		t.Errorf("%v, %v", e, err)
	}
}

func TestWhatIsNoRecording(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "there is no event in it",
		recordedOpen + "{":         "line 2 is no message",
		`{"method":"event"}`:       "line 1 is no event",
		strings.Repeat("x", 7<<20): "a line is longer than 6 MiB",
	} {
		if _, err := ReadRecording(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}
