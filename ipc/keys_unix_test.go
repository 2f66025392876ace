//go:build unix

package ipc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/castray/castray/ipc/protocol"
)

func TestKeysLieBesideTheSocketForTheirUserOnly(t *testing.T) {
	dir := t.TempDir()
	address := filepath.Join(dir, "s")
	if _, err := ReadKeys(address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file yet: %v", err)
	}
	want := protocol.Keys{Key: "k", AppKey: "a", Port: 1, PID: 2}
	if err := WriteKeys(address, want); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "castray.json")
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if got, err := ReadKeys(address); err != nil || got != want {
		t.Errorf("read other keys than written: %v", err)
	}
	for name, spoil := range map[string]func() error{
		"open to others": func() error { return os.Chmod(path, 0o644) },
		"damaged":        func() error { return os.WriteFile(path, []byte(`{"key":"CAN`), 0o600) },
		"a link": func() error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
	} {
		if err := errors.Join(os.RemoveAll(path), WriteKeys(address, want), spoil()); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeys(address); err == nil || strings.Contains(err.Error(), "CAN") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysAreTheOldOrTheWholeNewOnes(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	keys := func(n int) protocol.Keys {
		return protocol.Keys{Key: strings.Repeat("k", 40+n), AppKey: strings.Repeat("a", 40+n), PID: n}
	}
	if err := WriteKeys(address, keys(0)); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := range 200 {
			if err := WriteKeys(address, keys(n)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		if k, err := ReadKeys(address); err != nil || k != keys(k.PID) {
			t.Errorf("read what nobody wrote: %v", err)
		}
	}
	writing.Wait()
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(address), "*"))
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeysThatCannotBeWrittenLeaveTheOldOnes(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s")
	path := filepath.Join(filepath.Dir(address), "castray.json")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteKeys(address, protocol.Keys{Key: "CANARY"}); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Error(err)
	}
	left, _ := filepath.Glob(path + ".*")
	if len(left) != 0 {
		t.Errorf("the key was left in %v", left)
	}
	if err := WriteKeys(filepath.Join(t.TempDir(), "missing", "s"), protocol.Keys{Key: "k"}); err == nil {
		t.Error("written into a folder that is not there")
	}
}

func TestKeysOfAWebSocketAreTheDefaultAgents(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	t.Setenv("HOME", base)
	if err := os.MkdirAll(filepath.Join(base, "Library", "Application Support"), 0o700); err != nil { // of macOS
		t.Fatal(err)
	}
	standard, err := DefaultAddress()
	if err != nil {
		t.Fatal(err)
	}
	web, address := webListening(t)
	serveAll(t, web, nil)
	port, err := webPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteKeys(standard, protocol.Keys{Key: "k", AppKey: appKey, Port: port, PID: 2}); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadKeys(address); err != nil || got.AppKey != appKey {
		t.Errorf("read other keys than written: %v", err)
	}
	if !talks(t, address) {
		t.Error("nobody answers at the WebSocket")
	}
	if _, err := ReadKeys("ws://127.0.0.1:1/v1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the keys of an agent at another port: %v", err)
	}
	if _, err := ReadKeys("ws://hub.example.org/v1"); !errors.Is(err, errNoWebSocket) {
		t.Errorf("the keys for another machine: %v", err)
	}
}

func TestRunDirIsMadeAndJudged(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	t.Setenv("HOME", base)
	address, err := DefaultAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := RunDir()
	if err != nil || address != filepath.Join(dir, "castray.sock") || !strings.HasPrefix(dir, base) {
		t.Errorf("%s in %s: %v", address, dir, err)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if runtime.GOOS == "darwin" {
		return // there an open folder is closed, not refused
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := DefaultAddress(); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("an open folder: %v", err)
	}
	if err := errors.Join(os.Remove(dir), os.Symlink(t.TempDir(), dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := DefaultAddress(); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("a link: %v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(base, "missing"))
	if _, err := DefaultAddress(); err == nil {
		t.Error("a runtime folder that is not there")
	}
}
