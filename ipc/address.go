package ipc

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

const (
	socketName = "castray.sock"
	keysName   = "castray.json"
)

// DefaultAddress is where the agent of this user listens when nothing else is said: castray.sock in RunDir, on Windows
// \\.\pipe\castray-<user SID>-<session id>. The folder is made if need be, and judged. With another address no folder is
// made or judged.
func DefaultAddress() (string, error) { return defaultAddress() }

// RunDir is the folder of the default socket and of castray.json. It is made 0700 if it is not there, and refused when
// it is a link, another user's, or open to others.
func RunDir() (string, error) { return runDir() }

// pipeName has the user and the session in it, since a terminal server has one name space for all.
func pipeName(us Peer) string { return fmt.Sprintf(`\\.\pipe\castray-%s-%d`, us.User, us.Session) }

// linuxRunDir chooses the folder by $XDG_RUNTIME_DIR, which only counts when it is absolute.
func linuxRunDir(xdgRuntimeDir string, uid int) string {
	if path.IsAbs(xdgRuntimeDir) {
		return path.Join(xdgRuntimeDir, "castray")
	}
	return fmt.Sprintf("/tmp/castray-%d", uid)
}

// judgeFolder says whether a folder may hold the socket and the keys: a real folder, ours, and nobody else's to open.
func judgeFolder(dir string, mode fs.FileMode, owner, us int) error {
	switch {
	case mode.Type() == fs.ModeSymlink:
		return fmt.Errorf("%s is a link: remove it", dir)
	case !mode.IsDir():
		return fmt.Errorf("%s is no folder: remove it", dir)
	case owner != us:
		return fmt.Errorf("%s belongs to user %d: ask your administrator to remove it", dir, owner)
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to other users: chmod 700 %s", dir, dir)
	}
	return nil
}

// judgeKeys says the same of a file with keys.
func judgeKeys(file string, mode fs.FileMode, owner, us int) error {
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("%s is no file", file)
	case owner != us:
		return fmt.Errorf("%s belongs to user %d", file, owner)
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to other users: chmod 600 %s", file, file)
	}
	return nil
}

// windowsKeysName is the file for the keys of the agent at a pipe. Pipes are in no folder, so they all share one; the
// default pipe has the plain name.
func windowsKeysName(name, standard string) string {
	if strings.EqualFold(name, standard) {
		return keysName
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimPrefix(name, `\\.\pipe\`)))
	return "pipe-" + plain + ".json"
}
