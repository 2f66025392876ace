package oauth

import (
	"net/url"
	"strings"
	"unicode"
)

const maxSaid = 200 // characters of a server's own words that a person is shown

// told is what a server adds to its error in the redirect (RFC 6749, 4.1.2.1). Whoever bends a redirect writes it, so it
// goes to the page of the browser that brought it and nowhere else: no log, no tray, no error. Words that repeat what is
// secret are dropped, and so is an address that is not the server's own.
func (a *Attempt) told(q url.Values) (said, help string) {
	words := q.Get("error_description")
	if !a.repeats(printable(words, len(words))) {
		said = printable(words, maxSaid)
	}
	u, err := url.Parse(q.Get("error_uri"))
	if err == nil && u.Scheme == "https" && u.User == nil && origin(u) == originOf(a.meta.authorize) && !a.repeats(u.String()) {
		help = u.String()
	}
	return said, help
}

// repeats reports whether text holds what only this attempt and its server know.
func (a *Attempt) repeats(text string) bool {
	return strings.Contains(text, a.state) || a.nonce != "" && strings.Contains(text, a.nonce)
}

// printable is as much of s as fits, in one line and without what turns the line around or hides in it.
func printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if unicode.IsSpace(r) {
			r = ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			continue
		}
		if n == most {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
