//go:build !windows && !darwin

package tray

import (
	"context"
	"errors"
	"testing"

	"github.com/castray/castray/agent/desktop"
)

func TestWithoutBusThereIsNoTray(t *testing.T) {
	t.Setenv(desktop.BusVariable, "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a bus that is found by mistake ends this test too
	if err := New(noCommand, nil).Run(ctx); !errors.Is(err, ErrNoTray) {
		t.Errorf("Run returned %v", err)
	}
}

func TestLabelKeepsUnderscores(t *testing.T) {
	if got := label("my_viewer__2"); got != "my__viewer____2" {
		t.Errorf("label is %q", got)
	}
}
