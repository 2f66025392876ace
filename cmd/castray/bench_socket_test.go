//go:build linux

package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// A benchSocket is the hub's end of a WebSocket (RFC 6455), as little as the benchmark needs: whole frames, each out in
// one write, so that what is measured is the relays and not this.
type benchSocket struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex // of writes
	buf  []byte
}

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func upgradeBench(w http.ResponseWriter, r *http.Request) (*benchSocket, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	return &benchSocket{conn: conn, in: rw.Reader}, err
}

func (s *benchSocket) write(op byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := append(s.buf[:0], 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	s.buf = append(b, payload...)
	_, err := s.conn.Write(s.buf)
	return err
}

// read is for what a client sends here: short frames, masked.
func (s *benchSocket) read() (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return 0, nil, err
	}
	n := int(head[1] & 0x7f)
	if n == 126 {
		if _, err := io.ReadFull(s.in, head[2:4]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(head[2:4]))
	}
	if head[1]&0x80 == 0 || n == 127 {
		return 0, nil, errors.New("no short masked frame")
	}
	payload = make([]byte, 4+n)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return 0, nil, err
	}
	mask, payload := payload[:4], payload[4:]
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}
