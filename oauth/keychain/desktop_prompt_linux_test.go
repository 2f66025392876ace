//go:build desktop

package keychain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
)

// prompts lets the bus start what asks the user for the password, which the
// daemon does by these names, and nothing else.
func (m machine) prompts(t *testing.T) {
	t.Helper()
	services := filepath.Join(filepath.Dir(m.conf), "services")
	if err := os.Mkdir(services, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"org.gnome.keyring.PrivatePrompter", "org.gnome.keyring.SystemPrompter"} {
		text, err := os.ReadFile("/usr/share/dbus-1/services/" + name + ".service")
		if err == nil {
			err = os.WriteFile(filepath.Join(services, name+".service"), text, 0o600)
		}
		if err != nil {
			t.Fatalf("this test needs gcr-prompter (apt-get install gcr): %v", err)
		}
	}
	conf, err := os.OpenFile(m.conf, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conf.Close()
	if err := conf.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conf, busConfig, m.run, "<servicedir>"+services+"</servicedir>"); err != nil {
		t.Fatal(err)
	}
}

// startDisplay runs an X server without a monitor and returns its name.
func startDisplay(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "Xvfb", "-displayfd", "3", "-noreset", "-nolisten", "tcp", "-screen", "0", "640x480x24")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it removes its files in /tmp then
	cmd.WaitDelay = 10 * time.Second
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		stop()
		t.Fatalf("this test needs Xvfb (apt-get install xvfb): %v", err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	var number int
	if _, err := fmt.Fscan(r, &number); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(":%d", number)
}

// SM-STORE-05, SM-STORE-06: with a display the daemon asks, and the library
// waits for the answer without end. Nobody answers: ErrLocked at the deadline,
// and at once while the window stands. The user types the password late: what
// was stored is there.
func TestDesktopLockedWithDisplay(t *testing.T) {
	m := newMachine(t)
	m.onBus(t, "leave", "yes", "sh", "-c", daemon)
	m.display = startDisplay(t)
	m.prompts(t)
	m.onBus(t, "prompted", "", "sh", "-c", daemon)
}

// SM-STORE-06: a daemon that has no place for secrets yet, and no display to ask
// for a password on.
func TestDesktopNoCollection(t *testing.T) {
	m := newMachine(t)
	m.onBus(t, "locked", "", "sh", "-c", daemon)
}

// prompted is what happens where the window comes up.
func prompted(ctx patience, o *OS) error {
	for { // until the daemon is on the bus
		soon, cancel := context.WithTimeout(ctx, 3*time.Second)
		start := time.Now()
		_, err := o.Load(soon, key)
		cancel()
		if errors.Is(err, oauth.ErrUnavailable) && ctx.pause() == nil {
			continue
		}
		if took := time.Since(start); !errors.Is(err, oauth.ErrLocked) || took < 2900*time.Millisecond || took > 4*time.Second {
			return fmt.Errorf("nobody answers: %w after %v", err, took)
		}
		break
	}
	start := time.Now()
	if err := o.Save(ctx, key, []byte("x")); !errors.Is(err, oauth.ErrLocked) || time.Since(start) > time.Second {
		return fmt.Errorf("while the window stands: %w after %v", err, time.Since(start))
	}
	if err := exec.CommandContext(ctx, "xdotool", "search", "--sync", "--onlyvisible", "--class", "gcr-prompter").Run(); err != nil {
		return fmt.Errorf("there is no window: %w", err)
	}
	for _, args := range [][]string{{"type", "pw"}, {"key", "Return"}} {
		if err := exec.CommandContext(ctx, "xdotool", args...).Run(); err != nil {
			return err
		}
	}
	for {
		got, err := o.Load(ctx, key)
		if err == nil && string(got) == "kept" {
			return nil
		}
		if !errors.Is(err, oauth.ErrLocked) || ctx.pause() != nil {
			return fmt.Errorf("after the password: %q, %w", got, err)
		}
	}
}
