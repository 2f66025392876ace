package keychain

import (
	"os"
	"strconv"
	"strings"

	"github.com/castray/castray/oauth"
)

// reachable keeps the D-Bus library from being called where it would start
// dbus-launch, which leaves two daemons behind: with neither an address nor the
// socket that it looks for. It looks in /run/user/<uid> and not in
// $XDG_RUNTIME_DIR, so a bus that only the variable names does not count.
func reachable() error {
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	if !busKnown(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), os.Getenv("XDG_RUNTIME_DIR"), os.Getuid(), exists) {
		return oauth.ErrUnavailable
	}
	return nil
}

func busKnown(address, runtimeDir string, uid int, exists func(string) bool) bool {
	if address != "" {
		return !strings.HasPrefix(address, "autolaunch:")
	}
	standard := "/run/user/" + strconv.Itoa(uid)
	return strings.TrimRight(runtimeDir, "/") == standard && exists(standard+"/bus")
}
