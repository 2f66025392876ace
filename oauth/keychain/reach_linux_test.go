package keychain

import "testing"

func TestBusKnown(t *testing.T) {
	// SM-STORE-08
	for _, c := range []struct {
		name, address, runtimeDir string
		socket                    bool
		want                      bool
	}{
		{"an address is enough", "unix:path=/tmp/bus", "", false, true},
		{"an address that asks for dbus-launch is none", "autolaunch:", "", true, false},
		{"the socket of this user", "", "/run/user/1000", true, true},
		{"the folder is there, the socket is not", "", "/run/user/1000/", false, false},
		{"a folder where the library does not look", "", "/tmp/x", true, false},
		{"nothing at all", "", "", true, false},
	} {
		got := busKnown(c.address, c.runtimeDir, 1000, func(p string) bool { return c.socket && p == "/run/user/1000/bus" })
		if got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
