package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/castray/castray/agent/config"
)

// write puts the configuration in its place.
func (s *setup) write(file string) error {
	if to, err := filepath.EvalSymlinks(file); err == nil {
		file = to // a link to where the file is kept stays one
	}
	text := config.ForSite(s.site)
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case bytes.Equal(old, text):
		s.say("%s says all that already.", file)
		return nil
	default:
		ok, err := s.agree(file + " exists already. Replace it, and keep the old one beside?")
		if err != nil {
			return err
		}
		if !ok {
			return failf(exitRefused, "Nothing was written.")
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return s.replace(file, old, text)
}

// replace writes the new text beside the file, and lets it take the place once it is known to load and the old text, nil =
// none, is safe. Both may be read by their owner alone.
func (s *setup) replace(file string, old, text []byte) error {
	fresh, err := newFile(filepath.Dir(file), text)
	if err != nil {
		return err
	}
	defer os.Remove(fresh) // where it has not taken the place
	if err := s.try(file, fresh); err != nil {
		return err
	}
	if old != nil {
		kept, err := keepBeside(file, old)
		if err != nil {
			return err
		}
		s.say("The old configuration is now %s", kept)
	}
	if err := os.Rename(fresh, file); err != nil {
		return err
	}
	s.say("Wrote %s", file)
	return nil
}

// newFile makes a file of its own that only we may read.
func newFile(dir string, text []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".castray-*.toml") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// try loads the configuration as an agent would, with what the machine and its policy say.
func (s *setup) try(file, fresh string) error {
	c, err := config.Load(config.Sources{Paths: s.places, File: fresh, Environ: s.environ})
	if err != nil {
		return failf(exitFailed, "%s\nNothing was written.", strings.ReplaceAll(err.Error(), fresh, file))
	}
	for _, w := range c.Warnings {
		s.say("%s", strings.ReplaceAll(w, fresh, file))
	}
	if !knows(c, s.site) {
		s.say("A policy of this computer says which sites there are, so this one will have no effect.")
	}
	return nil
}

// keepBeside writes the old text to a name that nothing has yet: FILE.bak, or else FILE.bak2 and so on.
func keepBeside(file string, old []byte) (name string, err error) {
	for n := 1; ; n++ {
		if name = file + ".bak"; n > 1 {
			name = fmt.Sprint(name, n)
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(old)
		return name, errors.Join(err, f.Sync(), f.Close())
	}
}
