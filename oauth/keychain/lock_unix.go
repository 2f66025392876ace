//go:build unix

package keychain

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openLock follows no link, and does not wait for the other end of a pipe.
func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
}

// tryLock takes the lock, or says that somebody has it.
func tryLock(f *os.File) (held bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return err == nil, err
}

// release closes the only descriptor of the open file, and with it ends the lock.
func release(f *os.File) { _ = f.Close() }
