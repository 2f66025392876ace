//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hideInput stops a terminal from showing what is typed until show is called. It fails for what is no terminal.
func hideInput(file *os.File) (show func(), err error) {
	fd := int(file.Fd())
	was, err := unix.IoctlGetTermios(fd, getTerminal)
	if err != nil {
		return nil, err
	}
	hidden := *was
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, setTerminal, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTerminal, was) }, nil
}
