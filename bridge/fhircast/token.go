package fhircast

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The tokens of JSON, each read from where it begins; what they return is where it ends, -1 when it is none.

// at is the byte at i, 0 beyond the end.
func at(text []byte, i int) byte {
	if uint(i) < uint(len(text)) {
		return text[i]
	}
	return 0
}

// blanks is where the blanks that begin at i end.
func blanks(text []byte, i int) int {
	for i < len(text) && text[i] <= ' ' && (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t') {
		i++
	}
	return i
}

// quoted is the end of the string that begins at i, and whether it has escapes.
func quoted(text []byte, i int) (end int, escaped bool) {
	for i = i + 1; ; {
		i = plain(text, i)
		if i >= len(text) {
			return -1, false
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			n := escape(text[i:])
			if n == 0 {
				return -1, false
			}
			escaped = true
			i += n
		case c < ' ':
			return -1, false
		default:
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				return -1, false
			}
			i += n
		}
	}
}

// plain is where the characters that need no look end: ASCII without quotes, escapes and control characters. It looks at
// eight at a time.
func plain(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, escape := w^'"'*ones, w^'\\'*ones
		// A byte that is 0 borrows from its top bit, and so does one less than a blank. A byte after such a one may be
		// found too, but never the first without reason.
		if found := (w | (w - ' '*ones) | (quote - ones) | (escape - ones)) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' && text[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// escape is the length of the escape with which text begins, both halves of a pair included; 0 when it is none.
func escape(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	if text[1] != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), text[1]) < 0 {
			return 0
		}
		return 2
	}
	first, ok := codeUnit(text)
	switch {
	case !ok:
		return 0
	case !utf16.IsSurrogate(first):
		return 6
	}
	second, ok := codeUnit(text[6:])
	if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
		return 0
	}
	return 12
}

// codeUnit reads \u and four hex digits.
func codeUnit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func word(text []byte, i int, word string) int {
	if !bytes.HasPrefix(text[i:], []byte(word)) {
		return -1
	}
	return i + len(word)
}

func numeral(text []byte, i int) int {
	if at(text, i) == '-' {
		i++
	}
	if at(text, i) == '0' {
		i++
	} else if i = digits(text, i); i < 0 {
		return -1
	}
	if at(text, i) == '.' {
		if i = digits(text, i+1); i < 0 {
			return -1
		}
	}
	if c := at(text, i); c == 'e' || c == 'E' {
		i++
		if c := at(text, i); c == '+' || c == '-' {
			i++
		}
		return digits(text, i)
	}
	return i
}

// digits is the end of the digits that begin at i, -1 where there is none.
func digits(text []byte, i int) int {
	from := i
	for c := at(text, i); c >= '0' && c <= '9'; c = at(text, i) {
		i++
	}
	if i == from {
		return -1
	}
	return i
}
