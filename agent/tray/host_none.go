//go:build darwin && !cgo

package tray

import (
	"context"
	"fmt"
)

// reachable never is: the menu bar of macOS needs Cocoa, and that needs cgo.
func reachable(context.Context) error { return fmt.Errorf("%w: built without cgo", ErrNoTray) }

func (t *Tray) host(ctx context.Context, _ View) error { return reachable(ctx) }
