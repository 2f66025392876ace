package fhircast_test

import (
	"fmt"

	"github.com/castray/castray/bridge/fhircast"
)

// A frame of a hub's socket is told apart by its shape, and an event prints nothing of the patient that it holds.
func ExampleDecode() {
	frame := `{"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.topic":"session","hub.event":"patient-open",
		"context":[{"key":"patient","resource":{"resourceType":"Patient","id":"p1","name":[{"family":"Sample"}]}}]}}`
	message, err := fhircast.Decode([]byte(frame))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := message.(type) {
	case *fhircast.Event:
		fmt.Println(m, m.Topic)
		fmt.Println(m.Name.Is("Patient-open"), m.Name.Resource(), m.Name.Verb())
	case *fhircast.Denial:
		fmt.Println("denied:", m.Reason)
	}
	// Output:
	// Patient-open "e1" with 1 entries [secret]
	// true Patient open
}

func ExampleParseScopes() {
	granted := fhircast.ParseScopes([]string{"openid", "fhircast/patient-open.read", "fhircast/SyncError.*"})
	fmt.Println(granted.Read("Patient-open"), granted.Write("Patient-open"), granted.Write("SyncError"))
	// Output: true false true
}
