//go:build !windows && !darwin

package tray

import (
	"context"
	"fmt"
	"os"
	"strings"

	"fyne.io/systray"

	"github.com/castray/castray/agent/desktop"
)

// reachable finds the session bus and sees to it that systray finds the same one. Without any, systray would start a
// bus of its own that outlives us, or end in a nil pointer.
func reachable(ctx context.Context) error {
	address, err := desktop.SessionBus(ctx, os.Getenv)
	if err != nil {
		return fmt.Errorf("%w: no session bus", ErrNoTray)
	}
	return os.Setenv(desktop.BusVariable, address)
}

// host needs no main thread here. The menu is complete before the bus sees it: systray loses what is changed while it
// connects.
func (t *Tray) host(ctx context.Context, first View) error {
	connect, disconnect := systray.RunWithExternalLoop(nil, nil)
	systray.SetTitle("Castray") // the name that panels know the icon by
	err := t.draw(ctx, first, connect)
	end(disconnect)
	return err
}

// end holds off the nil pointer that systray 1.12.2 ends in when the bus went away before it was connected.
func end(disconnect func()) {
	defer func() { _ = recover() }()
	disconnect()
}

// drawIcon returns ErrNoTray when the bus is gone: systray 1.12.2 panics then (prop.SetMust).
func drawIcon(png, _ []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: the session bus is gone", ErrNoTray)
		}
	}()
	systray.SetIcon(png)
	return nil
}

// closeMenu has nothing to do: panels redraw an open menu.
func closeMenu() {}

// label keeps an underscore what it is: in a D-Bus menu one alone marks the letter of a shortcut.
func label(text string) string { return strings.ReplaceAll(text, "_", "__") }
