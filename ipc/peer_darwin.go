package ipc

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who is at the other end.
func peerOf(c net.Conn) (p Peer, err error) {
	err = onSocket(c, func(fd int) error {
		cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			return fmt.Errorf("peer credentials: %w", err)
		}
		p = Peer{User: strconv.FormatUint(uint64(cred.Uid), 10), Via: ViaPipe}
		// The number is for logs and rows; a peer that is gone has none, and is no error.
		p.PID, _ = unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		return nil
	})
	if err != nil || p.PID == 0 {
		return p, err
	}
	if args, err := unix.SysctlRaw("kern.procargs2", p.PID); err == nil {
		p.Exe = execPath(args)
	}
	return p, nil
}

// program opens the file that the process was started from. It may have been replaced since, which then does not fit a rule.
func (p Peer) program() (*os.File, error) { return os.Open(p.Exe) }

func serverOf(c net.Conn) (Peer, error) { return peerOf(c) }

// process is never made: macOS has no handle that outlives the process without a watcher of its own.
type process struct{}

func (*process) alive() (alive, known bool) { return false, false }
func (*process) release()                   {}
