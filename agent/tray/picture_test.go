//go:build desktop && linux

package tray

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/castray/castray/agent/desktop"
	"github.com/castray/castray/ipc/protocol"
)

var pictureFile = flag.String("picture", "", "write the picture of the open menu to this `file`")

// screenWidth and screenHeight are those of the display; the panel is along its upper edge.
const (
	screenWidth, screenHeight = 640, 480
	panelHeight               = 32
)

// panelSettings put nothing but the notification area into the panel, at its right end.
const panelSettings = `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array"><value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="false"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="%d"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/><value type="int" value="2"/><value type="int" value="3"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="separator">
      <property name="expand" type="bool" value="true"/><property name="style" type="uint" value="0"/>
    </property>
    <property name="plugin-2" type="string" value="systray"><property name="known-items" type="array"/></property>
    <property name="plugin-3" type="string" value="separator"><property name="style" type="uint" value="0"/></property>
  </property>
</channel>
`

// A real panel draws the icon and opens the menu under the mouse. With -picture FILE what is seen is kept:
// go test -tags desktop ./agent/tray -run Picture -picture FILE
func TestPictureOfARealPanel(t *testing.T) {
	d := startDesktop(t)
	now := time.Now().UTC()
	v := View{Status: protocol.Status{
		Phase: protocol.PhaseInSync, Sentence: "In sync, 2 apps follow", Site: "General Hospital", Hub: "hub.example.org",
		SignedIn: true, User: &protocol.User{Name: "R. Reader", Until: now.Add(50 * time.Minute)},
		Apps: []protocol.AppRow{
			{ID: "viewer", Name: "viewer", Outcome: protocol.OutcomeVerified, At: now.Add(-2 * time.Minute)},
			{ID: "report_pad", Name: "report_pad", Outcome: protocol.OutcomeAcknowledged, At: now.Add(-2 * time.Minute)},
		},
	}}
	tray := startChild(t, d.env...)
	tray.show(t, v)
	eventually(t, "the panel has our icon", func() bool { return slices.Contains(d.items(t), "Castray") })

	x, y := 0, 0
	eventually(t, "the icon is drawn", func() bool {
		x, y = middleOf(d.look(t), color.NRGBA{0x00, 0x9e, 0x73, 0xff})
		return x > 0
	})
	if y > panelHeight || x < screenWidth/2 {
		t.Fatalf("the icon is at %d, %d, not at the right end of the panel", x, y)
	}
	closed := d.look(t)
	d.run(t, "xdotool", "mousemove", strconv.Itoa(x), strconv.Itoa(y), "click", "1")
	var open image.Image
	eventually(t, "the menu opens and stays as it is", func() bool {
		last := open
		open = d.look(t)
		return last != nil && differ(closed, open).Dy() > screenHeight/3 && differ(last, open).Empty()
	})
	if *pictureFile != "" {
		save(t, *pictureFile, open, differ(closed, open))
	}
	tray.ends(t, "<nil>")
	eventually(t, "the icon is gone", func() bool { return !slices.Contains(d.items(t), "Castray") })
}

// xDisplay is a display with a window manager and a panel.
type xDisplay struct {
	env  []string
	conn *dbus.Conn
}

func startDesktop(t *testing.T) *xDisplay {
	t.Helper()
	home := t.TempDir()
	settings := filepath.Join(home, ".config/xfce4/xfconf/xfce-perchannel-xml")
	if err := os.MkdirAll(settings, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(settings, "xfce4-panel.xml"), fmt.Appendf(nil, panelSettings, panelHeight), 0o600); err != nil {
		t.Fatal(err)
	}
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home + "/.config", "XDG_RUNTIME_DIR=" + run,
		"LANG=C.UTF-8", "NO_AT_BRIDGE=1", "GTK_THEME=Adwaita", "DISPLAY=" + startDisplay(t)}
	address, _ := startBus(t, env...)
	d := &xDisplay{env: append(env, desktop.BusVariable+"="+address)}
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d.conn = conn
	d.paintBackground(t)
	d.start(t, "openbox")
	d.start(t, "xfce4-panel", "--disable-wm-check")
	eventually(t, "the panel is there", func() bool {
		var owned bool
		return conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, watcherName).Store(&owned) == nil && owned
	})
	return d
}

// startDisplay runs an X server without a screen and returns its name.
func startDisplay(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-noreset", "-nolisten", "tcp", "-screen", "0", fmt.Sprintf("%dx%dx24", screenWidth, screenHeight))
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	w.Close()
	var number int
	if _, err := fmt.Fscan(r, &number); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(":%d", number)
}

// start runs a program of the desktop until the test ends.
func (d *xDisplay) start(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = d.env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// paintBackground gives the screen a calm colour. ImageMagick's display ends with 1 here whether it painted or not.
func (d *xDisplay) paintBackground(t *testing.T) {
	t.Helper()
	cmd := exec.Command("display", "-window", "root", "-size", fmt.Sprintf("%dx%d", screenWidth, screenHeight), "xc:#6b7f8f")
	cmd.Env = d.env
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	eventually(t, "the background is painted", func() bool {
		return near(d.look(t).At(screenWidth/2, screenHeight/2), color.NRGBA{0x6b, 0x7f, 0x8f, 0xff})
	})
}

func (d *xDisplay) run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = d.env
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &complaint)
	}
	return out
}

// items are the names of the icons that the panel has.
func (d *xDisplay) items(t *testing.T) []string {
	t.Helper()
	v, err := d.conn.Object(watcherName, "/StatusNotifierWatcher").GetProperty(watcherName + ".RegisteredStatusNotifierItems")
	if err != nil {
		t.Fatal(err)
	}
	var addresses, names []string
	if err := v.Store(&addresses); err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		dest, path, _ := strings.Cut(address, "/")
		if id, err := d.conn.Object(dest, dbus.ObjectPath("/"+path)).GetProperty("org.kde.StatusNotifierItem.Id"); err == nil {
			names = append(names, fmt.Sprint(id.Value()))
		}
	}
	return names
}

// look takes a picture of the screen.
func (d *xDisplay) look(t *testing.T) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(d.run(t, "import", "-silent", "-window", "root", "png:-")))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// middleOf is where the pixels of a colour are, or 0, 0.
func middleOf(img image.Image, c color.NRGBA) (x, y int) {
	var sx, sy, n int
	for py := range screenHeight {
		for px := range screenWidth {
			if near(img.At(px, py), c) {
				sx, sy, n = sx+px, sy+py, n+1
			}
		}
	}
	if n == 0 {
		return 0, 0
	}
	return sx / n, sy / n
}

func near(a, b color.Color) bool {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	const most = 6 << 8
	return max(ar, br)-min(ar, br) < most && max(ag, bg)-min(ag, bg) < most && max(ab, bb)-min(ab, bb) < most
}

// differ is the smallest part of the screen outside of which two pictures are the same.
func differ(a, b image.Image) image.Rectangle {
	var r image.Rectangle
	for y := range screenHeight {
		for x := range screenWidth {
			if a.At(x, y) != b.At(x, y) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

// save writes the part that matters and some of what is around it, from the upper right corner of the screen.
func save(t *testing.T, file string, img image.Image, part image.Rectangle) {
	t.Helper()
	const around = 40
	part = image.Rect(max(part.Min.X-2*around, 0), 0, screenWidth, min(part.Max.Y+around, screenHeight))
	cut := image.NewRGBA(image.Rect(0, 0, part.Dx(), part.Dy()))
	draw.Draw(cut, cut.Rect, img, part.Min, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, cut); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
