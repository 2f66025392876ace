package oauth

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const hidden = "[secret]"

// Secret holds a text that opens a door: a token, or a hub's topic. It shows
// "[secret]" under every fmt verb, in JSON and in slog. The zero Secret is
// empty. Compare with Equal; == does not compile.
type Secret struct {
	_ [0]func()
	// A pointer, because fmt cannot call methods on a Secret in an unexported
	// field of another struct: it then prints the address and not the text.
	text *string
}

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{text: &s} }

// Reveal gives the text to whoever has to put it on the wire.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is nothing to hide.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String never shows the text.
func (s Secret) String() string { return hidden }

// GoString never shows the text.
func (s Secret) GoString() string { return hidden }

// Format never shows the text, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText never shows the text; JSON uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue never shows the text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
