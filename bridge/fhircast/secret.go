package fhircast

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a topic or a socket address: whoever knows it can listen to a session (FHIRcast 3.0.0, 4.3), so it is
// kept like a token. It shows nothing under fmt, JSON and slog; only Reveal gives it away.
type Secret string

const redacted = "[secret]"

// Reveal is the text itself, for the wire and nothing else.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string               { return redacted }
func (s Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
