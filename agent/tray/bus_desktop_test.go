//go:build desktop && linux

package tray

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// startBus runs a session bus for this test, which ends with it or by stop, and returns its address.
func startBus(t *testing.T, env ...string) (address string, stop func()) {
	t.Helper()
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=1", "--address=unix:path="+t.TempDir()+"/bus")
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address), stop
}

const watcherName = "org.kde.StatusNotifierWatcher"

// panel is a StatusNotifierWatcher: the half of a desktop's panel that icons register with.
type panel struct {
	conn       *dbus.Conn
	registered chan string // the bus name of the item
}

func newPanel(t *testing.T, address string) *panel {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &panel{conn: conn, registered: make(chan string, 10)}
	if err := conn.Export(watcher{p.registered}, "/StatusNotifierWatcher", watcherName); err != nil {
		t.Fatal(err)
	}
	if _, err := prop.Export(conn, "/StatusNotifierWatcher", prop.Map{watcherName: {"IsStatusNotifierHostRegistered": {Value: true}}}); err != nil {
		t.Fatal(err)
	}
	return p
}

type watcher struct{ registered chan<- string }

// RegisterStatusNotifierItem is the watcher's method; path is where the item is on the sender's connection.
func (w watcher) RegisterStatusNotifierItem(path string, sender dbus.Sender) *dbus.Error {
	w.registered <- string(sender) + path
	return nil
}

func (p *panel) comes(t *testing.T) {
	t.Helper()
	if r, err := p.conn.RequestName(watcherName, dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("the panel's name: %v, %v", r, err)
	}
}

func (p *panel) goes(t *testing.T) {
	t.Helper()
	if _, err := p.conn.ReleaseName(watcherName); err != nil {
		t.Fatal(err)
	}
}

// item is a tray icon as a panel sees it.
type item struct {
	conn *dbus.Conn
	dest string
}

func (i item) property(t *testing.T, name string, into any) {
	t.Helper()
	v, err := i.conn.Object(i.dest, "/StatusNotifierItem").GetProperty("org.kde.StatusNotifierItem." + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Store(into); err != nil {
		t.Fatal(err)
	}
}

// pixmap is a picture as it goes over the bus: alpha, red, green, blue.
type pixmap struct {
	W, H int32
	Pix  []byte
}

func (i item) icon(t *testing.T) pixmap {
	t.Helper()
	var icons []pixmap
	i.property(t, "IconPixmap", &icons)
	if len(icons) != 1 {
		t.Fatalf("%d icons", len(icons))
	}
	return icons[0]
}

func (i item) tooltip(t *testing.T) string {
	t.Helper()
	var tip struct {
		Name  string
		Icons []pixmap
		Title string
		Text  string
	}
	i.property(t, "ToolTip", &tip)
	return tip.Title
}

// line is what a panel draws of a menu item.
type line struct {
	id      int32
	label   string // as on the screen
	enabled bool
}

// menu reads the lines that show.
func (i item) menu(t *testing.T) []line {
	t.Helper()
	type node struct {
		ID    int32
		Props map[string]dbus.Variant
		Kids  []dbus.Variant
	}
	var revision uint32
	var root node
	call := i.conn.Object(i.dest, "/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{})
	if err := call.Store(&revision, &root); err != nil {
		t.Fatal(err)
	}
	var lines []line
	for _, kid := range root.Kids {
		var n node
		if err := dbus.Store([]any{kid.Value()}, &n); err != nil {
			t.Fatal(err)
		}
		label, isItem := n.Props["label"].Value().(string)
		visible, said := n.Props["visible"].Value().(bool)
		if !isItem || said && !visible {
			continue
		}
		enabled, _ := n.Props["enabled"].Value().(bool)
		lines = append(lines, line{n.ID, strings.ReplaceAll(label, "__", "_"), enabled})
	}
	return lines
}

func (i item) click(t *testing.T, label string) {
	t.Helper()
	for _, l := range i.menu(t) {
		if l.label == label {
			call := i.conn.Object(i.dest, "/StatusNotifierItem/menu").Call("com.canonical.dbusmenu.Event", 0, l.id, "clicked", dbus.MakeVariant(int32(0)), uint32(0))
			if call.Err != nil {
				t.Fatal(call.Err)
			}
			return
		}
	}
	t.Fatalf("no line %q in the menu", label)
}
