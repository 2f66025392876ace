//go:build unix

package ipc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

func defaultAddress() (string, error) {
	dir, err := runDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, socketName), nil
}

// ownFolder makes the folder if it is not there and judges it.
func ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("run folder: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	if err := judgeFolder(dir, fi.Mode(), owner(fi), os.Getuid()); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	return nil
}

// owner is -1, nobody, for a file that has none.
func owner(fi fs.FileInfo) int {
	if stat, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// keysFile is beside the socket, be that the default or not.
func keysFile(address string) (string, error) {
	return filepath.Join(filepath.Dir(address), keysName), nil
}

// openKeys opens no link and judges what it opened, not what had the name a moment before.
func openKeys(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = judgeKeys(path, fi.Mode(), owner(fi), os.Getuid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
