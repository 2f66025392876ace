// Package scope is the grammar of SMART's scope strings, as far as an
// administrator can get one wrong, a server can grant it in another spelling, or
// a client is registered for the older form: clinical scopes (patient/Patient.rs,
// in version 1 patient/Patient.read) and launch/TYPE.
//
// Scopes of other specifications are words to it; those of FHIRcast are
// bridge/fhircast's. It does no I/O and has no state.
package scope

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// A clinical scope (SMART 2.2, scopes and launch context): who may do what with
// which resources.
type clinical struct {
	who     string // patient, user or system
	what    string // resource type, or * for all
	letters string // of cruds, in that order
	query   string // search parameters that limit it, without the ?
}

const all = "cruds"

// words are the rights of version 1, which has no others. A word is never read
// as letters: the r, e, a, d of read are no rights.
var words = map[string]string{"read": "rs", "write": "cud", "*": all}

var (
	errRights = errors.New("ends in rights that there are not; want some of the letters c r u d s in this order, or read, write or *")
	errType   = errors.New("names no resource type; want one such as Patient, or *")
	errQuery  = errors.New("has a condition that is none; want ?name=value, only after letters")
	errLaunch = errors.New("names no launch context; want the type in small letters, such as launch/patient, with at most one ?role=")
)

var (
	typeName   = regexp.MustCompile(`^([A-Z][A-Za-z]+|\*)$`)
	launchName = regexp.MustCompile(`^[a-z]+(\?role=[^?&=]+)?$`)
	condition  = regexp.MustCompile(`^[^?&=]+=[^?&]+$`)
)

// Check says what is wrong with a scope that somebody wrote, to be read behind
// its place: "entry 2 names no resource type". A word that is neither clinical
// nor about a launch is right.
func Check(s string) error {
	if kind, ok := strings.CutPrefix(s, "launch/"); ok && !launchName.MatchString(kind) {
		return errLaunch
	}
	_, _, err := parse(s)
	return err
}

// parse reads a clinical scope. ok is false for any other, and for one that is
// wrong, which err explains.
func parse(s string) (c clinical, ok bool, err error) {
	who, rest, found := strings.Cut(s, "/")
	if !found || !slices.Contains([]string{"patient", "user", "system"}, who) {
		return c, false, nil
	}
	rest, query, limited := strings.Cut(rest, "?")
	what, rights, dot := strings.Cut(rest, ".")
	if !typeName.MatchString(what) {
		return c, false, errType
	}
	letters, word := words[rights]
	switch {
	case word:
	case !dot || !inOrder(rights):
		return c, false, errRights
	default:
		letters = rights
	}
	if limited && word {
		return c, false, errQuery
	}
	for part := range strings.SplitSeq(query, "&") {
		if limited && !condition.MatchString(part) {
			return c, false, errQuery
		}
	}
	return clinical{who, what, letters, query}, true, nil
}

// inOrder tells whether rights are some of the letters cruds, each once and in
// that order.
func inOrder(rights string) bool {
	at := -1
	for _, r := range rights {
		next := strings.IndexRune(all, r)
		if next <= at {
			return false
		}
		at = next
	}
	return at >= 0
}

// Missing lists what was asked for and is not granted, whatever the spelling: rs
// is r and s together, or read; a grant for all resources holds for each. A
// condition (?category=...) is compared to the letter. Left out are FHIRcast's,
// and those that ask for a refresh token: it is there or not.
func Missing(asked, granted []string) []string {
	var missing []string
	for _, a := range asked {
		if strings.HasPrefix(a, "fhircast/") || a == "offline_access" || a == "online_access" ||
			slices.Contains(granted, a) || covered(a, granted) {
			continue
		}
		missing = append(missing, a)
	}
	return missing
}

func covered(asked string, granted []string) bool {
	want, ok, _ := parse(asked)
	if !ok {
		return false
	}
	left := want.letters
	for _, g := range granted {
		has, ok, _ := parse(g)
		if !ok || has.who != want.who || has.what != "*" && has.what != want.what || has.query != "" && has.query != want.query {
			continue
		}
		left = strings.Map(func(r rune) rune {
			if strings.ContainsRune(has.letters, r) {
				return -1
			}
			return r
		}, left)
	}
	return left == ""
}

// Clinical tells whether any of the scopes is about data of patients.
func Clinical(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { _, ok, _ := parse(s); return ok })
}

// Restyle spells clinical scopes as servers of SMART 1 ("v1": patient/*.read) or
// 2 ("v2": patient/*.rs) know them. What the other version cannot say stays as
// it was written, and so does everything for any other style.
func Restyle(scopes []string, style string) []string {
	out := slices.Clone(scopes)
	for i, s := range out {
		c, ok, _ := parse(s)
		if !ok || c.query != "" {
			continue
		}
		switch style {
		case "v1":
			for word, letters := range words {
				if letters == c.letters {
					out[i] = c.who + "/" + c.what + "." + word
				}
			}
		case "v2":
			out[i] = c.who + "/" + c.what + "." + c.letters
		}
	}
	return out
}
