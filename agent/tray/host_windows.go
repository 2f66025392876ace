package tray

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"fyne.io/systray"
	"golang.org/x/sys/windows"
)

// reachable is always so: a session without a taskbar may get one yet.
func reachable(context.Context) error { return nil }

// host runs the message loop of the icon's window, which belongs to the thread that made it.
func (t *Tray) host(ctx context.Context, first View) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if !t.awaitTaskbar(ctx) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	thread := windows.GetCurrentThreadId()
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		select {
		case <-ready:
			ended <- t.draw(ctx, first, nil)
			closeMenu() // an open one keeps the message loop to itself
			systray.Quit()
		case <-time.After(maxStart):
			// systray 1.12.2 tells nobody when it has no icon, and waits for ever.
			ended <- fmt.Errorf("%w: the taskbar took no icon", ErrNoTray)
			postQuit(thread)
		}
	}()
	systray.Run(func() { close(ready) }, nil)
	cancel() // the window was closed from outside
	return <-ended
}

// maxStart is how long the taskbar may take with an icon after it has just taken another; the shell's own limit is 4 s.
const maxStart = 10 * time.Second

// awaitTaskbar waits until the taskbar takes icons. At logon the agent is often there before it, and systray asks only
// once. It returns false when ctx ended first.
func (t *Tray) awaitTaskbar(ctx context.Context) bool {
	if taskbarTakesIcons() {
		return true
	}
	t.log.Info("waiting for the taskbar")
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
			if taskbarTakesIcons() {
				return true
			}
		}
	}
}

// taskbarTakesIcons shows an empty icon of a window of its own for a moment.
func taskbarTakesIcons() bool {
	const (
		add, remove = 0, 2
		messageOnly = ^uintptr(2) // HWND_MESSAGE, -3
	)
	user, shell := windows.NewLazySystemDLL("user32.dll"), windows.NewLazySystemDLL("shell32.dll")
	class, err := windows.UTF16PtrFromString("STATIC")
	if err != nil {
		return false
	}
	window, _, _ := user.NewProc("CreateWindowExW").Call(0, uintptr(unsafe.Pointer(class)), 0, 0, 0, 0, 0, 0, messageOnly, 0, 0, 0)
	if window == 0 {
		return false
	}
	defer user.NewProc("DestroyWindow").Call(window)
	// As systray does it: an icon that has nothing yet but a message (NIF_MESSAGE).
	icon := notifyIcon{Window: windows.Handle(window), ID: 1, Flags: 1, Callback: 0x401}
	icon.Size = uint32(unsafe.Sizeof(icon))
	notify := shell.NewProc("Shell_NotifyIconW")
	if ok, _, _ := notify.Call(add, uintptr(unsafe.Pointer(&icon))); ok == 0 {
		return false
	}
	notify.Call(remove, uintptr(unsafe.Pointer(&icon)))
	return true
}

// notifyIcon is NOTIFYICONDATAW.
type notifyIcon struct {
	Size                uint32
	Window              windows.Handle
	ID, Flags, Callback uint32
	Icon                windows.Handle
	Tip                 [128]uint16
	State, StateMask    uint32
	Info                [256]uint16
	Version             uint32
	InfoTitle           [64]uint16
	InfoFlags           uint32
	Item                windows.GUID
	BalloonIcon         windows.Handle
}

// postQuit ends the message loop of a thread.
func postQuit(thread uint32) {
	const quit = 0x12 // WM_QUIT
	windows.NewLazySystemDLL("user32.dll").NewProc("PostThreadMessageW").Call(uintptr(thread), quit, 0, 0)
}

// closeMenu closes the menu if it is open: Windows does not redraw one, and "In sync" must not stand there when it is no
// longer so. Only the window's own thread may end a menu, hence a message.
func closeMenu() {
	const cancelMode = 0x1f // WM_CANCELMODE
	if w := findWindow("SystrayClass", windows.GetCurrentProcessId()); w != 0 {
		windows.NewLazySystemDLL("user32.dll").NewProc("PostMessageW").Call(uintptr(w), cancelMode, 0, 0)
	}
}

// findWindow finds a window of a class in a process, or 0.
func findWindow(class string, pid uint32) windows.HWND {
	name, err := windows.UTF16PtrFromString(class)
	if err != nil {
		return 0
	}
	next := windows.NewLazySystemDLL("user32.dll").NewProc("FindWindowExW")
	var found uintptr
	for {
		if found, _, _ = next.Call(0, found, uintptr(unsafe.Pointer(name)), 0); found == 0 {
			return 0
		}
		var owner uint32
		if _, err := windows.GetWindowThreadProcessId(windows.HWND(found), &owner); err == nil && owner == pid {
			return windows.HWND(found)
		}
	}
}

// drawIcon never fails: after a restart of the taskbar systray shows the icon again.
func drawIcon(_, ico []byte) error {
	systray.SetIcon(ico)
	return nil
}

// label keeps an ampersand what it is: in a Windows menu one alone marks the letter of a shortcut.
func label(text string) string { return strings.ReplaceAll(text, "&", "&&") }
