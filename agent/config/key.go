package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A kind is the type of a key's value; the comment names the Go type it is held as.
type kind int

const (
	text   kind = iota // string
	yesNo              // bool
	number             // int64
	period             // time.Duration, written as "800ms"
	list               // []string
	file               // string: the path of a file or folder, relative to the folder of the file that names it
)

func (k kind) String() string {
	return [...]string{"text", "true or false", "whole number", `duration, as "800ms"`, "list of texts", "path"}[k]
}

// sources is the set of sources, besides the two files, that may set a key.
type sources int

const (
	fromPolicy sources = 1 << iota
	fromFlags
	fromEnv

	filesOnly     sources = 0
	filesOrPolicy         = fromPolicy
	anywhere              = fromPolicy | fromFlags | fromEnv
)

// A state says what this version does with a value other than the default.
type state int

const (
	built   state = iota // does it
	ignored              // checks it, goes without, and says so
	refused              // checks it and stops: what the key promises must not be believed in vain
)

// A key is one row of the table.
type key struct {
	name    string
	kind    kind
	def     string   // the default, written as for a flag
	words   []string // the allowed values of a text, or of each entry of a list; nil: any
	help    string   // one or two sentences, for documentation and editors
	sources sources
	secret  bool // opens doors: only from a file that nobody else may read, and never shown
	state   state
	entries []string        // those a list may have, where its check says so and words would be too many; nil: any
	also    []string        // values that are in force although the state says otherwise
	check   func(any) error // what the kind does not say; nil: nothing

	path string // "hub.topic"; set by the index
}

// parse reads a value written as text: a default, a flag, a variable.
func (k *key) parse(s string) (any, error) {
	switch k.kind {
	case yesNo:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return b, nil
	case number:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, errors.New("want a whole number")
		}
		return n, nil
	case period:
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, errors.New(`want a duration, such as "800ms"`)
		}
		return d, nil
	case list:
		entries := []string{}
		for entry := range strings.SplitSeq(s, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				entries = append(entries, entry)
			}
		}
		return entries, nil
	}
	return s, nil
}

// accept turns what a file says (string, bool, int64, []string, or nil for anything else) into the value of this key.
func (k *key) accept(raw any) (any, error) {
	if s, ok := raw.(string); ok {
		switch k.kind {
		case text, file:
			return s, nil
		case period:
			return k.parse(s)
		}
		return nil, k.wrongType()
	}
	switch raw.(type) {
	case bool:
		if k.kind == yesNo {
			return raw, nil
		}
	case int64:
		if k.kind == number {
			return raw, nil
		}
	case []string:
		if k.kind == list {
			return raw, nil
		}
	}
	return nil, k.wrongType()
}

func (k *key) wrongType() error {
	want := map[kind]string{
		text:   `a text in quotes`,
		file:   `a path in quotes`,
		yesNo:  `true or false, without quotes`,
		number: `a whole number, without quotes`,
		period: `a duration in quotes, such as "800ms"`,
		list:   `a list of texts, such as ["a", "b"]`,
	}[k.kind]
	return errors.New("want " + want)
}

// verify tells whether the value may be used. Its errors never repeat the value.
func (k *key) verify(v any) error {
	if k.words != nil {
		if err := k.verifyWords(v); err != nil {
			return err
		}
	}
	if k.check == nil || k.format(v) == k.def {
		return nil
	}
	return k.check(v)
}

func (k *key) verifyWords(v any) error {
	entries, isList := v.([]string)
	if !isList {
		entries = []string{v.(string)}
	}
	for i, word := range entries {
		if slices.Contains(k.words, word) {
			continue
		}
		quoted := make([]string, len(k.words))
		for j, w := range k.words {
			quoted[j] = strconv.Quote(w)
		}
		err := fmt.Errorf("want %s", join(quoted, "or"))
		if isList {
			err = fmt.Errorf("entry %d: %w", i+1, err)
		}
		return err
	}
	return nil
}

// format writes a value the way parse reads it.
func (k *key) format(v any) string {
	if entries, ok := v.([]string); ok {
		return strings.Join(entries, ",")
	}
	return fmt.Sprint(v)
}

// unbuilt tells whether the value asks for something that this version does not do.
func (k *key) unbuilt(v any) bool {
	return k.state != built && k.format(v) != k.def && !slices.Contains(k.also, k.format(v))
}

// toml writes a value as a file would.
func (k *key) toml(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case time.Duration:
		return strconv.Quote(v.String())
	case []string:
		quoted := make([]string, len(v))
		for i, entry := range v {
			quoted[i] = strconv.Quote(entry)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// show writes a value for a person to read; secrets stay covered, and so does the query of an address.
func (k *key) show(v any) string {
	if s, ok := v.(string); ok && s != "" {
		if k.secret {
			return `"[secret]"`
		}
		if address, _, found := strings.Cut(s, "?"); found && strings.Contains(s, "://") {
			return strconv.Quote(address + "?[secret]")
		}
	}
	return k.toml(v)
}

// under makes a relative path one below folder.
func (k *key) under(folder string, v any) any {
	if p, ok := v.(string); ok && k.kind == file && p != "" && !filepath.IsAbs(p) {
		return filepath.Join(folder, p)
	}
	return v
}

// join lists words as a sentence does: a, b or c.
func join(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}
