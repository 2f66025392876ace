package fhircast

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
)

// A Confirmation is the hub's word that a subscription holds (FHIRcast 3.0.0, 2.4.3).
type Confirmation struct {
	Topic  Secret
	Events []Name        // what is granted; empty means as asked, for a known hub sent "" for years
	Lease  time.Duration // 0 when the hub did not say
}

// A Denial ends a subscription, or refuses it (FHIRcast 3.0.0, 2.4.4).
type Denial struct {
	Topic  Secret
	Events []Name // empty means all
	Reason string // the hub's words, printable and at most 200 characters; untrusted
}

// An Answer is what a Subscriber says to an event (FHIRcast 3.0.0, 2.5.2). Status is as in HTTP; 0 when the answer had
// none, as a known client library sends it.
type Answer struct {
	ID     string
	Status int
}

// Encode is the answer as we write it: the status is a number, as the field table says. (The printed examples have a
// string, so [Decode] reads both.)
func (a Answer) Encode() []byte {
	b, _ := json.Marshal(struct {
		ID     string `json:"id"`
		Status int    `json:"status"`
	}{a.ID, a.Status})
	return b
}

// printable makes foreign text fit to be shown: no control or direction characters, at most 200 characters.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200])
	}
	return s
}
