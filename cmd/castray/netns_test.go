//go:build netns && linux

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNetns plays Castray as it is shipped with a network that fails: the agent in one network namespace, a hub in another
// and a cable between them. What these tests need on the machine is listed in .ci/run; they fail without it, and without
// root.
//
// In each part two things are measured, by an app that is connected to the agent all the time: how long it takes until the
// app is told by a status that it is out of sync, and until the app has the hub's context again, each event once and in
// order.
func TestNetns(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces are made by root: run these tests as root, or leave the tag netns away")
	}
	sweep(t)
	castrayFile := filepath.Join(t.TempDir(), "castray")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", castrayFile, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped: Go's own look-up of names
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, part := range []struct {
		name string
		play func(*street)
	}{
		{"Resets", resets},                                       // FM-01
		{"BlackHole", blackHole},                                 // FM-02
		{"NamesAndAddresses", namesAndAddresses},                 // FM-05
		{"StoppedWithTheCablePulled", stoppedWithTheCablePulled}, // FM-06
		{"AnotherNetwork", anotherNetwork},                       // FM-08
		{"CaptivePortal", captivePortal},                         // FM-08
		{"OnlyByTheProxy", onlyByTheProxy},                       // FM-31
		{"ProxyNotForTheHub", proxyNotForTheHub},                 // FM-31
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel() // they wait, each in a network of its own
			part.play(newStreet(t, castrayFile))
		})
	}
}
