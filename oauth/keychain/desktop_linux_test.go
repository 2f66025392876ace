//go:build desktop

package keychain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
)

// These tests start a bus and a gnome-keyring of their own, with a home and a
// runtime folder that did not exist before, and run this test binary inside as
// a child. They need dbus-run-session and gnome-keyring-daemon, and fail
// without.

// daemon runs the child beside a gnome-keyring.
const daemon = `
if [ -n "$UNLOCK" ]; then printf pw | gnome-keyring-daemon --foreground --unlock --components=secrets >/dev/null 2>&1 &
else gnome-keyring-daemon --foreground --components=secrets >/dev/null 2>&1 </dev/null & fi
pid=$!
"$CHILD"
rc=$?
kill $pid
wait $pid
exit $rc`

// busConfig is a session bus that starts nothing by itself: with the services
// of the machine it would start a second keyring, or a prompt.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:dir=%s</listen><auth>EXTERNAL</auth>%s
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>`

type machine struct {
	home, run, conf string
	display, bus    string // "" is none, and the one that dbus-run-session names
}

func newMachine(t *testing.T) machine {
	t.Helper()
	for _, p := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("this test needs %s (apt-get install gnome-keyring dbus-daemon): %v", p, err)
		}
	}
	// Not t.TempDir: the path of a socket has some hundred bytes at most.
	dir, err := os.MkdirTemp("", "kc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := machine{home: filepath.Join(dir, "home"), run: filepath.Join(dir, "run"), conf: filepath.Join(dir, "bus.conf")}
	for _, d := range []string{m.home, m.run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(m.conf, fmt.Appendf(nil, busConfig, m.run, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// child runs part as a child of args.
func (m machine) child(t *testing.T, part, path string, unlock string, args ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{self}
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = []string{"HOME=" + m.home, "XDG_RUNTIME_DIR=" + m.run, "PATH=" + path, childVar + "=" + part,
		"CHILD=" + self, "UNLOCK=" + unlock}
	if m.bus != "" {
		cmd.Env = append(cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+m.bus)
	}
	if m.display != "" {
		cmd.Env = append(cmd.Env, "DISPLAY="+m.display, "NO_AT_BRIDGE=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", part, err, out)
	}
}

func (m machine) onBus(t *testing.T, part string, unlock string, script ...string) {
	t.Helper()
	m.child(t, part, os.Getenv("PATH"), unlock, append([]string{"dbus-run-session", "--config-file=" + m.conf, "--"}, script...)...)
}

func TestDesktopUnlocked(t *testing.T) {
	m := newMachine(t)
	m.onBus(t, "unlocked", "yes", "sh", "-c", daemon)
	// Another session, another daemon: the value is still there.
	m.onBus(t, "again", "yes", "sh", "-c", daemon)
}

func TestDesktopLocked(t *testing.T) {
	m := newMachine(t)
	m.onBus(t, "unlocked", "yes", "sh", "-c", daemon)
	m.onBus(t, "locked", "", "sh", "-c", daemon)
}

func TestDesktopNobodyOffersSecrets(t *testing.T) {
	// SM-STORE-06
	m := newMachine(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m.onBus(t, "unavailable", "", self)
}

func TestDesktopDeadBus(t *testing.T) {
	// SM-STORE-06: the address is there, and nobody behind it.
	m := newMachine(t)
	m.bus = "unix:path=" + filepath.Join(m.run, "bus")
	m.child(t, "unavailable", os.Getenv("PATH"), "")
}

func TestDesktopNoBus(t *testing.T) {
	// SM-STORE-08: no child process, so no daemon that stays behind.
	m := newMachine(t)
	bin, marker := t.TempDir(), filepath.Join(t.TempDir(), "started")
	if err := os.WriteFile(filepath.Join(bin, "dbus-launch"), []byte("#!/bin/sh\n: > "+marker+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	m.child(t, "unavailable", bin+":"+os.Getenv("PATH"), "")
	if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
		t.Error("dbus-launch was started")
	}
}

// big is long enough for ten pieces, and not only ASCII.
func big() []byte { return bytes.Repeat([]byte("Grüße \x00\xff\n"), 2000)[:20000] }

// desktopChild is what happens inside; its error is the test's.
func desktopChild(part string) error {
	ctx, o := context20s()
	defer ctx.cancel()
	switch part {
	case "unlocked":
		// The daemon needs a moment to be on the bus.
		for {
			_, err := o.Load(ctx, key)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if !errors.Is(err, oauth.ErrUnavailable) {
				return fmt.Errorf("absent item: %w", err)
			}
			if err := ctx.pause(); err != nil {
				return errors.New("gnome-keyring did not come up")
			}
		}
		for _, n := range []int{1, 2000, 2001, 20000} {
			if err := o.Save(ctx, key, big()[:n]); err != nil {
				return fmt.Errorf("save %d bytes: %w", n, err)
			}
			got, err := o.Load(ctx, key)
			if err != nil || !bytes.Equal(got, big()[:n]) {
				return fmt.Errorf("load %d bytes: %d came back, %w", n, len(got), err)
			}
		}
		if err := o.Delete(ctx, "other"); err != nil {
			return fmt.Errorf("delete an absent item: %w", err)
		}
		return nil
	case "again":
		for {
			got, err := o.Load(ctx, key)
			if err == nil {
				if !bytes.Equal(got, big()) {
					return errors.New("another value came back")
				}
				break
			}
			if !errors.Is(err, oauth.ErrUnavailable) || ctx.pause() != nil {
				return fmt.Errorf("load: %w", err)
			}
		}
		if err := o.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		if _, err := o.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("load after delete: %w", err)
		}
		return nil
	case "locked":
		for {
			_, err := o.Load(ctx, key)
			if errors.Is(err, oauth.ErrLocked) {
				break
			}
			if !errors.Is(err, oauth.ErrUnavailable) || ctx.pause() != nil {
				return fmt.Errorf("load from a locked keyring: %w", err)
			}
		}
		if err := o.Save(ctx, key, []byte("x")); !errors.Is(err, oauth.ErrLocked) {
			return fmt.Errorf("save to a locked keyring: %w", err)
		}
		return nil
	case "leave": // leaves something to be found
		for {
			err := o.Save(ctx, key, []byte("kept"))
			if err == nil {
				return nil
			}
			if !errors.Is(err, oauth.ErrUnavailable) || ctx.pause() != nil {
				return fmt.Errorf("save: %w", err)
			}
		}
	case "prompted":
		return prompted(ctx, o)
	case "unavailable":
		start := time.Now()
		_, err := o.Load(ctx, key)
		if !errors.Is(err, oauth.ErrUnavailable) || strings.Contains(err.Error(), "/") {
			return fmt.Errorf("load: %w", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			return fmt.Errorf("it took %v to say so", d)
		}
		return nil
	}
	return errors.New("unknown part " + part)
}

// patience is a ctx of 20 seconds that can pause for a tenth of one.
type patience struct {
	context.Context
	cancel context.CancelFunc
}

func context20s() (patience, *OS) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	return patience{ctx, cancel}, New()
}

func (p patience) pause() error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-p.Done():
		return p.Err()
	}
}
