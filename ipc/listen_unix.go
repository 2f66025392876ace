//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probeTimeout is how long a socket that we find is given to answer a dial. A live agent answers at once, for the
// kernel does it.
const probeTimeout = time.Second

// self is us as a Peer.
func self() (Peer, error) { return Peer{User: strconv.Itoa(os.Getuid())}, nil }

// listen binds a socket under a lock that is held for as long as the socket lives, so that looking who is there and
// replacing it are one step among agents.
func listen(path string) (net.Listener, func() error, error) {
	unlock, err := lock(path + ".lock")
	if err != nil {
		return nil, nil, err
	}
	l, bound, err := bind(path)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return l, func() error {
		defer unlock()
		return removeIfSame(path, bound)
	}, nil
}

// bind removes a dead agent's socket and makes ours.
func bind(path string) (net.Listener, fs.FileInfo, error) {
	if err := clearStale(path); err != nil {
		return nil, nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux this is the mode that the file is born with. Elsewhere it fails, and the chmod below follows; in
		// between the check of the peer holds alone.
		return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) })
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EINVAL) {
		return nil, nil, fmt.Errorf("the path of the socket is too long, at most about 100 bytes: %s", path)
	}
	if err != nil {
		return nil, nil, err
	}
	// Go would remove whatever has this name at Close, somebody else's live socket too.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	bound, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, bound, nil
}

// clearStale removes a socket at which nobody answers. An agent that answers is ErrInUse, even without the lock.
func clearStale(path string) error {
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already and is no socket: remove it or choose another address", path)
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, syscall.EAGAIN) || isTimeout(err): // its queue of connections is full: alive, but busy
		return ErrInUse
	}
	return err
}

// removeIfSame removes the socket that we made, and nothing that has its name by now.
func removeIfSame(path string, bound fs.FileInfo) error {
	now, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !os.SameFile(now, bound):
		return nil
	}
	return os.Remove(path)
}

// lock takes the lock file, which goes with its process however that ends. ErrInUse when another holds it.
func lock(path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, ErrInUse
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// Whoever held it before may have removed the file between our open and our lock; then we hold nothing.
		held, err := f.Stat()
		if err == nil {
			var named fs.FileInfo
			if named, err = os.Lstat(path); err == nil && os.SameFile(held, named) {
				return func() { os.Remove(path); f.Close() }, nil
			}
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// nobodyThere tells that no agent listens: no socket, or one that a dead agent left.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// onSocket runs f with the connection's file descriptor.
func onSocket(c net.Conn, f func(fd int) error) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return errors.New("not a socket")
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
