package desktop

import (
	"context"
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	user32 = windows.NewLazySystemDLL("user32.dll")
	wts    = windows.NewLazySystemDLL("wtsapi32.dll")
)

const (
	wmSessionChange = 0x2b1 // WM_WTSSESSION_CHANGE
	wmQuit          = 0x12
)

// watchScreen has a window that nobody sees, whose thread is told what becomes of the session it is in.
func watchScreen(ctx context.Context, hear func(word)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	window, err := hiddenWindow(hear)
	if err != nil {
		return err
	}
	defer user32.NewProc("DestroyWindow").Call(window)
	const thisSession = 0
	if ok, _, _ := wts.NewProc("WTSRegisterSessionNotification").Call(window, thisSession); ok == 0 {
		return errors.New("the screen: Windows does not tell of this session")
	}
	defer wts.NewProc("WTSUnRegisterSessionNotification").Call(window)
	thread := windows.GetCurrentThreadId()
	stop := context.AfterFunc(ctx, func() { user32.NewProc("PostThreadMessageW").Call(uintptr(thread), wmQuit, 0, 0) })
	defer stop()
	var m message
	for {
		if got, _, _ := user32.NewProc("GetMessageW").Call(uintptr(unsafe.Pointer(&m)), 0, 0, 0); int32(got) <= 0 {
			break
		}
		user32.NewProc("DispatchMessageW").Call(uintptr(unsafe.Pointer(&m)))
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("the screen: its window was closed")
}

// message is MSG.
type message struct {
	Window  windows.Handle
	Message uint32
	W, L    uintptr
	Time    uint32
	X, Y    int32
	private uint32
}

// windowClass is WNDCLASSEXW.
type windowClass struct {
	Size, Style                        uint32
	Procedure                          uintptr
	ClassExtra, WindowExtra            int32
	Instance, Icon, Cursor, Background windows.Handle
	Menu, Name                         *uint16
	SmallIcon                          windows.Handle
}

// hiddenWindow is a message-only window. Its class stays for the life of the process, as its procedure does: Go frees
// neither.
func hiddenWindow(hear func(word)) (uintptr, error) {
	const messageOnly = ^uintptr(2) // HWND_MESSAGE, -3
	name, err := windows.UTF16PtrFromString("CastrayScreen")
	if err != nil {
		return 0, err
	}
	otherwise := user32.NewProc("DefWindowProcW")
	class := windowClass{Name: name, Procedure: windows.NewCallback(func(window windows.Handle, m uint32, w, l uintptr) uintptr {
		if m == wmSessionChange {
			if word, known := wtsWord(w); known {
				hear(word)
			}
			return 0
		}
		result, _, _ := otherwise.Call(uintptr(window), uintptr(m), w, l)
		return result
	})}
	class.Size = uint32(unsafe.Sizeof(class))
	if atom, _, _ := user32.NewProc("RegisterClassExW").Call(uintptr(unsafe.Pointer(&class))); atom == 0 {
		return 0, errors.New("the screen: no window can be made to hear of it")
	}
	window, _, _ := user32.NewProc("CreateWindowExW").Call(0, uintptr(unsafe.Pointer(name)), 0, 0, 0, 0, 0, 0, messageOnly, 0, 0, 0)
	if window == 0 {
		return 0, errors.New("the screen: no window can be made to hear of it")
	}
	return window, nil
}
