package ipc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/windows"
)

// self is us as a Peer.
func self() (Peer, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return Peer{}, fmt.Errorf("own user: %w", err)
	}
	p := Peer{User: user.User.Sid.String(), PID: int(windows.GetCurrentProcessId())}
	if err := windows.ProcessIdToSessionId(uint32(p.PID), &p.Session); err != nil {
		return Peer{}, fmt.Errorf("own session: %w", err)
	}
	return p, nil
}

// peerOf asks Windows who connected, and holds its process.
func peerOf(c net.Conn) (Peer, error) { return processAt(c, windows.GetNamedPipeClientProcessId) }

// serverOf asks Windows who serves the pipe that we dialled.
func serverOf(c net.Conn) (Peer, error) {
	p, err := processAt(c, windows.GetNamedPipeServerProcessId)
	p.Release()
	p.process = nil
	return p, err
}

func processAt(c net.Conn, ask func(pipe windows.Handle, pid *uint32) error) (Peer, error) {
	pipe, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return Peer{}, errors.New("not a pipe")
	}
	var pid uint32
	if err := ask(windows.Handle(pipe.Fd()), &pid); err != nil {
		return Peer{}, fmt.Errorf("process of the peer: %w", err)
	}
	return processOf(pid)
}

// processOf says whose process that is, and holds it.
func processOf(pid uint32) (Peer, error) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, pid)
	if err != nil {
		return Peer{}, fmt.Errorf("open the peer's process: %w", err)
	}
	p := Peer{PID: int(pid), Via: ViaPipe, process: &process{handle: h}}
	// From here on the number stays its own, since we hold the process.
	if err := windows.ProcessIdToSessionId(pid, &p.Session); err != nil {
		p.Release()
		return Peer{}, fmt.Errorf("session of the peer: %w", err)
	}
	if p.User, err = userOf(h); err != nil {
		p.Release()
		return Peer{}, fmt.Errorf("user of the peer: %w", err)
	}
	p.Exe = imageOf(h)
	return p, nil
}

func userOf(h windows.Handle) (string, error) {
	var token windows.Token
	if err := windows.OpenProcessToken(h, windows.TOKEN_QUERY, &token); err != nil {
		return "", err
	}
	defer token.Close()
	user, err := token.GetTokenUser()
	if err != nil {
		return "", err
	}
	return user.User.Sid.String(), nil
}

// imageOf is the path of the program, or empty.
func imageOf(h windows.Handle) string {
	path := make([]uint16, windows.MAX_LONG_PATH)
	n := uint32(len(path))
	if windows.QueryFullProcessImageName(h, 0, &path[0], &n) != nil {
		return ""
	}
	return windows.UTF16ToString(path[:n])
}

// program opens the file that the process was started from, which Windows keeps as it is while it runs.
func (p Peer) program() (*os.File, error) { return os.Open(p.Exe) }

// process is a handle; 0 after release.
type process struct {
	mu     sync.Mutex
	handle windows.Handle
}

// alive waits for no time: a process handle is signalled when the process has ended.
func (p *process) alive() (alive, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handle == 0 {
		return false, false
	}
	event, err := windows.WaitForSingleObject(p.handle, 0)
	return event == uint32(windows.WAIT_TIMEOUT), err == nil
}

func (p *process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handle != 0 {
		windows.CloseHandle(p.handle)
		p.handle = 0
	}
}
