//go:build !windows && !darwin

package desktop

import (
	"os"
	"path/filepath"
	"testing"
)

// SM-STORE-08: the D-Bus library, asked for a bus without an address, starts dbus-launch, which outlives us.
func TestWithoutBusTheScreenIsNotHeardAndNoneIsStarted(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte("#!/bin/sh\n: > '"+started+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(BusVariable, "")
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv(systemBusVariable, "unix:path="+dir+"/none")
	err := Screen(t.Context(), func(bool) { t.Error("told") })
	if want := "the screen: there is no session bus; there is no system bus"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("a bus was started")
	}
}
