//go:build cgo || !darwin

package tray

import (
	"context"
	"sync"

	"fyne.io/systray"

	"github.com/castray/castray/assets"
	"github.com/castray/castray/ipc/protocol"
)

// native is the screen of this desktop: one line of systray's for each of Menu's.
type native struct {
	items  []*systray.MenuItem // nil at a separator
	clicks chan Command
}

// draw puts the first view up and keeps the screen up to date until ctx ends or the screen is gone. Where the menu has
// to be complete before it is shown, connect shows it.
func (t *Tray) draw(ctx context.Context, first View, connect func()) error {
	p := pictureOf(first)
	n, err := newNative(p)
	if err != nil {
		return err
	}
	if connect != nil {
		connect()
	}
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	listening.Go(func() { n.listen(ctx, p) })
	return t.loop(ctx, n, n.clicks, p)
}

// newNative makes the menu. Only setItem changes it afterwards.
func newNative(p picture) (*native, error) {
	n := &native{clicks: make(chan Command, len(p.items))}
	for _, item := range p.items {
		if item.Separator {
			systray.AddSeparator()
			n.items = append(n.items, nil)
			continue
		}
		line := systray.AddMenuItem(label(item.Text), "")
		if !item.Enabled {
			line.Disable()
		}
		if item.Text == "" {
			line.Hide()
		}
		n.items = append(n.items, line)
	}
	n.setTooltip(p.tooltip)
	return n, n.setIcon(p.phase)
}

func (n *native) setIcon(phase protocol.Phase) error {
	png, ico := assets.Icon(string(phase))
	return drawIcon(png, ico)
}

func (n *native) setTooltip(text string) { systray.SetTooltip(text) }

// flush closes an open menu where the desktop would go on showing the old lines in it.
func (n *native) flush() { closeMenu() }

// setItem never touches a line that stays hidden: on Windows any change of it shows it again.
func (n *native) setItem(i int, was, is Item) {
	line := n.items[i]
	if is.Text == "" {
		line.Hide()
		return
	}
	if was.Text != is.Text {
		line.SetTitle(label(is.Text))
	}
	if is.Enabled && line.Disabled() {
		line.Enable()
	}
	if !is.Enabled && !line.Disabled() {
		line.Disable()
	}
	if was.Text == "" {
		line.Show()
	}
}

// listen passes clicks on until ctx ends. systray drops a click that nobody waits for, so each line has somebody who does
// nothing but wait: what to do about a click is for the loop. A full queue drops it too, which takes a person who clicks
// every line while the screen hangs.
func (n *native) listen(ctx context.Context, p picture) {
	var listening sync.WaitGroup
	for i, item := range p.items {
		if item.Command == "" {
			continue
		}
		listening.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-n.items[i].ClickedCh:
				}
				select {
				case n.clicks <- item.Command:
				default:
				}
			}
		})
	}
	listening.Wait()
}
