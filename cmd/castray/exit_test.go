package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk is told with the place to make room at.
func TestAFullDiskIsTold(t *testing.T) {
	err := fmt.Errorf("write the keys: %w", &fs.PathError{Op: "write", Path: filepath.Join("run", "castray", "castray.json.17"), Err: syscall.ENOSPC})
	code, sentence := judge(err)
	want := "The disk is full where " + filepath.Join("run", "castray") + " lies. Make room there and start it again."
	if code != exitFailed || sentence != want {
		t.Errorf("%d, %q", code, sentence)
	}
	if !diskFull(syscall.Errno(112), "windows") || diskFull(syscall.Errno(112), "linux") {
		t.Error("112 is Windows' own number")
	}
}
