package desktop

import (
	"context"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The window is there and hears what is said to it. That Windows says it at a lock is not tested here.
func TestScreenHearsTheSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan bool, 8), make(chan error, 1)
	go func() { ended <- Screen(ctx, func(locked bool) { told <- locked }) }()
	name, err := windows.UTF16PtrFromString("CastrayScreen")
	if err != nil {
		t.Fatal(err)
	}
	messageOnly := ^uintptr(2)
	var window uintptr
	for end := time.Now().Add(10 * time.Second); window == 0; <-time.After(10 * time.Millisecond) {
		window, _, _ = user32.NewProc("FindWindowExW").Call(messageOnly, 0, uintptr(unsafe.Pointer(name)), 0)
		if time.Now().After(end) {
			t.Fatal("there is no window")
		}
	}
	for _, code := range []uintptr{7, 5, 8, 4, 3} {
		user32.NewProc("PostMessageW").Call(window, wmSessionChange, code, 0)
	}
	for _, want := range []bool{true, false, true, false} {
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told %t", got)
			}
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatalf("not told %t", want)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}
