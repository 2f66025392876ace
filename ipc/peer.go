package ipc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
)

// ViaPipe is Peer.Via of a Unix socket and of a Windows named pipe, the word that Status shows.
const ViaPipe = "pipe"

// Peer is who is at the other end of a connection, as the operating system says. User is the uid, on Windows the SID;
// Session is the Windows logon session, 0 elsewhere. Exe is the path of its program, empty when it cannot be told, and
// is what rules match: PID may be another program's by the time it is looked up, so it is for logs and rows only.
type Peer struct {
	User    string
	Session uint32
	PID     int
	Exe     string
	Via     string

	process *process // held since the connection was accepted
}

// Alive reports whether the process that connected still lives; known is false where the operating system does not
// tell, after Release, and at the WebSocket: of a page that is closed the process, its browser, lives on. It may be called
// long after the connection has ended, and concurrently.
func (p Peer) Alive() (alive, known bool) {
	if p.process == nil || p.Via == ViaWebSocket {
		return false, false
	}
	return p.process.alive()
}

// Ended reports whether the process that connected has surely ended, at the WebSocket too: no page outlives its browser.
func (p Peer) Ended() bool {
	if p.process == nil {
		return false
	}
	alive, known := p.process.alive()
	return known && !alive
}

// Digest is the SHA-256 of its program's file, in hex, read anew each time. It fails where the program cannot be told or
// read.
func (p Peer) Digest() (string, error) {
	if p.Exe == "" {
		return "", errNoProgram
	}
	file, err := p.program()
	if err != nil {
		return "", errNoProgram // the path is nobody's business
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", errNoProgram
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Release lets go of the process. Whoever accepted the connection calls it when nothing asks Alive any more.
func (p Peer) Release() {
	if p.process != nil {
		p.process.release()
	}
}

var (
	errNoProgram    = errors.New("the program at the other side cannot be told")
	errOtherUser    = errors.New("the other side belongs to another user")
	errOtherSession = errors.New("the other side belongs to another logon session")
)

// admit is who may connect to us: the same user in the same logon session. A user that is not known is another one.
func admit(us, them Peer) error {
	if err := trust(us, them); err != nil {
		return err
	}
	if us.Session != them.Session {
		return errOtherSession
	}
	return nil
}

// trust is whom we talk to as an agent: a process of the same user. The session is in the name of its pipe.
func trust(us, them Peer) error {
	if them.User == "" || us.User != them.User {
		return errOtherUser
	}
	return nil
}

// execPath cuts the program's path out of macOS's KERN_PROCARGS2: four bytes argc, the path, a zero byte.
func execPath(procargs []byte) string {
	if len(procargs) < 4 {
		return ""
	}
	path, _, ended := bytes.Cut(procargs[4:], []byte{0})
	if !ended {
		return ""
	}
	return string(path)
}

// sddl is the pipe's access rule: deny everything to network logons, allow everything to the system and to the user,
// nothing to anyone else and nothing inherited.
func sddl(userSID string) string {
	return "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;" + userSID + ")"
}
