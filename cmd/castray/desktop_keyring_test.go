//go:build desktop && linux

package main_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// secrets is the name of the Secret Service on the bus.
const secrets = "org.freedesktop.secrets"

// password is that of the login and, with it, of the keyring.
const password = "password"

// startKeyring runs a keyring that is unlocked, as after a login with a password, and has a place for secrets.
func (s *session) startKeyring() *process {
	s.Helper()
	p := s.startWith(password, "gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	p.eventually("the keyring is there", func() bool { return s.onBus(secrets) }) // nobody asks it earlier: the bus may start another
	s.eventually("the keyring is unlocked", func() bool {
		reply := s.run("dbus-send", "--session", "--print-reply", "--dest="+secrets, "/org/freedesktop/secrets",
			"org.freedesktop.Secret.Service.ReadAlias", "string:default")
		return strings.Contains(reply.stdout(), "/org/freedesktop/secrets/collection/")
	})
	return p
}

// lockKeyring starts the keyring anew, without a password.
func (s *session) lockKeyring(unlocked *process) {
	s.Helper()
	unlocked.stop()
	s.eventually("the keyring is gone", func() bool { return !s.onBus(secrets) })
	p := s.start("gnome-keyring-daemon", "--foreground", "--components=secrets")
	p.eventually("the locked keyring is there", func() bool {
		if !s.onBus(secrets) { // nobody asks it earlier, as above
			return false
		}
		locked := s.run("dbus-send", "--session", "--print-reply", "--dest="+secrets, "/org/freedesktop/secrets/collection/login",
			"org.freedesktop.DBus.Properties.Get", "string:org.freedesktop.Secret.Collection", "string:Locked")
		return strings.Contains(locked.stdout(), "boolean true")
	})
}

// answerKeyring is a user who types the password into the keyring's window.
func (s *session) answerKeyring() {
	s.Helper()
	asks := func() bool { return s.run("xdotool", "search", "--onlyvisible", "--class", "gcr-prompter").code() == 0 }
	s.eventually("the keyring asks", asks)
	s.must("xdotool", "type", password)
	s.must("xdotool", "key", "Return")
	s.eventually("the keyring is satisfied", func() bool { return !asks() })
}

// kept are the values that the keyring holds for us.
func (s *session) kept() []string {
	s.Helper()
	p := s.run("secret-tool", "search", "--all", "--unlock", "service", "io.github.castray/v1")
	var values []string
	for line := range strings.Lines(p.stdout()) {
		if v, ok := strings.CutPrefix(line, "secret = "); ok {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

var refreshMember = regexp.MustCompile(`"refresh_token":"([^"]+)"`)

// refreshToken is the secret by which the agent goes on without a sign-in, as the keyring holds it.
func (s *session) refreshToken() string {
	s.Helper()
	found := refreshMember.FindStringSubmatch(strings.Join(s.kept(), ""))
	if found == nil {
		s.Fatal("the keyring has no refresh token")
	}
	return found[1]
}

// keptNowhereElse wants a secret in none of the session's files: no log, no state, and not open in the keyring's own.
func (s *session) keptNowhereElse(secret string) {
	s.Helper()
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "-secret-tool.") {
			return ignoreGone(err)
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(secret)) {
			s.Errorf("the refresh token is in %s", strings.TrimPrefix(path, s.dir))
		}
		return ignoreGone(err)
	})
	if err != nil {
		s.Fatal(err)
	}
}

// ignoreGone is for the files of programs that run.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
