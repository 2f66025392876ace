//go:build netns && linux

package main_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// A nameServer answers for the hub's name alone, as it is told to.
type nameServer struct {
	conn net.PacketConn
	work sync.WaitGroup

	mu     sync.Mutex
	answer string // an address; "" = there is no such name; "-" = no answer at all
	asked  int
}

func newNameServer(s *street) *nameServer {
	s.Helper()
	n := &nameServer{answer: hubAddress}
	if err := inside(s.hubside, func() (err error) { n.conn, err = net.ListenPacket("udp", hubAddress+":53"); return err }); err != nil {
		s.Fatal(err)
	}
	n.work.Go(n.serve)
	return n
}

func (n *nameServer) close() {
	n.conn.Close()
	n.work.Wait()
}

// says changes the answer, and returns how many questions came until now.
func (n *nameServer) says(answer string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
	return n.asked
}

func (n *nameServer) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *nameServer) serve() {
	packet := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if reply := n.reply(packet[:size]); reply != nil {
			_, _ = n.conn.WriteTo(reply, from)
		}
	}
}

// reply answers one question (RFC 1035, 4.1): an address for the hub's name, if an address of IPv4 is asked for, and
// otherwise that there is nothing.
func (n *nameServer) reply(q []byte) []byte {
	if len(q) < 17 || binary.BigEndian.Uint16(q[4:]) != 1 {
		return nil
	}
	end := 12
	var labels []string
	for end < len(q) && q[end] != 0 {
		next := end + 1 + int(q[end])
		if next >= len(q) {
			return nil
		}
		labels = append(labels, strings.ToLower(string(q[end+1:next])))
		end = next
	}
	if end += 5; end > len(q) {
		return nil
	}
	n.mu.Lock()
	n.asked++
	answer := n.answer
	n.mu.Unlock()
	if answer == "-" {
		return nil
	}
	r := append([]byte(nil), q[:end]...)
	binary.BigEndian.PutUint16(r[2:], 0x8580) // an answer, by who knows
	for i := 6; i < 12; i++ {
		r[i] = 0
	}
	switch {
	case answer == "" || strings.Join(labels, ".") != hubName:
		r[3] |= 3 // no such name
	case binary.BigEndian.Uint16(q[end-4:]) == 1:
		r[7] = 1
		r = append(r, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4) // the name asked for, A, IN, 300 s, 4 bytes
		ip := netip.MustParseAddr(answer).As4()
		r = append(r, ip[:]...)
	}
	return r
}
