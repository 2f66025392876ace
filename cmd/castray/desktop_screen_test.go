//go:build desktop && linux

package main_test

import (
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// screen is the size of the display.
var screen = image.Rect(0, 0, 640, 480)

// watcher is the name on the bus of the panel's half of the notification area.
const watcher = "org.kde.StatusNotifierWatcher"

// startScreen runs a display without a monitor, with a window manager and a panel. The bus has to start services.
func (s *session) startScreen() {
	s.Helper()
	settings := s.path("home/config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml")
	if err := os.MkdirAll(filepath.Dir(settings), 0o700); err != nil {
		s.Fatal(err)
	}
	panel, err := os.ReadFile("testdata/desktop/panel.xml")
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(settings, panel, 0o600); err != nil {
		s.Fatal(err)
	}
	s.env["DISPLAY"] = s.startDisplay()
	s.env["GTK_THEME"], s.env["NO_AT_BRIDGE"] = "Adwaita", "1"
	s.env["XDG_CURRENT_DESKTOP"] = "X-Generic" // there is no more of Xfce than its panel, and xdg-open takes it for all
	s.startBus(true)                           // with the display in its environment: what it starts draws there
	// ImageMagick's display ends with 1 here whether it painted or not.
	s.run("display", "-window", "root", "-size", fmt.Sprintf("%dx%d", screen.Dx(), screen.Dy()), "xc:#6b7f8f")
	s.start("openbox")
	s.start("xfce4-panel", "--disable-wm-check")
	s.eventually("the panel is there", func() bool { return s.onBus(watcher) })
}

// startDisplay runs an X server and returns its name.
func (s *session) startDisplay() string {
	s.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.Fatal(err)
	}
	defer r.Close()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "Xvfb", "-displayfd", "3", "-noreset", "-nolisten", "tcp", "-screen", "0", fmt.Sprintf("%dx%dx24", screen.Dx(), screen.Dy()))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it removes its files in /tmp then
	cmd.WaitDelay = patience
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		stop()
		s.Fatal(err)
	}
	s.Cleanup(func() { stop(); _ = cmd.Wait() })
	var number int
	if _, err := fmt.Fscan(r, &number); err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf(":%d", number)
}

// itemAddress is how the panel lists an icon: a name on the bus and a path.
var itemAddress = regexp.MustCompile(`string "(:[0-9.]+)(/[^"]+)"`)

// icons are the names of the icons that the panel has.
func (s *session) icons() []string {
	s.Helper()
	property := func(dest, path, of, name string) string {
		return s.run("dbus-send", "--session", "--print-reply", "--dest="+dest, path, "org.freedesktop.DBus.Properties.Get", "string:"+of, "string:"+name).stdout()
	}
	var names []string
	for _, a := range itemAddress.FindAllStringSubmatch(property(watcher, "/StatusNotifierWatcher", watcher, "RegisteredStatusNotifierItems"), -1) {
		if _, name, ok := strings.Cut(property(a[1], a[2], "org.kde.StatusNotifierItem", "Id"), `string "`); ok {
			names = append(names, strings.TrimRight(name, "\"\n"))
		}
	}
	return names
}

// look takes a picture of the screen.
func (s *session) look() image.Image {
	s.Helper()
	img, err := png.Decode(strings.NewReader(s.must("import", "-silent", "-window", "root", "png:-")))
	if err != nil {
		s.Fatal(err)
	}
	return img
}

// settle takes a picture of the screen once it is as wanted and stays so.
func (s *session) settle(what string, wanted func(image.Image) bool) image.Image {
	s.Helper()
	var now image.Image
	s.eventually(what, func() bool {
		last := now
		now = s.look()
		return wanted(now) && last != nil && differ(last, now).Empty()
	})
	return now
}

// click presses the left button in the middle of a part of the screen.
func (s *session) click(r image.Rectangle) {
	s.Helper()
	middle := r.Min.Add(r.Max).Div(2)
	s.must("xdotool", "mousemove", strconv.Itoa(middle.X), strconv.Itoa(middle.Y), "click", "1")
}

// differ is the smallest part of the screen outside of which two pictures are the same.
func differ(a, b image.Image) image.Rectangle {
	var r image.Rectangle
	for y := range screen.Dy() {
		for x := range screen.Dx() {
			if a.At(x, y) != b.At(x, y) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

// cut is a part of a picture.
func cut(img image.Image, part image.Rectangle) image.Image {
	out := image.NewRGBA(image.Rectangle{Max: part.Size()})
	draw.Draw(out, out.Rect, img, part.Min, draw.Src)
	return out
}
