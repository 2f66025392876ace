// Package tray draws a Status as an icon with a menu in the desktop's notification area, and tells what was clicked.
//
// What the menu says is decided by Menu and Tooltip, which are pure. The rest keeps the one menu that the desktop was
// given: its lines are made once and changed in place, and only where their words really changed, because a menu that
// is rebuilt closes under the pointer. It leaves to others what a click does, where a Status comes from, and
// notifications. The text of the icon holds no patient data, since Status has none.
//
// The loop in Run owns what is drawn; Show may be called from any goroutine. The library underneath keeps its state in
// package variables, so there is one tray a process.
package tray

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// ErrNoTray says that there is no place for an icon: no session bus on Linux, a build without cgo on macOS, or a bus
// that went away. The agent goes on without one.
var ErrNoTray = errors.New("no notification area")

// Tray is the icon and its menu. Make one with New.
type Tray struct {
	do    func(context.Context, Command)
	log   *slog.Logger
	views chan View // room for the newest
}

// New makes a tray that calls do for every click. Each call has a goroutine of its own, so that Quit works while a
// sign-in waits; another click on the same line meanwhile is ignored. The context that do is given ends with Run, and
// do must return soon after. The logger may be nil.
func New(do func(context.Context, Command), log *slog.Logger) *Tray {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Tray{do: do, log: log, views: make(chan View, 1)}
}

// Show draws a view as soon as the desktop takes it; of several that wait the newest is drawn. It never blocks, may be
// called before, during and after Run, and from any goroutine.
func (t *Tray) Show(v View) {
	for {
		select {
		case t.views <- v:
			return
		default:
		}
		select {
		case <-t.views: // an older one
		default:
		}
	}
}

// Run shows the icon, from the first Show on, until ctx ends. It must be called on the main goroutine, which macOS
// demands for whatever is on the screen, and once a process. On Linux it points DBUS_SESSION_BUS_ADDRESS at the bus
// that it found.
//
// It returns nil when ctx ended, or when the desktop asked the program to close (Windows does, at an update): then the
// agent should stop. It returns ErrNoTray at once when there is no place for an icon, and later when that place is
// gone: then the agent goes on without. A desktop that has no panel yet is waited for.
func (t *Tray) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := reachable(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case first := <-t.views:
		return t.host(ctx, first)
	}
}

// screen is the menu as the desktop has it. Its methods are called by one goroutine.
type screen interface {
	setIcon(phase protocol.Phase) error
	setTooltip(text string)
	setItem(i int, was, is Item)
	flush() // lines have changed
}

// picture is what is drawn of a view.
type picture struct {
	phase   protocol.Phase
	tooltip string
	items   []Item
}

func pictureOf(v View) picture {
	return picture{phase: v.Status.Phase, tooltip: Tooltip(v.Status), items: Menu(v, time.Now())}
}

func (p picture) offers(c Command) bool {
	return slices.ContainsFunc(p.items, func(item Item) bool { return item.Command == c && item.Enabled })
}

// loop draws what Show brings on a screen that has drawn already, and carries clicks out, until ctx ends or the screen
// is gone. It returns when the last command has returned.
func (t *Tray) loop(ctx context.Context, s screen, clicks <-chan Command, drawn picture) error {
	ctx, cancel := context.WithCancel(ctx)
	var atWork sync.WaitGroup
	defer atWork.Wait()
	defer cancel()
	busy := map[Command]bool{}
	done := make(chan Command, len(drawn.items)) // each command at most once
	for {
		select {
		case <-ctx.Done():
			return nil
		case v := <-t.views:
			next := pictureOf(v)
			if err := update(s, drawn, next); err != nil {
				t.log.Warn("the notification area is gone")
				return err
			}
			drawn = next
		case c := <-clicks:
			// The desktop may have sent it just before it greyed the line, and some panels never grey any.
			if !drawn.offers(c) {
				t.log.Info("click ignored, it does not apply now", "command", c)
				continue
			}
			if busy[c] {
				t.log.Info("click ignored, the last one is still at work", "command", c)
				continue
			}
			busy[c] = true
			t.log.Info("clicked", "command", c)
			atWork.Go(func() {
				t.do(ctx, c)
				done <- c
			})
		case c := <-done:
			delete(busy, c)
		}
	}
}

// update touches only what differs. The icon goes first: it is what is seen.
func update(s screen, was, is picture) error {
	if was.phase != is.phase {
		if err := s.setIcon(is.phase); err != nil {
			return err
		}
	}
	if was.tooltip != is.tooltip {
		s.setTooltip(is.tooltip)
	}
	changed := false
	for i := range is.items {
		if was.items[i] != is.items[i] {
			s.setItem(i, was.items[i], is.items[i])
			changed = true
		}
	}
	if changed {
		s.flush()
	}
	return nil
}
