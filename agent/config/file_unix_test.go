//go:build unix

package config

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestFileWithATopicIsForItsOwnerAlone(t *testing.T) {
	join := "[hub]\nurl = \"https://hub.example.org\"\ntopic = \"the-topic\"\n"
	path := save(t, "castray.toml", join)
	mustLoad(t, Sources{File: path})
	chmod(t, path, 0o644)
	_, err := Load(Sources{File: path})
	if want := path + ": holds a topic, and others may read or change it; run: chmod 600 " + path; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}

	fallback := save(t, "castray.toml", oneSite+"hub.topic = \"t\"\n")
	chmod(t, fallback, 0o640)
	if _, err := Load(Sources{File: fallback}); err == nil {
		t.Error("the topic of a site is a topic too")
	}

	plain := save(t, "castray.toml", oneSite)
	chmod(t, plain, 0o644)
	mustLoad(t, Sources{File: plain}) // nothing in it opens doors
}

func TestTokenFileIsForItsOwnerAlone(t *testing.T) {
	token := save(t, "hub.token", "t0ken")
	chmod(t, token, 0o604)
	file := save(t, "castray.toml", "[hub]\nurl = \"https://hub.example.org\"\ntopic = \"t\"\ntoken_file = \""+token+"\"\n")
	_, err := Load(Sources{File: file})
	want := file + ":4:1: hub.token_file: " + token + ": holds a token, and others may read or change it; run: chmod 600 " + token
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	chmod(t, token, 0o600)
	c := mustLoad(t, Sources{File: file})
	chmod(t, token, 0o644)
	if token, err := c.Hub.Token(); err == nil {
		t.Errorf("a token that others may read by now was given out: %v", token)
	}
}

func TestPolicyIsNotForOthersToChange(t *testing.T) {
	path := save(t, "policy.toml", oneSite)
	chmod(t, path, 0o644)
	mustLoad(t, Sources{Paths: Paths{Policy: path}})
	chmod(t, path, 0o664)
	_, err := Load(Sources{Paths: Paths{Policy: path}})
	if want := path + ": sets policy, and others may change it; run: chmod 644 " + path; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPipeIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{File: path}); err == nil || err.Error() != path+": is not a regular file" {
		t.Errorf("error %v", err)
	}
}

func TestHomeThatIsNoFolderHoldsNoFile(t *testing.T) {
	if _, err := Load(Sources{Paths: Paths{User: "/dev/null/.config/castray/castray.toml"}}); !errors.Is(err, ErrNone) {
		t.Errorf("error %v, want ErrNone", err)
	}
}
