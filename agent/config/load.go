package config

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Sources is where a configuration comes from. The zero value is the defaults alone.
type Sources struct {
	Paths Paths // only User, Machine and Policy are read; those that are "" or not there say nothing
	// File, as --config names it, stands for the user's file. Unlike that, it has to be there.
	File string
	// Flags are what the command line said, by key: {"log.level": "debug"}. A list's entries are separated by commas.
	Flags map[string]string
	// Environ is the environment, as os.Environ gives it.
	Environ []string
}

// ErrNone is returned, with the Config, when neither a hub nor a site is configured. The caller says the next step:
// which file to write (Paths.User) and an Example for it.
var ErrNone = errors.New("no hub and no site is configured")

// Load reads all sources, strongest last. On an error it names every problem, one a line, as FILE:LINE:COLUMN: KEY:
// what is wrong; no line repeats a value. ErrNone comes with a Config that is complete but for the hub and the sites.
func Load(s Sources) (*Config, error) {
	index := newIndex()
	user := s.Paths.User
	if s.File != "" {
		user = s.File
	}
	docs := []*document{
		loadFile(index, byMachine, s.Paths.Machine, false),
		loadFile(index, byUser, user, s.File != ""),
		readEnvironment(index, hostEnvironment(s.Environ)),
		readFlags(index, s.Flags),
		loadFile(index, byPolicy, s.Paths.Policy, false),
	}
	c, pointers, err := assemble(index, docs)
	if err != nil {
		return nil, err
	}
	if err := checkFiles(pointers); err != nil {
		return nil, err
	}
	if len(c.Sites) == 0 && c.Hub.URL == "" {
		return c, ErrNone
	}
	return c, nil
}

// loadFile reads one file and judges who may use it.
func loadFile(index *keyIndex, l level, path string, needed bool) *document {
	if path == "" {
		return newDocument(l)
	}
	if p, err := filepath.Abs(path); err == nil {
		path = p // so that what is printed, and paths relative to it, hold wherever they are used
	}
	data, who, err := readFile(path, maxConfig)
	if err != nil {
		d := newDocument(l)
		// ENOTDIR: the home of a service account may be /dev/null.
		absent := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
		if needed || !absent {
			d.problems = []string{plain(path, err)}
		}
		return d
	}
	d := readTOML(index, l, path, data)
	if d.secret && who.readable != "" {
		d.problem(path, "holds a topic, and "+who.readable)
	}
	if l == byPolicy && who.writable != "" {
		d.problem(path, "sets policy, and "+who.writable)
	}
	return d
}

// plain says what is wrong with a file in the form of all our problems.
func plain(path string, err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return path + ": " + pe.Err.Error()
	}
	return err.Error()
}

// readEnvironment takes CASTRAY_<TABLE>_<KEY>. An empty variable is not set. One that no key answers to is an error:
// it would otherwise be a rule that somebody believes in.
func readEnvironment(index *keyIndex, e environment) *document {
	d := newDocument(byEnv)
	keys := map[string]*key{}
	for _, k := range index.keys {
		keys[variable(k.path)] = k
	}
	for _, entry := range e.list {
		name, _, _ := strings.Cut(entry, "=")
		if e.foldCase {
			name = strings.ToUpper(name)
		}
		s := e.get(name)
		if s == "" || !ours(name) {
			continue
		}
		k := keys[name]
		switch {
		case k == nil:
			d.problem(name, "there is no such key")
		case k.secret:
			d.problem(name, k.path+": is a secret, which the environment may not hold; write it in a file")
		case k.sources&fromEnv == 0:
			d.problem(name, k.path+": can only be set in a file")
		default:
			d.setText(k, name, s)
		}
	}
	return d
}

// ours tells whether a variable is meant for the key table. CASTRAY_SOCKET, for one, is not.
func ours(name string) bool {
	rest, ok := strings.CutPrefix(name, "CASTRAY_")
	table, _, found := strings.Cut(strings.ToLower(rest), "_")
	return ok && found && findTable(table) != nil
}

func readFlags(index *keyIndex, flags map[string]string) *document {
	d := newDocument(byFlag)
	for _, path := range slices.Sorted(maps.Keys(flags)) {
		k := index.keys[path]
		switch {
		case k == nil:
			d.problem("flag", printable(strings.Split(path, "."))+": "+index.unknown(path))
		case k.sources&fromFlags == 0:
			d.problem("flag", k.path+": can only be set in a file")
		default:
			d.setText(k, "flag", flags[path])
		}
	}
	return d
}

// setText takes a value from a source that knows texts only.
func (d *document) setText(k *key, from, s string) {
	value, err := k.parse(s)
	if err != nil {
		d.problem(from, k.path+": "+err.Error())
		return
	}
	if here, err := filepath.Abs("."); err == nil {
		value = k.under(here, value)
	}
	d.set(d.settings, k, from, value)
}

// checkFiles reads what the configuration points to, so that a wrong path is told at start and not at the first use.
func checkFiles(pointers []pointer) error {
	var all []error
	for _, p := range pointers {
		var err error
		if p.token {
			_, err = readToken(p.file)
		} else {
			_, err = Roots(p.file)
		}
		if err != nil {
			all = append(all, errors.New(p.from+": "+p.path+": "+plain(p.file, err)))
		}
	}
	return errors.Join(all...)
}
