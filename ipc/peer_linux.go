package ipc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who connected, and holds its process.
func peerOf(c net.Conn) (p Peer, err error) {
	err = onSocket(c, func(fd int) error {
		p, err = credentials(fd)
		if err == nil {
			p.process = holdProcess(fd, p.PID)
		}
		return err
	})
	if err != nil {
		return Peer{}, err
	}
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
	// While we hold the process and it lives, its number is nobody else's, so the path is really its own.
	if alive, _ := p.Alive(); alive {
		p.Exe = strings.TrimSuffix(exe, " (deleted)") // an update replaced it; it is still that program
	}
	return p, nil
}

// program opens what the process runs, also where its file was replaced since. While we hold the process and it lives, its
// number is nobody else's.
func (p Peer) program() (*os.File, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/exe", p.PID))
	if err != nil {
		return nil, err
	}
	if p.process != nil {
		if alive, _ := p.process.alive(); alive {
			return file, nil
		}
	}
	file.Close()
	return nil, errNoProgram
}

// serverOf asks the kernel who listens at the socket that we dialled.
func serverOf(c net.Conn) (p Peer, err error) {
	err = onSocket(c, func(fd int) error {
		p, err = credentials(fd)
		return err
	})
	return p, err
}

func credentials(fd int) (Peer, error) {
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, fmt.Errorf("peer credentials: %w", err)
	}
	return Peer{User: strconv.FormatUint(uint64(u.Uid), 10), PID: int(u.Pid), Via: ViaPipe}, nil
}

// process is a pidfd. It is nil inside when the process had ended before we could hold it.
type process struct{ pidfd *os.File }

// holdProcess is nil where the kernel has no pidfds. SO_PEERPIDFD (Linux 6.5) is exact; by number, before that, the
// moment between connect and here is left to chance.
func holdProcess(fd, pid int) *process {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return held(unix.PidfdOpen(pid, 0))
	}
	return held(pidfd, err)
}

func held(pidfd int, err error) *process {
	switch {
	case errors.Is(err, unix.ESRCH):
		return &process{}
	case err != nil:
		return nil
	}
	unix.CloseOnExec(pidfd)
	return &process{pidfd: os.NewFile(uintptr(pidfd), "pidfd")}
}

// alive polls: a pidfd becomes readable when its process ends, even if nobody has waited for it yet.
func (p *process) alive() (alive, known bool) {
	if p.pidfd == nil {
		return false, true
	}
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return false, false
	}
	err = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			alive, known = n == 0, err == nil
			return
		}
	})
	if err != nil {
		return false, false
	}
	return alive, known
}

func (p *process) release() {
	if p.pidfd != nil {
		p.pidfd.Close()
	}
}
