//go:build desktop && windows

package tray

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/castray/castray/ipc/protocol"
)

// Every line's click comes as a command, and every phase's icon and lines are taken.
func TestClicksArrive(t *testing.T) {
	tray, window := onTaskbar(t)
	click := func(c Command) {
		const command = 0x111 // WM_COMMAND
		for i, item := range Menu(View{}, noon) {
			if item.Command == c {
				post(t, window, command, uintptr(i+1), 0) // systray numbers its lines in their order
			}
		}
	}
	waiting := View{Status: status()}
	waiting.Status.Problems = []protocol.Problem{{Code: "launch_waiting", Sentence: "An EHR wants to launch Castray"}}
	tray.show(t, waiting)
	before := Quit
	arrives := func(c Command) {
		t.Helper()
		eventually(t, "a click on "+string(c)+" arrives", func() bool { // the menu may not be complete yet, nor what is shown in it
			click(c)
			for len(tray.lines) > 0 {
				switch got := tray.says(t); got {
				case "click " + string(c):
					return true
				case "click " + string(before): // one more of those before
				default:
					t.Errorf("a click on %s: the tray says %q", c, got)
				}
			}
			return false
		})
		before = c
	}
	for _, c := range []Command{Quit, Accept, Decline, SignIn, SignOut, Pause, Resync, ClearAll} {
		arrives(c)
	}
	for i, phase := range phases {
		v := View{Status: status(), SigningIn: i%2 == 0}
		v.Status.Phase, v.Status.Sentence = phase, string(phase)
		tray.show(t, v)
		if phase == protocol.PhasePaused {
			arrives(Resume)
		}
	}
	tray.stdin.Close()
	for got := ""; !strings.HasPrefix(got, "ended"); {
		if got = tray.says(t); got != "click resume" && got != "ended <nil>" {
			t.Errorf("the tray says %q", got)
		}
	}
	if tray.log.has("unable to") {
		t.Error("systray could not draw all")
	}
}

// S1: Windows does not redraw a menu that is open, so it is closed before it looks better than the facts.
func TestS1_OpenMenuDoesNotGoOnSayingInSync(t *testing.T) {
	tray, window := onTaskbar(t)
	openMenu(t, tray, window)
	v := View{Status: status()}
	v.Status.Phase, v.Status.Sentence = protocol.PhaseOutOfSync, "NOT in sync: check the patient in every app"
	tray.show(t, v)
	eventually(t, "the menu is closed", func() bool { return !menuIsOpen(tray) })
	tray.ends(t, "<nil>")
}

func TestEndsWithItsMenuOpen(t *testing.T) {
	tray, window := onTaskbar(t)
	openMenu(t, tray, window)
	tray.ends(t, "<nil>")
}

// An installer that updates the program asks it to close like this.
func TestWindowIsClosedFromOutside(t *testing.T) {
	tray, window := onTaskbar(t)
	const closeWindow = 0x10 // WM_CLOSE
	post(t, window, closeWindow, 0, 0)
	if got := tray.says(t); got != "ended <nil>" {
		t.Errorf("the tray says %q", got)
	}
	tray.stdin.Close()
	if got := tray.says(t); got != "leaks <nil>" {
		t.Error(got)
	}
}

func TestLabelKeepsAmpersands(t *testing.T) {
	if got := label("view & report"); got != "view && report" {
		t.Errorf("label is %q", got)
	}
}

// onTaskbar starts a tray that shows status() and finds its window.
func onTaskbar(t *testing.T) (*child, windows.HWND) {
	t.Helper()
	// Wine starts its taskbar with the first window. Not the tray's: its pipes would stay open in there.
	eventually(t, "the taskbar takes an icon", taskbarTakesIcons)
	tray := startChild(t, slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TZ=") })...)
	tray.show(t, View{Status: status()})
	var window windows.HWND
	eventually(t, "the tray has its window", func() bool {
		window = findWindow("SystrayClass", uint32(tray.pid))
		return window != 0
	})
	return tray, window
}

func openMenu(t *testing.T, tray *child, window windows.HWND) {
	t.Helper()
	eventually(t, "the menu is open", func() bool {
		const icon, rightButtonUp = 0x401, 0x205 // systray's message, WM_RBUTTONUP
		post(t, window, icon, 0, rightButtonUp)
		return menuIsOpen(tray)
	})
}

// menuIsOpen looks for a window of the class that menus have.
func menuIsOpen(tray *child) bool { return findWindow("#32768", uint32(tray.pid)) != 0 }

func post(t *testing.T, window windows.HWND, message, w, l uintptr) {
	t.Helper()
	if ok, _, err := windows.NewLazySystemDLL("user32.dll").NewProc("PostMessageW").Call(uintptr(window), message, w, l); ok == 0 {
		t.Fatal(err)
	}
}
