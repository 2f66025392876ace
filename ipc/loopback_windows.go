package ipc

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// loopbackPeer asks Windows which process has the socket that connects from there to us, and whose it is.
func loopbackPeer(from, to netip.AddrPort) (p Peer, err error) {
	for range lookups {
		if p, err = lookUp(from, to); err == nil {
			break
		}
		time.Sleep(lookAgain)
	}
	return p, err
}

// A table that is read while others connect and leave may miss a socket; the next one has it.
const (
	lookups   = 3
	lookAgain = 5 * time.Millisecond
)

func lookUp(from, to netip.AddrPort) (Peer, error) {
	for _, six := range []bool{false, true} {
		table, err := tcpTable(six)
		if err != nil {
			return Peer{}, fmt.Errorf("table of sockets: %w", err)
		}
		if pid, found := tcpTableOwner(table, six, from, to); found {
			p, err := processOf(pid)
			p.Release()
			return p, err
		}
	}
	return Peer{}, errNotInTable
}

var getExtendedTcpTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// tcpTable asks until the buffer is large enough: the table may grow in between.
func tcpTable(six bool) ([]byte, error) {
	const ownerPIDConnections = 4 // TCP_TABLE_OWNER_PID_CONNECTIONS
	family := uintptr(windows.AF_INET)
	if six {
		family = windows.AF_INET6
	}
	if err := getExtendedTcpTable.Find(); err != nil {
		return nil, err
	}
	size := uint32(16 << 10)
	for range 8 {
		table := make([]byte, size)
		code, _, _ := getExtendedTcpTable.Call(uintptr(unsafe.Pointer(&table[0])), uintptr(unsafe.Pointer(&size)), 0, family, ownerPIDConnections, 0)
		switch windows.Errno(code) {
		case windows.ERROR_SUCCESS:
			return table, nil
		case windows.ERROR_INSUFFICIENT_BUFFER:
		default:
			return nil, windows.Errno(code)
		}
	}
	return nil, errors.New("it grows faster than it is read")
}

// identify has nothing to add: loopbackPeer names the process.
func identify(p Peer, _, _ netip.AddrPort) Peer { return p }
