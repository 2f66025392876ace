package ipc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// AdmitLoopback says whether a TCP connection that was accepted on a loopback address comes from a program of our user, on
// Windows of our logon session too, as [Listener] says of the local transport. Anybody on the machine can connect there, so
// the operating system is asked who did; where it does not tell, nobody is admitted. errors.Is(err,
// errors.ErrUnsupported) holds on systems that never tell. It may be called concurrently, while the connection is open.
func AdmitLoopback(c net.Conn) error {
	ours, theirs, err := ends(c)
	if err != nil {
		return err
	}
	us, err := self()
	if err != nil {
		return err
	}
	them, err := loopbackPeer(theirs, ours)
	if err != nil {
		return err
	}
	return admit(us, them)
}

var errNoLoopback = errors.New("the other side is not on this machine")

// ends are the two addresses of a connection within this machine.
func ends(c net.Conn) (ours, theirs netip.AddrPort, err error) {
	local, remote := c.LocalAddr(), c.RemoteAddr()
	l, okLocal := local.(*net.TCPAddr)
	r, okRemote := remote.(*net.TCPAddr)
	if !okLocal || !okRemote {
		return ours, theirs, errNoLoopback
	}
	ours, theirs = plain(l.AddrPort()), plain(r.AddrPort())
	if !ours.Addr().IsLoopback() || !theirs.Addr().IsLoopback() {
		return ours, theirs, errNoLoopback
	}
	return ours, theirs, nil
}

// plain is an address without a zone, and as IPv4 where it is one in the clothes of IPv6: so a program may have asked for
// it whose socket takes both.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

var errNotInTable = errors.New("no program is found at the other side")

// procOwner finds the uid and the inode of the socket between two addresses in Linux's /proc/net/tcp or tcp6. A socket that
// its program has closed already has no inode, and shows as root's, whosever it was.
func procOwner(table []byte, from, to netip.AddrPort) (uid, inode string, found bool) {
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		f := strings.Fields(lines.Text()) // sl local rem st tx:rx tr:when retrnsmt uid timeout inode
		if len(f) < 10 || f[9] == "0" {
			continue
		}
		local, err := procAddr(f[1])
		if err != nil || local != from {
			continue
		}
		if remote, err := procAddr(f[2]); err == nil && remote == to {
			if _, err := strconv.ParseUint(f[7], 10, 32); err == nil {
				return f[7], f[9], true
			}
		}
	}
	return "", "", false
}

// procAddr reads an address as the kernel prints it there: each 32 bits as a number of this machine, then the port.
func procAddr(s string) (netip.AddrPort, error) {
	words, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(words)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("no address: %d digits", len(words))
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, errors.New("no port")
	}
	addr, _ := netip.AddrFromSlice(b)
	return plain(netip.AddrPortFrom(addr, uint16(n))), nil
}

// tcpTableOwner finds the process of the socket between two addresses in what Windows' GetExtendedTcpTable tells: a count,
// then rows MIB_TCPROW_OWNER_PID or MIB_TCP6ROW_OWNER_PID. A socket that its program has closed belongs to process 0.
func tcpTableOwner(table []byte, six bool, from, to netip.AddrPort) (pid uint32, found bool) {
	size, local, localPort, remote, remotePort, owner, length := 24, 4, 8, 12, 16, 20, 4
	if six {
		size, local, localPort, remote, remotePort, owner, length = 56, 0, 20, 24, 44, 52, 16
	}
	if len(table) < 4 {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(table)
	for row := table[4:]; n > 0 && len(row) >= size; n, row = n-1, row[size:] {
		end := func(at, port int) netip.AddrPort {
			addr, _ := netip.AddrFromSlice(row[at : at+length])
			return plain(netip.AddrPortFrom(addr, binary.BigEndian.Uint16(row[port:])))
		}
		if end(local, localPort) == from && end(remote, remotePort) == to {
			pid = binary.LittleEndian.Uint32(row[owner:])
			return pid, pid != 0
		}
	}
	return 0, false
}
