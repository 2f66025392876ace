package ipc

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// loopbackPeer asks the kernel's table of sockets whose the one is that connects from there to us.
func loopbackPeer(from, to netip.AddrPort) (Peer, error) {
	uid, _, err := socketBetween(from, to)
	return Peer{User: uid}, err
}

func socketBetween(from, to netip.AddrPort) (uid, inode string, err error) {
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		table, err := os.ReadFile(file)
		if err != nil && file == "/proc/self/net/tcp" { // without IPv6 there is no tcp6
			return "", "", fmt.Errorf("table of sockets: %w", err)
		}
		if uid, inode, found := procOwner(table, from, to); found {
			return uid, inode, nil
		}
	}
	return "", "", errNotInTable
}

// identify finds the process that has the socket from there to us open, and holds it. It looks through all that the user
// has, so it is for peers that are admitted. Of several that share the socket it is one, and none if we may look into none.
func identify(p Peer, from, to netip.AddrPort) Peer {
	_, inode, err := socketBetween(from, to)
	if err != nil {
		return p
	}
	processes, _ := os.ReadDir("/proc")
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		if found := p.at(pid, "socket:["+inode+"]"); found.PID != 0 {
			return found
		}
	}
	return p
}

// at adds what is known of a process that has that open, nothing if it has not.
func (p Peer) at(pid int, open string) Peer {
	fd := openFile(pid, open)
	if fd == "" {
		return p
	}
	found := p
	found.PID, found.process = pid, held(unix.PidfdOpen(pid, 0))
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	// Once we hold it the number stays its own; but is it still the one that has the socket?
	if now, _ := os.Readlink(fd); now != open {
		found.Release()
		return p
	}
	found.Exe = strings.TrimSuffix(exe, " (deleted)")
	return found
}

// openFile is the descriptor, as a path, by which a process has that open.
func openFile(pid int, what string) string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	d, err := os.Open(dir)
	if err != nil {
		return ""
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // not os.ReadDir, which sorts
	for _, name := range names {
		if is, _ := os.Readlink(filepath.Join(dir, name)); is == what {
			return filepath.Join(dir, name)
		}
	}
	return ""
}
