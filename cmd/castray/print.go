package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/castray/castray/ipc/protocol"
)

// printJSON prints one value on a line. A json.RawMessage is printed as it came.
func (t *tool) printJSON(value any) error {
	raw, ok := value.(json.RawMessage)
	if !ok {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // addresses hold & and people copy them
		if err := e.Encode(value); err != nil {
			return err
		}
		raw = b.Bytes()
	}
	return t.write(t.stdout, slices.Concat(bytes.TrimRight(raw, "\n"), []byte("\n")))
}

// print prints lines for a person.
func (t *tool) print(format string, args ...any) error {
	return t.write(t.stdout, []byte(printable(fmt.Sprintf(format, args...))+"\n"))
}

// say prints a sentence for a person, beside the data. Where that cannot be, nobody reads it.
func (t *tool) say(format string, args ...any) {
	_ = t.write(t.stderr, []byte(printable(fmt.Sprintf(format, args...))+"\n"))
}

// write writes whole lines: several goroutines of a demo print.
func (t *tool) write(to io.Writer, lines []byte) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if _, err := to.Write(lines); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// printable shows what may drive a terminal (control characters, changes of direction) as a question mark: names come
// from servers and from other programs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// statusLine is a Status in a line.
func statusLine(s protocol.Status) string {
	line := s.Sentence
	if s.Test {
		line = "TEST  " + line
	}
	return fmt.Sprintf("%-13s %s", s.Phase, line)
}

// statusText is a Status in lines; those that say nothing are left out.
func statusText(s protocol.Status) string {
	var b strings.Builder
	b.WriteString(statusLine(s))
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "\n  %-11s %s", what, fmt.Sprintf(format, args...))
	}
	if s.Site != "" {
		line("site", "%s", s.Site)
	}
	if s.Hub != "" {
		line("hub", "%s", s.Hub)
	}
	if s.User != nil {
		user := s.User.Name
		if !s.User.Until.IsZero() { // one that renews itself has no end to tell
			user += ", until " + s.User.Until.Local().Format("15:04")
		}
		line("user", "%s", user)
	}
	if s.LastEvent != nil {
		line("last event", "%s at %s", s.LastEvent.Name, s.LastEvent.At.Local().Format("15:04:05"))
	}
	for _, a := range s.Apps {
		line("app", "%s", appLine(a))
	}
	for _, p := range s.Problems {
		line("problem", "%s", p.Sentence)
	}
	return b.String()
}

func appLine(a protocol.AppRow) string {
	return strings.TrimSpace(fmt.Sprintf("%-20s %s", a.ID, a.Outcome))
}
