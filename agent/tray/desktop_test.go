//go:build desktop && linux

package tray

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/agent/desktop"
	"github.com/castray/castray/assets"
	"github.com/castray/castray/ipc/protocol"
)

// onBus starts a bus and a tray on it that shows status().
func onBus(t *testing.T) (address string, stop func(), tray *child) {
	t.Helper()
	address, stop = startBus(t)
	tray = startChild(t, desktop.BusVariable+"="+address)
	tray.show(t, View{Status: status()})
	return address, stop, tray
}

// next waits for the tray to register and returns its item.
func (p *panel) next(t *testing.T) item {
	t.Helper()
	select {
	case r := <-p.registered:
		dest, ok := strings.CutSuffix(r, "/StatusNotifierItem")
		if !ok {
			t.Fatalf("registered as %q", r)
		}
		return item{p.conn, dest}
	case <-time.After(patience):
		t.Fatal("the tray does not register")
		return item{}
	}
}

func TestPanelSeesTheMenu(t *testing.T) {
	address, _, tray := onBus(t)
	p := newPanel(t, address)
	p.comes(t)
	i := p.next(t)

	v := View{Status: status()}
	looksLike(t, i, v)
	before := ids(i.menu(t))

	v.Status.Phase, v.Status.Sentence = protocol.PhaseOffline, "No connection to the hub. Apps may show different patients."
	v.Status.Test = true
	tray.show(t, v)
	eventually(t, "the tooltip changes", func() bool { return i.tooltip(t) == Tooltip(v.Status) })
	looksLike(t, i, v)
	if after := ids(i.menu(t)); !slices.Equal(after, before) {
		t.Errorf("the menu was made anew: lines %v, were %v", after, before)
	}

	v.Status.Problems = []protocol.Problem{{Sentence: "Viewer & co: no answer"}}
	v.SigningIn = true
	tray.show(t, v)
	eventually(t, "the new lines show", func() bool { return len(i.menu(t)) == len(before)+2 })
	looksLike(t, i, v)

	if tray.log.has("failed to emit") {
		t.Error("systray could not tell all")
	}
	tray.ends(t, "<nil>")
	var owned bool
	eventually(t, "the tray leaves the bus", func() bool {
		if err := p.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, i.dest).Store(&owned); err != nil {
			t.Fatal(err)
		}
		return !owned
	})
}

func ids(lines []line) []int32 {
	var out []int32
	for _, l := range lines {
		out = append(out, l.id)
	}
	return out
}

// looksLike compares what a panel reads with what the pure part says. The child is in UTC.
func looksLike(t *testing.T, i item, v View) {
	t.Helper()
	var want []string
	for _, item := range Menu(v, time.Now().UTC()) {
		if item.Text != "" {
			want = append(want, fmt.Sprint(item.Text, " ", item.Enabled))
		}
	}
	var got []string
	eventually(t, "the menu reads as it should", func() bool {
		got = nil
		for _, l := range i.menu(t) {
			got = append(got, fmt.Sprint(l.label, " ", l.enabled))
		}
		return slices.Equal(got, want)
	})
	if tip := i.tooltip(t); tip != Tooltip(v.Status) {
		t.Errorf("the tooltip is %q", tip)
	}
	if !bytes.Equal(i.icon(t).Pix, argb(t, v.Status.Phase)) {
		t.Errorf("the icon is not that of %s", v.Status.Phase)
	}
	var title string
	if i.property(t, "Id", &title); title != "Castray" {
		t.Errorf("the id is %q", title)
	}
}

// argb is the picture of a phase as it goes over the bus.
func argb(t *testing.T, phase protocol.Phase) []byte {
	t.Helper()
	b, _ := assets.Icon(string(phase))
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, a := img.At(x, y).RGBA()
			out = append(out, byte(a), byte(r), byte(g), byte(b))
		}
	}
	return out
}

func TestClicksArrive(t *testing.T) {
	address, _, tray := onBus(t)
	p := newPanel(t, address)
	p.comes(t)
	i := p.next(t)
	for _, item := range Menu(View{Status: status()}, noon) {
		if !item.Enabled || item.Command == "" {
			continue
		}
		i.click(t, item.Text)
		if got, want := tray.says(t), "click "+string(item.Command); got != want {
			t.Errorf("a click on %q: the tray says %q", item.Text, got)
		}
	}
	tray.ends(t, "<nil>")
}

// At logon the panel may come after the agent, and it may be restarted at any time.
func TestPanelComesLateAndComesBack(t *testing.T) {
	address, _, tray := onBus(t)
	p := newPanel(t, address)
	eventually(t, "the tray is on the bus", func() bool {
		var names []string
		if err := p.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
			t.Fatal(err)
		}
		return slices.Contains(names, fmt.Sprintf("org.kde.StatusNotifierItem-%d-1", tray.pid))
	})
	for range 3 {
		p.comes(t)
		looksLike(t, p.next(t), View{Status: status()})
		p.goes(t)
	}
	tray.ends(t, "<nil>")
}

// The session's bus may go before the agent does: the tray ends, the agent goes on.
func TestBusDiesUnderTheTray(t *testing.T) {
	address, kill, tray := onBus(t)
	p := newPanel(t, address)
	p.comes(t)
	p.next(t)
	kill()
	v := View{Status: status()}
	v.Status.Apps[0].Outcome = protocol.OutcomeSilent
	v.Status.Phase = protocol.PhaseAttention // the icon is where systray panics
	tray.show(t, v)
	if got, want := tray.says(t), "ended no notification area: the session bus is gone"; got != want {
		t.Errorf("the tray says %q, want %q", got, want)
	}
	tray.stdin.Close()
	if got := tray.says(t); got != "leaks <nil>" {
		t.Error(got)
	}
}

func TestWithoutBusNothingIsStarted(t *testing.T) {
	bin, run := t.TempDir(), t.TempDir()
	launched := filepath.Join(bin, "launched")
	script := "#!/bin/sh\necho launched >" + launched + "\n"
	if err := os.WriteFile(filepath.Join(bin, "dbus-launch"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	tray := startChild(t, "PATH="+bin, "XDG_RUNTIME_DIR="+run)
	tray.show(t, View{Status: status()})
	tray.ends(t, "no notification area: no session bus")
	if _, err := os.Stat(launched); err == nil {
		t.Error("a bus was started")
	}
}

// A bus in the run folder is found without the variable, and systray is led to that one.
func TestBusInTheRunFolder(t *testing.T) {
	address, _ := startBus(t)
	socket, _ := strings.CutPrefix(address, "unix:path=")
	socket, _, _ = strings.Cut(socket, ",")
	tray := startChild(t, "XDG_RUNTIME_DIR="+filepath.Dir(socket))
	p := newPanel(t, address)
	p.comes(t)
	tray.show(t, View{Status: status()})
	looksLike(t, p.next(t), View{Status: status()})
	tray.ends(t, "<nil>")
}
