package ipc

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// Lines as Linux prints them on a little-endian machine: the listener, the browser's end and ours, an old connection whose
// program has closed it, another user's to the same port, and IPv4 on a socket that takes both.
const (
	procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:43A9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 84016 1 0000000018f86f6f 100 0 0 10 0
   1: 0100007F:C001 0100007F:43A9 01 00000000:00000000 00:00000000 00000000  1000        0 84017 1 0000000018f86f6f 20 4 0 10 -1
   2: 0100007F:43A9 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1001        0 84018 1 0000000018f86f6f 20 4 0 10 -1
   3: 0100007F:C002 0100007F:43A9 06 00000000:00000000 03:00000D72 00000000     0        0 0 3 0000000009191028
   4: 0100007F:C003 0100007F:43A9 01 00000000:00000000 00:00000000 00000000  1002        0 84019 1 0000000018f86f6f 20 4 0 10 -1
   5: 0100007F:C004 0100007F
   6: 0100007F:C005 0100007F:43A9 01 00000000:00000000 00:00000000 00000000    -1        0 84020 1
`
	procTCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:C006 0000000000000000FFFF00000100007F:43A9 01 00000000:00000000 00:00000000 00000000  1003        0 84021 1
   1: 00000000000000000000000001000000:C007 00000000000000000000000001000000:43A9 01 00000000:00000000 00:00000000 00000000  1004        0 84022 1
`
)

// SM-LCH-05: who connects to a port of the loopback is read from the kernel's own table, and only of a socket that is open
// from that address to that port.
func TestWhoseSocketThatIsOnLinux(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the lines are those of a little-endian machine")
	}
	for _, row := range []struct {
		name, table, from, to, uid string
	}{
		{"the browser", procTCP, "127.0.0.1:49153", "127.0.0.1:17321", "1000"},
		{"our own end", procTCP, "127.0.0.1:17321", "127.0.0.1:49153", "1001"},
		{"a socket that was closed is nobody's", procTCP, "127.0.0.1:49154", "127.0.0.1:17321", ""},
		{"another user's", procTCP, "127.0.0.1:49155", "127.0.0.1:17321", "1002"},
		{"half a line", procTCP, "127.0.0.1:49156", "127.0.0.1:17321", ""},
		{"no user", procTCP, "127.0.0.1:49157", "127.0.0.1:17321", ""},
		{"another port", procTCP, "127.0.0.1:49153", "127.0.0.1:17322", ""},
		{"nobody", procTCP, "127.0.0.1:1", "127.0.0.1:17321", ""},
		{"an empty table", "", "127.0.0.1:49153", "127.0.0.1:17321", ""},
		{"IPv4 on a socket of both", procTCP6, "127.0.0.1:49158", "127.0.0.1:17321", "1003"},
		{"IPv6", procTCP6, "[::1]:49159", "[::1]:17321", "1004"},
		{"not the same number in the other family", procTCP6, "127.0.0.1:49159", "127.0.0.1:17321", ""},
	} {
		uid, _, found := procOwner([]byte(row.table), at(row.from), at(row.to))
		if uid != row.uid || found != (row.uid != "") {
			t.Errorf("%s: %q", row.name, uid)
		}
	}
}

// SM-LCH-05: the same on Windows, where the table names processes.
func TestWhoseSocketThatIsOnWindows(t *testing.T) {
	words := func(n ...uint32) (b []byte) {
		for _, w := range n {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return b
	}
	const loopback, port, browser = 0x0100007f, 0xa943, 0x01c0 // 127.0.0.1, 17321, 49153: as they lie in memory
	four := words(3,
		2, loopback, port, 0, 0, 77,
		11, loopback, browser, loopback, port, 0,
		5, loopback, 0x02c0, loopback, port, 4711)
	six := words(1, 0, 0, 0, 0x01000000, 0, browser, 0, 0, 0, 0x01000000, 0, port, 5, 4712)
	for _, row := range []struct {
		name     string
		table    []byte
		six      bool
		from, to string
		pid      uint32
	}{
		{"the browser", four, false, "127.0.0.1:49154", "127.0.0.1:17321", 4711},
		{"a socket that was closed is nobody's", four, false, "127.0.0.1:49153", "127.0.0.1:17321", 0},
		{"nobody", four, false, "127.0.0.1:1", "127.0.0.1:17321", 0},
		{"IPv6", six, true, "[::1]:49153", "[::1]:17321", 4712},
		{"a count that is too large", append(words(9), six[4:]...), true, "[::1]:1", "[::1]:17321", 0},
		{"half a row", four[:30], false, "127.0.0.1:49154", "127.0.0.1:17321", 0},
		{"nothing", nil, false, "127.0.0.1:49154", "127.0.0.1:17321", 0},
	} {
		pid, found := tcpTableOwner(row.table, row.six, at(row.from), at(row.to))
		if pid != row.pid || found != (row.pid != 0) {
			t.Errorf("%s: %d", row.name, pid)
		}
	}
}

// SM-LCH-05: a connection of this very process is ours, over both families; what is no
// connection within this machine is not admitted at all.
func TestOurOwnLoopbackConnection(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			if strings.HasPrefix(address, "[") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		switch err := AdmitLoopback(accepted); {
		case err == nil, runtime.GOOS == "darwin" && errors.Is(err, errors.ErrUnsupported):
		case runtime.GOOS == "windows" && strings.HasPrefix(address, "[") && errors.Is(err, errNotInTable):
			t.Log("Wine 8 names no process for sockets of IPv6")
		default:
			t.Errorf("%s: %v", address, err)
		}
		c.Close()
		accepted.Close()
		l.Close()
	}
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	if err := AdmitLoopback(one); !errors.Is(err, errNoLoopback) {
		t.Errorf("a pipe: %v", err)
	}
	far := remote{one}
	if err := AdmitLoopback(far); !errors.Is(err, errNoLoopback) {
		t.Errorf("another machine: %v", err)
	}
}

// remote is a connection from another machine.
type remote struct{ net.Conn }

func (remote) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(at("127.0.0.1:17321")) }
func (remote) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(at("192.0.2.1:17321")) }
