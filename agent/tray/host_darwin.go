//go:build darwin && cgo

package tray

import (
	"context"

	"fyne.io/systray"
)

// reachable is always so: a user's session has a menu bar.
func reachable(context.Context) error { return nil }

// host must run on the main thread: Cocoa takes its events there.
func (t *Tray) host(ctx context.Context, first View) error {
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		<-ready
		ended <- t.draw(ctx, first, nil)
		systray.Quit()
	}()
	systray.Run(func() { close(ready) }, nil)
	cancel()
	return <-ended
}

func drawIcon(png, _ []byte) error {
	systray.SetIcon(png)
	return nil
}

// closeMenu has nothing to do: an open menu is redrawn.
func closeMenu() {}

func label(text string) string { return text }
