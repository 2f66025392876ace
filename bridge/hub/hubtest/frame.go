package hubtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// Opcodes of RFC 6455, 5.2.
const (
	opContinue = 0
	opText     = 1
	opBinary   = 2
	opClose    = 8
	opPing     = 9
)

// maxFrame is the longest frame that is looked into.
const maxFrame = 64 << 20

var errFrame = errors.New("hubtest: a frame that is too long")

// A frame is one WebSocket frame: raw as on the wire, payload without its mask.
type frame struct {
	raw     []byte
	opcode  byte
	payload []byte
}

// cutFrame takes one whole frame off the front of b; ok is false when more bytes are needed (RFC 6455, 5.2).
func cutFrame(b []byte) (f frame, rest []byte, ok bool, err error) {
	if len(b) < 2 {
		return frame{}, b, false, nil
	}
	head, n := 2, uint64(b[1]&0x7f)
	switch n {
	case 126:
		head = 4
		if len(b) < head {
			return frame{}, b, false, nil
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		head = 10
		if len(b) < head {
			return frame{}, b, false, nil
		}
		n = binary.BigEndian.Uint64(b[2:])
	}
	masked := b[1]&0x80 != 0
	if masked {
		head += 4
	}
	if n > maxFrame {
		return frame{}, b, false, errFrame
	}
	end := head + int(n)
	if len(b) < end {
		return frame{}, b, false, nil
	}
	f = frame{raw: b[:end:end], opcode: b[0] & 0x0f, payload: bytes.Clone(b[head:end])}
	if masked {
		for i := range f.payload {
			f.payload[i] ^= b[head-4+i%4]
		}
	}
	return f, b[end:], true, nil
}

// serverFrame is a frame as a server writes it, without a mask.
func serverFrame(final bool, opcode byte, payload []byte) []byte {
	first := opcode
	if final {
		first |= 0x80
	}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// clientFrame is a frame as a client writes it, with a mask that changes nothing.
func clientFrame(opcode byte, payload []byte) []byte {
	b := serverFrame(true, opcode, payload)
	head := len(b) - len(payload)
	b[1] |= 0x80
	return slices.Insert(b, head, 0, 0, 0, 0)
}

func textFrame(text string) []byte { return serverFrame(true, opText, []byte(text)) }

func closeFrame(code uint16) []byte {
	return serverFrame(true, opClose, binary.BigEndian.AppendUint16(nil, code))
}

// fragments is a text in pieces of 7 bytes with a ping between the first two (RFC 6455, 5.4).
func fragments(text []byte) []byte {
	const piece = 7
	var b []byte
	opcode := byte(opText)
	for len(text) > piece {
		b = append(b, serverFrame(false, opcode, text[:piece])...)
		if opcode == opText {
			b = append(b, serverFrame(true, opPing, nil)...)
		}
		text, opcode = text[piece:], opContinue
	}
	return append(b, serverFrame(true, opcode, text)...)
}
