package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// note is the help of a table, with what this version leaves out.
func (t *table) note() string {
	if t.state == refused {
		return t.help + " Not in this version: refused."
	}
	return t.help
}

// note is the help of a key, with what this version leaves out.
func (k *key) note() string {
	var unbuilt []string
	for _, word := range k.words {
		if k.unbuilt(word) {
			unbuilt = append(unbuilt, "`"+word+"`")
		}
	}
	what := "Setting it"
	if unbuilt != nil {
		what = join(unbuilt, "and")
	}
	switch k.state {
	case ignored:
		return k.help + " Not in this version: " + what + " has no effect, and a warning says so."
	case refused:
		return k.help + " Not in this version: " + what + " is refused."
	}
	return k.help
}

// Reference is the manual of all keys, as Markdown: docs/configuration.md.
func Reference() []byte {
	var w bytes.Buffer
	w.WriteString(referenceHead)
	writePlaces(&w)
	w.WriteString(referenceRules)
	for i := range tables {
		writeTable(&w, &tables[i])
	}
	w.WriteString("## A file to start from\n\n```toml\n")
	w.Write(Example())
	w.WriteString("```\n")
	return w.Bytes()
}

const referenceHead = `# Configuration

<!-- Generated from the key table in agent/config. Do not edit: go test ./agent/config -update -->

A file ` + "`castray.toml`" + `, in [TOML](https://toml.io). Most sites need three lines:

` + "```toml" + `
[[site]]
fhir_url = "https://ehr.example.org/fhir"
client_id = "castray"
` + "```" + `

` + "`castray config show --origin`" + ` prints every value and where it came from. [castray.schema.json](castray.schema.json) lets an editor
check the file and complete its keys.

## Where it is

`

const referenceRules = `
On Windows, ` + "`%...%`" + ` are the variables of that name. On Linux an unset or relative XDG folder is ` + "`~/.config`" + ` or ` + "`~/.local/state`" + `.
` + "`--config FILE`" + ` takes FILE instead of the user's file. A relative path in a file is relative to that file's folder.

Policy is read from a file on Linux only. Windows policy (the registry) and macOS managed preferences are not in this version: there, nothing
stands above flags yet.

## Which value holds

The strongest source that has a value, key by key:

1. policy (which may not be writable by others)
2. flags
3. the environment: ` + "`CASTRAY_<TABLE>_<KEY>`" + `, such as ` + "`CASTRAY_LOG_LEVEL=debug`" + `; lists separated by commas; empty is not set
4. the user's file
5. the machine's file
6. the [preset](#presets) of the hub
7. the default

Lists of tables (` + "`[[site]]`" + `, ` + "`[[app]]`" + `, ` + "`[[adapter]]`" + `) come whole from the strongest source that has any, so the sites of a policy are all the
sites there are. Secrets and lists of tables never come from flags or the environment, secrets not from policy either.

A key of ` + "`[site.hub]`" + ` goes before the same key of ` + "`[hub]`" + ` in the same source or a weaker one. Where one source has ` + "`[[site]]`" + ` and another
` + "`[hub]` with `url` and `topic`" + `, the stronger source holds and the other is left out with a warning; in one source it is an error.

## What is refused

An unknown key, a wrong type, a value that is not allowed, a variable ` + "`CASTRAY_<TABLE>_...`" + ` that no key answers to: Castray does not start, and
names file, line, column and key. It never prints the value, since that may be a secret.

A file that holds a topic, and a file that ` + "`token_file`" + ` names, must be readable by its owner alone (` + "`chmod 600`" + `; on Windows by you, the system
and administrators). Castray says the command that makes it so.

Addresses are https. Plain http is taken only to an IP address of this machine, on a test hub. No address may hold a user, a password or a
fragment.

Rules that this version cannot enforce yet are refused too, wherever somebody could rely on them.

`

func writePlaces(w *bytes.Buffer) {
	w.WriteString("| | the user's file | the machine's file | policy | state, logs |\n|---|---|---|---|---|\n")
	for _, system := range []struct {
		name, goos string
		environ    []string
	}{
		{"Linux", "linux", []string{"XDG_CONFIG_HOME=/$XDG_CONFIG_HOME", "XDG_STATE_HOME=/$XDG_STATE_HOME"}},
		{"Windows", "windows", []string{"APPDATA=%APPDATA%", "ProgramData=%ProgramData%", "LOCALAPPDATA=%LOCALAPPDATA%"}},
		{"macOS", "darwin", []string{"HOME=~"}},
	} {
		p := PathsFor(system.goos, system.environ)
		fmt.Fprintf(w, "| %s |", system.name)
		for _, s := range []string{p.User, p.Machine, p.Policy, p.State} {
			if s == "" {
				w.WriteString(" not in this version |")
				continue
			}
			fmt.Fprintf(w, " `%s` |", strings.TrimPrefix(s, map[bool]string{true: "/"}[strings.HasPrefix(s, "/$")]))
		}
		w.WriteByte('\n')
	}
}

func writeTable(w *bytes.Buffer, t *table) {
	title := "[" + t.name + "]"
	if t.list {
		title = "[[" + t.name + "]]"
	}
	fmt.Fprintf(w, "## `%s`\n\n%s\n\n| key | type, default | |\n|---|---|---|\n", title, t.note())
	for i := range t.keys {
		k := &t.keys[i]
		fmt.Fprintf(w, "| `%s` | %s | %s%s |\n", k.name, typeCell(k), k.note(), sourceNote(t, k))
	}
	w.WriteByte('\n')
	if t.name == "hub" {
		writeQuirks(w)
		writePresets(w)
	}
}

func writeQuirks(w *bytes.Buffer) {
	w.WriteString("### Quirks\n\nA hub says its version in its discovery document, and Castray follows. A quirk is for a hub that says none, or the wrong one,\n" +
		"or does something of its own. At most one of them may name a version.\n\n| quirk | |\n|---|---|\n")
	for _, q := range fhircast.Quirks() {
		fmt.Fprintf(w, "| `%s` | %s |\n", q.Name, q.Help)
	}
	w.WriteByte('\n')
}

func writePresets(w *bytes.Buffer) {
	w.WriteString("### Presets\n\nWhat is written anywhere, in whatever source, goes before a preset; `castray config show --origin` says `preset` of the rest.\n\n")
	for i := range presets {
		p := &presets[i]
		fmt.Fprintf(w, "`%s`: %s\n\n| key | value | |\n|---|---|---|\n", p.name, p.help)
		for _, v := range p.values {
			k := findTable("hub").key(v.key)
			s, _ := p.setting(k)
			fmt.Fprintf(w, "| `%s` | `%s` | %s |\n", v.key, k.toml(s.value), v.why)
		}
		w.WriteByte('\n')
	}
}

func typeCell(k *key) string {
	cell := k.kind.String()
	if k.words != nil {
		quoted := make([]string, len(k.words))
		for i, word := range k.words {
			quoted[i] = fmt.Sprintf("`%q`", word)
		}
		cell = join(quoted, "or")
	}
	if def, err := k.parse(k.def); err == nil && k.def != "" {
		cell += "; default `" + k.toml(def) + "`"
	}
	return cell
}

// sourceNote tells of keys that only files may set; a list of tables needs no telling.
func sourceNote(t *table, k *key) string {
	if t.list || k.sources == anywhere {
		return ""
	}
	if k.sources&fromPolicy == 0 {
		return " Only from a file, never from policy."
	}
	return " Only from a file or policy."
}
